"""Which tracks answer a request, as two stores tell, and the metrics of a task that has such requests."""

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, Oracle, evaluation

from diffgar.demo.purposes import PURPOSES, purpose_rows
from diffgar.errors import InputError
from diffgar.evaluation.answers import answer_metrics, refuse_no_answers, requests_and_table
from diffgar.evaluation.metrics.coverage import COVERAGE, PRECISION
from diffgar.evaluation.report import CHANCE, System
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import make_systems

ANSWERS = {"asked": "purpose", "by": "lead"}
GDR = System("gdr")
LEADS = sorted({lead for purpose in PURPOSES.values() for lead in purpose.leads})


def stores(count: int = 320) -> tuple[Latents, Captions]:
    """Tracks whose latents say their lead, half of them in training, and the captions of their purposes."""
    leads = [LEADS[number % 16] for number in range(count)]
    splits = ["train", "test"] * (count // 2) if count % 32 else [("train", "test")[n // 16 % 2] for n in range(count)]
    parts = {"track_id": [f"t{n}" for n in range(count)], "path": "x", "split": splits, "lead": leads}
    rows = purpose_rows(pd.DataFrame(parts | {"tempo": "slow", "drums": "none", "backing": "harp"}))
    vectors = F.one_hot(torch.arange(count) % 16, 32).float()
    vectors += 0.05 * torch.randn(count, 32, generator=torch.Generator().manual_seed(0))
    columns = {name: rows[name].tolist() for name in ("purpose", "named", "split")}
    return Latents(vectors, split=splits, lead=leads), Captions([int(t[1:]) for t in rows["track_id"]], **columns)


def test_the_table_of_relevance_is_the_construction():
    audio, text = stores()
    requests, table = requests_and_table(audio, text, ANSWERS)
    assert requests.tolist() == text.rows["purpose"].tolist()
    found = {purpose: set(table.columns[table.loc[purpose]]) for purpose in table.index}
    assert found == {name: set(purpose.leads) for name, purpose in PURPOSES.items()}


def test_a_request_may_stand_in_the_tracks_table_and_a_blank_one_asks_nothing():
    audio = Latents(torch.randn(4, 3), purpose=["a", "a", "", "b"], lead=["x", "y", "z", "z"])
    requests, table = requests_and_table(audio, Captions([0, 1, 2, 3, 0]), ANSWERS)
    assert requests.dropna().to_dict() == {0: "a", 1: "a", 3: "b", 4: "a"}
    assert {name: set(table.columns[table.loc[name]]) for name in table.index} == {"a": {"x", "y"}, "b": {"z"}}


def test_a_query_between_a_purposes_leads_is_precise_and_mmr_covers_them():
    audio, text = stores()
    wanted = torch.stack(
        [audio.vectors[audio.rows["lead"].isin(PURPOSES[p].leads)].mean(0) for p in text.rows["purpose"]]
    )
    experiment = evaluation(audio, text, Oracle(wanted, torch.zeros(32), 0.02))
    systems = make_systems([experiment], [0, 1])
    plain, varied = (answer_metrics(experiment, systems, ANSWERS, mmr) for mmr in (None, 0.7))
    assert plain[GDR][PRECISION].mean == 100 and plain[GDR][COVERAGE].mean > plain[CHANCE][COVERAGE].mean
    assert varied[GDR][COVERAGE].mean > max(99, plain[GDR][COVERAGE].mean)
    assert plain[CHANCE][PRECISION].mean == pytest.approx(300 / 16)
    assert plain[GDR][PRECISION].n == len(experiment.task.captions)


def test_captions_that_ask_for_nothing_are_left_out():
    audio, text = stores()
    text.rows.loc[text.rows.index[5:], "purpose"] = ""
    experiment = evaluation(audio, text, Oracle(torch.randn(len(text.rows), 32), torch.zeros(32)), split="train")
    assert answer_metrics(experiment, make_systems([experiment], [0]), ANSWERS)[GDR][PRECISION].n == 5
    text.rows["purpose"] = None
    assert answer_metrics(experiment, make_systems([experiment], [0]), ANSWERS) == {}


def test_mmr_moves_ranks_and_the_protocol_tells():
    audio, text = stores()
    experiment = evaluation(
        audio, text, Oracle(audio.vectors[[int(t[1:]) for t in text.rows["track_id"]]], torch.zeros(32), 0.1)
    )
    systems = make_systems([experiment], [0])
    reports = [
        evaluate_retrieval(systems.queries, systems.index, experiment.task, RetrievalOptions(num_resamples=5, mmr=mmr))
        for mmr in (None, 0.5, 1.0)
    ]
    recalls = [report.rows[GDR]["R@10"].mean for report in reports]
    assert recalls[0] == recalls[2] > recalls[1]  # nine of ten of its kind are held back
    assert [report.protocol["mmr"] for report in reports] == [None, 0.5, 1.0]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ("purpose", "task.answers is 'purpose'; give it two columns"),
        ({"asked": "purpose"}, "give it two columns"),
        ({"asked": "use", "by": "lead"}, "task.answers.asked: the stores have no column 'use'; there are .*lead"),
        ({"asked": "purpose", "by": "named"}, "task.answers.by: the stores have no column 'named'"),
    ],
)
def test_columns_that_are_not_there_are_refused(answers, message):
    with pytest.raises(InputError, match=message):
        refuse_no_answers(*stores(), answers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mmr": 1.5}, "retrieval.mmr is 1.5; give it a number of at least 0 and at most 1"),
        ({"mmr": True}, "retrieval.mmr is True"),
        ({"mmr": 0.5, "direction": "audio_to_text"}, "set retrieval.direction=text_to_audio"),
        ({"mmr": 0.5, "hubness": ("centring",)}, r"set retrieval.hubness=\[\]"),
    ],
)
def test_what_mmr_cannot_re_rank_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        RetrievalOptions(**options)

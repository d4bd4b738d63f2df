"""Graded tasks: queries that belong to no track, judged by scores; the report, its intervals and its table."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.graded import evaluate_graded, graded_task, refuse_graded
from diffgar.evaluation.grades import share_of_attributes
from diffgar.evaluation.metrics.graded import graded_metrics
from diffgar.evaluation.report import CHANCE, System
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import render
from diffgar.evaluation.reports.tables import retrieval_table
from diffgar.evaluation.retrieval import RetrievalOptions
from diffgar.evaluation.systems import make_systems
from diffgar.evaluation.tasks import NO_TRACK

GDR = System("gdr")
ROWS = [("c0", "t0", 2), ("c0", "t1", 1), ("c1", "t2", 1), ("c2", "t3", 0), ("c2", "t0", 1)]
JUDGED = pd.DataFrame(ROWS, columns=["query_id", "track_id", "score"])


def stores(count: int = 12) -> tuple[Latents, Captions]:
    """Tracks in random places, and four captions of which the first three belong to no track."""
    vectors = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    text = Captions([0, 0, 0, 3])
    text.rows["track_id"] = ["", "", "", "t3"]
    return Latents(vectors), text


def opened(judged: pd.DataFrame = JUDGED, noise: float = 0.0, **asked):
    """An experiment whose model generates the vectors of tracks 0, 2, 5 and 3 for the captions."""
    audio, text = stores()
    experiment = evaluation(audio, Captions([0]), Oracle(audio.vectors[[0, 2, 5, 3]], torch.zeros(8), noise))
    task = graded_task("t", audio, text, judged, "test", **asked)
    return replace(experiment, text=text, task=task)


def report_of(experiment, **options):
    systems = make_systems([experiment], [0, 1])
    return evaluate_graded(systems.queries, systems.index, experiment.task, RetrievalOptions(**options))


def test_only_judged_queries_are_asked_and_the_whole_split_is_searched():
    task = opened().task
    assert list(task.captions["caption_id"]) == ["c0", "c1", "c2"]
    assert len(task.track_ids) == 12 and task.targets.tolist() == [NO_TRACK] * 3
    own = opened(pd.concat([JUDGED, pd.DataFrame([("c3", "t1", 3)], columns=JUDGED.columns)])).task
    assert own.targets.tolist() == [NO_TRACK] * 3 + [3]


def test_the_values_are_those_of_the_metrics_and_chance_is_that_of_level_scores():
    experiment = opened()
    report = report_of(experiment, num_resamples=50)
    grades = torch.zeros(3, 12)
    grades[0, 0], grades[0, 1], grades[1, 2], grades[2, 0] = 2, 1, 1, 1
    unit = torch.nn.functional.normalize(experiment.audio.vectors, dim=-1)
    expected = graded_metrics(unit[[0, 2, 5]] @ unit.T, grades)
    level = graded_metrics(torch.zeros(3, 12), grades)
    for name, values in expected.items():
        assert report.rows[GDR][name].mean == pytest.approx(float(values.mean())), name
        assert report.rows[CHANCE][name].mean == pytest.approx(float(level[name].mean())), name
        assert report.rows[GDR][name].low <= report.rows[GDR][name].mean <= report.rows[GDR][name].high
    table = report.queries.set_index(["row", "seed", "query_id"])
    assert table.loc[("gdr", 1, "c1"), "nDCG@10"] == pytest.approx(float(expected["nDCG@10"][1]))


def test_chunks_change_nothing_and_a_paired_difference_is_there_for_every_metric():
    experiment = opened(noise=1.0)
    systems = make_systems([experiment], [0, 1])
    queries = {GDR: systems.queries[GDR], System("other"): -systems.queries[GDR]}
    index = dict.fromkeys(queries, systems.index[GDR])
    whole, parts = (
        evaluate_graded(queries, index, experiment.task, RetrievalOptions(num_resamples=20, chunk=chunk))
        for chunk in (None, 2)
    )
    assert whole.rows == parts.rows
    difference = whole.paired[GDR, System("other")]["nDCG@10"]
    means = [whole.rows[system]["nDCG@10"].mean for system in queries]
    assert difference.difference == pytest.approx(means[0] - means[1]) and difference.low < difference.high


def test_captions_of_one_track_are_drawn_together():
    judged = pd.DataFrame([(f"c{n}", "t0", 1) for n in range(4)], columns=JUDGED.columns)
    audio, text = stores()
    text.rows["track_id"] = ["t1", "t1", "t1", "t1"]
    experiment = replace(opened(judged, noise=1.0), text=text, task=graded_task("t", audio, text, judged, "test"))
    summary = report_of(experiment, num_resamples=20).rows[GDR]["nDCG@10"]
    assert summary.low == summary.high == pytest.approx(summary.mean)  # one unit: every redraw is the same


def test_a_query_that_nothing_answers_counts_zero_and_is_told():
    task = opened(relevant_from=2).task
    assert task.describe()["num_unanswered"] == 2
    assert opened().task.describe()["num_unanswered"] == 0
    assert task.describe()["judgements"] == opened().task.describe()["judgements"]
    changed = JUDGED.assign(score=[3, *JUDGED["score"][1:]])
    assert opened(changed).task.describe()["judgements"] != task.describe()["judgements"]


def test_the_table_says_the_gain_the_relevant_grade_and_the_unanswered():
    experiment = opened(relevant_from=2)
    report = report_of(experiment, num_resamples=20)
    text = render(retrieval_table([Result("retrieval", "m", "t", 5, report.protocol, report.rows)]))
    assert "nDCG@10" in text and "MedR" not in text and "by query, captions of one track together" in text
    assert "linear gain" in text and "from grade 2 on" in text and "which count 0: 2." in " ".join(text.split())


def test_what_the_stores_lack_is_refused_by_name():
    rows = pd.DataFrame([("c0", "t99", 1)], columns=JUDGED.columns)
    with pytest.raises(InputError, match="1 judged tracks have no latents, first 't99'"):
        opened(pd.concat([JUDGED, rows]))
    assert opened(pd.concat([JUDGED, rows]), allow_missing=True).task.missing == ("t99",)
    with pytest.raises(InputError, match="1 judged queries are not in text, first 'q7'"):
        opened(JUDGED.replace("c1", "q7"))
    with pytest.raises(InputError, match="no judged query and track"):
        opened(JUDGED.iloc[:0])


def test_what_a_graded_task_has_not_is_refused():
    experiment = opened()
    for options in ({"direction": "audio_to_text"}, {"hubness": ("centring",)}, {"mmr": 0.8}):
        with pytest.raises(InputError, match="task t is graded"):
            report_of(experiment, **options)
    with pytest.raises(InputError, match="fidelity needs captions that belong to tracks"):
        refuse_graded(experiment.task, "fidelity")


def test_grades_of_ground_truth_are_the_share_of_the_attributes_that_are_named():
    tracks = pd.DataFrame(
        {"track_id": ["a", "b", "c"], "lead": ["flute", "flute", "harp"], "drums": ["rock", "no", "no"]}
    )
    captions = pd.DataFrame({"caption_id": ["x", "y", "z"], "track_id": ["a", "b", "a"]})
    found = share_of_attributes(tracks, captions.assign(named=["lead|drums", "drums|mood", ""]), ["lead", "drums"])
    table = found.pivot(index="query_id", columns="track_id", values="score")
    assert table.loc["x"].to_dict() == {"a": 1, "b": 0.5, "c": 0} and table.loc["y"].to_dict() == {
        "a": 0,
        "b": 1,
        "c": 1,
    }
    assert "z" not in table.index
    with pytest.raises(InputError, match="the column 'named'"):
        share_of_attributes(tracks, captions, ["lead"])

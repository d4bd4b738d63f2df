"""Composed requests on hand-made tracks: what is asked, what is right, and what every way makes of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, Oracle, evaluation

from diffgar.errors import InputError
from diffgar.evaluation.control.composed import SOURCE, ComposedRetrieval
from diffgar.evaluation.control.composers import mixed, summed
from diffgar.evaluation.control.requests import ComposedRequests
from diffgar.evaluation.report import TEACHER, System
from diffgar.evaluation.reports import control
from diffgar.evaluation.reports.results import Result
from diffgar.text_states import TextStates

LEADS, TEMPI = ["flute", "harp"], ["slow", "fast"]


@pytest.fixture
def tracks() -> Latents:
    """16 tracks on four axes: flute or harp, slow or fast; and a little of their own."""
    random = torch.Generator().manual_seed(0)
    kinds = [(n % 2, n // 2 % 2) for n in range(16)]
    vectors = torch.stack([torch.eye(4)[lead] + torch.eye(4)[2 + tempo] for lead, tempo in kinds])
    own = 0.01 * torch.randn(16, 4, generator=random)
    names = {"lead": [LEADS[lead] for lead, _ in kinds], "tempo": [TEMPI[tempo] for _, tempo in kinds]}
    return Latents(vectors + own, **names)


def triples(*rows: tuple[int, int, str], changed="lead", kept=("tempo",), split="test") -> pd.DataFrame:
    columns = {"source_clip_id": [f"t{row[0]}" for row in rows], "target_clip_id": [f"t{row[1]}" for row in rows]}
    columns |= {"primary_edit": [row[2] for row in rows], "split": [split] * len(rows)}
    return pd.DataFrame(columns | {"primary_axis": changed}).assign(preservation_axes=[kept] * len(rows))


class Words:
    """A text encoder: the token state of words is the number of the lead that they name, the embedding its axis."""

    embedding_dim = 4

    def encode(self, captions):
        self.said = captions
        numbers = torch.tensor([LEADS.index(caption.split()[-1]) for caption in captions])
        mask = torch.ones(len(captions), 1, dtype=torch.bool)
        return TextStates(numbers.float().view(-1, 1, 1), mask, torch.eye(4)[numbers])


class Swap:
    """A composer that knows all: the source without both leads, plus the lead that is asked for."""

    row = "head"

    def compose(self, means, text):
        moved = means.clone()
        moved[:, :2] = torch.eye(4)[text.hidden_states.flatten().long()][:, :2]
        return F.normalize(moved, dim=-1)


ASKED = triples((0, 1, "the same, but with a harp"), (2, 3, "this, but on a harp"), (5, 4, "the same, but on a flute"))


def evaluated(tracks, joint=True, requests=ASKED, encoder=None, **options):
    experiment = evaluation(tracks, Captions(list(range(16))), Oracle(torch.eye(4), torch.zeros(4), noise=0.01))
    if joint:
        experiment.text.embeddings = torch.eye(4)[torch.zeros(16).long()]
    asked = {"attributes": ["lead", "tempo"], "phrasings": None, "shares": [], "head": Swap()} | options
    evaluate = ComposedRetrieval("composed", None if requests is None else lambda rows: requests, **asked)
    return experiment, evaluate(experiment, encoder or Words(), [0, 1])


def test_a_way_that_reads_both_finds_the_target_and_the_source_or_the_words_alone_do_not(tracks):
    _, report = evaluated(tracks)
    rows = {system.label: {name: each.mean for name, each in row.items()} for system, row in report.rows.items()}
    assert rows["head"]["R@5"] == 100 and rows["source"]["R@1"] == rows["gdr"]["R@1"] == 0
    assert rows["source"]["kept@10"] > rows["gdr"]["kept@10"]
    assert rows["gdr"]["gained@10"] == rows["teacher"]["gained@10"] == 80  # 8 of the top 10 have the lead
    assert rows["truth"]["precision@10"] == 40 == max(row["precision@10"] for row in rows.values())  # 4 of each kind
    assert report.protocol["num_right"] == 4 and report.protocol["num_requests"] == 3
    assert list(rows)[-3:] == ["head", "chance", "truth"] and list(rows)[0] == "source"


def test_differences_are_paired_between_all_ways_but_the_bounds(tracks):
    _, report = evaluated(tracks, interpolation=[0.5], arithmetic=[1])
    head, source = System("head"), SOURCE
    difference = report.paired[source, head]["R@5"]
    expected = report.rows[source]["R@5"].mean - report.rows[head]["R@5"].mean
    assert difference.difference == pytest.approx(expected)
    names = {system.name for pair in report.paired for system in pair}
    assert names == {"source", "gdr", "teacher", "arithmetic", "interpolation", "head"}


def test_the_source_never_stands_in_a_list(tracks):
    """The source is most like itself, yet the first rank goes to another track."""
    _, report = evaluated(
        tracks, requests=triples((0, 4, "a flute"), changed="tempo", kept=("lead",)), interpolation=[]
    )
    others = F.cosine_similarity(tracks.vectors[0], tracks.vectors, dim=1)
    others[0] = -1
    rank = int((others > others[4]).sum()) + 1
    assert report.rows[SOURCE]["R@1"].mean == 100 * (rank <= 1)
    assert report.rows[SOURCE]["R@5"].mean == 100 * (rank <= 5)


def test_a_pair_that_is_not_joint_has_no_row_of_embeddings(tracks):
    _, report = evaluated(tracks, joint=False)
    assert TEACHER not in report.rows and "arithmetic" not in {system.name for system in report.rows}


def test_with_wording_value_every_way_reads_the_new_value(tracks):
    encoder = Words()
    evaluated(tracks, encoder=encoder, wording="value", phrasings=lambda name, value: [f"{name} {value}", "no"])
    assert encoder.said == ["lead harp", "lead harp", "lead flute"]
    with pytest.raises(InputError, match="wording=value needs the new value of every request, and 'a harp' has none"):
        evaluated(tracks, requests=triples((0, 1, "a harp"), changed="mood"), wording="value")


def test_without_ground_truth_only_the_rank_of_the_target_is_measured(tracks):
    _, report = evaluated(tracks, attributes=None)
    assert set(report.rows[SOURCE]) == {"R@1", "R@5", "R@10", "precision@10"}
    assert report.protocol["num_right"] == 1


def test_axes_that_are_no_columns_and_values_that_are_missing_are_left_out(tracks):
    tracks.rows.loc[3, "lead"] = None  # the new value of the second request
    experiment, report = evaluated(tracks, requests=ASKED.assign(preservation_axes=[("tempo", "mood"), ("mood",), ()]))
    assert report.rows[SOURCE]["gained@10"].n == 2 and report.rows[SOURCE]["kept@10"].n == 1
    asked = ComposedRequests.of(experiment, ASKED, ["lead", "tempo"], 10)
    assert asked.values == [("lead", "harp"), None, ("lead", "flute")]
    assert asked.truth.kept.tolist() == [[False, True]] * 3


def test_requests_are_of_the_tasks_split_evenly_spread_and_within_the_pool(tracks):
    experiment, _ = evaluated(tracks)
    many = triples(*[(n, n + 1, f"{n} harp") for n in range(10)])
    other = triples((0, 1, "of another split"), split="train")
    chosen = ComposedRequests.of(experiment, pd.concat([other, many]), [], 4)
    assert chosen.instructions == ["0 harp", "3 harp", "6 harp", "9 harp"]
    with pytest.raises(InputError, match="name 1 clips that are not in split 'test' of the pool, first 't99'"):
        ComposedRequests.of(experiment, triples((0, 99, "x")), [], 4)
    experiment.task = replace(experiment.task, missing=("t99",))
    both = pd.concat([many, triples((0, 99, "x"))])
    assert len(ComposedRequests.of(experiment, both, [], 100)) == 10  # the config allowed the missing track
    with pytest.raises(InputError, match="no request in split 'test'"):
        ComposedRequests.of(experiment, other, [], 4)


def test_a_task_without_requests_is_refused_with_one_that_has_them(tracks):
    with pytest.raises(InputError, match="task t has no composed requests; name a task that has: task=demo_composed"):
        evaluated(tracks, requests=None)


def test_weights_go_from_the_source_to_the_words():
    source, words = F.normalize(torch.rand(1, 3, 4), dim=-1), torch.rand(2, 3, 4)
    torch.testing.assert_close(mixed(source, words, 0), source.expand(2, -1, -1))
    torch.testing.assert_close(mixed(source, words, 1), F.normalize(words, dim=-1))
    by_hand = source[0, 1] + 2 * words[1, 1] / words[1, 1].norm()
    torch.testing.assert_close(summed(source, words, 2)[1, 1], by_hand / by_hand.norm())


def test_its_table_says_requests_and_its_figure_begins_at_the_source(tracks, tmp_path):
    experiment, report = evaluated(tracks)
    protocol = {"name": "unique_tracks", "control": "composed", "pool_size": 16} | report.protocol
    result = Result("control", "m", "t", 5, protocol, report.rows, extra=report.extra)
    table = control.control_table(result)
    assert table.header == ("method", "gained@10", "kept@10", "R@1", "R@5", "R@10", "precision@10")
    assert table.notes[0].startswith("3 requests, pool of 16") and "the source is not ranked" in " ".join(table.notes)
    assert [row[0] for row in table.rows][:3] == ["source", "gdr", "teacher"]
    assert all(path.is_file() for path in control.control_figure(tmp_path / "figure", result))
    assert np.isfinite([each.mean for row in report.rows.values() for each in row.values()]).all()
    assert experiment.name == "m"

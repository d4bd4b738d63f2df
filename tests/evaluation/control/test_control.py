"""Steering's evaluator on hand-made tracks."""

import statistics

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from diffgar.evaluation.control.answers import Answer, dropping, hinge_penalty
from diffgar.evaluation.control.measures import evaluate_control
from diffgar.evaluation.control.pairs import Pairs, choose_pairs
from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.report import PLAIN, System, differences
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates

TRUTH, AWAY, HALF, PENALTY = (System(name) for name in ("truth", "away", "half", "penalty"))


@pytest.fixture
def world():
    """40 tracks on two axes: the first coordinate is what captions ask for, the second the unwanted attribute."""
    torch.manual_seed(0)
    drums = torch.arange(40) % 2 == 0
    index = torch.stack([torch.ones(40), drums * 1.0, 0.01 * torch.randn(40)], dim=1)
    attributes = pd.DataFrame({"drums": ["rock" if d else "none" for d in drums], "metre": ["four"] * 40})
    return index, drums, attributes


def lacking_drums(drums, attributes):
    """Three captions whose top 10 all have drums, and whose right track has none."""
    top = drums.nonzero().flatten()[:10].expand(3, 10)
    return choose_pairs(top, torch.tensor([1, 3, 5]), [set()] * 3, attributes)


def plain_query(index):
    return (index[0] + 0.1 * index[2]).expand(1, 3, 3).clone()


def test_the_unwanted_attribute_stands_out_in_the_top_10_and_the_caption_did_not_name_it(world):
    _, drums, attributes = world
    attributes = attributes.assign(lead=["flute"] * 15 + ["harp"] * 25)
    top = drums.nonzero().flatten()[:10].expand(4, 10)
    named = [set(), {"metre"}, {"drums"}, {"lead", "drums"}]
    unwanted = choose_pairs(top, torch.tensor([39, 39, 39, 39]), named, attributes)
    assert unwanted.caption_index.tolist() == [0, 1, 2]  # what the last did not name, the metre, all tracks have
    assert unwanted.values == [("drums", "rock"), ("drums", "rock"), ("lead", "flute")]
    assert torch.equal(unwanted.has[0], drums) and unwanted.has[2].sum() == 15
    of_a_right_track_with_drums = choose_pairs(top[:1], torch.tensor([38]), named[:1], attributes)
    assert of_a_right_track_with_drums.values == [("lead", "flute")]


def test_dropping_what_has_the_attribute_leaves_none_and_keeps_a_right_track_that_lacks_it(world):
    index, drums, attributes = world
    unwanted = choose_pairs(
        drums.nonzero().flatten()[:10].expand(3, 10), torch.tensor([1, 3, 5]), [set()] * 3, attributes
    )
    plain = plain_query(index)
    targets = torch.tensor([0, 1, 3])  # as if the first right track had drums, which no chosen pair's does
    answers = [(PLAIN, Answer(plain)), (TRUTH, Answer(plain, [dropping(unwanted.has)]))]
    table = evaluate_control(answers, index, targets, unwanted)
    assert table[PLAIN]["share@10"].mean == 100 and table[PLAIN]["overlap@10"].mean == 100
    assert table[TRUTH]["share@10"].mean == 0 and table[TRUTH]["overlap@10"].mean == 0
    assert table[TRUTH]["R@10"].mean == pytest.approx(200 / 3)  # a track that is dropped is not found


def test_a_query_moved_away_from_the_attribute_loses_it(world):
    index, drums, attributes = world
    unwanted = choose_pairs(
        drums.nonzero().flatten()[:10].expand(3, 10), torch.tensor([1, 3, 5]), [set()] * 3, attributes
    )
    plain = plain_query(index)
    away = Answer(plain - torch.tensor([0.0, 2.0, 0.0]))
    vectors = torch.tensor([[1.0, 0, 0]]).expand(3, 3), torch.tensor([[0.0, 1, 0]]).expand(3, 3)
    answers = [(PLAIN, Answer(plain)), (AWAY, away)]
    table = evaluate_control(answers, index, torch.tensor([1, 3, 5]), unwanted, vectors)
    assert table[AWAY]["share@10"].mean == 0 < table[PLAIN]["share@10"].mean
    assert table[AWAY]["cos_attribute"].mean < 0 < table[PLAIN]["cos_attribute"].mean


def test_the_share_is_told_of_each_attribute_too(world):
    index, drums, attributes = world
    attributes = attributes.assign(lead=["flute"] * 15 + ["harp"] * 25)
    top = drums.nonzero().flatten()[:10].expand(3, 10)
    unwanted = choose_pairs(top, torch.tensor([39, 39, 39]), [set(), {"drums"}, set()], attributes)
    assert [name for name, _ in unwanted.values] == ["drums", "lead", "drums"]
    found = evaluate_control([(PLAIN, Answer(plain_query(index)))], index, torch.tensor([39, 39, 39]), unwanted)
    row = found[PLAIN]
    assert row["share@10 of drums"].n == 2 and row["share@10 of lead"].n == 1
    parts = (2 * row["share@10 of drums"].mean + row["share@10 of lead"].mean) / 3
    assert row["share@10"].mean == pytest.approx(parts)


def test_a_penalty_marks_down_what_is_nearer_to_the_negative_than_the_mean_and_nothing_else():
    """Against a slow loop over the definition."""
    generator = torch.Generator().manual_seed(0)
    queries, negatives, index = (torch.randn(size, 5, generator=generator) for size in (3, 3, 40))
    index = F.normalize(index, dim=-1)
    penalty = hinge_penalty(queries, negatives, index, strength=0.7)  # (3, 40)
    for pair in range(3):
        wanted = [float(F.cosine_similarity(queries[pair], track, dim=0)) for track in index]
        avoided = [float(F.cosine_similarity(negatives[pair], track, dim=0)) for track in index]
        for track in range(40):
            z = (avoided[track] - statistics.mean(avoided)) / statistics.stdev(avoided)
            expected = 0.7 * statistics.stdev(wanted) * max(0, z)
            assert float(penalty[pair, track]) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(hinge_penalty(3 * queries, 5 * negatives, index, 0.7), penalty)


def test_each_seed_has_its_own_penalty(world):
    index, drums, attributes = world
    unwanted, plain = lacking_drums(drums, attributes), plain_query(index).repeat(2, 1, 1)
    none, all_of_it = torch.zeros(3, 40), dropping(unwanted.has)
    answers = [(PLAIN, Answer(plain)), (HALF, Answer(plain, iter([none, all_of_it])))]
    table = evaluate_control(answers, index, torch.tensor([1, 3, 5]), unwanted)
    assert table[PLAIN]["share@10"].mean == 100 and table[HALF]["share@10"].mean == 50


def test_a_penalty_on_the_negatives_own_side_rids_the_top_10_of_the_attribute(world):
    index, drums, attributes = world
    unwanted, plain = lacking_drums(drums, attributes), plain_query(index)
    penalty = hinge_penalty(plain[0], torch.tensor([[0.1, 1.0, 0.0]]).expand(3, 3), index, strength=4.0)
    table = evaluate_control(
        [(PLAIN, Answer(plain)), (PENALTY, Answer(plain, [penalty]))], index, torch.tensor([1, 3, 5]), unwanted
    )
    assert table[PENALTY]["share@10"].mean == 0 < table[PLAIN]["share@10"].mean


def test_phrasings_are_said_once_for_each_value_and_averaged_for_each_pair():
    class Letters(TextEncoder):
        """A caption's embedding counts two letters; its only token state does too."""

        dim, embedding_dim = 2, 2

        def encode(self, captions):
            self.said = captions
            vectors = torch.tensor([[caption.count("a"), caption.count("b")] for caption in captions]).float()
            return TextStates(vectors.unsqueeze(1), torch.ones(len(captions), 1, dtype=torch.bool), vectors, 0)

    encoder, values = Letters(), [("x", "1"), ("y", "2"), ("x", "1")]
    negatives = Negatives.of(values, lambda name, _: ["aab", "b"] if name == "x" else ["a"], encoder)
    assert encoder.said == ["aab", "b", "a"]
    expected = torch.tensor([[0.5**0.5, 0.5**0.5], [1, 0], [0.5**0.5, 0.5**0.5]])
    torch.testing.assert_close(negatives.embeddings, expected)
    torch.testing.assert_close(negatives.of_pairs(negatives.states.embedding.expand(2, -1, -1))[1], expected)
    assert negatives.steer(1.0, "compose").negatives[0][0].hidden_states.flatten(1).tolist() == [[2, 1], [1, 0], [2, 1]]
    text = negatives.padded(negatives.positions[1:])
    assert text.hidden_states.flatten(1).tolist() == [[0, 1], [1, 0]] and text.mask.all()


def test_a_world_without_unwanted_attributes_is_refused(world):
    _, _, attributes = world
    with pytest.raises(ValueError, match="no caption's top 10 has an attribute"):
        choose_pairs(torch.ones(1, 10, dtype=torch.long), torch.tensor([1]), [set()], attributes)


def test_the_hard_negative_is_the_first_track_with_the_value_and_is_to_leave_the_top_10():
    """By hand: 20 tracks on a half circle, which a query ranks by their angle to it."""
    angles = torch.arange(20) * torch.pi / 20
    index = torch.stack([angles.cos(), angles.sin()], dim=1)
    has = torch.zeros(4, 20, dtype=torch.bool)
    has[:, [3, 8]] = True
    pairs = Pairs(torch.arange(4), [("drums", "rock")] * 4, has, torch.tensor([3, 3, 3, 8]))
    queries, away = index[[0, 0, 19, 9]], index[[0, 16, 19, 16]]
    targets = torch.tensor([0, 12, 19, 12])
    found = evaluate_control([(PLAIN, Answer(queries[None])), (AWAY, Answer(away[None]))], index, targets, pairs)
    plain, moved = found[PLAIN], found[AWAY]
    # plain: 0 is first and 3 fourth; 12 is beyond the ten; 19 is first and 3 beyond; 12 and 8 are both among the ten
    assert [plain[name].mean for name in ("R@10", "HNSR@10", "TFR@10")] == [75, 25, 25]
    # away: as it was; from 16 on 12 is among the ten and 3 beyond; as it was; 12 is among the ten and 8 is not quite
    assert [moved[name].mean for name in ("R@10", "HNSR@10", "TFR@10")] == [100, 75, 25]
    paired = differences(found[PLAIN], found[AWAY])
    difference = paired["HNSR@10"]
    assert difference.difference == -50 and difference.low <= -50 <= difference.high
    assert set(paired) == {"share@10", "R@10", "HNSR@10"}


def test_the_hard_negative_of_a_pair_stands_first_among_the_tracks_with_the_value(world):
    _, drums, attributes = world
    top = torch.tensor([[1, 3, 5, 4, 2, 0, 6, 8, 10, 12]])  # tracks of even numbers have drums
    assert choose_pairs(top, torch.tensor([1]), [set()], attributes).hard.tolist() == [4]


def test_queries_in_a_space_of_their_own_are_ranked_there(world):
    index, drums, attributes = world
    unwanted, plain = lacking_drums(drums, attributes), plain_query(index)
    other = torch.cat([~drums.unsqueeze(1) * 1.0, drums.unsqueeze(1) * 1.0], dim=1)  # drums and none are at odds
    heads = Answer(torch.tensor([[[1.0, 0.0]]]).expand(1, 3, 2), index=other)
    vectors = torch.tensor([[1.0, 0, 0]]).expand(3, 3), torch.tensor([[0.0, 1, 0]]).expand(3, 3)
    answers = [(PLAIN, Answer(plain)), (AWAY, heads)]
    table = evaluate_control(answers, index, torch.tensor([1, 3, 5]), unwanted, vectors)
    assert table[PLAIN]["share@10"].mean == 100 and table[AWAY]["share@10"].mean == 0
    assert "cos_caption" in table[PLAIN] and "cos_caption" not in table[AWAY]

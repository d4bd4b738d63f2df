"""The best monotone cut, against a slow loop over all cuts."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from diffgar.evaluation.metrics.alignment import AlignedIndex, best_cut
from diffgar.evaluation.metrics.ranks import ranks, similarities, top_k
from diffgar.evaluation.pooling import make_queries
from diffgar.models.encoders.segments import mixed, segment_means, side_by_side

GRID, DIM = 6, 5


def by_hand(query: torch.Tensor, steps: torch.Tensor) -> float:
    """The best cut of one track (G, D) for one query's parts (P, D): every cut, one after the other."""
    best = -2.0
    for cuts in combinations(range(1, len(steps)), len(query) - 1):
        bounds = [0, *cuts, len(steps)]
        parts = [steps[begin:end].mean(dim=0) for begin, end in zip(bounds, bounds[1:], strict=False)]
        cosines = [float(F.cosine_similarity(a, b, dim=0)) for a, b in zip(query, parts, strict=True)]
        best = max(best, sum(cosines) / len(query))
    return best


def scores(queries, index, **how) -> torch.Tensor:
    return torch.cat([each.clone() for _, each in similarities(queries, index, **how)])


@pytest.mark.parametrize("data", ["random", "ties"])
@pytest.mark.parametrize("parts", [1, 2, 3, 4, GRID])
def test_the_score_is_that_of_the_best_of_all_cuts(parts, data):
    generator = torch.Generator().manual_seed(parts)
    if data == "random":
        queries, steps = torch.randn(7, parts, DIM, generator=generator), torch.randn(9, GRID, DIM, generator=generator)
    else:  # few values, so that many cuts and many tracks are equal
        queries = F.one_hot(torch.randint(2, (7, parts), generator=generator), DIM).float()
        steps = F.one_hot(torch.randint(2, (9, GRID), generator=generator), DIM).float()
    found = scores(side_by_side(queries), AlignedIndex(steps, parts), chunk=3)
    expected = torch.tensor([[by_hand(query, track) for track in steps] for query in queries])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_one_part_is_the_pooled_cosine():
    queries, steps = torch.randn(4, 1, DIM), torch.randn(70, GRID, DIM)
    pooled = scores(queries.flatten(1), steps.mean(dim=1))
    torch.testing.assert_close(scores(side_by_side(queries), AlignedIndex(steps, 1)), pooled)


def test_a_cut_at_the_middle_is_what_segments_compare_and_the_best_cut_is_never_worse():
    queries, steps = torch.randn(4, 2, DIM), torch.randn(30, 2, DIM)
    halves = scores(side_by_side(queries), side_by_side(steps))
    torch.testing.assert_close(scores(side_by_side(queries), AlignedIndex(steps, 2)), halves)
    finer = steps.repeat_interleave(3, dim=1)  # a grid of 6 steps has the middle too
    assert (scores(side_by_side(queries), AlignedIndex(finer, 2)) >= halves - 1e-6).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_mixture_is_that_of_both_similarities(weight):
    queries, steps = torch.randn(4, 3, DIM), torch.randn(30, GRID, DIM)
    pooled = F.normalize(torch.randn(4, DIM), dim=-1)
    found = scores(mixed(pooled, side_by_side(queries), weight), AlignedIndex(steps, 3, weight))
    cut = scores(side_by_side(queries), AlignedIndex(steps, 3))
    torch.testing.assert_close(found, weight * scores(pooled, steps.mean(dim=1)) + (1 - weight) * cut)


def test_it_is_ranked_and_searched_as_vectors_are_also_by_sets_of_queries():
    steps = torch.randn(5000, 4, DIM, generator=torch.Generator().manual_seed(0))  # more than one block of tracks
    index, own = AlignedIndex(steps, 2), torch.tensor([3, 2500, 4999])
    queries = side_by_side(segment_means(steps[own], 2))  # cut at the middle of the grid
    assert ranks(queries, index, own).mid.tolist() == [1, 1, 1]
    sets = torch.stack([queries, queries.flip(0)], dim=1)  # (3, 2, 2 · D)
    assert ranks(sets, index, own).mid.max() <= 2
    assert top_k(queries, index, k=1)[1].flatten().tolist() == own.tolist()
    assert torch.equal(scores(queries, index[own]), scores(queries, index)[:, own])


def test_equal_tracks_tie():
    steps = torch.randn(1, GRID, DIM).expand(101, GRID, DIM)
    assert ranks(side_by_side(torch.randn(5, 3, DIM)), AlignedIndex(steps, 3), torch.arange(5)).mid.tolist() == [51] * 5


def test_the_parts_of_a_mean_query_count_alike_however_much_the_samples_agree():
    latents = torch.randn(3, 8, 4, DIM)
    latents[:, :, :2] = latents[:, :1, :2]  # all samples agree on the first half
    parts = make_queries(latents, pooling="aligned").unflatten(1, (2, DIM))
    torch.testing.assert_close(parts.norm(dim=-1), torch.full((3, 2), 0.5**0.5))


def test_what_cannot_be_cut_or_ranked_is_refused():
    with pytest.raises(ValueError, match="3 parts, none of them empty, need as many steps; found 2"):
        best_cut(torch.randn(1, 3, DIM), torch.randn(3, 4, DIM))
    steps = torch.randn(4, GRID, DIM)
    steps[2, 1] = torch.nan
    with pytest.raises(ValueError, match="1 tracks have NaN or infinite latents, row 2 first"):
        AlignedIndex(steps, 2)
    with pytest.raises(ValueError, match=f"queries have {DIM} dimensions and the index {2 * DIM}"):
        ranks(torch.randn(2, DIM), AlignedIndex(torch.randn(4, GRID, DIM), 2), torch.tensor([0, 1]))

"""Maximal marginal relevance against its definition, item by item."""

import pytest
import torch
import torch.nn.functional as F

from diffgar.evaluation.metrics.mmr import DEPTH, mmr_order, mmr_ranks, nearest
from diffgar.evaluation.metrics.ranks import ranks, top_k


def vectors(count: int, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def slow_mmr(query, index, weight, depth=DEPTH) -> list[int]:
    """The rows of the index in the order of Carbonell & Goldstein (1998), one choice after the other."""
    query, index = F.normalize(query, dim=-1), F.normalize(index, dim=-1)
    relevance, cosines = (index @ query).tolist(), (index @ index.T).tolist()
    best_first = sorted(range(len(index)), key=lambda row: -relevance[row])
    candidates, behind, chosen = best_first[:depth], best_first[depth:], []
    while candidates:
        worth = {}
        for row in candidates:
            likeness = max((cosines[row][other] for other in chosen), default=0.0)
            worth[row] = weight * relevance[row] - (1 - weight) * likeness
        chosen.append(max(worth, key=worth.get))
        candidates.remove(chosen[-1])
    return chosen + behind


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("size", [7, 130])
def test_lists_and_ranks_are_those_of_the_definition(weight, size):
    queries, index = vectors(150, seed=1), vectors(size)  # more queries than are re-ranked at once
    targets = torch.arange(150) % size
    slow = [slow_mmr(query, index, weight) for query in queries[:5]]
    assert nearest(queries, index, 10, weight)[:5].tolist() == [row[:10] for row in slow]
    before = ranks(queries, index, targets)
    found = mmr_ranks(before, queries, index, weight)
    assert found.mid[:5].tolist() == [
        row.index(target) + 1 for row, target in zip(slow, targets.tolist(), strict=False)
    ]
    assert torch.equal(found.mid, found.optimistic) and torch.equal(found.relevant[:, 0], found.pessimistic)
    behind = before.mid > DEPTH
    assert torch.equal(found.mid[behind], before.mid[behind]) and bool(behind.any()) == (size > DEPTH)


def test_the_last_of_a_long_batch_is_as_if_it_were_alone():
    queries, index = vectors(300, seed=1), vectors(130)
    assert torch.equal(nearest(queries, index, 10, 0.5)[-1:], nearest(queries[-1:], index, 10, 0.5))


def test_a_weight_of_1_changes_nothing_and_none_is_the_plain_list():
    queries, index = vectors(30, seed=1), vectors(130)
    plain = top_k(queries, index, 10)[1]
    assert torch.equal(nearest(queries, index, 10), plain)
    assert torch.equal(nearest(queries, index, 10, 1.0), plain)


def test_a_copy_of_what_is_chosen_waits_until_the_unlike_have_been():
    index = torch.tensor([[1.0, 0, 0], [1, 0.01, 0], [0.6, 0.8, 0], [0.5, 0, 0.8]])
    assert nearest(torch.tensor([[1.0, 0, 0]]), index, 4)[0].tolist() == [0, 1, 2, 3]
    assert nearest(torch.tensor([[1.0, 0, 0]]), index, 4, 0.4)[0].tolist() == [0, 3, 2, 1]


def test_sets_of_vectors_are_scored_by_their_best():
    index, sets = vectors(40), vectors(6, seed=2).view(3, 2, 8)
    scores = torch.stack([F.normalize(sets[:, i], dim=-1) @ F.normalize(index, dim=-1).T for i in range(2)]).amax(0)
    values, rows = scores.sort(dim=1, descending=True)
    expected = rows.gather(1, mmr_order(values, rows, index, 0.6, 10))
    assert torch.equal(nearest(sets, index, 10, 0.6), expected)


def test_a_rank_among_equals_spans_the_places_that_they_get():
    """The wanted track has a copy: whichever comes first, the other is held back."""
    index = torch.cat([vectors(1), vectors(1), vectors(20, seed=3)])
    query = index[:1] + 0.3 * vectors(1, seed=4)
    order = slow_mmr(query[0], index, 0.3)
    places = sorted(order.index(row) + 1 for row in (0, 1))
    assert places[1] > places[0] + 1
    before = ranks(query, index, torch.tensor([1]))
    assert (float(before.optimistic), float(before.pessimistic)) == (1, 2)
    found = mmr_ranks(before, query, index, 0.3)
    assert [float(found.optimistic), float(found.pessimistic), float(found.mid)] == [*places, sum(places) / 2]


def test_equals_that_reach_behind_the_list_keep_their_last_rank():
    index = vectors(1).expand(DEPTH + 50, 8)
    query, target = vectors(1, seed=1), torch.tensor([3])
    found = mmr_ranks(ranks(query, index, target), query, index, 0.5)
    assert (float(found.optimistic), float(found.pessimistic)) == (1, DEPTH + 50)


def test_several_relevant_items_are_refused():
    queries, index = vectors(2, seed=1), vectors(9)
    with pytest.raises(ValueError, match="one relevant item each"):
        mmr_ranks(ranks(queries, index, [[0], [1, 2]]), queries, index, 0.5)

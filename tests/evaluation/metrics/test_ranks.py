"""Ranks: against a slow sort and other packages, at every size, and what is refused."""

import ir_measures
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_reciprocal_rank,
)

from diffgar.evaluation.metrics.ranks import Ranks, ranks, ranks_of_scores, top_k
from diffgar.evaluation.metrics.recall import retrieval_metrics


def tied_vectors(count, generator):
    """Corners of the 16-dimensional cube: their cosines are exact multiples of 1/8, so many are equal."""
    return torch.randint(0, 2, (count, 16), generator=generator) * 2.0 - 1.0


def random_case(num_queries=60, size=90, seed=0, share=0.05):
    """Queries, an index and relevance with ties, every query having one relevant item or more."""
    generator = torch.Generator().manual_seed(seed)
    queries, index = tied_vectors(num_queries, generator), tied_vectors(size, generator)
    relevant = torch.rand(num_queries, size, generator=generator) < share
    relevant[torch.arange(num_queries), torch.randint(0, size, (num_queries,), generator=generator)] = True
    return queries, index, relevant


def slow_places(scores, relevant):
    """Of one query, by sorting: (optimistic, pessimistic) places of its relevant items, best first."""
    rivals = sorted((s for s, right in zip(scores, relevant, strict=True) if not right), reverse=True)
    own = sorted((s for s, right in zip(scores, relevant, strict=True) if right), reverse=True)
    places = []
    for earlier, score in enumerate(own):
        first = next((n for n, rival in enumerate(rivals) if rival <= score), len(rivals))
        last = next((n for n, rival in enumerate(rivals) if rival < score), len(rivals))
        places.append((1 + earlier + first, 1 + earlier + last))
    return places


def only(found, query):
    """The ranks of one query alone."""
    return Ranks(*(values[query : query + 1] for values in vars(found).values()))


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_ranks_agree_with_a_slow_sort_on_random_ties_with_several_relevant(chunk):
    queries, index, relevant = random_case()
    found = ranks(queries, index, relevant, chunk=chunk)
    expected = [slow_places(*row) for row in zip((queries @ index.T).tolist(), relevant.tolist(), strict=True)]
    assert (found.pessimistic > found.optimistic).sum() > 20
    assert found.optimistic.tolist() == [places[0][0] for places in expected]
    assert found.pessimistic.tolist() == [places[0][1] for places in expected]
    assert found.mid.tolist() == [sum(places[0]) / 2 for places in expected]
    for row, places in zip(found.relevant.tolist(), expected, strict=True):
        assert row[: len(places)] == [sum(place) / 2 for place in places][: len(row)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_ranks_as_the_cpu_does_to_the_last_tie():
    queries, index, relevant = random_case(num_queries=300, size=1000)
    here, there = ranks(queries, index, relevant), ranks(queries, index.cuda(), relevant)
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(vars(here).values(), vars(there).values(), strict=True)
    )
    assert all(each.device.type == "cpu" for each in top_k(queries, index.cuda()))


def test_ranks_of_scores_at_hand_are_those_of_the_vectors_and_a_dropped_item_is_not_found():
    queries, index, relevant = random_case()
    scores = queries @ index.T / 16  # exact
    before = scores.clone()
    found, expected = ranks_of_scores(scores, relevant), ranks(queries, index, relevant)
    assert all(torch.equal(vars(found)[name], vars(expected)[name]) for name in vars(expected))
    assert torch.equal(scores, before)
    one = torch.tensor([[3.0, -torch.inf, 2.0, 2.0]]).expand(4, 4)
    assert ranks_of_scores(one, torch.arange(4)).mid.tolist() == [1, torch.inf, 2.5, 2.5]


def test_relevance_says_the_same_as_rows_as_lists_and_as_a_mask():
    queries, index, relevant = random_case(share=0)
    rows = relevant.long().argmax(dim=1)
    for targets in (rows, rows.unsqueeze(1).tolist()):
        other, one = ranks(queries, index, targets), ranks(queries, index, relevant)
        assert all(torch.equal(a, b) for a, b in zip(vars(one).values(), vars(other).values(), strict=True))


@pytest.mark.parametrize(("num_queries", "size", "dim"), [(1, 1003, 7), (37, 301, 17), (64, 5521, 512)])
def test_identical_embeddings_tie_exactly_at_every_size(num_queries, size, dim):
    vector = torch.randn(dim, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(num_queries) % size
    found = ranks(vector.expand(num_queries, dim), vector.expand(size, dim), targets, chunk=30)
    assert found.mid.eq((size + 1) / 2).all()
    assert found.optimistic.eq(1).all() and found.pessimistic.eq(size).all()


@pytest.mark.parametrize(("bad", "word"), [(float("nan"), "NaN"), (float("inf"), "infinite"), (0.0, "zero")])
@pytest.mark.parametrize("side", ["queries", "index"])
def test_vectors_that_cannot_be_ranked_are_refused_by_side_and_row(bad, word, side):
    sides = {"queries": torch.randn(4, 8), "index": torch.randn(5, 8)}
    sides[side][3] = bad
    with pytest.raises(ValueError, match=rf"{side}: 1 of . vectors are .*{word}.*row 3"):
        ranks(**sides, targets=torch.zeros(4).long())


def test_targets_that_name_no_row_are_refused_by_query():
    queries, index = torch.randn(3, 8), torch.randn(5, 8)
    with pytest.raises(ValueError, match="query 1: its relevant item lies outside the index of 5 rows"):
        ranks(queries, index, torch.tensor([0, 5, 1]))
    with pytest.raises(ValueError, match="query 2 has no relevant item"):
        ranks(queries, index, [[0], [1], []])
    with pytest.raises(ValueError, match="3 queries but targets for 2"):
        ranks(queries, index, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="queries have 8 dimensions and the index 6"):
        ranks(queries, torch.randn(5, 6), torch.tensor([0, 1, 2]))


def test_the_product_is_full_float32_whatever_was_set_outside(monkeypatch):
    """Seen at the product itself: a CPU without bfloat16 units computes the same at every setting."""
    generator = torch.Generator().manual_seed(0)
    queries, index = torch.randn(40, 64, generator=generator), torch.randn(400, 64, generator=generator)
    exact, product, seen = ranks(queries, index, torch.arange(40)), torch.mm, []

    def watched(first, second, out):
        seen.append((torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu")))
        return product(first, second, out=out)

    monkeypatch.setattr(torch, "mm", watched)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lowered = ranks(queries, index, torch.arange(40), chunk=16)
        assert torch.get_float32_matmul_precision() == "medium"  # as it was
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == [("highest", False)] * 3
    assert torch.equal(exact.mid, lowered.mid)


def test_a_set_of_queries_ranks_by_its_best_member():
    generator = torch.Generator().manual_seed(0)
    sets, index = torch.randn(9, 4, 8, generator=generator), torch.randn(50, 8, generator=generator)
    cosine = torch.nn.functional.cosine_similarity(sets[:, :, None], index, dim=-1).amax(dim=1)  # (9, 50)
    expected = (cosine > cosine.diagonal()[:, None]).sum(dim=1) + 1
    assert ranks(sets, index, torch.arange(9), chunk=2).mid.tolist() == expected.tolist()


def test_top_k_lists_the_nearest_first():
    generator = torch.Generator().manual_seed(0)
    queries, index = torch.randn(9, 8, generator=generator), torch.randn(50, 8, generator=generator)
    cosine = torch.nn.functional.cosine_similarity(queries[:, None], index, dim=-1)
    scores, rows = top_k(queries, index, k=5, chunk=4)
    assert torch.equal(rows, cosine.argsort(dim=1, descending=True)[:, :5])
    assert torch.allclose(scores, cosine.gather(1, rows))


@pytest.fixture(scope="module")
def package_case():
    """500 queries on 300 items, several relevant (at most 10), ties; what each package says of each query."""
    generator = torch.Generator().manual_seed(1)
    index = torch.randint(0, 2, (300, 1024), generator=generator) * 2.0 - 1.0  # norm 32: exact, often equal
    own = torch.randint(0, 300, (500,), generator=generator)
    flips = 0.5 - torch.rand(500, 1, generator=generator) / 16  # own items from the middle to the first place
    queries = index[own] * torch.where(torch.rand(500, 1024, generator=generator) < flips, -1.0, 1.0)
    relevant = torch.rand(500, 300, generator=generator) < 0.005
    relevant[torch.arange(500), own] = True
    assert relevant.sum(dim=1).max() <= 10
    return queries @ index.T / 1024, relevant, ranks(queries, index, relevant)


def assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(theirs, of_rank, found):
    optimistic, pessimistic = of_rank(found.optimistic), of_rank(found.pessimistic)
    untied = found.optimistic == found.pessimistic
    assert 50 < untied.sum() < 450
    assert torch.allclose(theirs[untied], optimistic[untied])
    assert ((theirs <= optimistic + 1e-6) & (theirs >= pessimistic - 1e-6)).all()


def test_torchmetrics_agrees_where_its_tie_rule_allows(package_case):
    """It takes ties in the order of its sort, which is none in particular: ours counts the middle of them.

    It never retrieves an item whose score is zero or less: the scores are lifted above zero.
    Its average precision at 10 divides by the relevant items *found*, ours by those there are (at most 10),
    so that finding one of five at the first place is not perfect: compared where there is one relevant item.
    """
    scores, relevant, found = package_case
    pairs = list(zip(scores + 2, relevant, strict=True))
    hits = torch.stack([retrieval_hit_rate(s, r, top_k=5) for s, r in pairs])
    assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(hits, lambda r: (r <= 5).float(), found)
    reciprocal = torch.stack([retrieval_reciprocal_rank(s, r) for s, r in pairs])
    assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(reciprocal, lambda r: (1 / r).float(), found)
    single = (found.num_relevant == 1) & (found.optimistic == found.pessimistic)
    for query in single.nonzero().flatten()[:50].tolist():
        ours = retrieval_metrics(only(found, query), 300)["mAP@10"]
        theirs = retrieval_average_precision(*pairs[query], top_k=10)
        assert ours / 100 == pytest.approx(float(theirs))


def test_ir_measures_agrees_where_its_tie_rule_allows(package_case):
    """trec_eval, behind it, breaks ties by the items' names, the last first: ours counts the
    middle of them.
    """
    scores, relevant, found = package_case
    qrels = {f"q{q}": {f"d{d}": 1 for d in row.nonzero().flatten().tolist()} for q, row in enumerate(relevant)}
    run = {f"q{q}": {f"d{d}": s for d, s in enumerate(row)} for q, row in enumerate(scores.tolist())}
    measures = {"Success@5": lambda r: (r <= 5).float(), "RR": lambda r: (1 / r).float()}
    parsed = [ir_measures.parse_measure(name) for name in (*measures, "AP@10")]
    table = {str(measure): torch.zeros(500) for measure in parsed}
    for value in ir_measures.iter_calc(parsed, qrels, run):
        table[str(value.measure)][int(value.query_id[1:])] = value.value
    for name, of_rank in measures.items():
        assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(table[name], of_rank, found)
    places = [slow_places(*row) for row in zip(scores.tolist(), relevant.tolist(), strict=True)]
    untied = [q for q, row in enumerate(places) if all(a == b or a > 10 for a, b in row)]
    assert len(untied) > 50
    for query in untied:
        assert retrieval_metrics(only(found, query), 300)["mAP@10"] / 100 == pytest.approx(float(table["AP@10"][query]))

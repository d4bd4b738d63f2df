"""Ranks and retrieval metrics: against slow sorts, other packages and cases worked by hand."""

import itertools

import ir_measures
import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_average_precision,
    retrieval_hit_rate,
    retrieval_reciprocal_rank,
)

from diffgar.evaluation.metrics import (
    bootstrap_metrics,
    chance_metrics,
    paired_differences,
    redraw,
    retrieval_metrics,
    summarise,
)
from diffgar.evaluation.ranks import Ranks, ranks, top_k


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


def given(places, size=None):
    """Ranks without ties from places written down: a list of lists, the places of each query's
    relevant items.
    """
    width = max(map(len, places))
    relevant = torch.tensor([row + [float("inf")] * (width - len(row)) for row in places]).double()
    first = relevant[:, 0]
    return Ranks(first, first, first, relevant, torch.tensor([len(row) for row in places]))


@pytest.mark.parametrize("chunk", [None, 1, 7])
def test_ranks_agree_with_a_slow_sort_on_random_ties_with_several_relevant(chunk):
    queries, index, relevant = random_case()
    found = ranks(queries, index, relevant, chunk=chunk)
    expected = [
        slow_places(*row) for row in zip((queries @ index.T).tolist(), relevant.tolist(), strict=True)
    ]
    assert (found.pessimistic > found.optimistic).sum() > 20
    assert found.optimistic.tolist() == [places[0][0] for places in expected]
    assert found.pessimistic.tolist() == [places[0][1] for places in expected]
    assert found.mid.tolist() == [sum(places[0]) / 2 for places in expected]
    for row, places in zip(found.relevant.tolist(), expected, strict=True):
        assert row[: len(places)] == [sum(place) / 2 for place in places][: len(row)]


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


@pytest.mark.parametrize("num_relevant", [1, 3])
def test_a_constant_model_retrieves_nothing(num_relevant):
    targets = [[q, *range(290, 289 + num_relevant)] for q in range(50)]
    found = ranks(torch.ones(50, 8), torch.ones(300, 8), targets)
    metrics, chance = retrieval_metrics(found, 300), chance_metrics(found.num_relevant, 300)
    for name in ("R@1", "R@5", "R@10", "MRR", "mAP@10"):
        assert metrics[name] <= chance[name]
    assert metrics["R@10"] == 0
    assert metrics["MedR"] >= chance["MedR"]
    assert metrics["R@10_optimistic"] == metrics["ties"] == 100


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


def test_lower_matmul_precision_outside_changes_no_rank():
    generator = torch.Generator().manual_seed(0)
    queries, index = torch.randn(40, 64, generator=generator), torch.randn(400, 64, generator=generator)
    exact = ranks(queries, index, torch.arange(40))
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            lowered = ranks(queries, index, torch.arange(40))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
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


def test_medr_by_hand():
    found = given([[1], [3], [5], [10]])
    unique, rows = retrieval_metrics(found, 20), retrieval_metrics(found, 20, "caption_rows")
    assert unique["MedR_abs"] == 4  # the mean of the middle two
    assert unique["MedR"] == 20  # of a pool of 20
    assert rows["MedR"] == 40  # of the worst rank seen, 10
    assert unique["R@1"] == 25 and unique["R@5"] == 75 and unique["R@10"] == 100
    assert unique["MRR"] == pytest.approx(100 * (1 + 1 / 3 + 1 / 5 + 1 / 10) / 4)


@pytest.mark.parametrize(
    ("places", "expected"),
    [([1, 2], 1.0), ([1, 3], (1 + 2 / 3) / 2), ([2, 11], (1 / 2) / 2), ([11], 0), (list(range(1, 11)), 1.0)],
)
def test_map_by_hand(places, expected):
    assert retrieval_metrics(given([places]), 50)["mAP@10"] == pytest.approx(100 * expected)


def test_map_counts_at_most_ten_of_many_relevant():
    index = torch.nn.functional.one_hot(torch.arange(40), 40).float() + 0.1
    query = torch.cat([torch.arange(40, 25, -1.0), torch.zeros(25)]).unsqueeze(0)  # 15 relevant ones first
    assert retrieval_metrics(ranks(query, index, [list(range(15))]), 40)["mAP@10"] == pytest.approx(100)


@pytest.mark.parametrize("num_relevant", [[1], [2], [3], [1, 2, 2]])
def test_chance_in_closed_form_is_the_mean_over_every_order(num_relevant):
    size = 12
    orders = [
        [list(places) for places in itertools.combinations(range(1, size + 1), n)] for n in num_relevant
    ]
    longest = np.lcm.reduce([len(order) for order in orders])
    every = [places for order in orders for places in order * (longest // len(order))]  # each n counts alike
    chance, enumerated = chance_metrics(num_relevant, size), retrieval_metrics(given(every), size)
    assert chance == pytest.approx(enumerated)


def test_bootstrap_redraws_are_the_metrics_of_redrawn_tracks():
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(0, 9, (30,), generator=generator)
    samples = [given(torch.randint(1, 50, (30, 1), generator=generator).double().tolist()) for _ in range(2)]
    found = bootstrap_metrics(samples, groups, 50, num_resamples=5, seed=3)
    for b, drawn in enumerate(redraw(len(groups.unique()), 5, 3)):
        rows = np.repeat(np.arange(30), drawn[np.unique(groups, return_inverse=True)[1]])
        redrawn = [given(sample.relevant[rows].tolist()) for sample in samples]
        metrics = [retrieval_metrics(sample, 50) for sample in redrawn]
        for name, values in found.items():
            assert values[b] == pytest.approx(np.mean([metric[name] for metric in metrics])), name


def test_captions_of_one_track_are_drawn_together():
    hits = torch.randint(0, 2, (200, 1), generator=torch.Generator().manual_seed(0)).double() * 40 + 1
    alone = bootstrap_metrics([given(hits.tolist())], torch.arange(200), 50, seed=1)
    tripled = hits.repeat_interleave(3, dim=0)
    together = bootstrap_metrics(
        [given(tripled.tolist())], torch.arange(200).repeat_interleave(3), 50, seed=1
    )
    assert together["R@1"] == pytest.approx(alone["R@1"])  # thrice the captions, no more certainty
    p = float((hits == 1).double().mean())
    assert alone["R@1"].std() == pytest.approx(100 * np.sqrt(p * (1 - p) / 200), rel=0.1)


def test_a_row_does_not_differ_from_itself_and_differs_from_a_better_one():
    worse = given([[rank] for rank in (3, 20, 7, 30, 15) * 20])
    better = given([[rank] for rank in (1, 2, 7, 3, 15) * 20])
    groups = torch.arange(100)
    redraws = [bootstrap_metrics([row], groups, 50) for row in (worse, better)]
    rows = [
        summarise([retrieval_metrics(row, 50)], draws)
        for row, draws in zip((worse, better), redraws, strict=True)
    ]
    same = paired_differences(redraws[0], redraws[0], (rows[0], rows[0]))
    assert same["R@5"] == {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "outside_noise": False}
    gain = paired_differences(redraws[1], redraws[0], (rows[1], rows[0]))["R@5"]
    assert gain["outside_noise"] and gain["difference"] == pytest.approx(40) and gain["p"] < 0.01


@pytest.fixture(scope="module")
def package_case():
    """500 queries on 300 items, several relevant (at most 10), ties; what each package says of each query."""
    queries, index, relevant = random_case(500, 300, seed=1, share=0.008)
    assert relevant.sum(dim=1).max() <= 10
    scores = queries @ index.T / 16
    return scores, relevant, ranks(queries, index, relevant)


def assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(theirs, of_rank, found):
    optimistic, pessimistic = of_rank(found.optimistic), of_rank(found.pessimistic)
    untied = found.optimistic == found.pessimistic
    assert 50 < untied.sum() < 450
    assert torch.allclose(theirs[untied], optimistic[untied])
    assert ((theirs <= optimistic + 1e-6) & (theirs >= pessimistic - 1e-6)).all()


def test_torchmetrics_agrees_where_its_tie_rule_allows(package_case):
    """It takes ties in the order of its sort, which is none in particular: ours counts the middle of them.

    Its average precision at 10 divides by the relevant items *found*, ours by those there are (at most 10),
    so that finding one of five at the first place is not perfect: compared where there is one relevant item.
    """
    scores, relevant, found = package_case
    pairs = list(zip(scores, relevant, strict=True))
    hits = torch.stack([retrieval_hit_rate(s, r, top_k=5) for s, r in pairs])
    assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(hits, lambda r: (r <= 5).float(), found)
    reciprocal = torch.stack([retrieval_reciprocal_rank(s, r) for s, r in pairs])
    assert_agrees_where_untied_and_lies_within_the_bounds_elsewhere(
        reciprocal, lambda r: (1 / r).float(), found
    )
    single = (found.num_relevant == 1) & (found.optimistic == found.pessimistic)
    for query in single.nonzero().flatten()[:50].tolist():
        ours = retrieval_metrics(given([found.relevant[query, :1].tolist()]), 300)["mAP@10"]
        theirs = retrieval_average_precision(*pairs[query], top_k=10)
        assert ours / 100 == pytest.approx(float(theirs))


def test_ir_measures_agrees_where_its_tie_rule_allows(package_case):
    """trec_eval, behind it, breaks ties by the items' names, the last first: ours counts the
    middle of them.
    """
    scores, relevant, found = package_case
    qrels = {
        f"q{q}": {f"d{d}": 1 for d in row.nonzero().flatten().tolist()} for q, row in enumerate(relevant)
    }
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
        row = [found.relevant[query].tolist()[: int(found.num_relevant[query])]]
        assert retrieval_metrics(given(row), 300)["mAP@10"] / 100 == pytest.approx(
            float(table["AP@10"][query])
        )

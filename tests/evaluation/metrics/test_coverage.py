"""Precision and coverage of lists where a request has several kinds of answers."""

from itertools import combinations

import pytest
import torch

from diffgar.evaluation.metrics.coverage import (
    COVERAGE,
    PRECISION,
    chance_of_answers,
    coverage,
    precision,
    summarise_answers,
)
from diffgar.evaluation.metrics.mmr import nearest

KINDS = torch.tensor([0, 0, 1, 1, 2, 3])
FITS = torch.tensor([[True, True, False, True], [False, False, True, False]])


def slow(listed, kinds, fits) -> tuple[list[float], list[float]]:
    """Both metrics, query by query and track by track."""
    precisions, coverages = [], []
    for tracks, right in zip(listed.tolist(), fits.tolist(), strict=True):
        wanted = {kind for kind, fit in enumerate(right) if fit}
        got = [int(kinds[track]) for track in tracks]
        precisions.append(100 * sum(kind in wanted for kind in got) / len(got))
        coverages.append(100 * len(wanted & set(got)) / len(wanted))
    return precisions, coverages


def test_by_hand():
    listed = torch.tensor([[0, 1, 4], [4, 5, 0]])
    assert precision(listed, KINDS, FITS).tolist() == pytest.approx([200 / 3, 100 / 3])
    assert coverage(listed, KINDS, FITS).tolist() == pytest.approx([100 / 3, 100])


def test_equal_the_slow_loop():
    random = torch.Generator().manual_seed(0)
    kinds = torch.randint(7, (50,), generator=random)
    fits = torch.rand(40, 7, generator=random) < 0.4
    fits[:, 0] |= ~fits.any(dim=1)
    listed = torch.stack([torch.randperm(50, generator=random)[:10] for _ in range(40)])
    precisions, coverages = slow(listed, kinds, fits)
    assert precision(listed, kinds, fits).tolist() == pytest.approx(precisions)
    assert coverage(listed, kinds, fits).tolist() == pytest.approx(coverages)


def test_chance_is_the_mean_over_all_lists(monkeypatch):
    monkeypatch.setattr("diffgar.evaluation.metrics.coverage.K", 3)
    lists = torch.tensor(list(combinations(range(6), 3)))
    metrics = (precision, coverage)
    expected = [float(torch.stack([m(lists, KINDS, f.expand(len(lists), -1)) for f in FITS]).mean()) for m in metrics]
    found = chance_of_answers(KINDS, FITS)
    assert [found[PRECISION].mean, found[COVERAGE].mean] == pytest.approx(expected)
    assert found[PRECISION].n == 2


def test_a_pool_smaller_than_the_list_is_covered_by_chance():
    found = chance_of_answers(KINDS, FITS)  # a list of 10 has all six tracks
    assert (found[COVERAGE].mean, found[PRECISION].mean) == (100, pytest.approx(50))


def test_a_query_that_nothing_answers_is_refused():
    with pytest.raises(ValueError, match="query 1 has no kind that answers it"):
        coverage(torch.tensor([[0], [1]]), KINDS, torch.tensor([[True, False], [False, False]]))


def test_a_summary_is_of_each_seeds_lists_and_varied_lists_cover_more():
    random = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(6, 16, generator=random), dim=-1)
    kinds = torch.arange(120) % 6
    index = centres[kinds] + 0.1 * torch.randn(120, 16, generator=random)
    fits = torch.zeros(30, 6, dtype=torch.bool)
    fits[:, :3] = True
    wanted = 0.5 * centres[0] + 0.3 * centres[1] + 0.3 * centres[2]
    queries = wanted + 0.1 * torch.randn(2, 30, 16, generator=random)
    targets = torch.arange(30)
    plain, varied = (summarise_answers(queries, index, targets, kinds, fits, mmr) for mmr in (None, 0.5))
    values = [slow(nearest(sample, index), kinds, fits) for sample in queries]
    assert plain[PRECISION].mean == pytest.approx(torch.tensor([v[0] for v in values]).mean())
    assert plain[COVERAGE].mean == pytest.approx(torch.tensor([v[1] for v in values]).mean())
    assert plain[COVERAGE].low < plain[COVERAGE].mean < plain[COVERAGE].high and plain[COVERAGE].n == 30
    assert varied[COVERAGE].mean > plain[COVERAGE].mean + 10

"""Precision@10 and coverage@10 where a request has several kinds of answers, such as a purpose unlike instruments.

Precision asks whether the list fits; coverage, whether it has all the ways in which a track can fit.
"""

import torch
from torch import Tensor

from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.metrics.mmr import nearest
from diffgar.evaluation.metrics.ranks import Index
from diffgar.evaluation.metrics.summary import Summary

K = 10
PRECISION, COVERAGE = f"precision@{K}", f"coverage@{K}"


def precision(listed: Tensor, kinds: Tensor, fits: Tensor) -> Tensor:
    """Per cent (Q,): the share of each list whose kind is one that fits.

    listed (Q, k): the retrieved tracks. kinds (N,): the kind of each track, from 0. fits (Q, A) bool: which of the A
    kinds answer each query.
    """
    return 100 * fits.gather(1, kinds[listed]).double().mean(dim=1)


def coverage(listed: Tensor, kinds: Tensor, fits: Tensor) -> Tensor:
    """Per cent (Q,): the share of the kinds that fit that are in each list; arguments as for `precision`.

        coverage(listed=[[0, 1, 2]], kinds=[4, 4, 7], fits=kinds 4, 5 and 6)   # one of three

    Refuses (ValueError) a query that no kind answers.
    """
    if not fits.any(dim=1).all():
        raise ValueError(f"query {int((~fits.any(dim=1)).nonzero()[0])} has no kind that answers it; leave it out")
    there = torch.zeros_like(fits).scatter(1, kinds[listed], True)  # (Q, A)
    return 100 * (there & fits).sum(dim=1).double() / fits.sum(dim=1)


def summarise_answers(
    queries: Tensor, index: Index, targets: Tensor, kinds: Tensor, fits: Tensor, mmr: float | None = None
) -> dict[str, Summary]:
    """precision@10 and coverage@10 of queries (S, Q, D), or sets (S, Q, M, D), against the index (N, D).

    targets (Q,): each caption's own track, whose captions are resampled together. kinds, fits: as for `precision`. mmr:
    as for `nearest`.
    """
    lists = [nearest(sample, index, K, mmr) for sample in queries]
    metrics = {PRECISION: precision, COVERAGE: coverage}
    values = {name: torch.stack([metric(each, kinds, fits) for each in lists]) for name, metric in metrics.items()}
    return {name: mean_with_interval(each, targets, num_resamples=1000, seed=0) for name, each in values.items()}


def chance_of_answers(kinds: Tensor, fits: Tensor) -> dict[str, Summary]:
    """Both metrics of a random order, in closed form; arguments as for `precision`.

    A kind with n of N tracks is missing from a random list of k with probability C(N − n, k) / C(N, k).
    """
    size, counts = len(kinds), torch.bincount(kinds, minlength=fits.shape[1]).double()  # (A,)
    steps = torch.arange(min(K, size)).unsqueeze(1)  # (k, 1)
    missing = ((size - counts - steps).clamp(min=0) / (size - steps)).prod(dim=0)  # (A,)
    values = {
        PRECISION: 100 * (fits * counts / size).sum(dim=1),
        COVERAGE: 100 * (fits * (1 - missing)).sum(dim=1) / fits.sum(dim=1),
    }
    return {name: Summary.exact(float(each.mean()), len(fits)) for name, each in values.items()}

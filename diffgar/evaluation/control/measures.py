"""The metrics of steering: the share of the top 10 that has the unwanted value, and whether the target is found.

Retrieval without the attribute is not enough: a method must also keep the target track.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.metrics.bootstrap import redrawn_means
from diffgar.evaluation.metrics.ranks import ranks_of_scores, unit_rows
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import Metrics, System

K = 10
PAIRED = ("share@10", "R@10", "HNSR@10")  # in which every two rows are compared


def evaluate_control(
    answers: Iterable[tuple[System, Answer]],
    index: Tensor,
    targets: Tensor,
    pairs: Pairs,
    vectors: tuple[Tensor, Tensor] | None = None,
    num_resamples: int = 1000,
) -> dict[System, Metrics]:
    """Evaluate the answers of steering methods, in per cent. The first of the answers must be the plain one.

    share@10: the share of the top 10 that has the unwanted value, over all pairs and, as "share@10 of NAME", over the
    pairs of each attribute, because an attribute that the encoder does not represent cannot be steered. R@10: that of
    the target track, `targets` (P,). It lacks the value, so dropping every track with the value can only raise R@10.
    HNSR@10 and TFR@10: whether the target is among the first 10, or the very first, and the hard negative is not among
    the first 10. overlap@10: the share that the plain top 10 of the same seed also has. vectors: unit caption and
    attribute embeddings (P, D) each, of a joint pair, for cos_caption and cos_attribute of queries in its space.
    """
    rows: dict[System, Metrics] = {}
    plain: list[Tensor] = []
    for system, answer in answers:
        space, embedded = (index, vectors) if answer.index is None else (answer.index, None)
        plain = plain or [top_10(similarity(queries, space)) for queries in answer.queries]
        penalties: Iterable[Tensor | None] = repeat(None) if answer.penalties is None else answer.penalties
        runs = [
            steering_values(queries, space, targets, pairs, base, penalty, embedded)
            for queries, base, penalty in zip(answer.queries, plain, penalties, strict=False)
        ]
        values = {metric: torch.stack([run[metric] for run in runs]).double().numpy() for metric in runs[0]}  # (S, P)
        rows[system] = {name: summary_of(name, each, targets, num_resamples) for name, each in values.items()}
        rows[system] |= shares_by_attribute(values["share@10"], targets, pairs, num_resamples)
    return rows


def summary_of(name: str, values: np.ndarray, targets: Tensor, num_resamples: int) -> Summary:
    """A metric (S, P); those of PAIRED keep their redraws, by which every two rows are compared."""
    summary = Summary.of(values, redrawn_means(values.mean(axis=0), targets, num_resamples, 0), values.shape[1])
    return summary if name in PAIRED else replace(summary, redraws=None)


def shares_by_attribute(shares: np.ndarray, targets: Tensor, pairs: Pairs, num_resamples: int) -> Metrics:
    """The mean of share@10 (S, P) over the pairs of each attribute."""
    return {
        (name := f"share@10 of {attribute}"): summary_of(name, shares[:, own.numpy()], targets[own], num_resamples)
        for attribute, own in pairs.by_attribute().items()
    }


def steering_values(
    queries: Tensor,
    index: Tensor,
    targets: Tensor,
    pairs: Pairs,
    plain: Tensor,
    penalty: Tensor | None,
    vectors: Sequence[Tensor] | None,
) -> dict[str, Tensor]:
    """The metrics of one seed's queries (P, D), a value (P,) each; arguments as above.

    plain (P, 10): the plain top 10. penalty (P, N): what is subtracted from the cosines. HNSR@k and TFR@k are those of
    Yoo et al. 2026 (arXiv 2604.18360); there a person paired each query with its hard negative, here `Pairs` does.
    """
    scores = similarity(queries, index) if penalty is None else similarity(queries, index) - penalty  # (P, N)
    top = top_10(scores)
    right, hard = (ranks_of_scores(scores, tracks).mid for tracks in (targets, pairs.hard))
    values = {
        "share@10": 100 * pairs.has.gather(1, top).double().mean(dim=1),
        "R@10": 100 * (right <= K).double(),
        "HNSR@10": 100 * ((right <= K) & (hard > K)).double(),
        "TFR@10": 100 * ((right == 1) & (hard > K)).double(),
        "overlap@10": 100 * (top.unsqueeze(2) == plain.unsqueeze(1)).any(dim=2).double().mean(dim=1),
    }
    if vectors is not None:
        unit = unit_rows(queries, "queries")
        for name, embeddings in zip(("cos_caption", "cos_attribute"), vectors, strict=True):
            values[name] = 100 * (unit * embeddings).sum(dim=1).double()
    return values


def similarity(queries: Tensor, index: Tensor) -> Tensor:
    """The cosine (P, N) of queries (P, D) and tracks (N, D)."""
    return unit_rows(queries, "queries") @ unit_rows(index, "index").T


def top_10(scores: Tensor) -> Tensor:
    """The positions (P, 10) of the highest scores (P, N); all of them where the pool is smaller."""
    return scores.topk(min(K, scores.shape[1]), dim=1).indices

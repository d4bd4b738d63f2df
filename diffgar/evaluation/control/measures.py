"""The metrics of steering: the share of the top 10 that has the unwanted value, and whether the target is found.

Retrieval without the attribute is not enough: a method must also keep the target track.
"""

from collections.abc import Iterable
from itertools import repeat

import torch
from torch import Tensor

from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.pairs import Pairs
from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.metrics.ranks import ranks_of_scores, unit_rows
from diffgar.evaluation.report import Metrics, System

K = 10


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
    overlap@10: the share that the plain top 10 of the same seed also has. vectors: unit caption and attribute
    embeddings (P, D) each, of a joint pair, for cos_caption and cos_attribute.
    """
    rows: dict[System, Metrics] = {}
    plain: list[Tensor] = []
    for system, answer in answers:
        plain = plain or [top_10(similarity(queries, index)) for queries in answer.queries]
        penalties: Iterable[Tensor | None] = repeat(None) if answer.penalties is None else answer.penalties
        runs = [
            steering_values(queries, index, targets, pairs.has, base, penalty, vectors)
            for queries, base, penalty in zip(answer.queries, plain, penalties, strict=False)
        ]
        values = {metric: torch.stack([run[metric] for run in runs]) for metric in runs[0]}  # (S, P)
        rows[system] = {name: mean_with_interval(each, targets, num_resamples, 0) for name, each in values.items()}
        for attribute, own in pairs.by_attribute().items():
            left = mean_with_interval(values["share@10"][:, own], targets[own], num_resamples, 0)
            rows[system][f"share@10 of {attribute}"] = left
    return rows


def steering_values(
    queries: Tensor,
    index: Tensor,
    targets: Tensor,
    has: Tensor,
    plain: Tensor,
    penalty: Tensor | None,
    vectors: tuple[Tensor, Tensor] | None,
) -> dict[str, Tensor]:
    """The metrics of one seed's queries (P, D), a value (P,) each; arguments as above.

    has (P, N) bool: the tracks that have the unwanted value. plain (P, 10): the plain top 10. penalty (P, N): what is
    subtracted from the cosines.
    """
    scores = similarity(queries, index) if penalty is None else similarity(queries, index) - penalty  # (P, N)
    top = top_10(scores)
    values = {
        "share@10": 100 * has.gather(1, top).double().mean(dim=1),
        "R@10": 100 * (ranks_of_scores(scores, targets).mid <= K).double(),
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

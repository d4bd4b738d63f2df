"""Steering, measured: what a method does to the top 10 for captions that ask to be rid of an attribute.

Every method answers the same (caption, attribute) pairs. Retrieval without the attribute is not enough: a method must
also keep the right track.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.metrics.ranks import ranks_of_scores, unit_rows

K = 10


@dataclass(frozen=True)
class Unwanted:
    """The pairs: caption rows (P,), what each is to be rid of, and which tracks have that, (P, N) bool."""

    captions: Tensor
    values: list[tuple[str, str]]
    has: Tensor

    def pairs_of(self) -> dict[str, Tensor]:
        """Attribute → which pairs (P,) are to be rid of one of its values."""
        names = [name for name, _ in self.values]
        return {name: torch.tensor([other == name for other in names]) for name in sorted(set(names))}


@dataclass(frozen=True)
class Answer:
    """A method's queries (S, P, D), S sampling seeds, and what it takes off each track's cosine, (P, N) for each seed.

    An infinite penalty drops the track.
    """

    queries: Tensor
    penalties: Iterable[Tensor] | None = None


def choose_unwanted(
    top: Tensor, targets: Tensor, named: Sequence[set[str]], attributes: pd.DataFrame, least_share: float = 0.2
) -> Unwanted:
    """For each caption the value that stands out in its plain top 10 (Q, 10), though it did not ask for it.

    That is the one whose share there exceeds its share of the pool by most: to be rid of what most tracks have would
    be to leave the pool. The right track, `targets` (Q,), lacks it: who looks for that track does not ask to be rid
    of what it has. named: the attributes that each caption names; attributes: one row a track, one column an
    attribute. Values "none" are no attribute to be rid of; captions where no value stands out and has at least
    `least_share` of the top 10 are left out.
    """
    pool = {(name, value): share for name in attributes for value, share in shares(attributes[name])}
    captions, values = [], []
    for caption, places in enumerate(top.tolist()):
        right = attributes.iloc[int(targets[caption])]
        free = [name for name in attributes if name not in named[caption]]
        found = [((name, value), share) for name in free for value, share in shares(attributes[name].iloc[places])]
        found = [((name, value), share) for (name, value), share in found if right[name] != value]
        excess = {value: share - pool[value] for value, share in found if share >= least_share}
        choice = min(excess, key=lambda value: (-excess[value], value), default=None)
        if choice is not None and excess[choice] > 0:
            captions.append(caption)
            values.append(choice)
    if not captions:
        raise InputError(
            "no caption's top 10 has an attribute that was not asked for, and has it more often than the pool of "
            f"{len(attributes)} tracks; evaluate on a larger pool"
        )
    has = torch.stack([torch.from_numpy((attributes[name] == value).to_numpy(copy=True)) for name, value in values])
    return Unwanted(torch.tensor(captions), values, has)


def shares(column: pd.Series) -> Iterator[tuple[str, float]]:
    """Each value of an attribute but "none", and the share of the tracks that have it."""
    return column[column != "none"].value_counts().div(len(column)).items()


def evaluate_control(
    answers: Iterable[tuple[str, Answer]],
    index: Tensor,
    targets: Tensor,
    unwanted: Unwanted,
    vectors: tuple[Tensor, Tensor] | None = None,
    num_resamples: int = 1000,
) -> dict[str, dict[str, dict[str, float]]]:
    """method → metric → {"mean", "std", "low", "high", "n"}, per cent; the first method must be "plain".

    share@10: of the top 10 that has the unwanted attribute, of all pairs and, as "share@10 of NAME", of those of each
    attribute: what an encoder does not hear no query can avoid. R@10: of the right track, `targets` (P,); where it
    lacks the attribute, dropping all tracks that have that can only raise it. overlap@10: with the plain top 10 of the
    same seed. vectors: unit caption and attribute embeddings (P, D) each, of a joint pair, for cos_caption and
    cos_attribute.
    """
    table, plain = {}, []
    for name, answer in answers:
        plain = plain or [nearest(queries, index, None)[0] for queries in answer.queries]
        runs = [
            steering_values(queries, index, targets, unwanted.has, base, penalty, vectors)
            for queries, base, penalty in zip(answer.queries, plain, answer.penalties or repeat(None), strict=False)
        ]
        values = {metric: torch.stack([run[metric] for run in runs]) for metric in runs[0]}  # (S, P)
        table[name] = {m: mean_with_interval(v, targets, num_resamples, 0) for m, v in values.items()}
        for attribute, own in unwanted.pairs_of().items():
            left = mean_with_interval(values["share@10"][:, own], targets[own], num_resamples, 0)
            table[name][f"share@10 of {attribute}"] = left
    return table


def dropping(tracks: Tensor) -> Tensor:
    """The penalty that drops these tracks (P, N) bool and leaves the others as they are."""
    return torch.zeros(tracks.shape).masked_fill(tracks, torch.inf)


def hinge_penalty(queries: Tensor, negatives: Tensor, index: Tensor, strength: float) -> Tensor:
    """What tracks lose, (P, N), for being nearer to the negatives (P, D) than the pool is on average; the rest nothing.

    strength · σ · max(0, z): z is the cosine to the negative, standardised over the pool, and σ the standard deviation
    of the cosine to the query (P, D). Subtracting vectors (q − λ · negative) ranks among all tracks by how far they are
    from the negative; this only among those on the near side of the mean.
    """
    index = unit_rows(index, "index")
    wanted, avoided = (unit_rows(vectors, "queries") @ index.T for vectors in (queries, negatives))
    if len(index) < 2:
        return torch.zeros_like(avoided)  # nothing to be nearer than
    z = (avoided - avoided.mean(dim=1, keepdim=True)) / avoided.std(dim=1, keepdim=True).clamp(min=1e-12)
    return strength * wanted.std(dim=1, keepdim=True) * z.clamp(min=0)


def steering_values(
    queries: Tensor,
    index: Tensor,
    targets: Tensor,
    has: Tensor,
    plain: Tensor,
    penalty: Tensor | None,
    vectors: tuple[Tensor, Tensor] | None,
) -> dict[str, Tensor]:
    """The metrics of one seed's queries (P, D), a value (P,) each."""
    top, place = nearest(queries, index, penalty, targets)
    values = {
        "share@10": 100 * has.gather(1, top).double().mean(dim=1),
        "R@10": 100 * (place <= K).double(),
        "overlap@10": 100 * (top.unsqueeze(2) == plain.unsqueeze(1)).any(dim=2).double().mean(dim=1),
    }
    if vectors is not None:
        unit = unit_rows(queries, "queries")
        for name, embeddings in zip(("cos_caption", "cos_attribute"), vectors, strict=True):
            values[name] = 100 * (unit * embeddings).sum(dim=1).double()
    return values


def nearest(
    queries: Tensor, index: Tensor, penalty: Tensor | None, targets: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """The top 10 (P, 10), or all of a smaller pool, and the mid-rank of the right track (P,).

    A dropped track has rank inf.
    """
    similarity = unit_rows(queries, "queries") @ unit_rows(index, "index").T  # (P, N)
    if penalty is not None:
        similarity = similarity - penalty
    top = similarity.topk(min(K, len(index)), dim=1).indices
    if targets is None:
        return top, None
    return top, ranks_of_scores(similarity, targets).mid

"""Metrics of composed requests: the rank of the one target, and what the top 10 has of what was asked for."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffgar.evaluation.metrics.ranks import ranks_of_scores
from diffgar.evaluation.metrics.recall import KS

K = 10
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class ComposedTruth:
    """What is right for P requests among N tracks with A attributes.

    sources, targets (P,): positions of tracks. codes (N, A): the tracks' values, −1 where unknown. changed (P,): the
    attribute that the request changes, −1 where it is none of these. kept (P, A) bool: those that stay. A request whose
    target's new value is unknown has `changed` −1; an attribute that the source has no value of is not `kept`.
    """

    sources: Tensor
    targets: Tensor
    codes: Tensor
    changed: Tensor
    kept: Tensor

    def __len__(self) -> int:
        return len(self.sources)

    def gained(self, tracks: Tensor) -> Tensor:
        """Per cent (P,) of tracks (P, k) with the target's value of what changes; NaN where nothing known changes."""
        changed = self.changed.clamp(min=0)  # (P,)
        wanted = self.codes[self.targets, changed].unsqueeze(1)  # (P, 1)
        found = self.codes[tracks, changed.unsqueeze(1)] == wanted  # (P, k)
        return (100 * found.double().mean(dim=1)).masked_fill(self.changed == UNKNOWN, torch.nan)

    def preserved(self, tracks: Tensor) -> Tensor:
        """Per cent (P,) of tracks (P, k) with the source's value, averaged over what stays; NaN where nothing does."""
        same = self.codes[tracks] == self.codes[self.sources].unsqueeze(1)  # (P, k, A)
        shares = same.double().mean(dim=1)  # (P, A)
        return 100 * (shares * self.kept).sum(dim=1) / self.kept.sum(dim=1)  # 0 / 0 is NaN

    @cached_property
    def fits(self) -> Tensor:
        """How many of the asked values each track has: the new one, and those that stay, (P, N)."""
        same = self.codes.unsqueeze(0) == self.codes[self.sources].unsqueeze(1)  # (P, N, A)
        kept = (same & self.kept.unsqueeze(1)).sum(dim=2)
        changed = self.changed.clamp(min=0)
        new = self.codes[self.targets, changed].unsqueeze(1) == self.codes[:, changed].T  # (P, N)
        return kept + (new & (self.changed != UNKNOWN).unsqueeze(1))

    @cached_property
    def right(self) -> Tensor:
        """The tracks that satisfy each request, (P, N) bool: the target always, the source never.

        Others do where they have the new value and all values that stay, of a request that has both.
        """
        asked = self.kept.sum(dim=1) + (self.changed != UNKNOWN)  # (P,)
        known = (self.changed != UNKNOWN) & self.kept.any(dim=1)
        right = (self.fits == asked.unsqueeze(1)) & known.unsqueeze(1)
        right = right.scatter(1, self.targets.unsqueeze(1), True)
        return right.scatter(1, self.sources.unsqueeze(1), False)


def composed_values(similarity: Tensor, truth: ComposedTruth) -> dict[str, Tensor]:
    """Each metric's terms (P,), in per cent, NaN where unknown, of similarities (P, N); the source is not ranked.

    R@k: of the one target, mid-rank among ties. precision@10: the share of the top 10 that satisfies the request.
    gained@10: the share with the new value; kept@10: that with the values that stay, averaged over these.
    """
    scores = without_sources(similarity, truth.sources)
    rank = ranks_of_scores(scores, truth.targets).mid
    top = scores.topk(min(K, scores.shape[1] - 1), dim=1).indices
    values = {f"R@{k}": 100 * (rank <= k).double() for k in KS}
    values["precision@10"] = 100 * truth.right.gather(1, top).double().mean(dim=1)
    return values | {"gained@10": truth.gained(top), "kept@10": truth.preserved(top)}


def without_sources(similarity: Tensor, sources: Tensor) -> Tensor:
    """The same scores (P, N) with −inf at each request's own source (P,)."""
    return similarity.scatter(1, sources.unsqueeze(1), -torch.inf)


def chance_of_composed(truth: ComposedTruth) -> dict[str, Tensor]:
    """What a random order of the other tracks gives on average, in closed form: terms as above."""
    num_tracks = len(truth.codes)
    every = torch.arange(num_tracks).expand(len(truth), -1)  # (P, N)
    others = every[every != truth.sources.unsqueeze(1)].view(len(truth), -1)  # (P, N - 1)
    values = {f"R@{k}": torch.full((len(truth),), 100 * min(k / (num_tracks - 1), 1.0)).double() for k in KS}
    values["precision@10"] = 100 * truth.right.double().sum(dim=1) / (num_tracks - 1)
    return values | {"gained@10": truth.gained(others), "kept@10": truth.preserved(others)}


def ranked_by_truth(truth: ComposedTruth) -> Tensor:
    """The best scores that there are, (P, N): tracks that satisfy the request, then by how much of it they have."""
    return truth.fits.double() + truth.codes.shape[1] * truth.right.double()

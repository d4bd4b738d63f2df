"""Metrics of graded relevance: nDCG@10, average precision, recall and reciprocal rank; ties averaged, not guessed.

Among equal scores every order is as likely as any other, and a metric is its mean over these orders, in closed form
(McSherry & Najork 2008). Without ties the values are those of trec_eval and ir-measures.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

GAIN_DEPTH = 10
RECALL_DEPTHS = (10, 100)
NDCG, MAP, MRR = f"nDCG@{GAIN_DEPTH}", "mAP", "MRR"


def graded_metrics(scores: Tensor, grades: Tensor, relevant_from: float = 1) -> dict[str, Tensor]:
    """Each metric (Q,) in per cent, from scores (Q, N), larger being better, and grades (Q, N), 0 where not judged.

    nDCG@10: Σ grade / log2(1 + place) over the first ten, relative to the best order there is; the gain is the grade
    itself ("linear"), a negative one counts as 0. The others count tracks with a grade from `relevant_from` on as
    relevant. mAP: average precision over the whole list. R@k: the share of a query's relevant tracks that is among its
    first k. MRR: 100 / place of the first relevant track. A query without any such track has 0, as in ir-measures.

        graded_metrics([[0.9, 0.5, 0.1]], [[0, 2, 1]])   # nDCG@10: (2 / log2 3 + 1 / 2) / (2 + 1 / log2 3) = 67.0
    """
    ranked = Ranked.by(scores)
    gains = grades.double().cpu().clamp(min=0)  # (Q, N)
    relevant = (grades.cpu() >= relevant_from).double()
    best = _discounted(gains.sort(dim=1, descending=True).values)
    values = {NDCG: _share(_discounted(ranked.expected(gains)), best)}
    total = relevant.sum(dim=1)  # (Q,)
    values[MAP] = _share(ranked.precisions(relevant).sum(dim=1), total)
    found = ranked.expected(relevant)
    values |= {f"R@{k}": _share(found[:, :k].sum(dim=1), total) for k in RECALL_DEPTHS}
    values[MRR] = ranked.reciprocal_rank(relevant)
    return {name: 100 * value for name, value in values.items()}


@dataclass(frozen=True)
class Ranked:
    """Lists from the best score to the worst, float64 on the CPU.

    order (Q, N): which item stands at each place. group (Q, N): which of the list's groups of equal scores that place
    belongs to, from 0.
    """

    order: Tensor
    group: Tensor

    @classmethod
    def by(cls, scores: Tensor) -> "Ranked":
        """The lists of scores (Q, N)."""
        best, order = (each.cpu() for each in scores.sort(dim=1, descending=True))
        new = torch.zeros_like(order)
        new[:, 1:] = best[:, 1:] != best[:, :-1]
        return cls(order, new.cumsum(dim=1))

    @cached_property
    def sizes(self) -> Tensor:
        """How many items share the score of each place, (Q, N)."""
        return self._in_group(torch.ones(self.group.shape, dtype=torch.float64))

    @cached_property
    def places(self) -> Tensor:
        """1, 2, 3 …, (N,)."""
        return torch.arange(1, self.group.shape[1] + 1, dtype=torch.float64)

    @cached_property
    def inside(self) -> Tensor:
        """How many places of the same group stand before each place, (Q, N)."""
        first = torch.full_like(self.sizes, torch.inf).scatter_reduce(
            1, self.group, self.places.expand_as(self.sizes), "amin"
        )
        return self.places - first.gather(1, self.group)

    def expected(self, values: Tensor) -> Tensor:
        """The mean value (Q, N) at each place, over all orders of equal scores, of values (Q, N) of the items."""
        return self._in_group(values.gather(1, self.order)) / self.sizes

    def precisions(self, relevant: Tensor) -> Tensor:
        """The mean of (relevant items up to a place) / place where the item there is relevant, else 0, (Q, N).

        relevant (Q, N): 1 or 0 for each item.
        """
        own = relevant.gather(1, self.order)
        inside = self._in_group(own)  # relevant ones of the same score
        before = torch.zeros_like(own).scatter_add(1, self.group, own).cumsum(dim=1).gather(1, self.group) - inside
        ahead = self.inside * (inside - 1) / (self.sizes - 1).clamp(min=1)  # of the same score, if one stands here
        return inside / self.sizes * (before + 1 + ahead) / self.places

    def reciprocal_rank(self, relevant: Tensor) -> Tensor:
        """The mean of 1 / place of the first relevant item, (Q,); 0 where there is none."""
        inside = self._in_group(relevant.gather(1, self.order))
        none_here = ((self.sizes - inside - self.inside) / (self.sizes - self.inside)).clamp(min=0)
        none_before = torch.ones_like(none_here)  # P(no relevant item before this place)
        none_before[:, 1:] = none_here.cumprod(dim=1)[:, :-1]
        return (none_before * (1 - none_here) / self.places).sum(dim=1)

    def _in_group(self, values: Tensor) -> Tensor:
        """At each place the sum of values (Q, N), which are in the lists' order, over its group."""
        return torch.zeros_like(values).scatter_add(1, self.group, values).gather(1, self.group)


def _discounted(gains: Tensor) -> Tensor:
    """Σ gain / log2(1 + place) over the first ten places of gains (Q, N)."""
    top = gains[:, :GAIN_DEPTH]
    return (top / torch.arange(2, top.shape[1] + 2, dtype=torch.float64).log2()).sum(dim=1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 where whole is 0."""
    return torch.where(whole > 0, part / whole.clamp(min=1e-12), torch.zeros_like(part))

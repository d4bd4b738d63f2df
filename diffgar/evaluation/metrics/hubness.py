"""Hubness corrections: some tracks are near to every query, which is estimated on training queries and removed."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.metrics.alignment import AlignedIndex
from diffgar.evaluation.metrics.ranks import Index, similarities, top_k, unit_rows

TEMPERATURE = 20.0  # β of the inverted softmax, as in the paper


@dataclass(frozen=True)
class QueryBankNorm:
    """Query-bank normalisation with dynamic inverted softmax (Bogolin et al. 2022, eq. 5 and 7).

    penalty (N,): log Σ_b exp(β · similarity(b, n)) / β over the bank's queries b. hub (N,) bool: items that some bank
    query ranks first. A query whose nearest item is a hub is scored by similarity − penalty, any other as it was.
    """

    penalty: Tensor
    hub: Tensor

    @classmethod
    def fit(cls, bank: Tensor, index: Index, temperature: float = TEMPERATURE) -> "QueryBankNorm":
        """Estimate on a bank of training queries (B, D), none of them a test query, against the index (N, D)."""
        total = torch.full((len(index),), -torch.inf, device=index.device)
        for _, scores in similarities(bank, index):
            total = torch.logaddexp(total, (temperature * scores).logsumexp(dim=0))
        hub = torch.zeros(len(index), dtype=torch.bool)
        hub[top_k(bank, index, k=1)[1].flatten()] = True
        return cls(total / temperature, hub.to(index.device))

    def __call__(self, similarity: Tensor) -> Tensor:
        """Scores (q, N) of similarity (q, N): monotone in the inverted softmax, so that ranks are the same."""
        gated = self.hub[similarity.argmax(dim=1)]  # (q,)
        return similarity - self.penalty * gated.unsqueeze(1)

    def take(self, rows: Tensor) -> "QueryBankNorm":
        """The correction for the index's given rows, as a protocol that repeats tracks needs it."""
        rows = rows.to(self.penalty.device)
        return replace(self, penalty=self.penalty[rows], hub=self.hub[rows])


def _query_bank_norm(queries: Tensor, index: Index, bank: Tensor) -> tuple[Tensor, Index, QueryBankNorm | None]:
    """Both sides as they are; the similarity is adjusted."""
    return queries, index, QueryBankNorm.fit(bank, index)


def _centring(queries: Tensor, index: Index, bank: Tensor) -> tuple[Tensor, Index, QueryBankNorm | None]:
    """Both sides lose their mean direction, the queries that of the bank (Suzuki et al. 2013)."""
    if isinstance(index, AlignedIndex):
        raise InputError("centring moves vectors, and evaluation.pooling=aligned has none; use hubness=[qb_norm]")
    mean_query = unit_rows(bank, "bank").mean(dim=0)
    unit_index = unit_rows(index, "index")
    return unit_rows(queries, "queries") - mean_query, unit_index - unit_index.mean(dim=0), None


CORRECTIONS = {"qb_norm": _query_bank_norm, "centring": _centring}


def correct(name: str, queries: Tensor, index: Index, bank: Tensor) -> tuple[Tensor, Index, QueryBankNorm | None]:
    """Queries and index to rank in place of the given ones, and the adjustment of their similarity, if any."""
    return CORRECTIONS[name](queries, index, bank)

"""Attribute precision@10: of the attributes that a caption names, the share its top 10 has.

A caption fits many tracks and names one of them as right; where tracks have attributes, this counts the others too.
"""

from collections.abc import Collection, Sequence

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.metrics.mmr import nearest
from diffgar.evaluation.metrics.ranks import Index
from diffgar.evaluation.metrics.summary import Summary

UNNAMED = -1


def attribute_precision(listed: Tensor, named: Tensor, attributes: Tensor) -> Tensor:
    """Per cent (Q,): for each attribute that a caption names the share of its k tracks with the value, then the mean.

    listed (Q, k): the retrieved tracks. named (Q, A): the codes that captions name, −1 where they name none.
    attributes (N, A): the codes of the tracks. Refuses (ValueError) a caption that names nothing.
    """
    asked = named != UNNAMED  # (Q, A)
    if not asked.any(dim=1).all():
        raise ValueError(f"caption {int((~asked.any(dim=1)).nonzero()[0])} names no attribute; leave it out")
    fits = (attributes[listed] == named.unsqueeze(1)).double().mean(dim=1)  # (Q, A)
    return _mean_share(fits, asked)


def _mean_share(fits: Tensor, asked: Tensor) -> Tensor:
    """Per cent (Q,): the mean of the shares (Q, A) that count, (Q, A) bool."""
    return 100 * (fits * asked).sum(dim=1) / asked.sum(dim=1)


def attribute_codes(
    named: Sequence[Collection[str]], targets: Tensor, attributes: pd.DataFrame
) -> tuple[Tensor, Tensor]:
    """Codes of attribute values: what captions name (Q, A), −1 where they name nothing, and what tracks have (N, A).

    named: the attributes that each caption names, whose values are those of its own track, `targets` (Q,). attributes:
    one row per track, one column per attribute. Refuses (ValueError) an attribute that is no column.
    """
    columns = list(attributes.columns)
    for caption, names in enumerate(named):
        unknown = sorted(set(names) - set(columns))
        if unknown:
            raise ValueError(f"caption {caption} names {unknown[0]!r}, but tracks have only {', '.join(columns)}")
    codes = torch.tensor(attributes.apply(lambda column: pd.factorize(column, sort=True)[0]).to_numpy())
    asks = torch.tensor([[column in names for column in columns] for names in named])
    return torch.where(asks, codes[targets], UNNAMED), codes


def summarise_attributes(
    queries: Tensor,
    index: Index,
    targets: Tensor,
    named: Tensor,
    attributes: Tensor,
    num_resamples: int = 1000,
    seed: int = 0,
    mmr: float | None = None,
) -> Summary:
    """The attribute precision@10 of queries (S, Q, D) against the index (N, D).

    targets (Q,): each caption's own track, whose captions are resampled together; named (Q, A) and attributes (N, A) as
    `attribute_codes` gives them. Captions that name nothing are left out; n is the number that counts. mmr: as for
    `nearest`.
    """
    asked = naming(named)
    lists = [nearest(sample[asked], index, k=10, mmr=mmr) for sample in queries]
    values = torch.stack([attribute_precision(tracks, named[asked], attributes) for tracks in lists])
    return mean_with_interval(values, targets[asked], num_resamples, seed)


def chance_of_attributes(named: Tensor, attributes: Tensor) -> Summary:
    """The attribute precision@10 of a random order: each value's share of the pool; arguments as above."""
    asked = naming(named)
    wanted = named[asked]  # (Q', A)
    return Summary.exact(float(_mean_share(shares(wanted, attributes), wanted != UNNAMED).mean()), len(asked))


def shares(named: Tensor, attributes: Tensor) -> Tensor:
    """The share of the tracks that have each value (Q, A) that captions name, tracks being counted once per value.

    Arguments as above; for what is not named it means nothing.
    """
    columns = zip(attributes.T + 1, named.T + 1, strict=True)  # from 0
    counts = [torch.bincount(column, minlength=int(values.max()) + 1)[values] for column, values in columns]
    return torch.stack(counts, dim=1).double() / len(attributes)


def naming(named: Tensor) -> Tensor:
    """The positions (Q',) of the captions that name an attribute at all; named (Q, A)."""
    return (named != UNNAMED).any(dim=1).nonzero().flatten()

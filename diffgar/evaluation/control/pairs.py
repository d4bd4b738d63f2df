"""The pairs that steering is measured on: a caption, and an attribute value over-represented in its plain top 10."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of a caption and an attribute value to suppress.

    caption_index (P,): which of the task's captions. values: the (attribute, value) of each pair, such as ("drums",
    "rock"). has (P, N) bool: the tracks that have the value. hard (P,): the hard negative of each, the first track of
    the plain top 10 that has the value.
    """

    caption_index: Tensor
    values: list[tuple[str, str]]
    has: Tensor
    hard: Tensor

    def by_attribute(self) -> dict[str, Tensor]:
        """Attribute → the pairs (P,) bool whose value is one of its values."""
        names = [name for name, _ in self.values]
        return {name: torch.tensor([other == name for other in names]) for name in sorted(set(names))}


def choose_pairs(
    top: Tensor, targets: Tensor, named: Sequence[set[str]], attributes: pd.DataFrame, least_share: float = 0.2
) -> Pairs:
    """For each caption the value that is most over-represented in its plain top 10 (Q, 10) and not in the caption.

    Over-representation is the value's share of the top 10 less its share of the pool, so an attribute of most tracks
    is not chosen for being common. The target track, `targets` (Q,), lacks the value. named: the attributes that each
    caption names; attributes: one row per track, one column per attribute. The value "none" is skipped, and so are
    captions where no value is over-represented with at least `least_share` of the top 10. Raises InputError where no
    pair is left.
    """
    pool = {(name, value): share for name in attributes for value, share in shares(attributes[name])}
    captions, values = [], []
    for caption, tracks in enumerate(top.tolist()):
        right = attributes.iloc[int(targets[caption])]
        free = [name for name in attributes if name not in named[caption]]
        found = [((name, value), share) for name in free for value, share in shares(attributes[name].iloc[tracks])]
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
    chosen = top[captions]  # (P, 10)
    first = has.gather(1, chosen).int().argmax(dim=1, keepdim=True)
    return Pairs(torch.tensor(captions), values, has, chosen.gather(1, first).squeeze(1))


def shares(column: pd.Series) -> Iterator[tuple[str, float]]:
    """Each value of an attribute but "none", and the share of the tracks that have it."""
    return column[column != "none"].value_counts().div(len(column)).items()

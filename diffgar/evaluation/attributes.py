"""Attribute precision@10: of the attributes that a caption names, the share its top 10 has.

A caption fits many tracks and names one of them as right; where tracks have attributes, this counts the
others too.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.captionwise import mean_with_interval
from diffgar.evaluation.ranks import top_k
from diffgar.evaluation.tasks import RetrievalTask

UNNAMED = -1


def attribute_precision(nearest: Tensor, named: Tensor, attributes: Tensor) -> Tensor:
    """Tracks retrieved (Q, k), what captions name (Q, A), −1 for nothing, and what tracks have (N, A), to
    (Q,) in %.

    For each attribute a caption names, the share of its k tracks that have the value; then the mean over
    attributes.
    """
    asked = named != UNNAMED  # (Q, A)
    if not asked.any(dim=1).all():
        raise ValueError(f"caption {int((~asked.any(dim=1)).nonzero()[0])} names no attribute; leave it out")
    fits = (attributes[nearest] == named.unsqueeze(1)).double().mean(dim=1)  # (Q, A)
    return 100 * (fits * asked).sum(dim=1) / asked.sum(dim=1)


def attribute_codes(
    named: Sequence[Mapping[str, str]], tracks: pd.DataFrame, columns: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """Words to numbers: what each caption names, {attribute: value}, and the tracks' columns, as (Q, A) and
    (N, A).

    Refuses (ValueError) attributes that are no column and values that no track has.
    """
    codes = {
        column: {value: n for n, value in enumerate(sorted(tracks[column].unique()))} for column in columns
    }
    for caption, words in enumerate(named):
        for attribute, value in words.items():
            if value not in codes.get(attribute, {}):
                raise ValueError(
                    f"caption {caption} names {attribute}={value!r}, which no track has; fix the table"
                )
    asked = [[codes[c][words[c]] if c in words else UNNAMED for c in columns] for words in named]
    had = [[codes[c][value] for c, value in zip(columns, row, strict=True)] for row in tracks[columns].values]
    return torch.tensor(asked), torch.tensor(had)


def evaluate_attributes(
    rows: Mapping[str, Tensor],
    index: Tensor,
    task: RetrievalTask,
    named: Tensor,
    attributes: Tensor,
    num_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float]]]:
    """`attribute_precision@10` of each row and of chance, to be merged into the rows of `evaluate_retrieval`.

    rows: name → (S, Q, D) as there; named (Q, A) and attributes (N, A) as `attribute_codes` gives them.
    Captions that name nothing are left out; n says how many were counted. Chance is the value's share of the
    pool.
    """
    asked = (named != UNNAMED).any(dim=1).nonzero().flatten()
    every = torch.arange(len(attributes)).expand(1, -1)
    chance = torch.cat(
        [attribute_precision(every, named[caption].unsqueeze(0), attributes) for caption in asked]
    )
    mean = {
        "mean": float(chance.mean()),
        "std": 0.0,
        "low": float(chance.mean()),
        "high": float(chance.mean()),
    }
    table = {"chance": {"attribute_precision@10": mean | {"n": len(asked)}}}
    for name, queries in rows.items():
        nearest = [top_k(sample[asked], index, k=10)[1] for sample in queries]
        values = torch.stack([attribute_precision(rows_, named[asked], attributes) for rows_ in nearest])
        groups = task.targets[asked]
        table[name] = {"attribute_precision@10": mean_with_interval(values, groups, num_resamples, seed)}
    return table

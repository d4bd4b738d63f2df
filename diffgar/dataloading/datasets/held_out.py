"""A validation split for collections that are published with train and test alone."""

import re

import pandas as pd

from diffgar.dataloading.datasets.cells import blank, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.splits import SYNONYMS, SplitRule, by_hash


def held_out(split: SplitRule, fraction: float, by: str = "track_id", pattern: str = "(.*)") -> SplitRule:
    """The splits of a rule, with a fraction of `train` in `validation`, by the hash of a column.

    pattern: what of the column's cells counts, the first group of a regular expression: `([^/]{11})_\\d+` keeps
    `aug/-0SdAVK79lg_1.mp3` and `aug/-0SdAVK79lg_2.mp3`, two versions of one clip, together. A cell without it counts
    whole. Raises DatasetError for a column that is absent.
    """
    groups = re.compile(pattern, re.DOTALL)
    choose = by_hash({"validation": fraction, "train": 1 - fraction}, by="group")

    def rule(rows: pd.DataFrame) -> list[str]:
        if by not in rows:
            raise DatasetError(f"no column {by!r} to hold out by; there are {list(rows.columns)}")
        cells = ["" if blank(cell) else written(cell) for cell in rows[by].tolist()]
        found = [match[1] if (match := groups.search(cell)) else cell for cell in cells]
        grouped = pd.DataFrame({"group": found, "track_id": rows["track_id"].tolist()}, index=rows.index)
        return [
            chosen if SYNONYMS.get(name.strip().lower()) == "train" else name
            for name, chosen in zip(split(rows), choose(grouped), strict=True)
        ]

    return rule

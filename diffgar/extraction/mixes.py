"""The stores of a mix: those of its datasets are brought up to date, and the mix's reads them where they lie."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.mix import write_mix


def reads_parts(dataset: Dataset, folder: Path) -> bool:
    """Whether a dataset's store reads those of its parts. One that an earlier version has begun has its own frames."""
    own = any((folder / name).exists() for name in ("frames.f16", "writing"))
    return bool(dataset.parts) and not own


def part_store(folder: Path, part: Dataset) -> Path:
    """The store of a mix's dataset: `<latents>/<dataset>/<store>` where the mix's is `<latents>/<mix>/<store>`."""
    return folder.parent.parent / part.name / folder.name


def extract_parts(
    dataset: Dataset, folder: Path, extract: Callable[[Dataset, Path], bool], card: Card, plan: pd.DataFrame
) -> bool:
    """Bring the stores of a mix's datasets up to date, each beside the mix's, and the mix's. True when complete.

    extract: brings the store of one up to date.
    """
    stores = {name: part_store(folder, part) for name, part in dataset.parts.items()}
    complete = [extract(part, stores[name]) for name, part in dataset.parts.items()]  # this job's share of each
    if all(complete):
        write_mix(folder, card, plan, stores)
    return all(complete)

"""The table of rows that a store is to hold: the given ones, and those that it held before."""

from hashlib import sha256
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import storable
from diffgar.dataloading.datasets.tables import joined
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.sources import COMPUTED


def refuse_bad_plan(plan: pd.DataFrame, folder: Path, dataset: str) -> None:
    """Refuse (StoreError) a plan without a row, or with an id that stands twice."""
    if plan.empty:
        raise StoreError(f"{folder}: nothing to extract, the dataset {dataset!r} is empty")
    repeated = plan["row_id"][plan["row_id"].duplicated()]
    if len(repeated):
        raise StoreError(f"{folder}: id {repeated.iloc[0]!r} stands twice in dataset {dataset!r}; make ids unique")


def with_gone_rows(plan: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The plan, and after it the rows that the folder's store holds and the plan lacks, in the split "": in none."""
    if not (folder / "rows.parquet").is_file():
        return plan
    held = pd.read_parquet(folder / "rows.parquet")
    gone = held[~held["row_id"].isin(plan["row_id"])].assign(split="")
    if gone.empty:
        return plan
    both = joined([plan, gone.drop(columns=[c for c in COMPUTED if c in gone])]).reset_index(drop=True)
    return both.apply(storable)  # a column may hold other kinds of cells now than it did


def table_hash(plan: pd.DataFrame) -> str:
    """A hash of a table's columns and cells, in their order."""
    total = sha256("\t".join(plan.columns).encode())
    for column in plan:
        total.update("\n".join(map(repr, plan[column].tolist())).encode())
    return total.hexdigest()[:16]

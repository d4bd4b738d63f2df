"""Queries that belong to no track, as a graded benchmark has them: they lie among a dataset's captions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import blank, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import read_tables
from diffgar.dataloading.datasets.tracks import Dataset

COLUMNS = {"query_id": "query-id", "query": "query"}


def with_queries(
    name: str,
    dataset: Dataset,
    queries: str | Path | Sequence | Mapping | pd.DataFrame,
    columns: Mapping[str, str] | None = None,
    split: str = "test",
) -> Dataset:
    """A dataset with further captions that belong to no track: their track_id is "", their caption_id the query's.

    So the text encoder encodes them when the dataset is extracted, and the text store holds them. queries: a table, as
    `read_tables` takes it. columns: our name → the table's, where it is not query-id and query. split: that in which
    they are asked. Raises DatasetError for absent columns, blank cells and ids that stand twice.
    """
    rows, mapped = read_tables(queries), COLUMNS | dict(columns or {})
    if absent := [column for column in mapped.values() if column not in rows]:
        raise DatasetError(f"{name}: queries have no column {absent[0]!r}; there are {list(rows.columns)}; map it")
    for column in mapped.values():
        if empty := [place for place, cell in zip(rows.index, rows[column], strict=True) if blank(cell)]:
            raise DatasetError(f"{name}: {empty[0]} of the queries is blank in {column!r}; fill it in, or leave it out")
    ids, texts = ([written(cell) for cell in rows[mapped[key]]] for key in ("query_id", "query"))
    asked = pd.DataFrame({"caption_id": ids, "track_id": "", "caption": texts, "split": split})
    captions = pd.concat([dataset.captions, asked], ignore_index=True)
    if (twice := captions["caption_id"].duplicated()).any():
        raise DatasetError(f"{name}: the id {captions['caption_id'][twice].iloc[0]!r} stands twice; make ids unique")
    return replace(dataset, name=name, captions=captions)

"""Qrels: how well tracks answer queries, as judged. From tables, from lists in a table, and from TREC's files."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from diffgar.dataloading.datasets.cells import written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.tables import READERS, opened, read_tables
from diffgar.dataloading.datasets.text_files import lines_of, text_of

COLUMNS = {"query_id": "query-id", "track_id": "corpus-id", "score": "score"}  # as BEIR and mteb name them
TREC = ("query_id", "iteration", "track_id", "score")


def read_qrels(table: str | Path | pd.DataFrame, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Judgements as a table of query_id, track_id (texts) and score (float), one row for each pair.

    table: CSV, TSV, JSON, JSON lines or Parquet with a header, or a DataFrame; a file of another suffix is TREC's, four
    columns with blanks between and no header: query, iteration (not read), track, score. columns: our name → the
    table's, where it is not query-id, corpus-id, score. A cell may hold a list: a query's tracks, and their scores.
    Raises DatasetError for absent columns, scores that are no numbers, and a pair that is judged twice.
    """
    if not isinstance(table, pd.DataFrame) and Path(table).suffix.lower() not in READERS:
        rows = opened(Path(table).expanduser(), _trec, "fetch it there, or set task.qrels to where it is")
    else:
        rows = _named(read_tables(table), COLUMNS | dict(columns or {}))
    try:
        rows = rows.explode(["track_id", "score"]).dropna(subset=["track_id"])
        scores = pd.to_numeric(rows["score"]).astype(float)
        ids = {name: [written(cell) for cell in rows[name]] for name in ("query_id", "track_id")}
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"qrels: {error}; a row is a query, a track and a number, or lists of equal length"
        ) from error
    if scores.isna().any():
        raise DatasetError(f"qrels: {rows.index[scores.isna()][0]} has no score; give it a number, or leave it out")
    found = pd.DataFrame(ids | {"score": scores.tolist()})
    if (twice := found.duplicated(["query_id", "track_id"])).any():
        query, track = found.loc[twice, ["query_id", "track_id"]].iloc[0]
        raise DatasetError(f"qrels: query {query!r} and track {track!r} are judged twice; keep one score of each pair")
    return found


def _named(rows: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The three columns under our names. Raises DatasetError where the table lacks one."""
    if absent := [name for name in columns.values() if name not in rows]:
        raise DatasetError(
            f"qrels: no column {absent[0]!r}; there are {list(rows.columns)}; name them by task.qrels.columns, and "
            "give a file without a header, as TREC's, the suffix .qrels"
        )
    return pd.DataFrame({ours: rows[theirs].tolist() for ours, theirs in columns.items()}, index=rows.index)


def _trec(path: Path) -> pd.DataFrame:
    """The judgements of a file of TREC's four columns."""
    rows = {}
    for number, line in enumerate(lines_of(text_of(path)), start=1):
        if line.strip():
            cells = line.split()
            if len(cells) != len(TREC):
                raise DatasetError(f"line {number} has {len(cells)} columns; TREC's have four: query, 0, track, score")
            rows[f"line {number}"] = cells
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(TREC))

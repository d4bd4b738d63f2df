"""Tables on disk → DataFrames: CSV, TSV, JSON, JSON lines and Parquet."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from diffgar.errors import InputError


class DatasetError(InputError):
    """A table that cannot be a dataset: the file, what was found, what was expected, what to do."""


def read_table(path: Path | str) -> pd.DataFrame:
    """The table in a file, by its suffix. Cells of CSV and TSV stay strings: the id `007` stays `007`.

    Raises DatasetError naming the file when it is missing, has no row, or is of another form.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: no reader for {path.suffix!r}; there are {', '.join(READERS)}")
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; fetch it there, or set data.table to where it is")
    try:
        table = reader(path)
    except (ValueError, UnicodeDecodeError, AttributeError) as error:
        raise DatasetError(f"{path}: cannot be read as {path.suffix[1:]} ({error}); check its form") from error
    if table.empty:
        raise DatasetError(f"{path}: holds no row; fetch it again")
    return table


def _read_separated(path: Path, separator: str) -> pd.DataFrame:
    options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    return pd.read_csv(path, sep=separator, **options)


def _read_json(path: Path) -> pd.DataFrame:
    """A list of records, as MusCALL's, or a mapping of ids to records (the id becomes the column `key`)."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and all(isinstance(record, dict) for record in content.values()):
        content = [{"key": key, **record} for key, record in content.items()]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise ValueError("expected a list of records, or a mapping of ids to records")
    return pd.DataFrame(content, dtype=object)


def _read_jsonl(path: Path) -> pd.DataFrame:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return pd.DataFrame([json.loads(line) for line in lines if line.strip()], dtype=object)


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: _read_separated(path, ","),
    ".tsv": lambda path: _read_separated(path, "\t"),
    ".json": _read_json,
    ".jsonl": _read_jsonl,
    ".parquet": pd.read_parquet,
}


def read_tables(table: str | Path | Sequence | Mapping | pd.DataFrame) -> pd.DataFrame:
    """One table from a file, several files joined row by row, or `{split: file}`, which adds `split`.

    A DataFrame passes through.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, str | Path):
        return read_table(table)
    if isinstance(table, Mapping):
        return pd.concat([read_table(path).assign(split=split) for split, path in table.items()], ignore_index=True)
    return pd.concat([read_table(path) for path in table], ignore_index=True)

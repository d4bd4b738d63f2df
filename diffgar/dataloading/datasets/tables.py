"""Tables on disk → DataFrames: CSV, TSV, JSON, JSON lines, Parquet, tars. The index names each row for messages."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa

from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.folders import matching_files, read_folder, read_shards
from diffgar.dataloading.datasets.json_tables import read_json, read_jsonl
from diffgar.dataloading.datasets.parquet_tables import read_parquet
from diffgar.dataloading.datasets.separated import read_separated, unique_names
from diffgar.dataloading.datasets.tars import read_tar

Read = TypeVar("Read")  # what a reader makes of a file

__all__ = ["READERS", "DatasetError", "joined", "read_table", "read_tables"]

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: read_separated(path, ","),
    ".tsv": lambda path: read_separated(path, "\t"),
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".tar": read_tar,
}


def read_table(path: Path | str) -> pd.DataFrame:
    """The table in a file, by its suffix, or in a folder (`read_folder`).

    Cells of CSV and TSV stay texts: the id `007` stays `007`.
    The index has the place of each row in the file: `line 3` (the header is line 1) or, of JSON and Parquet, `row 2`.
    Raises DatasetError naming the file when it is missing, has no row, or is of another form.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return joined(read_folder(path, _placed))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(f"{path}: no reader for {path.suffix!r}; there are {', '.join(READERS)}")
    table = opened(path, reader, "fetch it there, or set data.table to where it is")
    if table.empty:
        raise DatasetError(f"{path}: holds no row; fetch it again")
    return table


def opened(path: Path, reader: Callable[[Path], Read], remedy: str) -> Read:
    """What a reader makes of a file. Raises DatasetError naming the file and what is wrong with it.

    remedy: what to do about a file that is not there.
    """
    try:
        if path.is_dir():
            raise DatasetError("is a folder; name a file in it")
        if not path.is_file():
            raise DatasetError(f"no such table; {remedy}")
        return reader(path)
    except DatasetError as error:
        raise error if str(path) in str(error) else DatasetError(f"{path}: {error}") from error
    except PermissionError as error:
        raise DatasetError(
            f"{path}: may not be read (permission denied); give yourself the right to read it"
        ) from error
    except (ValueError, OSError, RecursionError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: cannot be read as {path.suffix[1:]} ({error}); check its form") from error


def read_tables(table: str | Path | Sequence | Mapping | pd.DataFrame) -> pd.DataFrame:
    """One table from a file, several files joined row by row, or `{split: file}`, which adds `split`.

    A file may be a pattern of files, `data/train-*.parquet`, or a folder (`read_folder`).
    A DataFrame passes through, its rows named `row 1` and so on unless a reader of ours has named them.
    """
    if isinstance(table, pd.DataFrame):
        table = table.set_axis(unique_names([str(name) for name in table.columns]), axis="columns")
        named = len(table) and isinstance(table.index[0], str)
        return table if named else table.set_axis([f"row {number}" for number in range(1, len(table) + 1)])
    if isinstance(table, str | Path):
        files = matching_files(str(table))
        return read_table(table) if files is None else joined(read_shards(files, _placed))
    if not table:
        raise DatasetError("`table` names no file; name one")
    if isinstance(table, Mapping):
        return joined([_placed(path).assign(split=split) for split, path in table.items()])
    return joined([_placed(path) for path in table])


def _placed(path: str | Path | Sequence) -> pd.DataFrame:
    """A table whose rows are named with their file."""
    table = read_tables(path)
    is_file = isinstance(path, str | Path) and Path(path).expanduser().is_file()  # others name their files themselves
    return table.set_axis([f"{path}: {place}" for place in table.index]) if is_file else table


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables one below the other. Cells keep their types: an integer stays one beside decimals and missing values."""
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    same = {name: len({table[name].dtype if name in table else None for table in tables}) == 1 for name in names}
    return pd.concat([table.astype({name: object for name in table.columns if not same[name]}) for table in tables])

"""Parquet → DataFrames: no integer becomes a float, and no column that is unreadable or embeds files is read.

Audio is embedded as the hub's `Audio` column has it, in records {bytes, path}, or as bytes alone.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from diffgar.dataloading.datasets.cells import Embedded, Unread
from diffgar.dataloading.datasets.separated import unique_names
from diffgar.dataloading.places import cell_place

LARGE = 4096  # bytes per cell on average: larger binary cells are files, not texts


def read_parquet(path: Path) -> pd.DataFrame:
    """The table of a file. A column of embedded files holds `Embedded` in every row, one that cannot be read `Unread`.

    A column `audio` of records has a column `audio.path` beside it, of the names that its files had. Where it has no
    bytes it is these names.
    """
    with pq.ParquetFile(path) as file:
        schema, num_rows = file.schema_arrow, file.metadata.num_rows
        sizes = _sizes(file.metadata)
        columns, names = [], unique_names(schema.names)
        beside: dict[str, list] = {}
        for i, field in enumerate(schema):
            if _is_embedded(field.type) or (_is_binary(field.type) and sizes[field.name] > LARGE * num_rows):
                kept = _names_of_files(file, field)
                bare = kept is not None and _has_no_bytes(file.metadata, field.name)
                columns.append(kept if bare else _embedded(path, field, num_rows))
                beside |= {} if kept is None or bare else {f"{field.name}.path": kept}
                continue
            nth = schema.names[:i].count(field.name)  # of several columns of one name
            try:
                columns.append(_cells(file.read(columns=[field.name]).column(nth)))
            except (pa.ArrowException, ValueError, OSError, OverflowError) as error:
                columns.append([Unread(f"a cell that cannot be read ({str(error)[:80]})")] * num_rows)
    index = pd.Index([f"row {number}" for number in range(1, num_rows + 1)], dtype=object)
    columns_of = {name: pd.Series(cells) for name, cells in zip(names, columns, strict=True)}
    named = {name: pd.Series(cells, dtype=object) for name, cells in beside.items()} | columns_of
    return pd.DataFrame(named, index=range(num_rows)).set_axis(index)


def _embedded(path: Path, field: pa.Field, num_rows: int) -> list[Unread]:
    """The cells of a column of files; only of bytes, alone or in records, is it known where each lies."""
    reason = _named(field.type)
    if not _is_binary(field.type) and not (pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0):
        return [Unread(reason)] * num_rows
    return [Embedded(reason, cell_place(path, field.name, row)) for row in range(1, num_rows + 1)]


def _names_of_files(file: pq.ParquetFile, field: pa.Field) -> list[str | None] | None:
    """The field `path` of a column of records; None where it has none, or only blanks."""
    if not pa.types.is_struct(field.type) or field.type.get_field_index("path") < 0:
        return None
    cells = file.read(columns=[f"{field.name}.path"]).column(0).to_pylist()
    names = [None if cell is None else cell["path"] for cell in cells]
    return names if any(names) else None


def _has_no_bytes(metadata: pq.FileMetaData, name: str) -> bool:
    """Whether the records of a column hold names of files alone, by the file's own count."""
    for group in range(metadata.num_row_groups):
        for i in range(metadata.num_columns):
            column = metadata.row_group(group).column(i)
            if column.path_in_schema == f"{name}.bytes":
                known = column.statistics is not None and column.statistics.has_null_count
                if not known or column.statistics.null_count < column.num_values:
                    return False
    return True


def _sizes(metadata: pq.FileMetaData) -> dict[str, int]:
    """Uncompressed bytes of each top-level column."""
    sizes: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for i in range(metadata.num_columns):
            column = metadata.row_group(group).column(i)
            name = column.path_in_schema.split(".")[0]
            sizes[name] = sizes.get(name, 0) + column.total_uncompressed_size
    return sizes


def _cells(column: pa.ChunkedArray) -> list | pd.Series:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        try:
            return pd.Series(column.to_pylist(), dtype=object)
        except UnicodeDecodeError:  # a column that is mapped names the row of such a cell
            cells = column.cast(pa.large_binary()).to_pylist()
            return pd.Series([c if c is None else c.decode("utf-8", "surrogateescape") for c in cells], dtype=object)
    return column.to_pandas(integer_object_nulls=True)


def _is_binary(kind: pa.DataType) -> bool:
    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in tests)


def _is_embedded(kind: pa.DataType) -> bool:
    """Whether records or lists hold bytes, as audio and images do in tables made for training."""
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return any(_is_binary(each) or _is_embedded(each) for each in inner)


def _named(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"a record of {', '.join(kind.field(i).name for i in range(kind.num_fields))}"
    return "bytes" if _is_binary(kind) else "a list of bytes"

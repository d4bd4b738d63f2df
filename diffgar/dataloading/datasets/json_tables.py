"""JSON and JSON lines → DataFrames, each row named by its number or its line."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from diffgar.dataloading.datasets.cells import whole
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.text_files import lines_of, text_of


def read_json(path: Path) -> pd.DataFrame:
    """A list of records, as MusCALL's, or a mapping of ids (the column `key`) to records, texts or lists of texts.

    Texts become the column `caption`.

    JSON lines are read also where the file is called .json.
    """
    text = text_of(path)
    try:
        content = _parsed(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or text.lstrip().startswith("["):
            raise
        return _read_lines(text)
    if isinstance(content, dict) and len(lines_of(text.strip())) == 1 and not _is_mapping(content):
        return _read_lines(text)
    if _is_of_texts(content):
        content = {key: {"caption": cell} for key, cell in content.items()}
    if _is_mapping(content):
        content = [_keyed(key, record) for key, record in content.items()]
    if not isinstance(content, list):
        raise DatasetError("expected a list of records, or a mapping of ids to records; write it so")
    for number, record in enumerate(content, start=1):
        if not isinstance(record, dict):
            raise DatasetError(f"row {number} is a {_kind(record)}, expected a record; write a list of records")
    return _frame(content, [f"row {number}" for number in range(1, len(content) + 1)])


def read_jsonl(path: Path) -> pd.DataFrame:
    """One record per line. Raises DatasetError naming a line that is none."""
    return _read_lines(text_of(path))


def _read_lines(text: str) -> pd.DataFrame:
    records, places = [], []
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            record = _parsed(line)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            raise DatasetError(f"line {number} is no JSON record ({reason}); write one record per line") from error
        if not isinstance(record, dict):
            raise DatasetError(f"line {number} is a {_kind(record)}, expected a record; write one record per line")
        records.append(record)
        places.append(f"line {number}")
    return _frame(records, places)


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_record)


def _record(pairs: list[tuple[str, object]]) -> dict:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DatasetError(f"the name {twice!r} stands twice in one record; keep one of them")
    return record


def _is_mapping(content: object) -> bool:
    return isinstance(content, dict) and bool(content) and all(isinstance(each, dict) for each in content.values())


def _is_of_texts(content: object) -> bool:
    """Whether content maps several ids to captions; a single record of texts looks the same, so one id is none."""
    if not isinstance(content, dict) or len(content) < 2:
        return False
    cells = [cell if isinstance(cell, list) else [cell] for cell in content.values()]
    return all(cell and all(isinstance(each, str) for each in cell) for cell in cells)


def _keyed(key: str, record: dict) -> dict:
    if record.get("key", key) != key:
        raise DatasetError(f"the record of id {key!r} has a column `key`, where the id goes; give it another name")
    return record | {"key": key}


def _frame(records: list[dict], places: list[str]) -> pd.DataFrame:
    """Cells stay the objects that JSON has: no integer becomes a float because another row has none."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {whole(name): pd.Series([record.get(name) for record in records], dtype=object) for name in names}
    return pd.DataFrame(columns).set_axis(pd.Index(places, dtype=object))


def _kind(value: object) -> str:
    return {list: "list", str: "text", bool: "boolean", type(None): "null"}.get(type(value), "number")

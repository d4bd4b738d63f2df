"""Single cells of a table, whatever library and type they come from: missing or not, as text, compared, in messages."""

import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import numpy as np
import pandas as pd

# what pandas, Python, R, SQL and Excel write for a missing value
WORDS_FOR_NONE = frozenset(("nan", "none", "null", "na", "n/a", "<na>", "#n/a", "nat", "\\n"))
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")  # `007` is a word


@dataclass(frozen=True)
class Unread:
    """The cell of a column that was not read from the file; `reason` says what that holds."""

    reason: str


@dataclass(frozen=True)
class Embedded(Unread):
    """The cell of a column of embedded audio, which stays where it is: at `place`, see `diffgar.dataloading.places`."""

    place: str


def missing(cell: object) -> bool:
    """Whether a cell has no value: None, NaN, pd.NA, NaT, a masked one."""
    if isinstance(cell, str):
        return False
    return cell is None or cell is np.ma.masked or (pd.api.types.is_scalar(cell) and pd.isna(cell))


def blank(cell: object) -> bool:
    """Whether a cell has no value, or a text of invisible characters alone: blanks, zero-width and control ones."""
    return missing(cell) or (isinstance(cell, str) and all(map(_unseen, cell)))


def _unseen(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf")


def spells_none(text: str) -> bool:
    """Whether a text is a word that programs write for a missing value: `nan`, `None`, `NULL`, `NA`."""
    return text.strip().lower() in WORDS_FOR_NONE


def written(cell: object) -> str:
    """A cell as text without blanks round it. A whole number has no decimals, whatever its type: 7, 7.0 → `7`.

    Raises ValueError saying what a cell is that holds no single value, or none that can be written exactly.
    """
    if isinstance(cell, str):
        _refuse_damage(cell)
        return cell.strip()
    if isinstance(cell, os.PathLike | UUID):
        return str(cell)
    if isinstance(cell, bytes):
        try:
            return written(cell.decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"is {shown(cell)}, not text") from None
    if isinstance(cell, bool | np.bool) or not pd.api.types.is_scalar(cell) or missing(cell):
        raise ValueError(f"is {shown(cell)}, not text")
    if isinstance(cell, float | np.floating | Decimal):
        if not np.isfinite(float(cell)):
            raise ValueError(f"is {cell}, not text")
        if isinstance(cell, float | np.floating) and abs(float(cell)) >= 2**53:
            raise ValueError(f"is {cell!r}, a decimal number too large to be exact; write it as an integer or as text")
        if cell == int(cell):
            return str(int(cell))
    return str(cell)


def _refuse_damage(text: str) -> None:
    if "\0" in text:
        raise ValueError(f"is {shown(text)}, which holds a zero byte; correct it")
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"is {shown(text)}, which holds half a character ({text[error.start]!r}) or a byte that is not UTF-8; "
            f"correct it"
        ) from None


def shown(cell: object, width: int = 60) -> str:
    """A cell for a message: short, and never the bytes of a file."""
    if isinstance(cell, Unread):
        return cell.reason
    if isinstance(cell, bytes | bytearray | memoryview):
        return f"{len(cell)} bytes"
    if isinstance(cell, Mapping):
        return f"a record of {', '.join(map(str, cell))}"[:width]
    if isinstance(cell, list | tuple | np.ndarray):
        return f"a list of {len(cell)}"
    text = repr(cell)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def matches(cell: object, wanted: object) -> bool:
    """Whether a cell has the wanted value, or one of several: the one rule of every `where`.

    Missing cells match nothing. Words are compared without regard to case and outer blanks. Numbers are compared by
    value, also where they are written as text (`1.0` is 1, but `007` is a word). A boolean matches the words for it:
    true, yes, on and 1, or false, no, off and 0.
    """
    return bool(_forms(cell) & set().union(*(_wanted_forms(each) for each in several(wanted))))


def matching(cells: Sequence, wanted: object) -> np.ndarray:
    """`matches` for each of many cells, (N,) bool."""
    forms = set().union(*(_wanted_forms(each) for each in several(wanted)))
    return np.fromiter((not forms.isdisjoint(_forms(cell)) for cell in cells), dtype=bool, count=len(cells))


def several(wanted: object) -> Sequence:
    """The values that are wanted, as a sequence also where there is one: 3 → [3], {1, 2} → [1, 2]."""
    if isinstance(wanted, Sequence | set | frozenset | np.ndarray) and not isinstance(wanted, str | bytes):
        return list(wanted)
    return [wanted]


def _forms(cell: object) -> set:
    """What a cell equals: its word, its number."""
    if missing(cell) or not (isinstance(cell, str) or pd.api.types.is_scalar(cell)):
        return set()
    if isinstance(cell, bool | np.bool):
        return {str(bool(cell)).lower(), int(cell)}
    if isinstance(cell, str):
        word = cell.strip().lower()
        if len(word) > 40 or not NUMBER.fullmatch(word):
            return {word}
        return {word, int(word) if word.lstrip("+-").isdigit() else float(word)}  # 1.0 and 1 are equal, also in a set
    if isinstance(cell, int | float | np.number | Decimal):
        return {cell.item() if isinstance(cell, np.number) else cell}
    return {str(cell).lower()}


def _wanted_forms(wanted: object) -> set:
    if isinstance(wanted, bool | np.bool):
        return {*(TRUE if wanted else FALSE), int(wanted)}
    return _forms(wanted)


def storable(cells: pd.Series) -> pd.Series:
    """A column as Parquet can hold it: numbers, dates and texts; anything else as text or JSON, missing as None."""
    if isinstance(cells.dtype, np.dtype) and cells.dtype.kind in "biufM":
        return cells
    return pd.Series([_storable(cell) for cell in cells.tolist()], index=cells.index, dtype=object)


def whole(text: str) -> str:
    """A text with `?` for the half characters (lone surrogates) that neither UTF-8 nor Parquet can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _storable(cell: object) -> str | None:
    if missing(cell):
        return None
    if isinstance(cell, str):
        return whole(cell)
    try:
        text = json.dumps(cell, default=_jsonable)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, a record inside itself
        return shown(cell)
    return text[1:-1] if text.startswith('"') else text  # a date or a decimal as it is


def _jsonable(value: object) -> object:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return shown(value) if isinstance(value, bytes) else str(value)

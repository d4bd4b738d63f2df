"""The audio file of each row: the template is filled, and the file is found that the name means on this disk."""

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from string import Formatter

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.cells import blank, written
from diffgar.dataloading.datasets.errors import DatasetError


def file_names(rows: pd.DataFrame, template: str) -> list[str]:
    """The template filled with each row's columns and `path_stem`, the path without its suffix.

    Raises DatasetError for a field that is no column, and naming the row for one that is blank.
    """
    try:
        fields = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
        if unknown := sorted(fields - set(rows.columns) - ({"path_stem"} if "path" in rows else set())):
            raise DatasetError(f"path_template {template!r} needs {unknown[0]!r}; the fields are {list(rows.columns)}")
        cells = {name: _cells(rows, name, template) for name in fields}
        each = ({name: column[i] for name, column in cells.items()} for i in range(len(rows)))
        return [template.format(**row) for row in each]
    except DatasetError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise DatasetError(f"path_template {template!r} cannot be filled ({error}); correct it") from error


def _cells(rows: pd.DataFrame, name: str, template: str) -> list:
    cells = rows["path" if name == "path_stem" else name].tolist()
    for place, cell in zip(rows.index, cells, strict=True):
        if blank(cell):
            wanted = "path" if name == "path_stem" else name
            raise DatasetError(f"{place} has no {wanted}, which path_template {template!r} needs; give it one")
    if name == "path_stem":
        return [os.path.splitext(cell)[0] for cell in cells]
    return [_field(cell, name, place) for place, cell in zip(rows.index, cells, strict=True)]


def _field(cell: object, name: str, place: str) -> object:
    """A cell for the template: a number stays one, so that it can be formatted, a whole one without decimals."""
    if isinstance(cell, int | float | np.number):
        return int(cell) if np.isfinite(cell) and cell == int(cell) and not isinstance(cell, bool) else cell
    try:
        return written(cell)
    except ValueError as error:
        raise DatasetError(f"{place}: {name}, which path_template needs, {error}") from None


def paths(audio_root: Path, names: Iterable[str]) -> list[str]:
    """Files under audio_root, or where absolute names say, spelled as the disk spells them where it has them."""
    root, places = str(Path(audio_root).expanduser()), {}
    listings: dict[str, dict[str, str]] = {}
    for name in names:
        if name not in places:
            path = os.path.join(root, name)
            plain = path.isascii() and "\\" not in name
            places[name] = path if plain else _found(path, name, root, listings)
    return [places[name] for name in names]


def _found(path: str, name: str, root: str, listings: dict[str, dict[str, str]]) -> str:
    """The file that a path means: accents composed or not, `\\` for `/`; the path as it is where there is none."""
    for candidate in (path, os.path.join(root, name.replace("\\", "/"))):
        if os.path.exists(candidate):
            return candidate
        folder = os.sep if os.path.isabs(candidate) else ""
        for part in filter(None, candidate.split(os.sep)):
            below = os.path.join(folder, part)
            found = below if os.path.exists(below) else _composed(folder, part, listings)
            if found is None:
                break
            folder = found
        else:
            return folder
    return path


def _composed(folder: str, part: str, listings: dict[str, dict[str, str]]) -> str | None:
    """The entry of a folder that is `part` but for the composition of accents."""
    if folder not in listings:
        try:
            listings[folder] = {unicodedata.normalize("NFC", each): each for each in os.listdir(folder or ".")}
        except OSError:
            listings[folder] = {}
    entry = listings[folder].get(unicodedata.normalize("NFC", part))
    return None if entry is None else os.path.join(folder, entry)


def hint(path: str) -> str:
    """Why a path may not be on disk, if its folder shows it: a folder, a dead link, another case …"""
    folder, name = os.path.split(path)
    if os.path.isdir(path):
        return " (a folder, not a file)"
    if os.path.islink(path):
        return " (a link to what is not there)"
    try:
        entries = os.listdir(folder)
    except PermissionError:
        return f" ({folder} may not be read: permission denied)"
    except OSError:
        return ""
    near = [entry for entry in entries if _loose(entry) == _loose(name)]
    return f" ({near[0]!r} is there: correct the table or the file's name)" if near else ""


def _loose(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()

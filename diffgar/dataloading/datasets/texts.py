"""From a row's cells to its captions: texts, or lists of them, and nothing else."""

from collections.abc import Sequence

import numpy as np

from diffgar.dataloading.datasets.cells import blank, missing, shown, spells_none, written
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.lists import list_of, written_as_text

ELSEWHERE = "write the text itself, or a list of texts, into a column and map that"


def texts_of(cells: Sequence, place: str) -> list[str]:
    """The captions in a row's cells, each a text or a list of texts. Of several columns some may be blank, not all.

    A list may be written as one text, as CSV files have it. Raises DatasetError naming the row for records, nested
    lists, numbers, and words for a missing value.
    """
    captions = []
    for cell in cells:
        listed = list_of(cell)
        captions += [_text(each, place) for each in ([cell] if listed is None else listed)]
    if not any(captions) or (len(cells) == 1 and not all(captions)):
        raise DatasetError(f"{place} has an empty caption; write one, or leave the row out of the table")
    return [caption for caption in captions if caption]


def _text(cell: object, place: str) -> str:
    """One caption, "" for a blank one."""
    if blank(cell):
        return ""
    if not isinstance(cell, str | bytes):
        raise DatasetError(f"{place}: caption is {shown(cell)}, not text; {ELSEWHERE}")
    try:
        text = written(cell)
    except ValueError as error:
        raise DatasetError(f"{place}: caption {error}") from None
    if spells_none(text):
        raise DatasetError(
            f"{place}: caption is the word {text!r}, as programs write a missing value; write a caption, leave the "
            f"row out, or leave the cell empty where there are other columns of captions"
        )
    if written_as_text(text) is not None:
        raise DatasetError(f"{place}: caption is {shown(text)}, a list or record written as one text; {ELSEWHERE}")
    return text


def seconds_of(cell: object, name: str, place: str) -> float:
    """A cell as seconds, NaN where it is blank. Raises DatasetError naming the row for what is no such number."""
    if blank(cell) or (isinstance(cell, str) and spells_none(cell)):
        return np.nan
    try:
        seconds = float(written(cell))
    except ValueError:
        seconds = np.nan
    if missing(seconds) or not 0 <= seconds < np.inf:
        raise DatasetError(f"{place}: {name} is {shown(cell)}, not a number of seconds; correct it")
    return seconds

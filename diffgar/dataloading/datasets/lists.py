"""Lists in cells, also where they are written as one text: `['slow', 'sad']` of Python, `["slow", "sad"]` of JSON."""

import ast
import json

import numpy as np

BRACKETS = (("[", "]"), ("{", "}"), ("(", ")"))


def written_as_text(text: str) -> object | None:
    """The list or record that a text is what Python or JSON write for; None for another, as `[Intro] slow piano`."""
    if (text[:1], text[-1:]) not in BRACKETS:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return None if isinstance(found, str | int | float) else found
    return None


def list_of(cell: object) -> list | None:
    """The items of a cell that is a list, or a list written as one text; None where it is neither."""
    found = written_as_text(cell.strip()) if isinstance(cell, str) else cell
    if isinstance(found, list | tuple) or (isinstance(found, np.ndarray) and found.ndim == 1):
        return list(found)
    return None

"""Edits in words, "the same with strings, but without drums", and what they make of a query."""

import re
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from diffgar.negation import WITHOUT
from diffgar.search.errors import SearchError
from diffgar.search.where import Part, read_part
from diffgar.values import is_number

SAME = re.compile(r"^\s*(?:(?:the|this|just)\s+)?(?:same|like this|this|more like this)\b[\s,;:]*", re.IGNORECASE)
JOINING = re.compile(r"^(?:but|and|only)\b[\s,]*", re.IGNORECASE)
WITH = re.compile(r"^(?:with|having|featuring)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Edit:
    """wanted: what an edit adds, as a caption, None if it adds nothing. unwanted: what it removes.

    part: where it is added, by default everywhere.
    """

    wanted: str | None
    unwanted: tuple[str, ...]
    part: Part | None = None


def read_edit(typed: str) -> Edit:
    """Take an edit apart: "the same with strings, but no drums" wants "strings" and does not want "drums".

    "with strings at the end" wants "strings" in the part "end", see `read_part`. Raises SearchError for an edit that
    adds and removes nothing.
    """
    rest = SAME.sub("", typed.strip())
    wanted, *unwanted = WITHOUT.split(rest)
    wanted = WITH.sub("", JOINING.sub("", wanted)).strip(" ,.;")
    found = tuple(removed for each in unwanted if (removed := JOINING.sub("", each).strip(" ,.;")))
    if not wanted and not found:
        raise SearchError(f"the edit {typed!r} changes nothing; say what is to be other: edit='the same with strings'")
    words, part = read_part(wanted)
    return Edit(words or None, found, part)


def checked_strength(strength: float) -> float:
    """An edit's strength from 0, the start as it is, to 1, the edit alone. Raises SearchError for any other."""
    if not is_number(strength) or not 0 <= strength <= 1:
        raise SearchError(f"an edit's strength is {strength!r}; give a number from 0 (as it was) to 1 (the edit alone)")
    return float(strength)


def between(start: Tensor, target: Tensor, strength: float) -> Tensor:
    """Unit queries (Q, D) on the way from one to the other: 0 is the start, 1 the target."""
    return F.normalize((1 - strength) * F.normalize(start, dim=-1) + strength * F.normalize(target, dim=-1), dim=-1)

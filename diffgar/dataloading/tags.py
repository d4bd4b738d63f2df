"""Tags → captions, for collections that have tags alone."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.tables import DatasetError

KINDS = ("genre", "instrument", "mood/theme")


def read_jamendo(table: str | Path | Mapping[str, str]) -> pd.DataFrame:
    """MTG-Jamendo's `autotagging*.tsv`, or `{split: file}`: its columns in lower case, `tags` a list.

    The rows are ragged: from the sixth on every cell is one more tag, `kind---tag` (Bogdanov et al., 2019).
    """
    if isinstance(table, Mapping):
        parts = [read_jamendo(path).assign(split=split) for split, path in table.items()]
        return pd.concat(parts, ignore_index=True)
    path = Path(table)
    if not path.is_file():
        raise DatasetError(f"{path}: no such table; it is in the folder data/ of MTG's mtg-jamendo-dataset")
    header, *lines = path.read_text(encoding="utf-8-sig").splitlines() or [""]
    names = header.lower().split("\t")
    if names[-1] != "tags" or not lines:
        raise DatasetError(f"{path}: expected rows under a header that ends with TAGS, found {names}")
    rows = [line.split("\t") for line in lines if line.strip()]
    if short := [number for number, row in enumerate(rows, start=1) if len(row) < len(names) - 1]:
        raise DatasetError(f"{path}: row {short[0]} has fewer cells than {names[:-1]}; fetch the table again")
    fixed = len(names) - 1
    frame = pd.DataFrame([row[:fixed] for row in rows], columns=names[:fixed])
    return frame.assign(tags=[row[fixed:] for row in rows])


def with_captions(table: pd.DataFrame, column: str = "tags", num_captions: int = 3) -> pd.DataFrame:
    """A tagged table with a column `caption`: `num_captions` sentences a row, each naming some of its tags.

    The same table gives the same captions. Rows without a tag are left out.
    """
    if column not in table:
        raise DatasetError(f"no column {column!r} of tags; there are {list(table.columns)}")
    table = table[[len(tags) > 0 for tags in table[column]]].reset_index(drop=True)
    captions = [captions_of(tags, num_captions, key=str(row)) for row, tags in enumerate(table[column])]
    return table.assign(caption=captions)


def captions_of(tags: Sequence[str], num_captions: int, key: str) -> list[str]:
    """Sentences that name tags: `genre---rock`, `mood/theme---happy`, or bare `rock`.

    The first names up to eight of them, the others about half. `key` seeds the choice.
    """
    seed = int.from_bytes(hashlib.sha256("\t".join([key, *tags]).encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    captions = []
    for k in range(num_captions):
        count = min(len(tags), 8) if k == 0 else (len(tags) + 1) // 2
        chosen = [tags[i] for i in sorted(random.permutation(len(tags))[:count])]
        captions.append(sentence_of(chosen, int(random.integers(3))))
    return captions


def sentence_of(tags: Sequence[str], form: int) -> str:
    """The tags as a sentence, in one of three forms: "Rock music with guitar, the mood is happy"."""
    words: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for tag in tags:
        kind, _, word = tag.rpartition("---")
        words[kind if kind in KINDS else "genre"].append(word.replace("_", " "))
    genres, instruments, moods = (_listed(words[kind]) for kind in KINDS)
    plain = ("music", "a track", "a song")
    sentence = (f"{genres} music", f"a {genres} track", f"{genres}")[form] if genres else plain[form]
    if instruments:
        sentence += (" with ", " featuring ", " played on ")[form] + instruments
    if moods:
        sentence += (", the mood is ", " that feels ", ", ")[form] + moods
    return sentence[0].upper() + sentence[1:]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))

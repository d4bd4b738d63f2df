"""Tags → captions, for collections that have tags alone."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.cells import blank, shown
from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.lists import list_of
from diffgar.dataloading.datasets.tables import joined, opened, read_tables
from diffgar.dataloading.datasets.text_files import lines_of, text_of

KINDS = ("genre", "instrument", "mood/theme")


def read_jamendo(table: str | Path | Mapping[str, str]) -> pd.DataFrame:
    """MTG-Jamendo's `autotagging*.tsv`, or `{split: file}`: its columns in lower case, `tags` a list.

    The rows are ragged: from the sixth on every cell is one more tag, `kind---tag` (Bogdanov et al., 2019).
    The index names each row by its line, for messages.
    """
    if isinstance(table, Mapping):
        return joined([read_jamendo(path).assign(split=split) for split, path in table.items()])
    path = Path(table).expanduser()
    text = opened(path, text_of, "it is in the folder data/ of MTG's mtg-jamendo-dataset")
    header, *lines = lines_of(text)
    names = header.lower().split("\t")
    rows = {number: line.split("\t") for number, line in enumerate(lines, start=2) if line.strip()}
    if names[-1] != "tags" or not rows:
        raise DatasetError(f"{path}: expected rows under a header that ends with TAGS, found {names}")
    fixed = len(names) - 1
    if short := [number for number, row in rows.items() if len(row) < fixed]:
        raise DatasetError(f"{path}: line {short[0]} has fewer cells than {names[:-1]}; fetch the table again")
    index = [f"{path}: line {number}" for number in rows]
    frame = pd.DataFrame([row[:fixed] for row in rows.values()], index=index, columns=names[:fixed], dtype=object)
    return frame.assign(tags=[[tag for tag in map(str.strip, row[fixed:]) if tag] for row in rows.values()])


def with_captions(table: pd.DataFrame, column: str = "tags", num_captions: int = 3) -> pd.DataFrame:
    """A tagged table with a column `caption`: `num_captions` sentences per row, each naming some of its tags.

    The same table gives the same captions. Rows without a tag are left out. Raises DatasetError naming the row whose
    tags are no list of texts.
    """
    if column not in table:
        raise DatasetError(f"no column {column!r} of tags; there are {list(table.columns)}")
    table = read_tables(table)  # names its rows
    tags = [_tags(cell, column, place) for place, cell in zip(table.index, table[column], strict=True)]
    table = table[[len(each) > 0 for each in tags]]
    captions = [captions_of(each, num_captions, key=str(row)) for row, each in enumerate(filter(None, tags))]
    return table.assign(caption=captions)


def _tags(cell: object, column: str, place: str) -> list[str]:
    if blank(cell):
        return []
    tags = list_of(cell)
    if tags is None or not all(isinstance(tag, str) for tag in tags):
        raise DatasetError(f"{place}: {column} is {shown(cell)}, expected a list of tags; write it as JSON or Parquet")
    return [tag for tag in tags if tag.strip()]


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

"""Hits as a table for a terminal, at most 100 columns wide."""

import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from diffgar.library import Library
    from diffgar.search.hits import Hits

WIDEST = 100  # columns
TRACK = 36  # columns of a track's name beside captions
NUMBERS = 27  # columns of rank, percentile and moment, with the space between


def print_hits(library: "Library", hits: "Hits") -> None:
    """Print what short negatives stand for, the hits, and what was searched."""
    console = Console(highlight=False)
    width = min(console.width, WIDEST) if sys.stdout.isatty() else WIDEST
    for line in expansions(hits):
        console.print(Text(cut_end(line, width)), soft_wrap=True)
    header, *rows = table_of(hits, width)
    console.print(Text(header, style="bold"), soft_wrap=True)
    for row in rows:
        console.print(Text(row), soft_wrap=True)
    opened = library.retriever.opened
    console.print(Text(f"of {len(library):,} tracks, by {opened.name} (step {opened.step})", style="dim"))
    if len(library.skipped):
        print(f"left out: {len(library.skipped)}, see {library.store.folder / 'skipped.csv'}", file=sys.stderr)


def expansions(hits: "Hits") -> list[str]:
    """What each short negative was taken for, and where it counts: "drums, in part 1 of 2: rock drums, jazz drums"."""
    lines = []
    for negative in hits.asked["negatives"]:
        where = f", in part {negative['part']} of {hits.parts.segments}" if "part" in negative else ""
        phrasings = negative["phrasings"][1:] or [negative["typed"]]
        if where or len(negative["phrasings"]) > 1:
            lines.append(printable(f"{negative['typed']}{where}: {', '.join(phrasings)}"))
    return lines


def table_of(hits: "Hits", width: int) -> list[str]:
    """The lines of a table, its header first; where no hit has a caption, names have that column's room."""
    captioned = any(hit.caption for hit in hits)
    room = max(8, width - NUMBERS)
    names = [cut_middle(printable(hit.track_id), min(TRACK, room // 2) if captioned else room) for hit in hits]
    longest = max([cell_len(name) for name in (*names, "track")])
    lines = [f"rank  percentile  {pad('track', longest)}       at" + ("  caption" if captioned else "")]
    for hit, name in zip(hits, names, strict=True):
        line = f"{hit.rank:4}  {hit.percentile:10.2f}  {pad(name, longest)}  {clock(hit.seconds):>7}"
        caption = cut_end(printable(hit.caption or ""), max(1, width - cell_len(line) - 2))
        lines.append(f"{line}  {caption}".rstrip())
    return lines


def clock(seconds: float) -> str:
    """A time in a track: 65 is "1:05", 3,665 is "1:01:05"."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def pad(text: str, width: int) -> str:
    """A text with spaces behind it, up to so many columns."""
    return text + " " * (width - cell_len(text))


def cut_end(text: str, width: int) -> str:
    """A text in so many columns of a terminal, with … where its end is left out."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"


def cut_middle(text: str, width: int) -> str:
    """A text in so many columns, with … where its middle is left out: "Bach, C…Aria.mp3"."""
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 2
    tail = set_cell_size(text[::-1], width - 1 - head)[::-1]
    return f"{set_cell_size(text, head).rstrip()}…{tail.lstrip()}"


def printable(text: str) -> str:
    """A text on one line, without what would move a terminal's cursor or change its colours."""
    return "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))

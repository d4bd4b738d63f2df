"""Purposes of music: captions that say what for, and never what it sounds like.

Each purpose is answered by tracks of three unlike lead instruments, so a good list for it is varied. The demo's tracks
get these captions in a second table; its encoder was trained on none of the words for a purpose.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from diffgar.demo.captions import phrasings
from diffgar.demo.collection import write_collection

CAPTIONS_PER_TRACK = 3
TABLE = "purposes.csv"
ALSO = ("tempo", "drums", "backing")  # what half of the captions name besides, one of them, in the demo's own words
FORMS = ("{}", "music for {}", "something for {}", "a soundtrack to {}", "we need a tune for {}", "it should suit {}")


@dataclass(frozen=True)
class Purpose:
    """The lead instruments that answer it, and the words that ask for it."""

    leads: tuple[str, str, str]
    words: tuple[str, ...]


# Drawn once: three leads of different families for each, no two purposes with two leads in common, each lead in 2 or 3.
PURPOSES = {
    "gardening": Purpose(
        ("music box", "acoustic guitar", "flute"),
        ("gardening", "weeding a vegetable patch", "planting tulip bulbs", "watering tomatoes", "pruning the roses"),
    ),
    "bakery": Purpose(
        ("marimba", "acoustic guitar", "cello"),
        ("a bakery at dawn", "kneading dough", "an oven of sourdough", "croissants and coffee", "a pastry shop"),
    ),
    "chess": Purpose(
        ("piano", "trumpet", "synthesizer"),
        (
            "a chess tournament",
            "pondering the endgame",
            "a grandmaster's victory",
            "checkmate",
            "a lost queen and king",
        ),
    ),
    "ferry": Purpose(
        ("music box", "distorted guitar", "trumpet"),
        ("a ferry crossing", "sailing to the islands", "seagulls over a harbour", "a lighthouse", "anchors aweigh"),
    ),
    "taxes": Purpose(
        ("sitar", "violin", "clarinet"),
        ("filing taxes", "an accountancy firm", "an insurance helpline", "spreadsheets", "invoices and receipts"),
    ),
    "nursery": Purpose(
        ("sitar", "harmonica", "synthesizer"),
        ("toddlers at naptime", "a kindergarten", "a puppet theatre", "finger painting", "building blocks"),
    ),
    "planetarium": Purpose(
        ("vibraphone", "cello", "saxophone"),
        ("a planetarium", "astronauts adrift", "a documentary about Saturn", "gazing at comets", "a moon landing"),
    ),
    "Zorvex": Purpose(  # a brand that there is not
        ("sitar", "cello", "flute"),
        ("Zorvex", "the Zorvex billboard", "Zorvex cola", "Zorvex, so fizzy", "a can of Zorvex"),
    ),
    "Quillmore": Purpose(  # another
        ("vibraphone", "clarinet", "synthesizer"),
        ("Quillmore", "Quillmore fountain pens", "the Quillmore boutique", "Quillmore ink", "a letter by Quillmore"),
    ),
    "heist": Purpose(
        ("distorted guitar", "violin", "harmonica"),
        ("a jewel heist", "burglars on the rooftop", "cracking a safe", "detectives", "getaway vehicles"),
    ),
    "yoga": Purpose(
        ("marimba", "electric guitar", "violin"),
        ("a yoga retreat", "stretching on a mat", "breathing exercises", "meditation", "the lotus pose"),
    ),
    "marathon": Purpose(
        ("piano", "electric guitar", "saxophone"),
        ("a marathon", "jogging before breakfast", "cyclists racing uphill", "a gym membership", "sprinters"),
    ),
}


def write_purposes(folder: str | Path, recipe: str = "demo", **sizes: int) -> Path:
    """Write the table of purposes, `purposes.csv`, beside the demo collection; returns it.

    The collection is written first where it is not there yet; recipe and sizes are those of `write_collection`. Its
    audio serves both. One row per caption, with the columns of `purpose_rows`. A table that is up to date is left.
    """
    collection, table = write_collection(folder, recipe=recipe, **sizes), Path(folder) / TABLE
    rows = purpose_rows(pd.read_csv(collection, dtype=str, keep_default_na=False))
    text = rows.to_csv(index=False, lineterminator="\n")
    with FileLock(Path(folder).with_name(f"{Path(folder).name}.lock")):
        if not table.is_file() or table.read_text(encoding="utf-8") != text:
            part = table.with_suffix(".part")
            part.write_text(text, encoding="utf-8", newline="\n")
            os.replace(part, table)
    return table


def purpose_rows(collection: pd.DataFrame) -> pd.DataFrame:
    """Captions of purposes for the tracks of a collection's table: CAPTIONS_PER_TRACK rows for each track.

    Columns: caption_id, track_id, path, caption, split, purpose (the one that the caption asks for), named (the
    attribute that it names besides, or ""), lead and those of ALSO. A track's rows depend on the track alone. What
    changes within a track (the collection's column `changes`) is not named, and a track whose lead changes is left out.
    """
    tracks = collection.drop_duplicates("track_id")
    rows = [row for track in tracks.to_dict("records") for row in captions_of(track)]
    return pd.DataFrame(
        rows, columns=["caption_id", "track_id", "path", "caption", "split", "purpose", "named", "lead", *ALSO]
    )


def captions_of(track: dict[str, str]) -> list[dict[str, str]]:
    """The rows of a track, each for one of the purposes that its lead answers."""
    random, changes = np.random.default_rng([*track["track_id"].encode()]), track.get("changes", "")
    answered = [name for name, purpose in PURPOSES.items() if track["lead"] in purpose.leads]
    also = [name for name in ALSO if name != changes]
    rows = []
    for number in range(0 if changes == "lead" else CAPTIONS_PER_TRACK):
        purpose = answered[random.integers(len(answered))]
        named = also[random.integers(len(also))] if random.random() < 0.5 else ""
        row = {"caption_id": f"{track['track_id']}-{number}", "caption": request(purpose, random)}
        if named:
            words = phrasings(named, track[named])
            row["caption"] += f", {words[random.integers(len(words))]}"
        kept = {name: track[name] for name in ("track_id", "path", "split", "lead", *ALSO)}
        rows.append(row | kept | {"purpose": purpose, "named": named})
    return rows


def request(purpose: str, random: np.random.Generator) -> str:
    """One of the ways to ask for music for a purpose."""
    words = PURPOSES[purpose].words
    return FORMS[random.integers(len(FORMS))].format(words[random.integers(len(words))])

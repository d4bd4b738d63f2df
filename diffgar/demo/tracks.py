"""One track of a demo collection: its rows in the table, and its audio file."""

import os
from pathlib import Path

import numpy as np
import soundfile

from diffgar.demo.music import bar_beats_of, compose, draw_timing, length_of
from diffgar.demo.recipes import RECIPES, Piece, Recipe
from diffgar.demo.sound import SAMPLE_RATE, render

SPLITS = ("train", "validation", "test")
DEMO = RECIPES["demo"]


def track_id(split: str, number: int) -> str:
    """The id of a track: `train-00012`."""
    return f"{split}-{number:05d}"


def audio_path(split: str, number: int) -> str:
    """The path of a track's file, relative to the collection's folder."""
    return f"audio/{track_id(split, number)}.flac"


def generator(seed: int, split: str, number: int, purpose: int) -> np.random.Generator:
    """Randomness of a track's music (0), captions (1), attributes (2) or level (3): one does not move the other."""
    return np.random.default_rng([seed, SPLITS.index(split), number, purpose])


def piece_of(seed: int, split: str, number: int, recipe: Recipe) -> Piece:
    """What a track is."""
    random = generator(seed, split, recipe.number_of_music(number), 2)
    return recipe.piece(random, backwards=recipe.is_twin(number))


def track_rows(seed: int, split: str, number: int, recipe: Recipe = DEMO) -> list[dict]:
    """The rows of a track in captions.csv, one per caption.

    Their columns: caption_id, track_id, path (relative to the folder), caption, split, duration (s); of a caption
    `named` (the attributes that it names, joined by "|") and `tells_course`; of a track its attributes, and `course`
    (its kind, empty where nothing changes), `changes` (what), `before`, `after` and `change_at` (s, the first change).
    An attribute that changes has one of its two values, a part that comes or goes its own. Where a recipe has twins,
    `twin_of` is the reversed twin's id.
    """
    music = recipe.number_of_music(number)
    piece = piece_of(seed, split, number, recipe)
    stretches = draw_timing(piece.attributes, piece.drawn, generator(seed, split, music, 0), piece.backwards)
    seconds = length_of(stretches, bar_beats_of(piece.attributes))
    course, rows = piece.course, []
    track: dict[str, object] = {"duration": round(seconds, 3), **piece.attributes}
    track |= {"course": course.kind, "changes": course.changes} if course else {"course": "", "changes": ""}
    track |= {"before": course.before, "after": course.after} if course else {"before": "", "after": ""}
    track["change_at"] = round(stretches[1].start, 3) if course else ""
    if recipe.twins:
        track["twin_of"] = track_id(split, recipe.twin_of(number))
    for i, said in enumerate(recipe.captions(piece, generator(seed, split, number, 1))):
        row: dict[str, object] = {"caption_id": f"{track_id(split, number)}-{i}", "track_id": track_id(split, number)}
        row |= {"path": audio_path(split, number), "caption": said.text, "split": split}
        rows.append(row | {"named": "|".join(said.named), "tells_course": said.tells_course} | track)
    return rows


def render_track(folder: Path, seed: int, split: str, number: int, recipe: Recipe = DEMO) -> None:
    """Write a track's audio file, whole or not at all."""
    music = recipe.number_of_music(number)
    piece = piece_of(seed, split, number, recipe)
    random = generator(seed, split, music, 0)
    song = compose(piece.attributes, random, piece.drawn, piece.backwards, recipe.orchestra)
    samples = render(song)
    level = generator(seed, split, music, 3).uniform(0.25, 0.5)  # full scale is 1
    samples *= level / np.abs(samples).max()
    path = folder / audio_path(split, number)
    part = path.with_suffix(".part")
    soundfile.write(part, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(part, path)

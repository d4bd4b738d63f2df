"""MIDI files → FLAC by the demo's sampler, for collections that are notes alone, as MidiCaps.

python -m diffgar.demo.midi data/midicaps data/midicaps/audio
"""

import argparse
import logging
import os
from pathlib import Path

import numpy as np
import pretty_midi
import soundfile
from tqdm import tqdm

from diffgar.dataloading import workers
from diffgar.demo.music import Part
from diffgar.demo.sound import SAMPLE_RATE, TONES, render_part

log = logging.getLogger(__name__)

SUFFIXES = (".mid", ".midi")
LONGEST = 600  # seconds; damaged files last days
PEAK = 0.5  # full scale is 1
MOST_TONES = 500  # kept in memory, some 100 MB
DRUMS = 128  # the bank


def read_parts(path: Path) -> list[Part]:
    """The instruments of a MIDI file with their notes. Raises ValueError for a file that has none or is damaged."""
    try:
        instruments = pretty_midi.PrettyMIDI(str(path)).instruments
    except Exception as error:  # mido raises what the bytes make it: EOFError, IndexError, KeyError …
        raise ValueError(f"{path}: cannot be read as MIDI ({type(error).__name__}: {error})") from error
    parts = []
    for each in instruments:
        notes = [(n.start, n.end - n.start, n.pitch, n.velocity) for n in each.notes if n.start < LONGEST]
        if notes:
            bank, program = (DRUMS, 0) if each.is_drum else (0, each.program)
            parts.append(Part(program, 0.0, notes, bank))
    if not parts:
        raise ValueError(f"{path}: holds no note; leave its row out of the table")
    return parts


def render_midi(path: Path) -> np.ndarray:
    """A MIDI file as (S,) float32 mono at SAMPLE_RATE, its peak at PEAK, a second longer than its last note.

    It is as loud as its velocities: controllers, pitch bends and pedals are not played. Raises ValueError as
    `read_parts` does, and for notes that the soundfont has no sound for.
    """
    parts = read_parts(path)
    end = min(LONGEST, max(start + length for part in parts for start, length, _, _ in part.notes)) + 1
    mix = np.zeros(round(end * SAMPLE_RATE), np.float32)
    for part in parts:
        mix += render_part(part, len(mix))
    if len(TONES) > MOST_TONES:
        TONES.clear()
    peak = float(np.abs(mix).max())
    if peak == 0:
        raise ValueError(f"{path}: the soundfont has no sound for its notes; leave its row out of the table")
    return mix * np.float32(PEAK / peak)


def render_file(job: tuple[Path, Path]) -> str | None:
    """Render a file to another, whole or not at all; why it cannot be, or None."""
    source, target = job
    try:
        samples = render_midi(source)
    except ValueError as error:
        return str(error)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    soundfile.write(part, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(part, target)
    return None


def render_folder(source: Path, target: Path, num_workers: int) -> list[str]:
    """Render the MIDI files under a folder to a like one of FLAC; those that are there stay. Why some cannot be."""
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{source}: no MIDI file in this folder or below it; unpack them there")
    jobs = [(path, target / path.relative_to(source).with_suffix(".flac")) for path in files]
    missing = [job for job in jobs if not job[1].is_file()]
    with workers.context().Pool(num_workers, workers.begin) as pool:
        done = tqdm(pool.imap_unordered(render_file, missing), "rendering", len(missing), disable=not missing)
        return sorted(filter(None, done))


def main() -> None:
    """Render the folder that the command names; name the files that cannot be."""
    parser = argparse.ArgumentParser(description="Render the MIDI files under a folder to FLAC.")
    parser.add_argument("source", type=Path, help="the folder of MIDI files")
    parser.add_argument("target", type=Path, help="the folder for FLAC files, by the same names")
    parser.add_argument("--num-workers", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    options = parser.parse_args()
    for reason in render_folder(options.source, options.target, options.num_workers):
        log.warning("left out: %s", reason)


if __name__ == "__main__":
    main()

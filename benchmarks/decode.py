"""How fast audio files are decoded and resampled, against libsndfile alone on the same files. Prints JSON.

    python -m benchmarks.decode                    # a minute of each format, some seconds in all
    python -m benchmarks.decode --seconds 600 --rounds 3

`decode` is `audio.load`, with all that it checks; `libsndfile` reads, mixes and resamples the same file and checks
nothing; `digest` is the hash of the file that extraction takes beside. In seconds of audio per second of one core, the
best of several rounds in which the paths take turns.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from diffgar.dataloading.audio import QUALITY, load, mix
from diffgar.dataloading.decoders.decode import BLOCK_FRAMES
from diffgar.extraction.decode_ahead import file_digest

RATE = 44100
FORMATS = ("wav", "flac", "ogg", "mp3")


def write_music(path: Path, seconds: int) -> None:
    """Stereo chords over noise, written a second at a time."""
    random = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 2) as file:
        for second in range(seconds):
            clock = second + np.arange(RATE) / RATE
            wave = sum(0.1 * np.sin(2 * np.pi * f * clock) for f in (110, 440, 1234.5, 3000))
            file.write(wave[:, None] * [1, 0.7] + 0.02 * random.standard_normal((RATE, 2)))


def libsndfile_alone(path: Path, sample_rate: int) -> np.ndarray:
    """What a file decodes to where nothing is checked: (S,) float32 mono."""
    parts = []
    with soundfile.SoundFile(path) as file:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality=QUALITY)
        while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
            assert np.isfinite(block).all()
            mono = mix(block)
            np.abs(mono).max()
            parts.append(resampler.resample_chunk(mono))
    return np.concatenate([*parts, resampler.resample_chunk(np.zeros(0, np.float32), last=True)])


def best_rates(paths: dict[str, Callable[[], object]], seconds: int, rounds: int) -> dict[str, float]:
    """Seconds of audio per second of each path: its best of `rounds`."""
    times = {name: [] for name in paths}
    for _ in range(rounds):
        for name, run in paths.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: round(seconds / min(taken), 1) for name, taken in times.items()}


def main() -> None:
    """Write a file of each format, decode it along every path, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--sample_rate", type=int, default=48000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    report: dict = {"seconds": args.seconds, "sample_rate": args.sample_rate, "rounds": args.rounds}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMATS:
            path = Path(folder) / f"music.{form}"
            write_music(path, args.seconds)
            same = load(path, args.sample_rate), libsndfile_alone(path, args.sample_rate)
            rates = best_rates(
                {
                    "libsndfile": lambda path=path: libsndfile_alone(path, args.sample_rate),
                    "decode": lambda path=path: load(path, args.sample_rate),
                    "digest": lambda path=path: file_digest.__wrapped__(str(path), 0, 0),
                },
                args.seconds,
                args.rounds,
            )
            difference = float(np.abs(same[0] - same[1]).max()) if len(same[0]) == len(same[1]) else None
            report[form] = rates | {"ratio": round(rates["decode"] / rates["libsndfile"], 3), "difference": difference}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

"""How fast extraction is against its parts, and how much memory it takes. Prints JSON.

    python -m benchmarks.extract                                     # the demo pair: decoding dominates
    python -m benchmarks.extract --encoder_pair clap --weights random --tracks 16 --batch_size 8
    python -m benchmarks.extract --many 10000                        # memory over 10,000 tracks
    python -m benchmarks.extract --hours 2                           # memory on a two-hour file

`end_to_end` runs extract_audio on files; `forward` is the same encoder on windows that are already in memory;
`decode` is one process that only reads. All in seconds of audio per second: a window counts its hop.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from benchmarks.memory import Memory, unique
from diffgar.dataloading.audio import load, windows
from diffgar.dataloading.datasets.splits import by_name
from diffgar.dataloading.datasets.tracks import Dataset, read_dataset
from diffgar.dataloading.store.reader import Store
from diffgar.extraction.batches import Options
from diffgar.extraction.decode_ahead import PIECE_SECONDS
from diffgar.extraction.stores import extract_audio
from diffgar.jobs.building import build, composed
from diffgar.models.encoders.base import AudioEncoder

RATE = 44100


def write_tone(path: Path, seconds: float, seed: int, channels: int = 2) -> None:
    """Stereo chords over noise, written a minute at a time."""
    random = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", RATE, channels) as file:
        for start in np.arange(0, seconds, 60):
            clock = start + np.arange(round(min(60, seconds - start) * RATE)) / RATE
            wave = sum(0.1 * np.sin(2 * np.pi * f * clock) for f in random.uniform(80, 2000, 4))
            file.write(wave[:, None] + 0.02 * random.standard_normal((len(clock), channels)))


def collection(folder: Path, num_tracks: int, seconds: float, suffix: str, num_files: int) -> Dataset:
    """num_tracks tracks that share num_files files."""
    for i in range(num_files):
        write_tone(folder / f"{i}.{suffix}", seconds, seed=i)
    table = pd.DataFrame({"track_id": range(num_tracks)})
    table["path"] = [f"{i % num_files}.{suffix}" for i in range(num_tracks)]
    return read_dataset("bench", table, str(folder), {"track_id": "track_id", "path": "path"}, by_name("train"))


def build_encoder(pair: str, weights: str | None) -> tuple[AudioEncoder, float]:
    """The audio encoder of a pair, and its hop in seconds. weights: in place of the pair's own."""
    cfg = composed("extract_dataset", [f"encoder_pair={pair}"]).encoder_pair
    options = {} if weights is None else {"weights": weights}
    return build(cfg.audio_encoder, **options).eval(), cfg.hop_seconds


def decode_rate(dataset: Dataset, sample_rate: int) -> float:
    """Audio seconds per second of one process that reads and resamples, and does nothing else."""
    tracks = list(dataset)[:8]
    start = time.perf_counter()
    seconds = sum(len(load(track.path, sample_rate)) for track in tracks) / sample_rate
    return seconds / (time.perf_counter() - start)


def forward_rate(encoder: AudioEncoder, dataset: Dataset, hop: float, options: Options, num_batches: int) -> float:
    """Audio seconds per second of the encoder alone, on windows that lie on its device."""
    waveform = load(next(iter(dataset)).path, encoder.sample_rate)
    device = options.torch_device
    cut = windows(waveform, encoder.sample_rate, encoder.window_seconds, hop, encoder.short_padding)
    batch = torch.from_numpy(np.resize(cut, (options.batch_size, cut.shape[1]))).to(device)
    encode = options.forward(encoder.to(device).encode)
    for _ in range(2):  # the first calls allocate
        encode(batch).cpu()
    start = time.perf_counter()
    for _ in range(num_batches - 1):
        encode(batch)
    encode(batch).cpu()  # waits for a GPU
    return num_batches * options.batch_size * hop / (time.perf_counter() - start)


def throughput(args: argparse.Namespace, folder: Path) -> dict:
    """Seconds of audio per second: of a whole extraction, of its forward passes, and of decoding."""
    dataset = collection(folder, args.tracks, args.seconds, args.format, num_files=min(args.tracks, 16))
    encoder, hop = build_encoder(args.encoder_pair, args.weights)
    options = Options(batch_size=args.batch_size, num_workers=args.num_workers, device=args.device)
    decode = decode_rate(dataset, encoder.sample_rate)
    num_frames = int((args.seconds - encoder.window_seconds) / hop) + 1
    num_batches = max(2, args.tracks * num_frames // args.batch_size)
    before = forward_rate(encoder, dataset, hop, options, num_batches)
    start = time.perf_counter()
    extract_audio(dataset, encoder, folder / "store", hop, options)
    elapsed = time.perf_counter() - start
    end_to_end = Store(folder / "store").card.num_frames * hop / elapsed
    forward = (before + forward_rate(encoder, dataset, hop, options, num_batches)) / 2
    return {
        "encoder": encoder.name,
        "device": str(options.torch_device),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "tracks": args.tracks,
        "seconds_a_track": args.seconds,
        "format": args.format,
        "num_workers": args.num_workers,
        "batch_size": args.batch_size,
        "decode_a_core": round(decode, 1),
        "forward": round(forward, 1),
        "end_to_end": round(end_to_end, 1),
        "end_to_end_of_forward": round(end_to_end / forward, 3),
    }


def memory(args: argparse.Namespace, folder: Path) -> dict:
    """Peak memory over many short tracks, or on one long file against one of ten minutes."""
    encoder, hop = build_encoder(args.encoder_pair, args.weights)
    options = Options(batch_size=args.batch_size, num_workers=args.num_workers, device=args.device)
    report = {"encoder": encoder.name, "num_workers": args.num_workers, "piece_seconds": PIECE_SECONDS}
    if args.many:
        dataset = collection(folder, args.many, args.seconds, args.format, num_files=16)
        with Memory(unique, every=0.05) as used:
            extract_audio(dataset, encoder, folder / "store", hop, options)
        tenths = [used.peak(k / 10, (k + 1) / 10) for k in range(10)]
        return report | {"tracks": args.many, "peak_mb_by_tenth": tenths, "growth_mb": round(tenths[8] - tenths[1], 1)}
    for name, seconds in (("ten_minutes", 600), (f"{args.hours:g}_hours", args.hours * 3600)):
        (folder / name).mkdir()
        dataset = collection(folder / name, 1, seconds, args.format, num_files=1)
        with Memory(unique, every=0.05) as used:
            extract_audio(dataset, encoder, folder / name / "store", hop, options)
        frames = Store(folder / name / "store").card.num_frames
        report[name] = {"frames": frames, "peak_mb": used.peak()}
    return report


def main() -> None:
    """Measure throughput, or memory with --many or --hours, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder_pair", default="demo", help="a file of config/encoder_pair")
    parser.add_argument("--weights", help="in place of the pair's own; random where there are none at hand")
    parser.add_argument("--tracks", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--format", default="flac", choices=["wav", "flac", "mp3", "ogg"])
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--num_workers", type=int, default=max(1, (os.cpu_count() or 2) - 1))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--many", type=int, help="memory over so many tracks")
    parser.add_argument("--hours", type=float, help="memory on one file of so many hours")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = memory(args, Path(folder)) if args.many or args.hours else throughput(args, Path(folder))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

"""How fast random crops are read from a latent store: one gather per batch, against one slice per track.

python -m benchmarks.latents
"""

import argparse
import json
import tempfile
import time

import numpy as np
import pandas as pd
import torch

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.writer import StoreWriter


def make_store(folder: str, num_tracks: int, num_frames: int, dim: int) -> Store:
    """A store of random latents: `num_tracks` tracks of `num_frames` frames each."""
    ids = [f"t{i}" for i in range(num_tracks)]
    card = Card("audio", "benchmark", "none", "0", 0, "none", dim, shard_size=256)
    writer = StoreWriter(folder, card, pd.DataFrame({"row_id": ids, "split": "test"}))
    random = np.random.default_rng(0)
    for shard in writer.pending():
        rows = writer.rows_of(shard)
        block = random.standard_normal((num_frames, dim), dtype=np.float32)
        writer.write_shard(shard, {ids[i]: np.roll(block, i, axis=0) for i in rows})
    writer.finish()
    return Store(folder)


def by_slices(store: Store, rows, starts, num_frames: int) -> torch.Tensor:
    """The crops (B, T, D) read track by track."""
    crops = [store.row(row)[start : start + num_frames] for row, start in zip(rows, starts, strict=True)]
    return torch.from_numpy(np.stack(crops))


def main() -> None:
    """Read 40 batches both ways, in turn, and print samples per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=128)
    arguments = parser.parse_args()
    batch, num_frames, dim, random = 256, 64, 512, np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(folder, arguments.tracks, arguments.frames, dim)
        ways = {
            "gather": lambda *crop: store.gather(*crop, num_frames),
            "slices": lambda *c: by_slices(store, *c, num_frames),
        }
        seconds = {name: [] for name in ways}
        for _ in range(40):
            rows = random.integers(len(store), size=batch)
            starts = random.integers(arguments.frames - num_frames, size=batch)
            for name, way in ways.items():
                begun = time.perf_counter()
                way(rows, starts)
                seconds[name].append(time.perf_counter() - begun)
        rates = {name: batch / float(np.median(times)) for name, times in seconds.items()}
    shape = {"batch": batch, "num_frames": num_frames, "dim": dim, "megabytes": store.nbytes / 1e6}
    print(json.dumps(shape | {"samples_per_second": rates, "ratio": rates["gather"] / rates["slices"]}, indent=1))


if __name__ == "__main__":
    main()

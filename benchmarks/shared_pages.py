"""Whether processes of one host share a store: the memory of each that reads all of it. Prints JSON.

    python -m benchmarks.shared_pages --mb 200 --processes 2
    python -m benchmarks.shared_pages --mb 200 --processes 2 --memory ram

Every process opens the store, holds it as `--memory` says, reads all its frames, and waits until all have done so. What
each then has beyond its start is told in MB: rss counts a shared page in every process, pss its share of it (a half of
what two have), uss only what is its own. Shared by N, a store of M MB has a pss of M / N in each, M in all. Linux.
"""

import argparse
import json
import multiprocessing
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.writer import StoreWriter

DIM, FRAMES = 512, 1024  # 1 MB a track


def make_store(folder: Path, num_tracks: int) -> None:
    """An audio store of tracks of 1 MB each."""
    random, ids = np.random.default_rng(0), [f"t{number}" for number in range(num_tracks)]
    plan = pd.DataFrame({"row_id": ids, "track_id": ids, "split": "train"})
    about = {"dataset": "toy", "checkpoint_hash": "0", "frontend_version": 1, "layer": "last", "shard_size": 16}
    writer = StoreWriter(folder, Card(kind="audio", encoder="toy", dim=DIM, **about), plan)
    for shard in writer.pending():
        rows = [ids[row] for row in writer.rows_of(shard)]
        writer.write_shard(shard, {row: random.random((FRAMES, DIM), dtype=np.float32) for row in rows})
    writer.finish()


def memory() -> dict[str, float]:
    """This process's memory in MB."""
    found = psutil.Process().memory_full_info()
    return {name: getattr(found, name) / 2**20 for name in ("rss", "pss", "uss")}


def read_all(folder: Path, how: str, together: Barrier, told: multiprocessing.SimpleQueue) -> None:
    """Read a store beside the other processes, and tell what memory that took."""
    store, before = Store(folder), memory()
    store.hold(memory=how)
    total = sum(float(store.row(row)[:, 0].sum(dtype=np.float64)) for row in range(len(store)))
    together.wait()
    after = memory()
    together.wait()  # no process ends, and leaves its pages to the others, before all have measured
    told.put({name: round(after[name] - before[name], 1) for name in before} | {"sum": round(total, 3)})


def shared_pages(folder: Path, processes: int, how: str = "map") -> list[dict[str, float]]:
    """What memory each of several processes takes that read the store of a folder at once: rss, pss and uss in MB."""
    spawn = multiprocessing.get_context("spawn")
    together, told = spawn.Barrier(processes), spawn.SimpleQueue()
    readers = [spawn.Process(target=read_all, args=(folder, how, together, told)) for _ in range(processes)]
    for reader in readers:
        reader.start()
    found = [told.get() for _ in readers]
    for reader in readers:
        reader.join()
    return found


def main() -> None:
    """Make a store, read it in several processes at once, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--memory", default="map", choices=["map", "ram"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder) / "audio", asked.mb)
        found = shared_pages(Path(folder) / "audio", asked.processes, asked.memory)
    in_all = round(sum(each["pss"] for each in found), 1)
    print(
        json.dumps({"store_mb": asked.mb, "memory": asked.memory, "processes": found, "pss_in_all": in_all}, indent=1)
    )


if __name__ == "__main__":
    main()

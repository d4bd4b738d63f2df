"""How long a search takes, what of it, and the first from a cold process. Prints JSON.

    python -m benchmarks.search                                       # the demo model and its student of one call
    python -m benchmarks.search --tracks 100000 --searches 10
    python -m benchmarks.search --models checkpoints/demo --threads 2 --cold 0

The library has tracks of a minute, 60 frames of the demo's latents each, and a caption of the demo for each. Kinds of
search take turns, so that all meet the same load. Times are in ms per search, by the wall clock and of the process's
CPU: on a machine that is busy with other things the second says what an idle one would need.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import diffgar.search.bench
from diffgar import Retriever
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.library import Library
from diffgar.search.asking import Asking
from diffgar.search.bench import Asker
from diffgar.search.negatives import Phrasebook

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "negative": {"negative": "drums"},
    "edit": {"edit": "the same with strings, but without drums"},
}
COLD = """
import json, sys, time
clock = lambda: (time.perf_counter(), time.process_time())
times = [("start", clock())]
from diffgar import Retriever
times.append(("import", clock()))
retriever = Retriever.from_pretrained(sys.argv[1])
times.append(("model", clock()))
library = retriever.index(sys.argv[2])
times.append(("library", clock()))
library.search("a calm piano piece", **json.loads(sys.argv[3]))
times.append(("first_search", clock()))
parts = {
    name: {"wall_s": round(now[0] - before[0], 3), "cpu_s": round(now[1] - before[1], 3)}
    for (_, before), (name, now) in zip(times, times[1:])
}
print(json.dumps(parts))
"""


class Stopwatch:
    """CPU time within functions of the door, less that within others of them: what a search is made of."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.within: list[float] = []

    def watch(self, owner: Any, function: str, name: str) -> None:
        """Let calls of a function of a module or class be counted under a name."""
        inner: Callable = getattr(owner, function)

        def timed(*arguments: Any, **options: Any) -> Any:
            self.within.append(0.0)
            start = time.process_time()
            try:
                return inner(*arguments, **options)
            finally:
                took = time.process_time() - start
                self.spent[name] += took - self.within.pop()
                if self.within:
                    self.within[-1] += took

        setattr(owner, function, timed)

    def parts(self, searches: int) -> dict[str, float]:
        """ms per search, and forget them."""
        found = {name: round(1000 * spent / searches, 2) for name, spent in sorted(self.spent.items())}
        self.spent.clear()
        return found


def watched() -> Stopwatch:
    """A stopwatch on the parts of a search."""
    stopwatch = Stopwatch()
    stopwatch.watch(Asking, "hits", "other")
    stopwatch.watch(diffgar.search.bench, "encode_captions", "text_encoder")
    stopwatch.watch(Asker, "queries", "sampling")
    stopwatch.watch(Asking, "ranked", "ranking")
    stopwatch.watch(Library, "moment", "moments")
    stopwatch.watch(Phrasebook, "expand", "expansion")
    return stopwatch


def write_library(folder: Path, source: Store, num_tracks: int, num_frames: int) -> dict[str, list[str]]:
    """A store of tracks cut at random out of a source's frames, in shards as an extraction writes them."""
    random, frames = np.random.default_rng(0), np.asarray(source.frames)
    ids = [f"track-{number:07d}" for number in range(num_tracks)]
    files = {"path": [f"{each}.flac" for each in ids], "split": "library"}
    plan = pd.DataFrame({"row_id": ids} | files).assign(start_s=None, end_s=None, artist=None)  # as of a folder
    card = replace(source.card, dataset="bench", shard_size=1024, checksums=None, files=None)
    writer = StoreWriter(folder, card, plan)
    for shard in writer.pending():
        starts = random.integers(len(frames) - num_frames, size=len(writer.rows_of(shard)))
        rows = {ids[row]: frames[s : s + num_frames] for row, s in zip(writer.rows_of(shard), starts, strict=True)}
        writer.write_shard(shard, rows)
    writer.finish()
    return dict.fromkeys(ids)


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and 90th percentile, in milliseconds."""
    median, ninth = np.percentile(1000 * np.array(seconds), [50, 90])
    return {"median": round(float(median), 1), "p90": round(float(ninth), 1)}


def cold(model: str, store: Path, kind: str, repeats: int) -> dict:
    """Seconds of a new process up to its first answer, the fastest of a few."""
    command = [sys.executable, "-c", COLD, model, str(store), json.dumps(KINDS[kind])]
    runs = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(repeats)]
    best = min(runs, key=lambda run: sum(part["cpu_s"] for part in run.values()))
    return best | {"all": {unit: round(sum(part[unit] for part in best.values()), 2) for unit in ("wall_s", "cpu_s")}}


def measured(libraries: dict[str, Library], captions: list[str]) -> dict:
    """Every kind of search by every model, in turns, each once before it counts."""
    stopwatch, wall, cpu = watched(), defaultdict(list), defaultdict(list)
    parts: dict[tuple, dict] = defaultdict(lambda: defaultdict(float))
    ways = [(name, kind) for name in libraries for kind in KINDS]
    for number, caption in enumerate(captions):
        for name, kind in ways:
            start, process = time.perf_counter(), time.process_time()
            libraries[name].search(caption, **KINDS[kind])
            took = time.perf_counter() - start, time.process_time() - process
            spent = stopwatch.parts(1)
            if number:
                wall[name, kind].append(took[0])
                cpu[name, kind].append(took[1])
                for part, ms in spent.items():
                    parts[name, kind][part] += ms / (len(captions) - 1)
    return {
        name: {
            kind: {
                "wall_ms": summary(wall[name, kind]),
                "cpu_ms": summary(cpu[name, kind]),
                "mean_cpu_ms_of": {part: round(ms, 2) for part, ms in parts[name, kind].items()},
            }
            for kind in KINDS
        }
        for name in libraries
    }


def main() -> None:
    """Time the searches of each model, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["checkpoints/demo", "checkpoints/demo_student_1_call"])
    parser.add_argument("--latents", default="data/latents/demo/demo_audio", help="the store that tracks are cut from")
    parser.add_argument("--captions", default="data/demo/captions.csv")
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--searches", type=int, default=30, help="of each kind by each model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cold", type=int, default=3, help="how many cold processes of each; 0 for none")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    texts = list(pd.read_csv(asked.captions)["caption"])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GDR_LIBRARIES"] = str(Path(folder, "libraries"))
        store = Path(folder, "latents", "bench_audio")
        ids = write_library(store, Store(asked.latents), asked.tracks, asked.frames)
        captions = {each: [texts[number % len(texts)]] for number, each in enumerate(ids)}
        libraries = {
            Path(model).name: Library(Retriever.from_pretrained(model), Store(store), captions)
            for model in asked.models
        }
        report = {"tracks": asked.tracks, "frames": asked.frames, "threads": asked.threads, "searches": asked.searches}
        report["loaded"] = measured(libraries, texts[-asked.searches - 1 :])
        if asked.cold:
            report["cold_seconds"] = {
                Path(model).name: {kind: cold(model, store, kind, asked.cold) for kind in ("plain", "negative")}
                for model in asked.models
            }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

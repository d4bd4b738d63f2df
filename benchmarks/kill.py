"""A library of 3,000 tracks whose indexing is killed (SIGKILL) and run again, against one never killed. Prints JSON.

    python -m benchmarks.kill                                # of the demo: train_ldm.py has rendered its audio
    python -m benchmarks.kill --tracks 300 --kills 1

Then ten files come, five go, one is touched and one changes its content: how many each costs to encode.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil

from diffgar import Retriever
from diffgar.dataloading.store.reader import Store
from diffgar.extraction.progress import Progress
from diffgar.library import Library
from diffgar.search.indexing import OPTIONS

CHILD = "import sys; from benchmarks.kill import index; index(*sys.argv[1:])"
QUERIES = ["a calm piano piece", "fast rock drums", "sad strings in a minor key", "a waltz", "jazz with upright bass"]
NEGATIVES = [None, "drums"]


def index(model: str, music: str, root: str) -> None:
    """What a child process does: index a folder, and print the store and how many tracks it encoded."""
    encoded, done = [], Progress.done
    Progress.done = lambda self, result: encoded.append(result) or done(self, result)
    library = Retriever.from_pretrained(model).index(music, root=root)
    print(json.dumps({"store": str(library.store.folder), "tracks": len(library), "encoded": len(encoded)}))


def start(asked: argparse.Namespace, music: Path, root: Path) -> subprocess.Popen:
    """A child process that indexes."""
    command = [sys.executable, "-c", CHILD, asked.model, str(music), str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finished(asked: argparse.Namespace, music: Path, root: Path) -> dict:
    """What a child that is left alone says, and its seconds."""
    begun = time.perf_counter()
    child = start(asked, music, root)
    said, _ = child.communicate()
    if child.returncode:
        raise SystemExit(f"indexing {music} failed with code {child.returncode}")
    return json.loads(said) | {"seconds": round(time.perf_counter() - begun, 1)}


def killed(asked: argparse.Namespace, music: Path, root: Path, shards: int, delay: float) -> dict:
    """SIGKILL for a child, so many seconds after so many shards are on disk: what was left of it."""
    child = start(asked, music, root)
    while child.poll() is None and count_of_shards(root) < shards:
        time.sleep(0.02)
    time.sleep(delay)
    family = psutil.Process(child.pid).children(recursive=True) if child.poll() is None else []
    child.kill()
    if child.wait() == 0:
        raise SystemExit("the indexing had ended before it was killed; take more tracks")
    _, orphans = psutil.wait_procs(family, timeout=60)
    return {"shards_on_disk": count_of_shards(root), "workers_left_after_60_s": len(orphans)}


def count_of_shards(root: Path) -> int:
    """How many shards of a library that is being made are on disk."""
    return len(list(root.glob("*/*/writing/*/*.npz")))


def differences(asked: argparse.Namespace, first: Path, second: Path) -> dict:
    """Whether two stores have the same checksums, the same rows and the same hits."""
    stores = Store(first), Store(second)
    for store in stores:
        store.verify()
    retriever = Retriever.from_pretrained(asked.model)
    libraries = [Library(retriever, store) for store in stores]
    hits = [[library.search(QUERIES, negative=each, k=20) for each in NEGATIVES] for library in libraries]
    found = [[[hit for hits in several for hit in hits] for several in each] for each in hits]
    return {
        "same_checksums": stores[0].card.checksums == stores[1].card.checksums,
        "same_frames": (first / "frames.f16").read_bytes() == (second / "frames.f16").read_bytes(),
        "same_rows": stores[0].rows.equals(stores[1].rows),
        "same_hits": found[0] == found[1],
        "hits_compared": sum(len(several) for several in found[0]),
    }


def changes(asked: argparse.Namespace, music: Path, root: Path, spare: list[Path]) -> dict:
    """Tracks encoded, tracks of the library, and seconds, for each thing that happens to a folder that is indexed."""
    first, second, *others = sorted(music.iterdir())
    happens = {
        "nothing": [],
        "ten_files_come": [partial(shutil.copyfile, path, music / path.name) for path in spare[:10]],
        "five_go": [path.unlink for path in others[:5]],
        "one_is_touched": [partial(os.utime, first)],
        "one_changes": [partial(shutil.copyfile, spare[10], second)],
    }
    report = {}
    for name, steps in happens.items():
        for step in steps:
            step()
        said = finished(asked, music, root)
        report[name] = {key: said[key] for key in ("encoded", "tracks", "seconds")}
    return report


def main() -> None:
    """Index, kill, index again, compare, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="checkpoints/demo")
    parser.add_argument("--audio", default="data/demo/audio")
    parser.add_argument("--tracks", type=int, default=3000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    asked = parser.parse_args()
    moments = random.Random(asked.seed)
    sources = sorted(Path(asked.audio).iterdir())
    with tempfile.TemporaryDirectory() as folder:
        music, whole, again = (Path(folder, name) for name in ("music", "whole", "again"))
        music.mkdir()
        for path in sources[: asked.tracks]:
            shutil.copyfile(path, music / path.name)
        report = {"tracks": asked.tracks, "never_killed": finished(asked, music, whole)}
        most = asked.tracks // OPTIONS.shard_size
        shards = sorted(moments.sample(range(1, most), asked.kills))
        report["kills"] = [killed(asked, music, again, count, moments.random()) for count in shards]
        report["then"] = finished(asked, music, again)
        stores = [Path(report[name].pop("store")) for name in ("never_killed", "then")]
        report |= differences(asked, *stores) | {"changes": changes(asked, music, again, sources[asked.tracks :])}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()

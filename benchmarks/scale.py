"""What each job takes at 251,000 tracks: measured on shares of them, and reckoned at the whole. Prints JSON.

    python -m benchmarks.scale --share 1 3                # per cent of them, each 0.6 GB of disk, twice while written
    python -m benchmarks.scale --share 1 3 10 --dense 3   # above 3 % the files have holes: 0.02 GB for each per cent
    python -m benchmarks.scale --share 100 --dense 0 --stages loading validation search
    python -m benchmarks.scale --share 1 3 --words evaluation.retrieval.num_resamples=100   # of the evaluation's config

Every stage (`scale_stages.py`) runs in a process of its own. `peak_mb` is the most that it took beyond the page cache:
pages that no file backs (RssAnon). `rss_mb` and `pss_mb` are those of its end, with the page cache; `sharing` has those
of two processes that load the same batches at once. A straight line through the shares is `reckoned_at_100_percent`.
"""

import contextlib
import multiprocessing
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import parser_of, publish
from benchmarks.memory import Memory, beyond_cache
from benchmarks.scale_stages import STAGES, Asked, Report
from benchmarks.scale_store import TRACKS

GROWS = ("peak_mb", "cpu_s")


def in_child(name: str, folder: Path, asked: Asked, percent: float, parent: Connection) -> None:
    """What a child process does: run a stage, report, and stay until the parent has measured it."""
    with contextlib.redirect_stdout(sys.stderr):
        wall, process = time.perf_counter(), time.process_time()
        facts = STAGES[name](folder, asked, percent)
        seconds = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - process}
    parent.send(facts | seconds)
    parent.recv()


def measured(name: str, folder: Path, asked: Asked, percent: float) -> list[Report]:
    """The reports of a stage's processes: what they found, and the memory of each. EOFError where one has failed."""
    context, children = multiprocessing.get_context("spawn"), []
    for _ in range(2 if name == "sharing" else 1):
        pipe, end = context.Pipe()
        child = context.Process(target=in_child, args=(name, folder, asked, percent, end))
        child.start()
        end.close()  # ours, so that a child that ends is noticed
        children.append((child, pipe, Memory(partial(beyond_cache, child.pid), every=0.02)))
    for *_, memory in children:
        memory.start()
    found = [pipe.recv() for _, pipe, _ in children]
    for report, (child, _, memory) in zip(found, children, strict=True):
        now = psutil.Process(child.pid).memory_full_info()
        report |= {"peak_mb": memory.peak(), "rss_mb": now.rss / 2**20, "pss_mb": now.pss / 2**20}
    for child, pipe, memory in children:
        memory.__exit__()
        pipe.send("measured")
        child.join()
    return found


def measure_share(percent: float, asked: Asked) -> Report:
    """All stages of one share, whose stores are deleted afterwards."""
    report: Report = {"percent": percent, "tracks": round(TRACKS * percent / 100), "dense": percent <= asked.dense}
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=asked.folder))
    try:
        for name in STAGES:
            if name in ("writing", *asked.stages):
                found = [rounded(each) for each in measured(name, folder, asked, percent)]
                report[name] = found if len(found) > 1 else found[0]
                print(f"{percent} %: {name} {report[name]}", file=sys.stderr, flush=True)  # if the next one fails
    finally:
        shutil.rmtree(folder)
    return report


def rounded(report: Report) -> Report:
    """Numbers to four digits."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in report.items()}


def growth(percents: list[float], values: list[float]) -> Report:
    """A straight line through the values of some shares, and the exponent of a power law between the outer two.

    Nothing is reckoned to be less at the whole than it was at the largest share: such a slope is noise.
    """
    slope, start = np.polyfit(percents, values, 1)
    exponent = np.log(values[-1] / values[0]) / np.log(percents[-1] / percents[0])
    whole = max(start + 100 * slope, values[-1])
    return rounded({"at_0": start, "per_percent": slope, "exponent": exponent, "reckoned_at_100_percent": whole})


def options() -> ArgumentParser:
    """The parser of this benchmark's flags."""
    parser = parser_of(__doc__)
    parser.add_argument("--share", type=float, nargs="+", default=[1, 3], help="per cent of 251,000 tracks, rising")
    parser.add_argument("--dense", type=float, default=100, help="the largest share whose every frame is written")
    parser.add_argument(
        "--stages",
        nargs="*",
        default=list(STAGES),
        choices=STAGES,
        help="evaluation and search need validation's model",
    )
    parser.add_argument("--batches", type=int, default=50, help="of 256, that are loaded")
    parser.add_argument("--batch", type=int, default=8, help="samples per training step; 256 as published")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="a small U-Net: its times mean nothing")
    parser.add_argument("--words", nargs="*", default=[], help="further words of the evaluation's config")
    parser.add_argument("--folder", help="where the stores are written; by default the system's, for temporary files")
    return parser


def main() -> None:
    """Measure the stages of every share, and print the report."""
    asked = options().parse_args()
    shares = [measure_share(percent, asked) for percent in asked.share]
    grown = {}
    for name in asked.stages:
        if len(shares) > 1 and name != "sharing":
            columns = {value: [share[name][value] for share in shares] for value in GROWS}
            grown[name] = {value: growth(asked.share, column) for value, column in columns.items()}
    publish("scale", {"shares": shares, "growth": grown}, asked)


if __name__ == "__main__":
    main()

"""The device that a benchmark runs on: how it is chosen, named and timed, and where its report goes."""

import argparse
import functools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from benchmarks.memory import Memory, resident

RESULTS = Path(__file__).resolve().parent / "results"


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with the two flags of every benchmark that knows devices: --device and --keep."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", type=chosen, help="cuda, cpu, or auto: the GPU where there is one")
    parser.add_argument("--keep", nargs="?", const=RESULTS, type=Path, help="write NAME-DEVICE.json here too")
    return parser


def chosen(word: str) -> torch.device:
    """The device that a word names."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu") if word == "auto" else torch.device(word)


def name_of(device: torch.device) -> str:
    """What the device calls itself, or how many threads of the CPU torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def slug_of(device: torch.device) -> str:
    """The device in a file's name: "NVIDIA H100 80GB HBM3" is h100."""
    if device.type != "cuda":
        return device.type
    model = re.search(r"[A-Z]{1,3}\d+\w*", torch.cuda.get_device_name(device))
    return model.group().lower() if model else "cuda"


def about(device: torch.device) -> dict[str, Any]:
    """The device's name and the versions that a time depends on."""
    return {"device": name_of(device), "torch": torch.__version__, "cuda": torch.version.cuda}


def waiting(device: torch.device) -> Callable[[], None]:
    """What waits until the device has done all that it was asked for."""
    return functools.partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The seconds that one call of `work` takes on the device."""
    wait = waiting(device)
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


class Peak:
    """How much memory a block takes beyond what was taken before it, in MB: of the GPU, or of this process."""

    def __init__(self, device: torch.device):
        self.device, self.sampled = device, Memory(resident, every=0.02)
        self.before, self.mb = 0, 0

    def __enter__(self) -> "Peak":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
        else:
            self.sampled.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.device.type == "cuda":
            self.mb = round((torch.cuda.max_memory_allocated(self.device) - self.before) / 2**20)
        else:
            self.sampled.__exit__()
            self.mb = self.sampled.growth()


def publish(name: str, report: dict[str, Any], arguments: argparse.Namespace) -> None:
    """Print a report as JSON, with what is `about` the device, and keep it if --keep asks for that."""
    text = json.dumps(about(arguments.device) | report, indent=1)
    print(text)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        (arguments.keep / f"{name}-{slug_of(arguments.device)}.json").write_text(text + "\n", encoding="utf-8")

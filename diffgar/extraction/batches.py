"""Encoding: windows of many tracks in full batches through an encoder."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.datasets.tracks import Track
from diffgar.dataloading.store.half import fault_of
from diffgar.errors import InputError
from diffgar.extraction.decode_ahead import Framing, Piece
from diffgar.extraction.progress import Encoded, Progress
from diffgar.models.encoders.base import AudioEncoder
from diffgar.values import whole

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
LAG = 2  # batches whose latents are still on the device while the next is prepared


@dataclass(frozen=True)
class Options:
    """How to extract. None of these changes the latents, except `precision` (rounding).

    shard: this job's `index` of `count`; it takes every count-th shard. max_failures: how many tracks may fail before
    it stops, those of earlier runs included; those not on disk under `missing: skip` do not count. device: auto, or
    torch's name for one; `share` divides a job among the processes of several devices.
    Raises InputError naming the value that cannot be used.
    """

    batch_size: int = 64  # windows, or captions, per forward pass
    num_workers: int = 2
    max_failures: int = 0
    device: str = "auto"
    shard_size: int = 256  # tracks per shard: upper bound on those lost if killed
    shard: Mapping[str, int] = field(default_factory=lambda: {"index": 0, "count": 1})
    precision: str = "fp32"
    compile: bool = False
    prune: bool = False  # drop the tracks of the store that the table no longer has

    def __post_init__(self) -> None:
        index, count = self.job
        if not 0 <= index < count:
            raise InputError(f"shard.index is {index}, but with shard.count {count} it must be 0 to {count - 1}")
        if self.precision not in PRECISIONS:
            raise InputError(f"unknown precision {self.precision!r}; choose one of {', '.join(PRECISIONS)}")
        self.check_device()
        for name, least in (("batch_size", 1), ("shard_size", 1), ("num_workers", 0), ("max_failures", 0)):
            whole(f"extraction.{name}", getattr(self, name), least)

    def check_device(self) -> None:
        """Raises InputError for a device that torch does not know, or that is not there."""
        try:
            torch.empty(0, device=self.torch_device)
        except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # of a CPU's torch, of a name
            reason = str(error).splitlines()[0][:80]
            raise InputError(
                f"extraction.device is {self.device!r}, which cannot be used here ({reason}); choose auto, cpu or cuda"
            ) from error

    @property
    def job(self) -> tuple[int, int]:
        """(index, count): which of how many jobs this is."""
        return self.shard["index"], self.shard["count"]

    @property
    def torch_device(self) -> torch.device:
        """`device` as torch's; auto is the GPU where there is one, else the CPU."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def share(self, rank: int, num_processes: int, device: torch.device) -> "Options":
        """The part of this job that one of several processes does, on its own device."""
        index, count = self.job
        shard = {"index": index * num_processes + rank, "count": count * num_processes}
        return replace(self, shard=shard, device=str(device))

    def forward(self, encode: Callable) -> Callable:
        """`encode` without gradients, at this precision, compiled if asked for."""
        dtype, kind = PRECISIONS[self.precision], self.torch_device.type
        encode = torch.compile(encode) if self.compile else encode
        if dtype is None:
            torch.backends.cudnn.allow_tf32 = False  # a GPU's convolutions would else have ten bits of precision

        def run(batch: Any) -> Any:
            with torch.inference_mode(), torch.autocast(kind, dtype) if dtype else nullcontext():
                return encode(batch)

        return run


class WindowBatches:
    """Collects windows into batches of one size and returns the latents to the tracks that they came from.

    The waveform goes to the device once and is cut into windows there, into one buffer that every batch reuses:
    overlap costs no transfer, and 123 MB (64 windows of 10 s at 48 kHz) are not allocated anew for each forward.
    """

    def __init__(self, encode: Callable[[Tensor], Tensor], framing: Framing, options: Options):
        self.encode, self.device = encode, options.torch_device
        self.width, self.hop = framing.samples
        self.buffer = torch.zeros(options.batch_size, self.width, device=self.device)  # (B, W)
        self.owners: list[tuple[Encoded, int]] = []  # whose windows are in the buffer, and how many
        self.size = 0
        self.running: deque[tuple[list[tuple[Encoded, int]], Tensor]] = deque()

    def add(self, result: Encoded, waveform: np.ndarray) -> None:
        """All windows of a waveform (S,), at least one window long, for `result`."""
        windows = torch.from_numpy(waveform).to(self.device).unfold(0, self.width, self.hop)  # (T, W), a view
        while len(windows):
            part, windows = windows[: len(self.buffer) - self.size], windows[len(self.buffer) - self.size :]
            self.buffer[self.size : self.size + len(part)] = part
            self.owners.append((result, len(part)))
            self.size += len(part)
            if self.size == len(self.buffer):
                self._run()

    def flush(self) -> None:
        """Run what is waiting, filled up to full size with its last window, and collect every latent."""
        if self.size:
            self.buffer[self.size :] = self.buffer[self.size - 1]
            self._run()
        while self.running:
            self._collect()

    def _run(self) -> None:
        self.running.append((self.owners, self.encode(self.buffer)))
        self.owners, self.size = [], 0
        if len(self.running) > LAG:
            self._collect()

    def _collect(self) -> None:
        owners, encoded = self.running.popleft()
        latents, start = encoded.float().cpu().numpy(), 0  # (B, D)
        for result, count in owners:
            result.parts.append(latents[start : start + count])
            start += count


def encode_tracks(
    pieces: Iterator[Piece], tracks: list[Track], batches: WindowBatches, progress: Progress
) -> list[Encoded]:
    """The outcome of each of `tracks`, whose pieces come next; the windows of different tracks share a batch.

    A track whose latents cannot be stored becomes an error. Raises ExtractionError for one failure too many.
    """
    results = [Encoded(track) for track in tracks]
    for result in results:
        for piece in pieces:
            if piece.samples is not None:
                batches.add(result, piece.samples)
                continue
            result.seconds, result.error, result.digest = piece.seconds, piece.error, piece.digest
            progress.done(result)
            break
    batches.flush()
    for result in results:
        if result.error is None and (fault := fault_of(result.latents)):
            result.error = f"what the encoder made of it {fault}"
            progress.fail(result)
    return results


def framing_of(encoder: AudioEncoder, hop_seconds: float) -> Framing:
    """The windows that an encoder takes, every `hop_seconds`."""
    return Framing(encoder.sample_rate, encoder.window_seconds, hop_seconds, encoder.short_padding)

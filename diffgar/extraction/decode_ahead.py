"""Decoding ahead: worker processes turn tracks into pieces of waveform before they are asked for."""

import functools
import hashlib
import multiprocessing
import os
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from diffgar.dataloading import workers
from diffgar.dataloading.audio import blocks, pad_short, window_samples
from diffgar.dataloading.datasets.tracks import Track
from diffgar.dataloading.decoders.embedded import open_audio
from diffgar.dataloading.decoders.parts import UNREADABLE, AudioError
from diffgar.dataloading.places import file_of

PIECE_SECONDS = 60  # audio per message: long enough to be cheap, short enough to bound the memory of long files
AHEAD = 2  # pieces that each worker keeps ready


@dataclass(frozen=True)
class Framing:
    """How a waveform becomes windows: what the audio encoder needs, and the hop."""

    sample_rate: int
    window_seconds: float
    hop_seconds: float
    short_padding: str

    @property
    def samples(self) -> tuple[int, int]:
        """Window and hop in samples."""
        return window_samples(self.sample_rate, self.window_seconds, self.hop_seconds)


@dataclass(frozen=True)
class Piece:
    """A part of a track: samples (S,) that hold whole windows, `num_windows` of them; or the track's end.

    The last piece of a track has no samples, but its `seconds` of audio and the `digest` of what it was read from, or
    the `error` that ended it.
    """

    track: int
    samples: np.ndarray | None = None
    num_windows: int = 0
    seconds: float = 0.0
    error: str | None = None
    digest: str | None = None


def audio_digest(path: str | Path, start_s: float | None = None, end_s: float | None = None) -> str:
    """A hash of a track's audio, 16 hexadecimal digits: of its file's bytes and its cut.

    The same bytes under another name have the same digest. Raises OSError for a file that cannot be read.
    """
    status = os.stat(file_of(path))
    content = file_digest(str(path), status.st_size, status.st_mtime_ns)
    end = None if end_s is None else float(end_s)
    return hashlib.sha256(f"{content} {float(start_s or 0)} {end}".encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=64)  # a file's parts come one after the other
def file_digest(path: str, size: int, changed: int) -> str:
    """SHA-256 of a track's bytes; its file's size and the time of its last change (ns) identify it in the cache."""
    with open_audio(Path(path)) as file:
        digest = hashlib.sha256()
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def pieces_of(number: int, track: Track, framing: Framing) -> Iterator[Piece]:
    """Decode one track into pieces that overlap, so that their windows, joined, are those of the whole waveform.

    Raises nothing: whatever fails is the last piece's `error`.
    """
    width, hop = framing.samples
    count = max(1, round(PIECE_SECONDS * framing.sample_rate / hop))  # windows per piece
    span = max((count - 1) * hop + width, count * hop)
    held, length, total = [], 0, 0
    try:
        for block in blocks(track.path, framing.sample_rate, track.start_s, track.end_s):
            held.append(block)
            length, total = length + len(block), total + len(block)
            while length >= span:
                samples = np.concatenate(held)
                yield Piece(number, samples[: (count - 1) * hop + width], count)
                held, length = [samples[count * hop :]], length - count * hop
        samples = np.concatenate(held)
        if total < width:
            yield Piece(number, pad_short(samples, width, framing.short_padding), 1)
        elif length >= width:
            rest = (length - width) // hop + 1
            yield Piece(number, samples[: (rest - 1) * hop + width], rest)
        digest = audio_digest(track.path, track.start_s, track.end_s)
    except AudioError as error:
        yield Piece(number, error=error.reason)
        return
    except Exception as error:  # whatever one track raises, the others are to go on
        yield Piece(number, error=UNREADABLE.format(f"{type(error).__name__}: {error}"))
        return
    yield Piece(number, seconds=total / framing.sample_rate, digest=digest)


class Decoder:
    """The pieces of all tracks, in the tracks' order, decoded ahead by `num_workers` processes (0: in line).

    Track i is decoded by worker i mod num_workers, so that the order is known, and the memory too: at most AHEAD + 2
    pieces per worker. Use as a context manager: leaving it ends the workers. They end by themselves when the process
    that started them is killed.
    """

    def __init__(self, tracks: Sequence[Track], framing: Framing, num_workers: int):
        self.tracks, self.framing = tracks, framing
        self.num_workers = min(num_workers, len(tracks))
        self.context = workers.context()
        self.queues: list[multiprocessing.queues.Queue[Piece]] = []
        self.workers: list[multiprocessing.process.BaseProcess] = []

    def __enter__(self) -> "Decoder":
        for k in range(self.num_workers):
            share = [(i, self.tracks[i]) for i in range(k, len(self.tracks), self.num_workers)]
            pieces = self.context.Queue(maxsize=AHEAD)
            worker = self.context.Process(target=_work, args=(share, self.framing, pieces), daemon=True)
            worker.start()
            cast(Any, pieces)._writer.close()  # now only the worker can write: if it dies within a message, `get` ends
            self.queues.append(pieces)
            self.workers.append(worker)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()
        for worker, pieces in zip(self.workers, self.queues, strict=True):
            worker.join()
            pieces.close()
            pieces.cancel_join_thread()

    def __iter__(self) -> Iterator[Piece]:
        for number, track in enumerate(self.tracks):
            if not self.num_workers:
                yield from pieces_of(number, track, self.framing)
                continue
            while True:
                piece = self._next(number)
                yield piece
                if piece.samples is None:
                    break

    def _next(self, number: int) -> Piece:
        """The next piece of a track. Raises RuntimeError naming it if its worker has died."""
        k = number % self.num_workers
        while True:
            try:
                return self.queues[k].get(timeout=1.0)
            except (queue.Empty, EOFError, OSError) as reason:
                if isinstance(reason, queue.Empty) and self.workers[k].is_alive():
                    continue
                self.workers[k].join()
                track = self.tracks[number]
                raise RuntimeError(
                    f"decoding worker {k} died (exit code {self.workers[k].exitcode}) at or soon after "
                    f"{track.path}; if memory ran out lower extraction.num_workers, else leave that track out"
                ) from None


def _work(share: list[tuple[int, Track]], framing: Framing, pieces: "multiprocessing.queues.Queue[Piece]") -> None:
    """A worker: decode its tracks one by one into its queue, which holds it back when it is ahead."""
    workers.begin()
    for number, track in share:
        for piece in pieces_of(number, track, framing):
            pieces.put(piece)

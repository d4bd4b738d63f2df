"""The latent store's reader: a card, flat fp16 frames, int64 offsets and a table of what the rows are.

    <folder>/card.json      what made it (Card)
    <folder>/frames.f16     all rows' frames, (F, D) float16
    <folder>/offsets.npy    (N + 1,) int64: row i is frames[offsets[i]:offsets[i + 1]]; or, of a store that has grown,
                            (N, 2): row i is frames[offsets[i, 0]:offsets[i, 1]]
    <folder>/rows.parquet   the N rows: tracks of an audio store, captions of a text store (row 0 is the empty caption)

A text store also has `embeddings.npy` (N, P) float32 where its encoder gives captions vectors.
A mix's has neither frames nor offsets, but the parts that have them (mixed.py). `writer.py` and `join.py` make stores.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from diffgar.dataloading.store.card import Card, StoreError, refuse_absent
from diffgar.dataloading.store.holding import choose_memory, on_device, runs_of
from diffgar.dataloading.store.mixed import JoinedFrames, opened, parts_of
from diffgar.dataloading.store.spans import spans_of
from diffgar.dataloading.store.use import InUse
from diffgar.dataloading.store.verified import refuse_short_frames, verify_frames, verify_once

OnDisk = np.memmap | JoinedFrames
NOT_HELD = -1
READ_AGAIN = ("rows", "frames", "starts", "embeddings")


class Store:
    """Ragged rows of frames on disk, read through a memory map.

    Opening checks that the card, offsets, table and frames belong together; `hold` has every frame checked too, once
    for the same bytes. Raises StoreError naming the file and what to do.
    """

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        self.folder = Path(folder)
        refuse_absent(self.folder, remedy)
        self.in_use = InUse(self.folder / "frames.f16")  # before it looks whether they are being moved
        if (self.folder / "ready").is_dir():
            raise StoreError(f"the latent store {self.folder} was being replaced when its run was killed; {remedy}")
        self.card = Card.load(self.folder)
        self.card.refuse_partial_copy(self.folder)
        self.parts: dict[str, Store] = {name: type(self)(part, remedy) for name, part in parts_of(self.folder).items()}
        if self.parts:
            self.places, self.spans = opened(self.folder, self.card, self.rows, self.parts)
        else:
            self.spans = spans_of(self._read("offsets.npy", np.load))
            refuse_short_frames(self.folder, self.card, len(self.rows), *self.spans)
        self.lengths = self.spans[1]
        self.frames = self._on_disk()  # now: another process may replace the file

    def _read(self, name: str, read: Callable) -> Any:
        try:
            return read(self.folder / name)
        except (OSError, ValueError, EOFError) as error:  # pyarrow's errors are ValueErrors
            remedy = f"delete {self.folder} and extract it again"
            raise StoreError(f"{self.folder / name} is damaged ({error}); {remedy}") from error

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The table of what the rows are."""
        return self._read("rows.parquet", pd.read_parquet)

    @cached_property
    def frames(self) -> OnDisk | np.ndarray | torch.Tensor:
        """All rows' frames (F, D) fp16; those of some rows where only these are held."""
        return self._on_disk()

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each row begins in `frames`, (N,)."""
        return self.spans[0]

    def _map(self) -> np.memmap:
        shape = int(self.card.num_frames), int(self.card.dim)
        return np.memmap(self.folder / "frames.f16", dtype=np.float16, mode="r", shape=shape)

    def _on_disk(self) -> OnDisk:
        """The frames of all rows, where they lie."""
        if self.parts:
            return JoinedFrames([part._on_disk() for part in self.parts.values()])
        opened_before = vars(self).get("frames")
        return opened_before if isinstance(opened_before, np.memmap) else self._map()

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process gets: the other parts it reads again from the files, where it needs them."""
        return {name: value for name, value in vars(self).items() if name not in READ_AGAIN or value is None}

    def __len__(self) -> int:
        return len(self.lengths)

    def require(self, **identity: Any) -> Self:
        """Refuse (StoreError) a store whose card has other values: `store.require(dim=512, hop_seconds=1)`."""
        for name, wanted in identity.items():
            found = getattr(self.card, name)
            if found != wanted:
                raise StoreError(
                    f"{self.folder}: made with {name} {found!r}, but this run uses {wanted!r}; "
                    f"choose the encoder_pair that made it, or delete it and run extract_dataset.py again"
                )
        return self

    def verify(self) -> None:
        """See `verify_frames`; of a mix, the stores of its parts."""
        for part in self.parts.values():
            part.verify()
        if not self.parts:
            verify_frames(self.folder, self.card, self._map(), *self.spans)

    def _verify_once(self) -> None:
        for store in self.parts.values() or [self]:
            verify_once(store.folder, store.card, store.verify)

    def hold(
        self,
        device: torch.device | str = "cpu",
        memory: str = "auto",
        num_processes: int = 1,
        rows: np.ndarray | None = None,
    ) -> Self:
        """Verify the frames, once for these bytes, and keep those of some rows where they are asked for; returns it.

        memory: "gpu" (on `device`), "ram", "map" (the file on disk is read as it lies, and all rows are there), or
        "auto", see `choose_memory`. num_processes: how many of this host hold the store. rows: ascending, the only ones
        that are read from now on; by default all. Raises StoreError for damaged frames, InputError for another word.
        """
        wanted, device = np.arange(len(self)) if rows is None else rows, torch.device(device)
        nbytes = int(self.lengths[wanted].sum()) * self.card.dim * 2
        memory = choose_memory(memory, nbytes, device, num_processes)
        self._verify_once()
        self.frames, self.starts = self._on_disk(), self.spans[0]
        if memory != "map":
            device = device if memory == "gpu" else torch.device("cpu")
            held = on_device(self.frames, runs_of(self.starts[wanted], self.lengths[wanted]), device)
            self.frames = held if memory == "gpu" else held.numpy()
            self.starts = np.full(len(self), NOT_HELD)
            self.starts[wanted] = np.cumsum(self.lengths[wanted]) - self.lengths[wanted]
        return self

    def starts_of(self, rows: np.ndarray) -> np.ndarray:
        """Where the frames of rows begin in `frames`. Raises IndexError for a row that is not held."""
        starts = self.starts[rows]
        if (starts == NOT_HELD).any():
            row = rows[int(np.argmax(starts == NOT_HELD))]
            raise IndexError(f"row {row} of {self.folder} is not held: `hold` was asked for other rows")
        return starts

    def gather(self, rows: np.ndarray, starts: np.ndarray, num_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops (B, num_frames, D) fp16 of `rows` from frame `starts` on, and their mask (B, num_frames) bool.

        One fancy index for the whole batch. A row that ends before num_frames is zero and masked from there.
        """
        frame = np.arange(num_frames)  # (T,)
        mask = frame < (self.lengths[rows] - starts)[:, None]  # (B, T)
        index = (self.starts_of(rows) + starts)[:, None] + np.where(mask, frame, 0)  # (B, T)
        whole = mask.all()
        if isinstance(self.frames, torch.Tensor):
            device = self.frames.device
            crops, mask = self.frames[torch.from_numpy(index).to(device)], torch.from_numpy(mask).to(device)
        else:
            crops, mask = torch.from_numpy(self.frames[index]), torch.from_numpy(mask)
        if not whole:
            crops.masked_fill_(~mask.unsqueeze(-1), 0)
        return crops, mask

    def row(self, i: int) -> np.ndarray:
        """All frames of row i, (T_i, D) fp16: a copy, wherever they are held."""
        start = self.starts_of(np.array([i]))[0]
        frames = self.frames[start : start + self.lengths[i]]
        return frames.cpu().numpy() if isinstance(frames, torch.Tensor) else np.array(frames)

    def means(self, rows: np.ndarray) -> torch.Tensor:
        """The mean over all frames of each of `rows`, (n, D) float32 on the CPU: no crop, no normalisation."""
        means = torch.empty(len(rows), self.card.dim)
        for mean, i in zip(means, rows, strict=True):
            torch.mean(torch.from_numpy(self.row(i).astype(np.float32)), dim=0, out=mean)
        return means

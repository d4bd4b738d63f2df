"""The latent store's reader: a card, flat fp16 frames, int64 offsets and a table of what the rows are.

    <folder>/card.json      what made it (Card)
    <folder>/frames.f16     all rows' frames, one after the other, (F, D) float16
    <folder>/offsets.npy    (N + 1,) int64: row i is frames[offsets[i]:offsets[i + 1]]
    <folder>/rows.parquet   the N rows: tracks of an audio store, captions of a text store (row 0 is the empty caption)

A text store also has `embeddings.npy` (N, P) float32 where its encoder shares a space with the audio.
`writer.py` and `join.py` make them.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from diffgar.dataloading.store.card import Card, StoreError, refuse_absent
from diffgar.dataloading.store.holding import choose_memory, on_device, spans_of
from diffgar.dataloading.store.verified import refuse_partial_copy, refuse_short_frames, verify_frames, verify_once
from diffgar.text_states import TextStates

NOT_HELD = -1
READ_AGAIN = ("rows", "frames", "starts", "embeddings")


class Store:
    """Ragged rows of frames on disk, read through a memory map.

    Opening checks that the card, offsets, table and frames belong together; `hold` also checks every frame.
    Raises StoreError naming the file and what to do.
    """

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        self.folder = Path(folder)
        refuse_absent(self.folder, remedy)
        if (self.folder / "ready").is_dir():
            raise StoreError(f"the latent store {self.folder} was being replaced when its run was killed; {remedy}")
        self.card = Card.load(self.folder)
        refuse_partial_copy(self.folder, self.card)
        self.offsets = self._read("offsets.npy", np.load)
        self.lengths = np.diff(self.offsets)
        refuse_short_frames(self.folder, self.card, len(self.rows), self.offsets)
        self.frames = self._map()  # now: another process may replace the file

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
    def frames(self) -> np.ndarray | torch.Tensor:
        """All rows' frames, one after the other, (F, D) fp16; those of some rows where only these are held."""
        return self._map()

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each row begins in `frames`, (N,)."""
        return self.offsets[:-1]

    def _map(self) -> np.memmap:
        shape = int(self.card.num_frames), int(self.card.dim)
        return np.memmap(self.folder / "frames.f16", dtype=np.float16, mode="r", shape=shape)

    def _whole(self) -> np.memmap:
        """The file of all rows' frames."""
        return self.frames if isinstance(self.frames, np.memmap) else self._map()

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process gets: the other parts it reads again from the files, where it needs them."""
        return {name: value for name, value in vars(self).items() if name not in READ_AGAIN or value is None}

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return self.card.num_frames * self.card.dim * 2

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
        """See `verify_frames`."""
        verify_frames(self.folder, self.card, self._whole(), self.offsets)

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
        verify_once(self.folder, self.card, self.verify)
        self.frames, self.starts = self._whole(), self.offsets[:-1]
        if memory != "map":
            device = device if memory == "gpu" else torch.device("cpu")
            held = on_device(self.frames, spans_of(wanted, self.offsets), device)
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


class TextStore(Store):
    """Token states of captions; row 0 is the empty caption. `embeddings` (N, P) float32, or None if not joint.

    purpose: what the noise that is drawn for a caption is for; other texts than a store's have another purpose.
    """

    purpose: ClassVar[str] = "caption"

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        super().__init__(folder, remedy)
        found = None if self.embeddings is None else tuple(self.embeddings.shape)
        if found not in (None, (len(self.rows), self.card.embedding_dim)):
            raise StoreError(
                f"{self.folder / 'embeddings.npy'}: shape {found} for {len(self.rows)} captions; delete {self.folder} "
                "and extract it again"
            )

    @cached_property
    def embeddings(self) -> torch.Tensor | None:
        """Those of the captions, (N, P), in a joint pair."""
        return None if self.card.embedding_dim is None else torch.from_numpy(self._read("embeddings.npy", np.load))

    def padded(self, rows: np.ndarray) -> TextStates:
        """The token states of whole captions, (B, L, C) fp16 padded to the longest of them; no embeddings."""
        return TextStates(*self.gather(rows, np.zeros(len(rows), dtype=np.int64), int(self.lengths[rows].max())))

    def rows_of(self, split: str) -> np.ndarray:
        """The rows (n,) of the captions of a split."""
        return np.flatnonzero(self.rows["split"] == split)

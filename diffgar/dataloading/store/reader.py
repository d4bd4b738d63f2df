"""The latent store's reader: a card, flat fp16 frames, int64 offsets and a table of what the rows are.

    <folder>/card.json      what made it (Card)
    <folder>/frames.f16     all rows' frames, (F, D) float16
    <folder>/offsets.npy    (N + 1,) int64: row i is frames[offsets[i]:offsets[i + 1]]; or, of a store that has grown,
                            (N, 2): row i is frames[offsets[i, 0]:offsets[i, 1]]
    <folder>/rows.parquet   the N rows: tracks of an audio store, captions of a text store (row 0 is the empty caption)

A text store also has `embeddings.npy` (N, P) float32 where its encoder gives captions vectors.
A mix's has neither frames nor offsets, but the parts that have them (mixed.py). `writer.py` and `join.py` make stores.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch

from diffgar.dataloading.store.card import Card, StoreError, refuse_absent
from diffgar.dataloading.store.memory import available_memory
from diffgar.dataloading.store.mixed import JoinedFrames, opened, parts_of
from diffgar.dataloading.store.spans import spans_of
from diffgar.dataloading.store.use import InUse
from diffgar.errors import InputError
from diffgar.text_states import TextStates

Frames = np.ndarray | torch.Tensor | JoinedFrames
MEMORY = ("auto", "gpu", "ram", "map")


class Store:
    """Ragged rows of frames on disk, read through a memory map.

    Opening checks that the card, offsets, table and frames belong together; `hold` also checks every frame.
    Raises StoreError naming the file and what to do.
    """

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        self.folder = Path(folder)
        refuse_absent(self.folder, remedy)
        self.in_use = InUse(self.folder / "frames.f16")  # before it looks whether they are being moved
        if (self.folder / "ready").is_dir():
            raise StoreError(f"the latent store {self.folder} was being replaced when its run was killed; {remedy}")
        self.card = Card.load(self.folder)
        self.card.refuse_partial_copy(self.folder)
        self.rows = self._read("rows.parquet", pd.read_parquet)
        self.parts: dict[str, Store] = {name: type(self)(part, remedy) for name, part in parts_of(self.folder).items()}
        self.frames: Frames
        if self.parts:
            self.places, self.frames, self.starts, self.lengths = opened(self.folder, self.card, self.rows, self.parts)
        else:
            self.starts, self.lengths = spans_of(self._read("offsets.npy", np.load))
            self.frames = self._map()

    def _read(self, name: str, read: Callable) -> Any:
        try:
            return read(self.folder / name)
        except (OSError, ValueError, EOFError) as error:  # pyarrow's errors are ValueErrors
            raise StoreError(
                f"{self.folder / name} is damaged ({error}); delete {self.folder} and extract it again"
            ) from error

    def _map(self) -> np.memmap:
        path, card, ends = self.folder / "frames.f16", self.card, self.starts + self.lengths
        expected = card.num_frames * card.dim * 2
        found = path.stat().st_size if path.is_file() else 0
        consistent = len(self.rows) == card.num_rows == len(ends) and ends.max(initial=0) <= card.num_frames
        if found < expected or not consistent or (self.lengths < 1).any() or (self.starts < 0).any():
            raise StoreError(
                f"{path}: {found} bytes for {len(self.rows)} rows, but its card says {expected} bytes for "
                f"{card.num_rows}; the file is short or damaged: delete {self.folder} and extract it again"
            )
        return np.memmap(path, dtype=np.float16, mode="r", shape=(int(card.num_frames), int(card.dim)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes of all frames."""
        return len(self.frames) * self.card.dim * 2

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
        """Read everything once and compare with the card's checksums. Raises StoreError naming the rows."""
        for part in self.parts.values():
            part.verify()
        start = 0
        for shard, (num_frames, checksum) in enumerate(self.card.checksums or []):
            block = np.ascontiguousarray(self.frames[start : start + num_frames])
            if zlib.crc32(block.data) != checksum:
                spoilt = np.flatnonzero((self.starts < start + num_frames) & (self.starts + self.lengths > start))
                raise StoreError(
                    f"{self.folder / 'frames.f16'}: shard {shard} (rows {spoilt.min()} to {spoilt.max()}) is damaged; "
                    f"delete {self.folder} and extract it again"
                )
            start += num_frames

    def hold(self, device: torch.device | str = "cpu", memory: str = "auto", num_processes: int = 1) -> Self:
        """Verify the frames and keep them in memory; returns the store.

        memory: "gpu" (on `device`), "ram", "map" (the file on disk is read as it lies, and not verified), or "auto":
        on a GPU with room for the frames, else in RAM where they fit, else the file. num_processes: how many of this
        host hold a copy each. Raises StoreError for damaged frames, InputError for another word.
        """
        if memory not in MEMORY:
            raise InputError(f"memory is {memory!r}; choose one of {', '.join(MEMORY)}")
        device = torch.device(device)
        if memory == "auto":
            if device.type == "cuda" and self.nbytes < torch.cuda.mem_get_info(device)[0] / 3:
                memory = "gpu"
            else:
                memory = "ram" if self.nbytes < available_memory(num_processes) / 2 else "map"
        if memory != "map":
            self.verify()
            self.frames = on_device(self.frames, device) if memory == "gpu" else np.array(self.frames)
        return self

    def gather(self, rows: np.ndarray, starts: np.ndarray, num_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops (B, num_frames, D) fp16 of `rows` from frame `starts` on, and their mask (B, num_frames) bool.

        One fancy index for the whole batch. A row that ends before num_frames is zero and masked from there.
        """
        frame = np.arange(num_frames)  # (T,)
        mask = frame < (self.lengths[rows] - starts)[:, None]  # (B, T)
        index = (self.starts[rows] + starts)[:, None] + np.where(mask, frame, 0)  # (B, T)
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
        frames = self.frames[self.starts[i] : self.starts[i] + self.lengths[i]]
        return frames.cpu().numpy() if isinstance(frames, torch.Tensor) else np.array(frames)

    def means(self, rows: np.ndarray) -> torch.Tensor:
        """The mean over all frames of each of `rows`, (n, D) float32 on the CPU: no crop, no normalisation."""
        return torch.stack([torch.from_numpy(self.row(i).astype(np.float32)).mean(dim=0) for i in rows])


class TextStore(Store):
    """Token states of captions; row 0 is the empty caption. `embeddings` (N, P) float32, or None if not joint.

    purpose: what the noise that is drawn for a caption is for; other texts than a store's have another purpose.
    """

    purpose: ClassVar[str] = "caption"

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        super().__init__(folder, remedy)
        self.embeddings = None
        if self.card.embedding_dim is not None:
            if self.parts:
                parts = (part for part in self.parts.values() if isinstance(part, TextStore))
                vectors = self.places.gathered([np.asarray(part.embeddings) for part in parts])
            else:
                vectors = self._read("embeddings.npy", np.load)
            self.embeddings = torch.from_numpy(vectors)
            if self.embeddings.shape != (len(self.rows), self.card.embedding_dim):
                raise StoreError(
                    f"{self.folder / 'embeddings.npy'}: shape {tuple(self.embeddings.shape)} for {len(self.rows)} "
                    f"captions; delete {self.folder} and extract it again"
                )

    def padded(self, rows: np.ndarray) -> TextStates:
        """The token states of whole captions, (B, L, C) fp16 padded to the longest of them; no embeddings."""
        return TextStates(*self.gather(rows, np.zeros(len(rows), dtype=np.int64), int(self.lengths[rows].max())))

    def rows_of(self, split: str) -> np.ndarray:
        """The rows (n,) of the captions of a split."""
        return np.flatnonzero(self.rows["split"] == split)


def on_device(
    frames: np.ndarray | torch.Tensor | JoinedFrames, device: torch.device, block: int = 2**20
) -> torch.Tensor:
    """The frames (F, D) on a device, copied a block at a time: RAM need not hold them."""
    held = torch.empty(tuple(frames.shape), dtype=torch.float16, device=device)
    for start in range(0, len(frames), block):
        held[start : start + block] = torch.from_numpy(np.array(frames[start : start + block]))
    return held

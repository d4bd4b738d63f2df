"""The latent store's reader: a card, flat fp16 frames, int64 offsets and a table of what the rows are.

    <folder>/card.json      what made it (Card)
    <folder>/frames.f16     all rows' frames, one after the other, (F, D) float16
    <folder>/offsets.npy    (N + 1,) int64: row i is frames[offsets[i]:offsets[i + 1]]
    <folder>/rows.parquet   the N rows: tracks of an audio store, captions of a text store (row 0 is the empty caption)

A text store also has `embeddings.npy` (N, P) float32 where its encoder shares a space with the audio.
`store_writer.py` makes them.
"""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from diffgar.dataloading.card import Card, StoreError


class Store:
    """Ragged rows of frames on disk, read through a memory map.

    Opening checks that the card, offsets, table and frames belong together; `hold` also checks every frame.
    Raises StoreError naming the file and what to do.
    """

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        self.folder = Path(folder)
        if not (self.folder / "rows.parquet").is_file():
            state = "is unfinished" if (self.folder / "card.json").is_file() else "does not exist"
            raise StoreError(f"the latent store {self.folder} {state}; {remedy}")
        self.card = Card.load(self.folder)
        self.rows = pd.read_parquet(self.folder / "rows.parquet")
        self.offsets = np.load(self.folder / "offsets.npy")
        self.frames = self._map()
        self.lengths = np.diff(self.offsets)

    def _map(self) -> np.memmap:
        path, card = self.folder / "frames.f16", self.card
        expected = card.num_frames * card.dim * 2
        found = path.stat().st_size if path.is_file() else 0
        consistent = len(self.rows) == card.num_rows == len(self.offsets) - 1 and self.offsets[-1] == card.num_frames
        if found != expected or not consistent or (np.diff(self.offsets) < 1).any():
            raise StoreError(
                f"{path}: {found} bytes for {len(self.rows)} rows, but its card says {expected} bytes for "
                f"{card.num_rows}; the file is short or damaged: delete {self.folder} and extract it again"
            )
        return np.memmap(path, dtype=np.float16, mode="r", shape=(int(card.num_frames), int(card.dim)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        return self.card.num_frames * self.card.dim * 2

    def require(self, **identity) -> "Store":
        """Refuse the store unless its card says so: `store.require(encoder="clap_htsat_base", hop_seconds=1)`."""
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
        start = 0
        for shard, (num_frames, checksum) in enumerate(self.card.checksums):
            block = np.ascontiguousarray(self.frames[start : start + num_frames])
            if zlib.crc32(block) != checksum:
                first, last = np.searchsorted(self.offsets, [start, start + num_frames - 1], side="right") - 1
                raise StoreError(
                    f"{self.folder / 'frames.f16'}: shard {shard} (rows {first} to {last}) is damaged; "
                    f"delete {self.folder} and extract it again"
                )
            start += num_frames

    def hold(self, device: torch.device | str = "cpu") -> "Store":
        """Verify the frames and keep them in memory: on a GPU with room for them, else in RAM when they fit."""
        device = torch.device(device)
        if device.type == "cuda" and self.nbytes < torch.cuda.mem_get_info(device)[0] / 3:
            self.verify()
            self.frames = on_device(self.frames, device)
        elif self.nbytes < available_memory() / 2:
            self.verify()
            self.frames = np.array(self.frames)
        return self

    def gather(self, rows: np.ndarray, starts: np.ndarray, num_frames: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Crops (B, num_frames, D) fp16 of `rows` from frame `starts` on, and their mask (B, num_frames) bool.

        One fancy index for the whole batch. A row that ends before num_frames is zero and masked from there.
        """
        frame = np.arange(num_frames)  # (T,)
        mask = frame < (self.lengths[rows] - starts)[:, None]  # (B, T)
        index = (self.offsets[rows] + starts)[:, None] + np.where(mask, frame, 0)  # (B, T)
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
        frames = self.frames[self.offsets[i] : self.offsets[i + 1]]
        return frames.cpu().numpy() if isinstance(frames, torch.Tensor) else np.array(frames)

    def padded(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows whole, padded to the longest of them: (B, L, D) fp16 and the mask (B, L)."""
        return self.gather(rows, np.zeros(len(rows), dtype=np.int64), int(self.lengths[rows].max()))

    def means(self, rows: np.ndarray) -> torch.Tensor:
        """The mean over all frames of each of `rows`, (n, D) float32 on the CPU: no crop, no normalisation."""
        return torch.stack([torch.from_numpy(self.row(i).astype(np.float32)).mean(dim=0) for i in rows])


class TextStore(Store):
    """Token states of captions; row 0 is the empty caption. `embeddings` (N, P) float32, or None if not joint."""

    def __init__(self, folder: Path | str, remedy: str = "run extract_dataset.py"):
        super().__init__(folder, remedy)
        path = self.folder / "embeddings.npy"
        self.embeddings = torch.from_numpy(np.load(path)) if path.is_file() else None

    def rows_of(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.rows["split"] == split)


def available_memory() -> int:
    """Bytes of RAM that are free or can be freed."""
    return psutil.virtual_memory().available


def on_device(frames: np.ndarray, device: torch.device, block: int = 2**20) -> torch.Tensor:
    """The frames (F, D) on a device, copied a block at a time: RAM need not hold them."""
    held = torch.empty(frames.shape, dtype=torch.float16, device=device)
    for start in range(0, len(frames), block):
        held[start : start + block] = torch.from_numpy(np.array(frames[start : start + block]))
    return held

"""The text store's reader: token states of captions, and their vectors where the encoder gives any."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.text_states import TextStates


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
        """The vectors of the captions, (N, P), where the encoder gives any."""
        if self.card.embedding_dim is None:
            return None
        if not self.parts:
            return torch.from_numpy(self._read("embeddings.npy", np.load))
        parts = (part for part in self.parts.values() if isinstance(part, TextStore))
        return torch.from_numpy(self.places.gathered([np.asarray(part.embeddings) for part in parts]))

    def padded(self, rows: np.ndarray) -> TextStates:
        """The token states of whole captions, (B, L, C) fp16 padded to the longest of them; no embeddings."""
        return TextStates(*self.gather(rows, np.zeros(len(rows), dtype=np.int64), int(self.lengths[rows].max())))

    def rows_of(self, split: str) -> np.ndarray:
        """The rows (n,) of the captions of a split."""
        return np.flatnonzero(self.rows["split"] == split)

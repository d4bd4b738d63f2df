"""Where libraries lie on disk, and what they keep beside their latents.

<root>/<name>-<8 digits of its path>/<encoder>-<8 digits of its encoding>/   the latent store of a folder of audio
<root>/means/<digits of a store's content>.npy                               the mean latents of any store's tracks
<root>/means/<digits of a store's content>-<P>.npy                           those of P equal parts of each track
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.keys import key_of
from diffgar.dataloading.store.reader import Store
from diffgar.models.encoders.segments import segment_means


def libraries() -> Path:
    """The root of all libraries: GDR_LIBRARIES, or `diffgar/libraries` in the user's cache folder."""
    if named := os.environ.get("GDR_LIBRARIES"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "diffgar" / "libraries"


def store_of(audio: Path, encoder: str, encoding: dict, root: Path | None = None) -> Path:
    """Where the latents of a folder of audio lie, made by one encoder with one setting."""
    name = f"{audio.name}-{key_of(str(audio))[:8]}"
    return (root or libraries()) / name / f"{encoder}-{key_of(sorted(encoding.items()))[:8]}"


def means_of(store: Store, root: Path | None = None) -> Tensor:
    """The mean latents (N, D) float32 of every row of a store, read from where they were kept, or made and kept.

    They are kept under a name that no other content has. A root that may not be written to keeps nothing.
    """
    path = (root or libraries()) / "means" / f"{content_of(store.card)}.npy"
    return kept(path, (len(store), store.card.dim), lambda: store.means(np.arange(len(store))))


def part_means_of(store: Store, segments: int, root: Path | None = None) -> Tensor:
    """The mean latents (N, P, D) float32 of P = `segments` equal parts of every row, kept as `means_of` keeps its."""
    if segments == 1:
        return means_of(store, root).unsqueeze(1)
    path = (root or libraries()) / "means" / f"{content_of(store.card)}-{segments}.npy"
    rows = (torch.from_numpy(store.row(row).astype(np.float32)) for row in range(len(store)))
    parts = (segment_means(frames, segments) for frames in rows)
    return kept(path, (len(store), segments, store.card.dim), lambda: torch.stack(list(parts)))


def kept(path: Path, shape: tuple[int, ...], make: Callable[[], Tensor]) -> Tensor:
    """The numbers of a file, if it is there and has this shape; else they are made, and kept there if possible."""
    with contextlib.suppress(OSError, ValueError):  # not kept yet, or damaged: made again
        means = np.load(path)
        if means.shape == shape:
            return torch.from_numpy(means)
    means = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part.npy")
        np.save(partial, means.numpy())
        partial.replace(path)
    return means


def content_of(card: Card) -> str:
    """Digits that tell the frames of one store from those of any other, by its checksums."""
    return key_of(sorted(card.identity().items()), card.num_rows, card.checksums)

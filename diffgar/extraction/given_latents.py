"""Own latents: those that a researcher already has, in one of three layouts, in place of an audio encoder.

    <folder>/<name>.npy    one file per track; a name with slashes lies in subfolders
    <file>.npz             one array per track, by its name
    <file>.parquet         one row per track: a column of names and one of lists, or of lists of lists

A track's array is (T, D), or (D,) where it has one latent only.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.half import fault_of
from diffgar.dataloading.store.keys import key_of
from diffgar.extraction.array_files import UNREADABLE, LatentsError, open_source


class OwnLatents:
    """The latents of many tracks by name, and what the store's card says of them.

    path: the folder, .npz or .parquet. dim: D. name: as the card names the encoder that made them. name_column: the
    column of the tracks' table that holds the arrays' names. columns: `names` and `latents` of a Parquet file.
    version: distinguishes these latents from others of the same name; a model accepts those of one version alone.
    Raises LatentsError for a path that is missing, empty or of another layout.
    """

    frontend_version, layer = 1, "given"

    def __init__(
        self,
        path: Path | str,
        dim: int,
        name: str = "own",
        name_column: str = "track_id",
        columns: tuple[str, str] = ("track_id", "latents"),
        window_seconds: float | None = None,
        version: str | int | None = None,
    ):
        self.path, self.dim, self.name, self.window_seconds = Path(path), dim, name, window_seconds
        self.name_column = name_column
        self.source = open_source(self.path, *columns)
        self.checkpoint_hash = "given" if version is None else f"given-{version}"

    def card(self, dataset: str, hop_seconds: float | None, shard_size: int) -> Card:
        """The card of their store. What the arrays hold is in the rows' keys: a changed one is read again."""
        return Card(
            kind="audio",
            dataset=dataset,
            encoder=self.name,
            checkpoint_hash=self.checkpoint_hash,
            frontend_version=self.frontend_version,
            layer=self.layer,
            dim=self.dim,
            window_seconds=self.window_seconds,
            hop_seconds=hop_seconds,
            shard_size=shard_size,
            notes={"source": self.path.name},
        )

    def names_of(self, tracks: pd.DataFrame) -> list[str]:
        """The name of each track's array. Raises LatentsError if two tracks have one name, or no name is there."""
        if self.name_column not in tracks:
            raise LatentsError(
                f"the table has no column {self.name_column!r} of the tracks; set encoder_pair.name_column to one of "
                f"{list(tracks.columns)}"
            )
        names = tracks[self.name_column].astype(str)
        if len(shared := tracks[names.duplicated(keep=False)]):
            raise LatentsError(
                f"tracks {shared['track_id'].iloc[0]!r} and others have one {self.name_column}, "
                f"{names[shared.index[0]]!r}; set encoder_pair.name_column to a column that tells tracks apart"
            )
        if not any(name in self.source.names for name in names):
            raise LatentsError(
                f"{self.path}: holds {next(iter(self.source.names))!r} and others, but none of the table's "
                f"{self.name_column}, the first {names.iloc[0]!r}; rename them, or set encoder_pair.name_column"
            )
        return list(names)

    def key(self, name: str) -> str:
        """The key of a track's array: a hash of its name, and of the size and time, or checksum, of what holds it."""
        return key_of(name, self.source.stamp(name) if name in self.source.names else None)

    def place(self, name: str) -> str:
        """The file, or the entry of a file, that holds a track's array, for messages."""
        return f"{self.path}/{name}.npy" if self.path.is_dir() else f"{self.path}[{name}]"

    def read(self, name: str) -> np.ndarray:
        """A track's latents (T, D) float32. Raises LatentsError with the reason, without the path."""
        if name not in self.source.names:
            raise LatentsError("is missing")
        try:
            array = self.source.array(name)
        except LatentsError:
            raise
        except UNREADABLE as error:
            raise LatentsError(f"cannot be read ({error}); write it again") from error
        return checked(array, self.dim)


def checked(array: np.ndarray, dim: int) -> np.ndarray:
    """Latents (T, D) float32 of an array (T, D) or (D,) of numbers; LatentsError for any other."""
    if array.dtype.kind not in "fiu":
        raise LatentsError(f"holds {array.dtype}, not numbers; write it as float32")
    if array.ndim not in (1, 2):
        raise LatentsError(f"has shape {array.shape}, expected (T, {dim}), or ({dim},) for one latent")
    if array.size == 0:
        raise LatentsError(f"is empty, of shape {array.shape}; leave its track out of the table")
    latents = np.atleast_2d(array)  # (T, D)
    if latents.shape[1] != dim:
        turned = ", or transpose it" if len(latents) == dim else ""
        raise LatentsError(
            f"has shape {array.shape}, expected {dim} at the end; correct encoder_pair.latent_dim{turned}"
        )
    if fault := fault_of(latents):
        raise LatentsError(f"{fault}; compute it again, or leave its track out of the table")
    return latents.astype(np.float32)

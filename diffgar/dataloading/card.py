"""A latent store's card: which encoder made it, of what, and what it holds."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from diffgar.errors import InputError

FORMAT_VERSION = 1
ENCODING = (  # what made the latents, whatever they are of: a model keeps it, and takes no others
    "kind",
    "encoder",
    "checkpoint_hash",
    "frontend_version",
    "layer",
    "dim",
    "sample_rate",
    "window_seconds",
    "hop_seconds",
    "resampler",
    "short_padding",
    "max_tokens",
    "precision",
)
IDENTITY = ("dataset", *ENCODING)


class StoreError(InputError):
    """A store that is missing, unfinished, damaged or another encoder's. The message has the remedy."""


@dataclass
class Card:
    """What a store is: two stores with the same `IDENTITY` fields hold the same latents for the same tracks."""

    kind: str  # "audio" or "text"
    dataset: str
    encoder: str
    checkpoint_hash: str
    frontend_version: int
    layer: str
    dim: int
    sample_rate: int | None = None  # Hz; None for text and for imported latents
    window_seconds: float | None = None
    hop_seconds: float | None = None
    resampler: str | None = None
    short_padding: str | None = None  # how a track shorter than a window fills it
    max_tokens: int | None = None  # of a caption; None for audio
    precision: str | None = None  # of the encoder's forward pass
    dtype: str = "float16"
    format_version: int = FORMAT_VERSION
    shard_size: int = 256  # rows a shard
    num_rows: int = 0
    num_frames: int = 0
    num_skipped: int = 0
    mean: list[float] | None = None  # per dimension over the train split, None without one
    std: list[float] | None = None
    checksums: list[list[int]] | None = None  # per shard: frames, crc32
    notes: dict | None = None  # whatever else a reader should know: random weights, truncated captions

    def identity(self) -> dict:
        return {name: getattr(self, name) for name in IDENTITY}

    def encoding(self) -> dict:
        """What made the latents: equal for all stores that one model may be trained and evaluated on."""
        return {name: getattr(self, name) for name in ENCODING}

    def save(self, folder: Path) -> None:
        write_atomically(Path(folder) / "card.json", json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> "Card":
        path = Path(folder) / "card.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.get("format_version") != FORMAT_VERSION:
                found = content.get("format_version")
                raise StoreError(f"{path}: format {found}, this code reads {FORMAT_VERSION}; extract it again")
            return cls(**{f.name: content[f.name] for f in fields(cls)})
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: not a store's card ({error}); delete {folder} and extract it again") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a kill leaves either the old file or the new one."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # jobs may write the same file at once
    partial.write_bytes(content)
    partial.replace(path)

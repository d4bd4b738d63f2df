"""A latent store's card: which encoder made it, of what, and what it holds."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from uuid import uuid4

from diffgar.dataloading.store.spans import CONTIGUOUS, SCATTERED
from diffgar.errors import InputError

FORMAT_VERSION = CONTIGUOUS
READABLE = (CONTIGUOUS, SCATTERED)
ENCODING = (  # what made the latents, of whichever dataset: a model keeps it, and refuses others
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
    """What made a store, and what it holds.

    Two stores with the same `IDENTITY` fields hold the same latents for the same tracks. `encoding` leaves the dataset
    out: it is the same for all stores that one model may be trained and evaluated on.
    """

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
    shard_size: int = 256  # rows per shard
    plan: str | None = None  # hash of the table that the store was made for: ids, keys, splits, columns
    files: dict[str, int] | None = None  # name → bytes, so that a half-copied store is noticed
    num_rows: int = 0
    num_frames: int = 0
    num_skipped: int = 0
    embedding_dim: int | None = None  # of a text store's caption embeddings, None where it has none
    mean: list[float] | None = None  # per dimension over the train split, None without one
    std: list[float] | None = None
    checksums: list[list[int]] | None = None  # per shard: frames, crc32
    notes: dict | None = None  # whatever else a reader should know: random weights, truncated captions

    def identity(self) -> dict:
        """The `IDENTITY` fields: equal for two stores that hold the same latents for the same tracks."""
        return {name: getattr(self, name) for name in IDENTITY}

    def encoding(self) -> dict:
        """The `ENCODING` fields: equal for all stores that one model may be trained and evaluated on."""
        return {name: getattr(self, name) for name in ENCODING}

    @property
    def counts(self) -> dict[str, int]:
        """What an extraction has counted, among the notes: {"num_truncated": 3}."""
        return {name: count for name, count in (self.notes or {}).items() if isinstance(count, int)}

    def as_json(self) -> bytes:
        """The content of the file `card.json`."""
        return json.dumps(asdict(self), indent=1).encode()

    def save(self, folder: Path) -> None:
        """Write `card.json` into a folder; a kill leaves either the old one or the new one."""
        write_atomically(Path(folder) / "card.json", self.as_json())

    def refuse_another(self, found: "Card", folder: Path) -> None:
        """Refuse (StoreError) a folder whose card differs in `IDENTITY`, naming what differs."""
        for name, wanted in self.identity().items():
            if getattr(found, name) != wanted:
                raise StoreError(
                    f"{folder}: holds latents with {name} {getattr(found, name)!r}, this run would write {wanted!r}; "
                    "extract under another encoder_pair.audio_name, text_name or data.name, or delete that folder first"
                )

    def refuse_partial_copy(self, folder: Path) -> None:
        """Refuse (StoreError) a folder whose files are not of the sizes that the card says, naming the first."""
        for name, expected in (self.files or {}).items():
            path = folder / name
            found = path.stat().st_size if path.is_file() else None
            appended = name == "frames.f16" and (found or 0) > expected  # by a join that is going on
            if found != expected and not appended and name not in ("skipped.csv", "rows.parquet"):  # people edit these
                state = "is missing" if found is None else f"has {found} bytes"
                raise StoreError(
                    f"{path} {state}, the store's card says {expected} bytes: the store was copied in part, or is "
                    f"damaged; copy it again, or delete {folder} and extract it again"
                )

    @classmethod
    def load(cls, folder: Path) -> "Card":
        """The card in a folder. Raises StoreError where it is missing, damaged or of another format version."""
        path = Path(folder) / "card.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if (found := content.get("format_version")) not in READABLE:
                raise StoreError(
                    f"{path}: format {found}, this version reads {' and '.join(map(str, READABLE))}; delete {folder} "
                    "and extract it again"
                )
            return cls(**{f.name: content[f.name] for f in fields(cls)})
        except FileNotFoundError as error:
            raise StoreError(
                f"{path} is missing: the store was copied in part? Copy it again, or delete {folder} and extract again"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{path}: not a store's card ({error}); delete {folder} and extract again") from error


def refuse_absent(folder: Path, remedy: str) -> None:
    """Raises StoreError, with the remedy, where a folder holds no finished store."""
    if not (folder / "rows.parquet").is_file():
        begun = any((folder / name).exists() for name in ("card.json", "writing"))
        raise StoreError(f"the latent store {folder} {'is unfinished' if begun else 'does not exist'}; {remedy}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a kill leaves either the old file or the new one."""
    partial = path.with_name(f"{path.name}.{uuid4().hex}.part")  # jobs of several hosts may write it at once
    try:
        partial.write_bytes(content)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # a full disk does not say which
        raise
    partial.replace(path)

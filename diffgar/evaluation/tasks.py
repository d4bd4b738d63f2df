"""A retrieval task: the tracks of the pool, the captions that search it, what is relevant, and the protocol."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.grades import Grades
from diffgar.evaluation.twins import NO_TWIN, pairs

PROTOCOLS = ("unique_tracks", "caption_rows")
GRADED = "graded"  # the protocol of a task with grades: see `graded_task`
NO_TRACK = -1  # the target of a query that belongs to no track
DIRECTIONS = ("text_to_audio", "audio_to_text")


@dataclass(frozen=True)
class RetrievalTask:
    """The tracks and captions of one evaluation, in the order of the index and of the queries.

    track_ids: the N tracks. captions: a table of Q rows with `caption_id`, `track_id` and `caption`. targets (Q,) long:
    the position in `track_ids` of each caption's own track. protocol: `unique_tracks`, where the pool is the tracks and
    all captions of a track share it; or `caption_rows`, where the pool has one row per caption and only the diagonal is
    right, for comparison with published numbers; or `graded`, where `grades` say what is relevant, and a target is −1
    where a query belongs to no track of the pool. missing: tracks that the table has and the store has not, left out
    because the config allowed it. twins (N,) long: the position of each track's twin, −1 where it has none, or None.
    """

    name: str
    track_ids: tuple[str, ...]
    captions: pd.DataFrame
    targets: Tensor
    split: str | None = None
    protocol: str = "unique_tracks"
    missing: tuple[str, ...] = ()
    twins: Tensor | None = None
    grades: Grades | None = None

    @classmethod
    def from_tables(
        cls,
        name: str,
        tracks: pd.DataFrame,
        captions: pd.DataFrame,
        split: str | None = None,
        protocol: str = "unique_tracks",
    ) -> "RetrievalTask":
        """Build from a table of tracks (`track_id`, and `split` when one is asked for) and one of captions.

        Tracks without captions stay in the pool. Refuses (InputError) absent columns, duplicate ids, empty captions,
        captions of unknown tracks and unknown protocols.
        """
        if protocol not in PROTOCOLS:
            raise InputError(f"task {name}: unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
        _require_columns(name, "tracks", tracks, ["track_id"] if split is None else ["track_id", "split"])
        _require_columns(name, "captions", captions, ["caption_id", "track_id", "caption"])
        tracks = tracks.assign(track_id=tracks["track_id"].astype(str))
        captions = captions.assign(**{key: captions[key].astype(str) for key in ("caption_id", "track_id")})
        _require_unique(name, tracks, "track_id")
        _require_unique(name, captions, "caption_id")
        unknown = ~captions["track_id"].isin(tracks["track_id"])
        if unknown.any():
            raise InputError(
                f"task {name}: {int(unknown.sum())} captions belong to tracks that the table lacks, "
                f"first track_id {captions['track_id'][unknown].iloc[0]!r}; add them or drop those captions"
            )
        if split is not None:
            tracks = tracks[tracks["split"] == split]
        return cls._build(name, list(tracks["track_id"]), captions, split=split, protocol=protocol)

    @classmethod
    def _build(cls, name: str, track_ids: list[str], captions: pd.DataFrame, **fields: Any) -> "RetrievalTask":
        """The task on these tracks and their captions; fields: split and protocol. Refuses empty captions, or none."""
        position_of = {track: position for position, track in enumerate(track_ids)}
        captions = captions[captions["track_id"].isin(position_of.keys())].reset_index(drop=True)
        if captions.empty:
            split = fields.get("split")
            raise InputError(
                f"task {name}: no captions for the {len(position_of)} tracks of split {split!r}; choose another "
                "task.split, or correct the captions of the table"
            )
        empty = captions["caption"].fillna("").str.strip() == ""
        if empty.any():
            raise InputError(
                f"task {name}: {int(empty.sum())} captions are empty, first caption_id "
                f"{captions['caption_id'][empty].iloc[0]!r}; drop them from the table"
            )
        targets = torch.tensor([position_of[track] for track in captions["track_id"]])
        return cls(name, tuple(track_ids), captions, targets, **fields)

    def with_tracks(self, available: Collection[str], allow_missing: bool = False) -> "RetrievalTask":
        """The task on the tracks that a store has; refuses missing ones, by name, unless the config allows them."""
        available = set(available)
        missing = tuple(track for track in self.track_ids if track not in available)
        if missing and not allow_missing:
            raise InputError(
                f"task {self.name}: {len(missing)} of {len(self.track_ids)} tracks have no latents, first "
                f"{missing[0]!r}; extract them, or set allow_missing=true to evaluate on the rest and say so"
            )
        kept = [track for track in self.track_ids if track in available]
        task = self._build(self.name, kept, self.captions, split=self.split, protocol=self.protocol)
        return replace(task, missing=self.missing + missing)

    def with_protocol(self, protocol: str) -> "RetrievalTask":
        """The same tracks and captions under another protocol."""
        if protocol not in PROTOCOLS:
            raise InputError(f"unknown protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
        return replace(self, protocol=protocol)

    @property
    def units(self) -> Tensor:
        """What the bootstrap draws together, (N,): each track by itself, or with its twin."""
        return torch.arange(len(self.track_ids)) if self.twins is None else pairs(self.twins)

    def twins_of_captions(self) -> Tensor | None:
        """Positions (3, Q') of the captions whose track has a twin, of the tracks and of the twins; None if none."""
        if self.twins is None:
            return None
        asked = (self.twins[self.targets] != NO_TWIN).nonzero().flatten()
        return torch.stack([asked, self.targets[asked], self.twins[self.targets[asked]]]) if len(asked) else None

    def captions_of_tracks(self) -> list[list[int]]:
        """The positions of each track's captions, which are relevant to it for audio → text."""
        captions: list[list[int]] = [[] for _ in self.track_ids]
        for caption, track in enumerate(self.targets.tolist()):
            captions[track].append(caption)
        return captions

    def describe(self, direction: str = "text_to_audio") -> dict:
        """The protocol as the results carry it; `pool` and `query_set` are hashes, equal only for equal sets."""
        captions = list(self.captions["caption_id"] + "\t" + self.captions["caption"])
        tracks = list(self.captions["track_id"] if self.protocol == "caption_rows" else self.track_ids)
        if direction == "text_to_audio":
            queries, pool = captions, tracks
        else:
            queries, pool = sorted(set(self.captions["track_id"])), captions
        further: dict[str, object] = (
            {} if self.twins is None else {"num_pairs": int((self.twins != NO_TWIN).sum()) // 2}
        )
        further |= {} if self.grades is None else self.grades.describe(len(queries))
        return {
            "name": self.protocol,
            "direction": direction,
            "task": self.name,
            "split": self.split,
            "pool": _digest(pool),
            "pool_size": len(pool),
            "query_set": _digest(queries),
            "num_queries": len(queries),
            "num_tracks": len(self.track_ids),
            "num_missing_tracks": len(self.missing),
        } | further


def _digest(words: Iterable[str]) -> str:
    """A hash of a set of words, whatever their order."""
    return hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:16]


def _require_columns(name: str, table: str, frame: pd.DataFrame, columns: list[str]) -> None:
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise InputError(
            f"task {name}: the table of {table} lacks column {absent[0]!r} "
            f"(it has {', '.join(frame.columns)}); map it in the task's YAML"
        )


def _require_unique(name: str, frame: pd.DataFrame, column: str) -> None:
    twice = frame[column][frame[column].duplicated()]
    if len(twice):
        raise InputError(f"task {name}: {len(twice)} duplicate {column}s, first {twice.iloc[0]!r}; keep one of each")

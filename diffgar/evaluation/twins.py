"""Twins: tracks of a pool that differ in the order of time alone, as a track and its reverse do."""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError

NO_TWIN = -1


def twin_positions(name: str, track_ids: Sequence[str], tracks: pd.DataFrame, column: str) -> Tensor:
    """The position (N,) of each track's twin among `track_ids`, −1 where it has none.

    tracks: a table of tracks, whose `column` has the track_id of each one's twin, or a blank. name: the task's, for the
    messages. Raises InputError for an absent or empty column, and for a twin that is not in the pool, is the track
    itself, or has another twin.
    """
    if column not in tracks:
        there = ", ".join(sorted(map(str, tracks)))
        raise InputError(f"task {name}: tracks have no column {column!r}; there are {there}; correct task.twins")
    position_of = {track: position for position, track in enumerate(track_ids)}
    of_pool = tracks[tracks["track_id"].isin(position_of)]
    twin_of = {track: twin for track, twin in zip(of_pool["track_id"], of_pool[column], strict=True) if named(twin)}
    if not twin_of:
        raise InputError(f"task {name}: no track of the pool has a twin in {column!r}; set task.twins=null")
    twins = torch.full((len(track_ids),), NO_TWIN)
    for track, twin in twin_of.items():
        if twin not in position_of:
            raise InputError(
                f"task {name}: track {track!r} has the twin {twin!r}, which is not in the pool; twins belong to one "
                "split, and both need latents: extract it, correct the table, or set task.twins=null"
            )
        if twin == track or twin_of.get(twin) != track:
            raise InputError(
                f"task {name}: track {track!r} has the twin {twin!r}, whose own twin is {twin_of.get(twin)!r}; twins "
                f"come in pairs: correct {column!r} in the dataset's table"
            )
        twins[position_of[track]] = position_of[twin]
    return twins


def named(twin: object) -> bool:
    """Whether a cell names a twin."""
    return isinstance(twin, str) and bool(twin.strip())


def pairs(twins: Tensor) -> Tensor:
    """Which unit (N,) each track belongs to: a track and its twin are one, any other is one by itself."""
    own = torch.arange(len(twins))
    return torch.where(twins == NO_TWIN, own, torch.minimum(own, twins))

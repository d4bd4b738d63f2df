"""A retrieval task in one direction, as positions of what searches, what is searched and what is relevant."""

from dataclasses import dataclass

import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.tasks import RetrievalTask


@dataclass(frozen=True)
class ResolvedTask:
    """A task in one direction, as positions.

    relevant: what is relevant to each query, as `ranks` takes its targets. query_positions, index_positions: which of
    the given queries and of the given index take part, None being all. groups (Q,): the track that each query belongs
    to, or one of a pair of twins for both. query_ids: the caption's id, or the track's. twins (3, Q'): of the captions
    whose track has a twin their positions, and the tracks' and the twins' in the whole index; None without twins.
    """

    relevant: Tensor | list[list[int]]
    query_positions: Tensor | None
    index_positions: Tensor | None
    groups: Tensor
    query_ids: list[str]
    twins: Tensor | None = None


def resolve_task(task: RetrievalTask, direction: str) -> ResolvedTask:
    """A task in one direction. Raises InputError for audio → text by another protocol than `unique_tracks`."""
    if direction == "text_to_audio":
        query_ids, groups = list(task.captions["caption_id"]), task.units[task.targets]
        if task.protocol == "unique_tracks":
            return ResolvedTask(task.targets, None, None, groups, query_ids, task.twins_of_captions())
        rows = torch.arange(len(task.targets))
        return ResolvedTask(rows, None, task.targets, groups, query_ids, task.twins_of_captions())
    if task.protocol != "unique_tracks":
        raise InputError(f"audio_to_text is evaluated by unique_tracks only, not by {task.protocol}")
    captions = task.captions_of_tracks()
    asked = [track for track, own in enumerate(captions) if own]
    tracks = torch.tensor(asked)
    return ResolvedTask(
        [captions[t] for t in asked], tracks, None, task.units[tracks], [task.track_ids[t] for t in asked]
    )

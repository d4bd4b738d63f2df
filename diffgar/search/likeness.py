"""The track that a search starts from: one of the library, or an audio file; and its edit by inversion."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from diffgar.evaluation.control.editor import Editor
from diffgar.jobs.opened import Opened
from diffgar.models.baselines import Regression
from diffgar.models.encoders.segments import segment_means
from diffgar.models.ldm import LatentDiffusion
from diffgar.search.encoding import encode_audio, encode_captions
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit
from diffgar.search.parts import Parts

if TYPE_CHECKING:
    from diffgar.library import Library

INVERSION_STEPS = 50


@dataclass(frozen=True, eq=False)
class Likeness:
    """A track to search by: its latents (T, D), its unit vector (1, L) in the parts that are compared, and where it
    stands if the library has it.
    """

    name: str
    frames: Tensor
    vector: Tensor
    position: int | None = None
    caption: str | None = None

    @classmethod
    def of(cls, library: "Library", like: str | Path | Hit, parts: Parts) -> "Likeness":
        """A hit, a track id, or else an audio file. Raises SearchError for a file that cannot be read."""
        name = like.track_id if isinstance(like, Hit) else str(like)
        file = os.path.abspath(os.path.expanduser(name))
        position = library.positions.get(name, library.positions_by_file.get(file))
        if position is not None:
            track_id = library.tracks["row_id"].iloc[position]
            vector = library.nearest_by(parts).index[position].unsqueeze(0)
            return cls(track_id, library.frames(position), vector, position, library.caption_of(track_id))
        frames = encode_audio(library.retriever.opened, [file])[0]
        return cls(name, frames, library.retriever.to_vectors(parts.means(frames).unsqueeze(0), parts))


def inverted(opened: Opened, like: Likeness | None, wanted: str, strength: float, parts: Parts) -> Tensor:
    """The query (1, L) of a track's frames, inverted under its caption and generated again under another.

    The frames are those that the model was trained on: the first, or the means of equal parts of the whole. strength:
    the share of the steps that are inverted; 0 leaves the track as it is. A track without a caption is inverted under
    the empty one. Raises SearchError for a caption's query, and for a model that samples nothing.
    """
    model = opened.model
    if like is None:
        raise SearchError("editing='inversion' edits a track: give like=; a caption's query is interpolated")
    if not isinstance(model, LatentDiffusion) or isinstance(model, Regression):
        raise SearchError(f"{opened.name} ({model.row}) samples nothing to invert; use editing='interpolation'")
    count = round(strength * INVERSION_STEPS)
    if not count:
        return like.vector
    whole, count_frames = opened.takes_whole, model.num_frames
    frames = (segment_means(like.frames, count_frames) if whole else like.frames[:count_frames]).unsqueeze(0)
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    editor = Editor(model, replace(opened.sampler, num_steps=INVERSION_STEPS), frames, mask)
    source = encode_captions(opened, [like.caption]) if like.caption else model.null_states(1)
    target = encode_captions(opened, [wanted])
    ways = editor.denoiser(source, 1.0), [editor.denoiser(target)]
    edited = editor.edited_latents(*ways, count, num_iterations=5)[0]  # (1, T, D)
    return parts.pooling.queries(edited.unsqueeze(1), model.centre.cpu())

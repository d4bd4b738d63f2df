"""The fields of a search, and their defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffgar.models.baselines import ContrastiveHeads
from diffgar.search.edits import checked_strength
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit
from diffgar.search.negatives import Asked
from diffgar.search.parts import Parts, parts_of
from diffgar.values import one_of, whole

EDITINGS = ("interpolation", "inversion")


@dataclass(frozen=True)
class Question:
    """A question to a library. A field that is None takes the model's own setting, or the one that measured best.

    like: an audio file, a track id of the library, or a hit, in the place of a caption. edit: "the same with strings,
    but without drums", of the caption or of `like`; edit_strength: from 0, as it was, to 1, the edit alone. editing:
    `interpolation` between the two queries, or `inversion` of the latents (DDIM), which stays nearer to a track.

    negative: what to avoid, a string, several, or several with weights (see `read_negatives`). expand: spell out a
    short one by phrases of the collection's captions and tags. method, strength: another steering method of
    `diffgar.evaluation.control.methods` and its strength, such as "compose" and {"guidance": 2, "negative": 0.75}.

    seed: the sampling seed; the same seed gives the same hits. numbers: a number per caption that seeds its noise
    together with `seed`, by default a hash of the caption; an evaluation uses the caption's row in the text store.
    guidance_scale, num_steps, num_samples: the sampler's, by default those that the model was trained with.

    segments: how many equal parts of a query and a track are compared side by side, so that the order counts: "piano,
    then drums" in 2. By default whole tracks, or 2 parts where a negative or an edit names one ("drums at the start");
    contrastive heads compare as many as they were trained with. pooled_weight: that of whole tracks beside the parts.
    """

    like: str | Path | Hit | None = None
    edit: str | None = None
    edit_strength: float = 0.5
    editing: str = "interpolation"
    negative: Asked = None
    expand: bool = True
    method: str | None = None
    strength: Mapping[str, Any] | None = None
    seed: int = 0
    numbers: Sequence[int] | None = None
    guidance_scale: float | None = None
    num_steps: int | None = None
    num_samples: int | None = None
    segments: int | None = None
    pooled_weight: float = 0.0

    def __post_init__(self) -> None:
        one_of("editing", self.editing, EDITINGS)
        checked_strength(self.edit_strength)
        if self.strength is not None and self.method is None:
            raise SearchError("a strength is of a method; name it: method='compose'")
        if self.editing != "interpolation" and self.edit is None:
            raise SearchError(f"editing={self.editing!r} is how to edit; say what is to be other: edit='with strings'")
        whole("seed", self.seed)

    def sampling(self) -> dict[str, Any]:
        """The settings of the sampler that the question changes."""
        names = ("guidance_scale", "num_steps", "num_samples")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    def parts(self, model: object, named: bool = False) -> Parts:
        """The parts that are compared; named: whether a negative or an edit names one, so that there are 2 at least.

        Raises SearchError for others than those of contrastive heads, and for whole tracks where a part is named.
        """
        usual, segments = parts_of(model), self.segments
        if segments is None:
            segments = 2 if named and not isinstance(model, ContrastiveHeads) else usual.segments
        asked = Parts(segments, self.pooled_weight)
        if isinstance(model, ContrastiveHeads) and asked != usual:
            raise SearchError(
                f"these contrastive heads compare tracks with segments={usual.segments}, and the question has "
                f"segments={segments}, pooled_weight={self.pooled_weight:g}; leave both out, or train heads with "
                f"module.segments={segments}"
            )
        if named and segments == 1:
            raise SearchError(
                "something is asked for in a part of a track, 'at the start', and whole tracks are compared; search "
                "with segments=2 (contrastive heads: train with module.segments=2), or leave out where it is to be"
            )
        return asked

"""The fields of a search, and their defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffgar.search.edits import checked_strength
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit
from diffgar.search.negatives import Asked
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

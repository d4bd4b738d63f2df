"""What one person asks on the page, before it is a question to a library."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from diffgar.search.errors import SearchError

STRONGEST = 2  # of a negative; 1 is usual
TEXTS = ("caption", "like", "upload", "edit")


@dataclass(frozen=True)
class Query:
    """A caption, or a track or a dropped file in its place; how that is to be changed, and what is to be avoided.

    like: a track id of the library. upload: the token of a dropped file. edit: "with strings, without drums", of the
    track or file. negatives: each as typed, with its strength; one of strength 0 is kept on the page and not used.
    """

    caption: str = ""
    like: str = ""
    upload: str = ""
    edit: str = ""
    edit_strength: float = 0.5
    negatives: tuple[tuple[str, float], ...] = ()

    @classmethod
    def read(cls, sent: Any) -> "Query":
        """The query that the page sent. Raises SearchError for anything that the page would not send."""
        try:
            texts = {name: sent.get(name) or "" for name in TEXTS}
            negatives = tuple((each["typed"], float(each["strength"])) for each in sent.get("negatives", []))
            strength = float(sent.get("edit_strength", 0.5))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SearchError(f"this is no query of the page: {error}; load the page again") from error
        typed = [*texts.values(), *(text for text, _ in negatives)]
        if not all(isinstance(text, str) for text in typed):
            raise SearchError("this is no query of the page: a text is missing; load the page again")
        if not 0 <= strength <= 1 or not all(0 <= each <= STRONGEST for _, each in negatives):
            raise SearchError(
                f"this is no query of the page: a strength is beyond 0 to {STRONGEST}; load the page again"
            )
        return cls(**{name: text.strip() for name, text in texts.items()}, edit_strength=strength, negatives=negatives)

    def plain(self) -> "Query":
        """The query without its edit and its negatives: what steering is compared with."""
        return replace(self, edit="", negatives=())

    @property
    def steered(self) -> bool:
        """Whether anything is changed or avoided."""
        return bool(self.edit or self.avoided)

    @property
    def avoided(self) -> dict[str, float]:
        """The negatives that count, with their strengths."""
        return {typed: strength for typed, strength in self.negatives if strength > 0}

    def refines(self, other: "Query") -> bool:
        """Whether only strengths differ: moving a slider is no new step of the trail."""
        return self._without_strengths() == other._without_strengths()

    def to_page(self) -> Mapping[str, Any]:
        """As the page sends it."""
        negatives = [{"typed": typed, "strength": strength} for typed, strength in self.negatives]
        texts = {name: getattr(self, name) for name in TEXTS}
        return texts | {"edit_strength": self.edit_strength, "negatives": negatives}

    def _without_strengths(self) -> "Query":
        return replace(self, edit_strength=0.5, negatives=tuple((typed, 1.0) for typed, _ in self.negatives))

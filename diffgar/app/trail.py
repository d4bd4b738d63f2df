"""The trail of one person's queries, each of which can be gone back to."""

from dataclasses import dataclass

from diffgar.app.engine import Answer
from diffgar.search.errors import SearchError

LONGEST = 60  # steps; the oldest are dropped


@dataclass(frozen=True, eq=False)
class Trail:
    """The answers so far, oldest first, and the number of the one that is shown; -1 before the first.

    A trail is never changed: every search makes a new one, which belongs to the person who searched.
    """

    answers: tuple[Answer, ...] = ()
    current: int = -1

    def add(self, answer: Answer) -> "Trail":
        """The trail with one more answer, shown; it takes the place of the one shown where it only refines it."""
        if self.answers and answer.query.refines(self.shown.query):
            replaced = (*self.answers[: self.current], answer, *self.answers[self.current + 1 :])
            return Trail(replaced, self.current)
        answers = (*self.answers, answer)[-LONGEST:]
        return Trail(answers, len(answers) - 1)

    def back_to(self, step: object) -> "Trail":
        """The trail with another of its steps shown; those after it stay. Raises SearchError for a step it has not."""
        if not isinstance(step, int) or not 0 <= step < len(self.answers):
            raise SearchError(f"the trail has no step {step!r}; it has {len(self.answers)}")
        return Trail(self.answers, step)

    @property
    def shown(self) -> Answer:
        """The answer that is shown."""
        return self.answers[self.current]

"""Recipes of collections: what tracks are drawn, and what their captions say."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from diffgar.demo.attributes import ATTRIBUTES, DEMO, Orchestra, draw_attributes
from diffgar.demo.captions import caption, phrase
from diffgar.demo.course_captions import course_caption, untold
from diffgar.demo.courses import Course, draw_course
from diffgar.demo.orchestras import GENERAL, THIRD
from diffgar.demo.style_captions import GENERAL_WORDING, THIRD_WORDING, Wording
from diffgar.demo.styles import draw_styled

PHRASES = {name: {value: phrase(name, value) for value in values} for name, values in ATTRIBUTES.items()}


@dataclass(frozen=True)
class Said:
    """A caption: its text, the attributes that it names, and whether it tells the track's course."""

    text: str
    named: list[str]
    tells_course: bool


@dataclass(frozen=True)
class Piece:
    """What a track is: its attributes, and its course as it was drawn; backwards: it is played as its reversed twin."""

    attributes: dict[str, str]
    drawn: Course | None
    backwards: bool = False

    @property
    def course(self) -> Course | None:
        """The course as it is heard."""
        return self.drawn.reversed() if self.drawn and self.backwards else self.drawn


@dataclass(frozen=True)
class Recipe:
    """Tracks drawn from an orchestra, of which a share has a course in time.

    num_captions: of a track; where it has a course, the first tells nothing of time and the second tells the course.
    medley_share: of the tracks in training an encoder pair, see `WindowsDataModule`.
    twins: tracks come in pairs of the same music, the second of which (of odd number) is the reversed twin of the
    first; then all captions tell the course. draw: the attributes; say: a caption that tells no course, and the names
    of its attributes; phrases: the shortest captions, by attribute and value.
    """

    orchestra: Orchestra = DEMO
    course_share: float = 0.5
    num_captions: int = 5
    twins: bool = False
    draw: Callable[[np.random.Generator, Orchestra], dict[str, str]] = draw_attributes
    say: Callable[..., tuple[str, list[str]]] = caption
    phrases: dict[str, dict[str, str]] = field(default_factory=lambda: PHRASES)
    medley_share: float = 0.0

    def number_of_music(self, number: int) -> int:
        """The number that a track's music is drawn by: twins share it."""
        return number // 2 if self.twins else number

    def is_twin(self, number: int) -> bool:
        """Whether a track is the second of its pair."""
        return self.twins and number % 2 == 1

    def twin_of(self, number: int) -> int:
        """The number of a track's twin."""
        return number ^ 1

    def piece(self, random: np.random.Generator, backwards: bool = False) -> Piece:
        """Draw what a track is."""
        attributes = self.draw(random, self.orchestra)
        if random.random() >= self.course_share:
            return Piece(attributes, None)
        course = draw_course(attributes, self.orchestra.attributes(), random)
        return Piece(attributes, course, backwards)

    def captions(self, piece: Piece, random: np.random.Generator) -> list[Said]:
        """Draw what is said of a track."""
        course, said = piece.course, []
        for i in range(self.num_captions):
            tells = course is not None and (self.twins or i == 1 or (i > 1 and random.random() < 0.5))
            if tells and course is not None:
                said.append(Said(*course_caption(piece.attributes, course, random), tells_course=True))
            else:
                said.append(Said(*self.say(piece.attributes, random, untold(course)), tells_course=False))
        return said


def styled(orchestra: Orchestra, wording: Wording) -> Recipe:
    """Tracks of styles, without courses, and captions in this wording."""
    phrases = wording.phrases()
    return Recipe(orchestra, course_share=0.0, num_captions=3, draw=draw_styled, say=wording.caption, phrases=phrases)


RECIPES = {
    "demo": Recipe(),
    "demo_encoder": Recipe(num_captions=12, medley_share=0.25),  # the demo's tracks, to train its encoder pair on
    "demo_text": Recipe(num_captions=12, medley_share=0.5),  # the same, to train the text tower on alone
    "demo_time": Recipe(course_share=1.0, num_captions=2, twins=True),
    "general": styled(GENERAL, GENERAL_WORDING),
    "third": styled(THIRD, THIRD_WORDING),
}

"""The course of a demo track in time: one thing that changes once, or the band that comes or goes.

A track is a list of sections. Its reversed twin is the same music with the sections in the other order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROLES = ("lead", "backing", "bass", "drums")
BAND = "band"  # what `changes` says where the instruments come or go together
FORWARDS = {  # the kind of a course, and of its reverse
    "enters": "leaves",
    "changes": "changes",
    "speeds up": "slows down",
    "gets busier": "gets sparser",
    "builds up": "winds down",
    "drop": "breakdown",
}
BACKWARD_OF = FORWARDS | {backward: forward for forward, backward in FORWARDS.items()}
SOLO, FULL = "solo", "full"  # the values of a band


@dataclass(frozen=True)
class Course:
    """What changes in a track: an attribute, or the band, from one value to another; `kind` names how."""

    kind: str
    changes: str
    before: str
    after: str

    def reversed(self) -> "Course":
        """The course of the reversed twin."""
        return Course(BACKWARD_OF[self.kind], self.changes, self.after, self.before)


@dataclass(frozen=True)
class Section:
    """A stretch of a track: the values that hold in it, the roles that sound in it, and its share of the time."""

    attributes: dict[str, str]
    sounding: frozenset[str]
    share: float


def draw_course(attributes: dict[str, str], values: dict[str, list[str]], random: np.random.Generator) -> Course:
    """A course that a track of these attributes can have; values: those of each attribute in its collection."""
    courses = [Course("enters", role, "none", attributes[role]) for role in ROLES[1:] if attributes[role] != "none"]
    courses.append(Course("changes", "lead", attributes["lead"], other(values["lead"], attributes["lead"], random)))
    for kind, name in (("speeds up", "tempo"), ("gets busier", "density")):
        pair = sorted((attributes[name], other(values[name], attributes[name], random)), key=values[name].index)
        courses.append(Course(kind, name, *pair))
    if attributes["bass"] != "none" or attributes["drums"] != "none":
        courses += [Course(kind, BAND, SOLO, FULL) for kind in ("builds up", "drop")]
    course = courses[random.integers(len(courses))]
    return course if random.random() < 0.5 else course.reversed()


def other(values: Sequence[str], value: str, random: np.random.Generator) -> str:
    """Another of these values."""
    rest = [each for each in values if each != value]
    return rest[random.integers(len(rest))]


def sections(attributes: dict[str, str], course: Course | None, share: float) -> list[Section]:
    """The sections of a track; `share` of its time comes before the change.

    A band builds up in three sections: the lead alone, with its backing, with all others.
    """
    playing = frozenset(role for role in ROLES if attributes[role] != "none")
    if course is None:
        return [Section(attributes, playing, 1.0)]
    if course.changes == BAND:
        return band_sections(attributes, course, playing, share)
    parts = []
    for value, part in ((course.before, share), (course.after, 1 - share)):
        sounding = playing - {course.changes} if value == "none" else playing
        held = attributes if value == "none" else attributes | {course.changes: value}
        parts.append(Section(held, sounding, part))
    return parts


def band_sections(attributes: dict[str, str], course: Course, playing: frozenset[str], share: float) -> list[Section]:
    """The sections of a track whose band comes or goes: at once, or one after another."""
    solo = frozenset({"lead"})
    if course.kind in ("drop", "breakdown"):
        groups = [solo, playing]
        shares = [share, 1 - share] if course.before == SOLO else [1 - share, share]
    else:
        groups, shares = [solo, solo | {"backing"}, playing], [1 / 3] * 3
    parts = [Section(attributes, group, part) for group, part in zip(groups, shares, strict=True)]
    return parts if course.before == SOLO else parts[::-1]

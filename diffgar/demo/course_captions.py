"""Wording of a track's course in time: "starts with solo piano, then rock drums come in".

The words of a course and of its reverse are the same for most templates; what tells them apart is their order.
"""

import numpy as np

from diffgar.demo.captions import (
    ADJECTIVES,
    THINGS,
    article,
    draw_names,
    names_of,
    phrasings,
    sentence,
    sentence_case,
)
from diffgar.demo.courses import BAND, Course

# {a} is what is there first, {b} what comes later; {x} a part that comes or goes, {name} its role
CHANGES = [  # of the lead, the tempo or the density
    "{a} at first, {b} later",
    "first {a}, then {b}",
    "starts with {a}, then {b}",
    "opens with {a} before turning to {b}",
    "{a} gives way to {b}",
    "goes from {a} to {b}",
    "{a} in the first half, {b} in the second",
    "{b} after an opening with {a}",
    "{b} in the second half, {a} before that",
    "begins with {a} and ends with {b}",
    "{a}, later on {b}",
    "{b} follows {a}",
]
ENTERS = [
    "later joined by {x}",
    "no {name} at first, then {x}",
    "starts without {name}, then with {x}",
    "{x} from the middle on",
    "{x} only in the second half",
    "with {x} coming in halfway",
    "{x} after an opening without {name}",
    "opens without {name} before {x} coming in",
]
LEAVES = [
    "{x} at first, then no {name}",
    "starts with {x}, then without {name}",
    "{x} until the middle",
    "{x} only in the first half",
    "with {x} dropping out halfway",
    "no {name} after an opening with {x}",
    "opens with {x} before going on without {name}",
    "{x} in the first half, no {name} later",
]
BUILDS_UP = [
    "builds up from a solo {lead} to the full band",
    "the instruments join one after another",
    "starts with a solo {lead}, then grows layer by layer",
    "a solo {lead} at first, the full band at the end",
    "slowly builds up to the full band",
    "begins with {lead} alone before the others join one by one",
]
WINDS_DOWN = [
    "winds down from the full band to a solo {lead}",
    "the instruments leave one after another",
    "starts with the full band, then thins out layer by layer",
    "the full band at first, a solo {lead} at the end",
    "slowly winds down to a solo {lead}",
    "begins with the full band before the others leave {lead} alone one by one",
]
DROP = [
    "a solo {lead} at first, then everything at once",
    "starts with {lead} alone before the full band kicks in",
    "a quiet opening before the drop",
    "the full band bursts in halfway",
    "the full band all at once after a solo {lead}",
]
BREAKDOWN = [
    "everything at once at first, then a solo {lead}",
    "starts with the full band before a breakdown to {lead} alone",
    "a breakdown in the middle, quiet after that",
    "the full band stops halfway",
    "a solo {lead} after the full band all at once",
]
TEMPLATES = {
    "changes": CHANGES,
    "speeds up": [*CHANGES, "speeds up from {a} to {b}", "gets faster, from {a} to {b}"],
    "slows down": [*CHANGES, "slows down from {a} to {b}", "gets slower, from {a} to {b}"],
    "gets busier": [*CHANGES, "the melody gets busier halfway"],
    "gets sparser": [*CHANGES, "the melody gets sparser halfway"],
    "enters": ENTERS,
    "leaves": LEAVES,
    "builds up": BUILDS_UP,
    "winds down": WINDS_DOWN,
    "drop": DROP,
    "breakdown": BREAKDOWN,
}
PACES = ["{} part", "{} section", "{} passage"]
MEDLEY_NAMES = ["lead"] * 4 + ["backing", "drums", "bass", "tempo", "density"]  # how often each is told
CONTEXT_COUNTS = (1, 2, 3)  # attributes named beside the course


def untold(course: Course | None) -> tuple[str, ...]:
    """The attributes that a caption does not name as if they held throughout, since they change."""
    if course is None or course.changes == BAND:
        return ()
    return ("tempo", "mood") if course.changes == "tempo" else (course.changes,)


def course_caption(attributes: dict[str, str], course: Course, random: np.random.Generator) -> tuple[str, list[str]]:
    """A caption that tells the course beside one to three attributes, and the names of these."""
    left_out = [*untold(course), "lead"] if course.changes == BAND else untold(course)
    named = draw_names(int(random.choice(CONTEXT_COUNTS)), random, left_out)
    clause = tell(attributes, course, random)
    context = sentence({name: attributes[name] for name in named}, random).rstrip(".")
    forms = [
        f"{sentence_case(clause)} {sentence_case(context)}",
        f"{clause}, {context[0].lower()}{context[1:]}",
        sentence_case(f"{context}: {clause}"),
        f"{sentence_case(context)} {sentence_case(clause)}",
    ]
    return forms[random.integers(len(forms))], named


def tell(attributes: dict[str, str], course: Course, random: np.random.Generator) -> str:
    """Words for what changes."""

    def pick(options: list[str]) -> str:
        return options[random.integers(len(options))]

    def instrument(name: str) -> str:
        return pick(names_of(name))

    words = {"lead": instrument(attributes["lead"]), "name": course.changes}
    if course.changes == "lead":
        words |= {"a": instrument(course.before), "b": instrument(course.after)}
    elif course.changes == "tempo":
        pace = pick(PACES)
        tempos = ADJECTIVES["tempo"]
        words |= {
            "a": article(pace.format(pick(tempos[course.before]))),
            "b": article(pace.format(pick(tempos[course.after]))),
        }
    elif course.changes == "density":
        densities = THINGS["density"]
        words |= {"a": pick(densities[course.before]), "b": pick(densities[course.after])}
    elif course.changes == "backing":
        words |= {"x": instrument(attributes["backing"]), "name": "backing"}
    elif course.changes != BAND:
        words |= {"x": pick(THINGS[course.changes][attributes[course.changes]])}
    return pick(TEMPLATES[course.kind]).format(**words)


def medley_caption(first: dict[str, str], second: dict[str, str], random: np.random.Generator) -> str:
    """Words for something of one track and then something of another, for a medley of their halves."""

    def something(attributes: dict[str, str]) -> str:
        name = MEDLEY_NAMES[random.integers(len(MEDLEY_NAMES))]
        value = attributes[name]
        options = names_of(value) if name in ("lead", "backing") else phrasings(name, value)
        return options[random.integers(len(options))]

    return CHANGES[random.integers(len(CHANGES))].format(a=something(first), b=something(second))

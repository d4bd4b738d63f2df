"""Tracks with a course in time: what changes is heard where the table says, captions tell it, twins are reversed."""

import numpy as np
import pandas as pd
import pytest

from diffgar.demo.attributes import ATTRIBUTES, DEMO, draw_attributes
from diffgar.demo.course_captions import TEMPLATES, course_caption, tell
from diffgar.demo.courses import BACKWARD_OF, BAND, Course, draw_course, sections
from diffgar.demo.music import compose
from diffgar.demo.recipes import RECIPES
from diffgar.demo.tracks import track_rows

PLAIN = {name: values[0] for name, values in ATTRIBUTES.items()} | {"drums": "rock", "bass": "synth bass"}
COURSES = [
    Course("enters", "drums", "none", "rock"),
    Course("enters", "bass", "none", "synth bass"),
    Course("changes", "lead", "piano", "saxophone"),
    Course("speeds up", "tempo", "slow", "fast"),
    Course("gets busier", "density", "sparse", "busy"),
    Course("builds up", BAND, "solo", "full"),
    Course("drop", BAND, "solo", "full"),
]
BOTH_WAYS = [*COURSES, *(course.reversed() for course in COURSES)]


def composed(course: Course, backwards: bool = False):
    return compose(PLAIN, np.random.default_rng(3), course, backwards)


def spans(song) -> dict[int, tuple[float, float]]:
    """When each program is first and last struck, in shares of the song."""
    return {
        (part.bank or part.program): (part.notes[0][0] / song.seconds, part.notes[-1][0] / song.seconds)
        for part in song.parts
    }


def test_a_part_that_enters_is_silent_before_and_one_that_leaves_is_silent_after():
    first, last = spans(composed(COURSES[0]))[128]
    assert 0.3 < first < 0.7 and last > 0.9
    first, last = spans(composed(COURSES[0].reversed()))[128]
    assert first == 0 and 0.3 < last < 0.7


def test_the_lead_passes_from_one_instrument_to_the_other():
    heard = spans(composed(COURSES[2]))
    piano, saxophone = heard[DEMO.leads["piano"]], heard[DEMO.leads["saxophone"]]
    assert piano[0] < 0.05 and piano[1] < saxophone[0] < 0.7 and saxophone[1] > 0.8


def test_a_faster_or_busier_half_has_more_notes_a_second():
    for course in COURSES[3:5]:
        song = composed(course)
        starts = np.array([start for start, *_ in song.parts[0].notes]) / song.seconds
        assert (starts > 0.65).sum() > 1.5 * (starts < 0.35).sum()


def test_a_band_builds_up_one_after_another_and_drops_at_once():
    starts = {part.bank or part.program: part.notes[0][0] for part in composed(COURSES[5]).parts}
    lead, backing, drums = starts[DEMO.leads["piano"]], starts[DEMO.backings[PLAIN["backing"]]], starts[128]
    assert lead == 0 < backing < drums
    together = {part.bank or part.program: part.notes[0][0] for part in composed(COURSES[6]).parts}
    assert together[128] == pytest.approx(together[DEMO.backings[PLAIN["backing"]]], abs=0.01) and together[128] > 5


@pytest.mark.parametrize("course", BOTH_WAYS, ids=lambda course: f"{course.kind} {course.changes}")
def test_a_reversed_twin_is_the_same_music_in_the_other_order(course):
    song, twin = composed(course), composed(course, backwards=True)
    assert twin.seconds == pytest.approx(song.seconds)
    assert [part.level for part in twin.parts] == [part.level for part in song.parts]
    assert {part.program for part in twin.parts} == {part.program for part in song.parts}
    for forwards, backwards in zip(song.parts, twin.parts, strict=True):
        middles = [np.mean([start for start, *_ in part.notes]) / song.seconds for part in (forwards, backwards)]
        assert sum(middles) == pytest.approx(1, abs=0.2)  # the onsets of long notes lie early


def test_about_half_of_the_tracks_have_a_course_and_every_kind_occurs():
    tracks = pd.DataFrame([track_rows(0, "train", number)[0] for number in range(600)])
    assert 0.42 < (tracks["course"] != "").mean() < 0.58
    assert set(tracks["course"]) == {"", *BACKWARD_OF}
    changed = tracks[tracks["course"] != ""]
    share = changed["change_at"].astype(float) / changed["duration"]
    assert share.min() > 0.2 and share.max() < 0.75  # a band in three sections changes first after one of them


def test_of_a_tracks_captions_one_tells_its_course_and_one_nothing_of_time():
    for number in range(100):
        rows = track_rows(0, "train", number)
        told = [row["tells_course"] for row in rows]
        if not rows[0]["course"]:
            assert not any(told)
        else:
            assert True in told and False in told
            silent = {"tempo": {"tempo", "mood"}}.get(rows[0]["changes"], {rows[0]["changes"]})
            assert not any(silent & set(row["named"].split("|")) for row in rows)


def test_twins_name_each_other_and_tell_the_reverse():
    recipe = RECIPES["demo_time"]
    for number in range(0, 40, 2):
        own, twin = (track_rows(0, "test", n, recipe) for n in (number, number + 1))
        assert own[0]["twin_of"] == twin[0]["track_id"] and twin[0]["twin_of"] == own[0]["track_id"]
        assert all(row["tells_course"] for row in own + twin)
        assert (own[0]["before"], own[0]["after"]) == (twin[0]["after"], twin[0]["before"])
        assert own[0]["course"] == BACKWARD_OF[twin[0]["course"]]
        assert {own[0][name] == twin[0][name] for name in ATTRIBUTES} == {True}


def test_words_of_a_course_and_of_its_reverse_differ_for_every_draw():
    for seed in range(200):
        random = np.random.default_rng(seed)
        attributes = draw_attributes(random)
        course = draw_course(attributes, ATTRIBUTES, random)
        there, back = (tell(attributes, each, np.random.default_rng(seed)) for each in (course, course.reversed()))
        assert there != back
        text, named = course_caption(attributes, course, random)
        assert 1 <= len(named) <= 3 and text == text.strip() and "{" not in text


def test_every_kind_has_words_and_sections_that_fill_the_track():
    assert set(TEMPLATES) == set(BACKWARD_OF)
    for course in BOTH_WAYS:
        parts = sections(PLAIN, course, 0.4)
        assert sum(part.share for part in parts) == pytest.approx(1)
        assert all("lead" in part.sounding for part in parts)

"""The engine of the app, without a page: queries, what steering moved, the map, the trail."""

import asyncio

import numpy as np
import pytest
import torch

from diffgar.app import uploads as uploads_module
from diffgar.app.moves import moves, ranks_among
from diffgar.app.plane import Plane
from diffgar.app.query import Query
from diffgar.app.told import told_answer, told_apart, told_library
from diffgar.app.trail import LONGEST, Trail
from diffgar.app.uploads import Uploads
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit, Hits

CALM = Query("a calm piano piece")
STEERED = Query("a calm piano piece", negatives=(("drums", 1.0),))


def kept(uploads: Uploads, name: str, *chunks: bytes) -> str:
    async def stream():
        for chunk in chunks:
            yield chunk

    return asyncio.run(uploads.keep(name, stream()))


def hits_at(query: torch.Tensor, *positions: int) -> Hits:
    ranked = [Hit(rank, 0.0, str(at), "", 0.0, None, 0.0, 0.0, at) for rank, at in enumerate(positions, start=1)]
    return Hits(tuple(ranked), query, {})


def test_a_query_is_answered_as_the_library_answers_it(engine, library):
    answer = engine.answer(CALM)
    assert [hit.track_id for hit in answer.hits] == [hit.track_id for hit in library.search(CALM.caption, k=20)]
    assert answer.plain is None and answer.title == CALM.caption


def test_a_steered_query_brings_the_plain_one_with_it(engine, library):
    answer = engine.answer(STEERED)
    assert [hit.track_id for hit in answer.plain] == [hit.track_id for hit in engine.answer(CALM).hits]
    everyone = {hit.track_id: hit.rank for hit in library.search(CALM.caption, k=len(library))}
    assert list(answer.before) == [everyone[hit.track_id] for hit in answer.hits]


def test_a_negative_of_strength_0_is_kept_and_not_used(engine):
    off = Query(CALM.caption, negatives=(("drums", 0.0),))
    assert not off.steered and off.to_page()["negatives"] == [{"typed": "drums", "strength": 0.0}]
    assert [hit.position for hit in engine.answer(off).hits] == [hit.position for hit in engine.answer(CALM).hits]


def test_more_like_a_track_leaves_the_track_out_of_both_lists(engine, library):
    own = library.tracks["row_id"].iloc[5]
    answer = engine.answer(Query(like=own, edit="with strings, without drums"))
    assert own not in {hit.track_id for hit in [*answer.hits, *answer.plain]}
    everyone = {hit.track_id: hit.rank for hit in library.search(like=own, k=len(library))}
    assert list(answer.before) == [everyone[hit.track_id] for hit in answer.hits]


def test_a_track_without_a_caption_is_called_as_its_file_is(engine, library, monkeypatch):
    assert engine.name(5) == library.caption_of(library.tracks["row_id"].iloc[5])
    monkeypatch.setattr(library, "captions", {})
    assert engine.name(5) == library.path_of(5).stem


def test_only_tracks_of_the_library_are_named_by_like(engine, library):
    for path in (str(library.path_of(0)), "/etc/passwd", "../app.py"):
        with pytest.raises(SearchError, match="no track"):
            engine.answer(Query(like=path))


def test_moves_are_plain_ranks_and_steered_ones():
    index = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]), dim=1)
    plain, steered = hits_at(torch.tensor([2.0, 0.0]), 0, 1), hits_at(torch.tensor([0.0, 1.0]), 3, 0)
    assert moves(plain, steered, index) == ([4, 1], [2, None])
    assert ranks_among(index, plain.query, [3, 1], left_out=0) == [3, 1]


def test_the_map_sees_a_track_where_it_lies_whatever_its_length(engine, library):
    for position in (0, 7, len(library) - 1):
        seen = engine.plane.see(3 * library.index[position])
        np.testing.assert_allclose(seen, engine.plane.points[position], atol=1e-6)


def test_the_map_shows_the_two_directions_in_which_tracks_differ_most():
    vectors = torch.randn(400, 5) * torch.tensor([0.1, 5.0, 0.1, 1.0, 0.1])
    points = Plane(vectors).points
    assert abs(np.corrcoef(points[:, 0], vectors[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(points[:, 1], vectors[:, 3])[0, 1]) > 0.99


def test_tags_that_lie_apart_are_told_from_those_that_do_not():
    points = np.array([[0.0, 0.0], [0.0, 0.1], [9.0, 9.0], [9.0, 9.1]])
    assert told_apart(points, np.array([0, 0, 1, 1])) > 0.99 > 0.01 > told_apart(points, np.array([0, 1, 0, 1]))


def test_every_shown_track_has_a_point_and_a_value_of_each_tag(engine, library):
    drawn = told_library(engine)["map"]
    assert len(drawn["positions"]) == len(drawn["points"]) == len(library)
    by_name = {tag["name"]: tag for tag in drawn["tags"]}
    assert {"mood", "tempo", "drums"} <= set(by_name) and "path" not in by_name
    mood = by_name["mood"]
    assert [mood["values"][number] for number in mood["of"]] == list(library.tracks["mood"])


def test_the_trail_grows_goes_back_and_keeps_what_came_after(engine):
    first, second = engine.answer(CALM), engine.answer(STEERED)
    trail = Trail().add(first).add(second)
    back = trail.back_to(0)
    assert back.shown is first and back.answers == trail.answers and trail.shown is second
    assert back.add(engine.answer(Query("fast rock"))).current == 2
    for step in (-1, 2, "0", None):
        with pytest.raises(SearchError, match="no step"):
            trail.back_to(step)


def test_moving_a_slider_is_no_new_step(engine):
    weaker = engine.answer(Query(CALM.caption, negatives=(("drums", 0.3),)))
    trail = Trail().add(engine.answer(CALM)).add(engine.answer(STEERED)).add(weaker)
    assert len(trail.answers) == 2 and trail.shown is weaker


def test_a_long_trail_drops_its_oldest_steps(engine):
    answers = [engine.answer(CALM), engine.answer(STEERED)]
    trail = Trail()
    for number in range(LONGEST + 5):
        trail = trail.add(answers[number % 2])
    assert len(trail.answers) == LONGEST and trail.current == LONGEST - 1


def test_an_answer_is_told_with_its_timelines_playlist_and_table(engine, library):
    told = told_answer(engine, Trail().add(engine.answer(STEERED)))
    hit, answer = told["hits"][0], engine.answer(STEERED)
    np.testing.assert_allclose(hit["timeline"], library.timeline(answer.hits[0], answer.hits), atol=1e-4)
    assert hit["seconds"] == answer.hits[0].seconds and hit["other"] == answer.before[0]
    paths = [line for line in told["m3u"].splitlines() if not line.startswith("#")]
    assert paths == [str(library.path_of(hit.position).absolute()) for hit in answer.hits]
    assert told["csv"].count("\n") == 21
    assert told["trail"] == [{"kind": "caption", "title": CALM.caption, "edit": "", "avoided": ["drums"]}]


def test_a_negative_at_the_start_is_answered_and_its_query_is_seen_on_the_map(engine):
    query = Query(CALM.caption, negatives=(("drums at the start", 1.0),))
    told = told_answer(engine, Trail().add(engine.answer(query)))
    assert told["avoided"][0]["typed"] == "drums" and told["avoided"][0]["part"] == 1
    plain = told_answer(engine, Trail().add(engine.answer(CALM)))
    assert np.shape(told["point"]) == np.shape(plain["point"]) == (2,) and len(told["plain"]) == 20


MALFORMED = [None, [], "text", {"caption": 3}, {"negatives": ["drums"]}, {"negatives": 3}, {"edit_strength": "far"}]
MALFORMED += [{"edit_strength": 1.1}, {"edit_strength": "nan"}]
MALFORMED += [{"negatives": [{"typed": "drums", "strength": strength}]} for strength in (-1, 3, "inf", "nan", None)]


@pytest.mark.parametrize("sent", MALFORMED, ids=str)
def test_what_the_page_would_not_send_is_refused_in_a_sentence(sent):
    with pytest.raises(SearchError, match="load the page again"):
        Query.read(sent)


def test_a_query_comes_back_from_the_page_as_it_was():
    query = Query(like="a/b.wav", edit="with strings", edit_strength=0.3, negatives=(("drums", 1.5), ("a,b", 0.0)))
    assert Query.read(query.to_page()) == query


def test_a_dropped_file_of_the_library_finds_that_track_first(engine, library):
    path = library.path_of(3)
    token = kept(engine.uploads, "mine.flac", path.read_bytes())
    answer = engine.answer(Query(upload=token))
    assert answer.hits[0].position == 3 and answer.title == "mine.flac"


def test_a_broken_file_is_refused_by_its_own_name(engine):
    token = kept(engine.uploads, "../song.mp3", b"not audio at all")
    with pytest.raises(SearchError, match=r"^song\.mp3: ") as refused:
        engine.answer(Query(upload=token))
    assert token not in str(refused.value) and str(engine.uploads.find(token)[0]) not in str(refused.value)


def test_of_a_file_that_is_too_large_nothing_is_kept(monkeypatch):
    monkeypatch.setattr(uploads_module, "LARGEST", 10)
    uploads = Uploads()
    with pytest.raises(SearchError, match="larger than"):
        kept(uploads, "long.wav", b"123456", b"123456")
    token = kept(uploads, "short.wav", b"123456")
    assert [path.name for path in uploads.find(token)[0].parent.iterdir()] == [token]


def test_the_oldest_files_go_and_a_token_that_was_not_given_out_is_nothing(monkeypatch):
    monkeypatch.setattr(uploads_module, "MOST", 1)
    uploads = Uploads()
    first, second = kept(uploads, "a.wav", b"1"), kept(uploads, "b.wav", b"2")
    assert uploads.find(second)[0].read_bytes() == b"2"
    for token in (first, "../../etc/passwd", ""):
        with pytest.raises(SearchError, match="drop it again"):
            uploads.find(token)

"""Searching a library: what a question finds, whatever the kind of model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from diffgar.errors import InputError
from diffgar.models.baselines import ContrastiveHeads, Regression
from diffgar.models.ldm import LatentDiffusion
from diffgar.search.errors import SearchError

KINDS = [LatentDiffusion, Regression, ContrastiveHeads]
CAPTIONS = ["a slow waltz for piano", "electronic drums and a synth bass", "a sad violin melody"]


def ids(hits):
    return [hit.track_id for hit in hits]


def test_hits_stand_in_the_order_of_their_scores_with_percentiles_and_captions(library, captions):
    hits = library.search(CAPTIONS[0], k=1000)
    assert len(hits) == len(library) == 40 and sorted(ids(hits)) == sorted(library.positions)
    assert [hit.rank for hit in hits] == list(range(1, 41))
    assert all(a.score >= b.score for a, b in zip(hits, hits[1:], strict=False))
    assert hits[0].percentile == 100 and hits[39].percentile == 0
    assert hits[4].percentile == pytest.approx(100 * 35 / 39)  # 35 of the other 39 score lower
    first = captions[captions["track_id"] == hits[0].track_id].iloc[0]
    assert hits[0].caption == first["caption"] and hits[0].path.endswith(first["path"])
    query = library.retriever.encode_query(CAPTIONS[0])
    assert hits[0].cosine == pytest.approx(float((library.index @ query).max()), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_finds_the_same_in_any_batch(retriever_of, kind):
    library = retriever_of(kind).trained_library()
    together = library.search(CAPTIONS, k=5)
    alone = [library.search(caption, k=5) for caption in CAPTIONS]
    for a, b in zip(together, alone, strict=True):
        assert ids(a) == ids(b)
        torch.testing.assert_close(a.query, b.query, atol=1e-4, rtol=0)
    same = torch.equal(library.search(CAPTIONS[0], seed=1).query, alone[0].query)
    assert same == (kind is not LatentDiffusion)  # the others draw nothing


def test_an_audio_file_is_encoded_as_the_index_has_it(library):
    paths = [library.path_of(position) for position in (3, 17)]
    vectors = library.retriever.encode_document(paths)
    torch.testing.assert_close(vectors, library.index[[3, 17]], atol=1e-3, rtol=0)  # half precision's last digit
    assert library.retriever.encode_document(paths[0]) @ library.index[3] == pytest.approx(1, abs=1e-5)
    similarity = library.retriever.similarity(library.retriever.encode_query(CAPTIONS), vectors)
    assert similarity.shape == (3, 2) and similarity.abs().max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_track_of_the_library_leaves_itself_out_and_a_copy_of_its_file_finds_it(retriever_of, kind, tmp_path):
    library = retriever_of(kind).trained_library()
    track_id = library.tracks["row_id"].iloc[7]
    assert track_id not in ids(library.search(like=track_id, k=1000))
    assert track_id not in ids(library.search(like=library.path_of(7), k=1000))  # the same file, by its path
    copy = tmp_path / "unknown.flac"
    shutil.copyfile(library.path_of(7), copy)
    best = library.search(like=copy, k=1)[0]
    assert best.track_id == track_id and best.cosine == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_goes_from_the_track_to_the_caption(retriever_of, kind):
    library = retriever_of(kind).trained_library()
    like = library.search(CAPTIONS[0], k=1)[0]
    as_it_was, half, all_the_way = (
        library.search(like=like, edit="the same with strings", edit_strength=strength, k=39).query
        for strength in (0, 0.5, 1)
    )
    target = library.retriever.encode_query("strings")
    torch.testing.assert_close(as_it_was, library.index[like.position], atol=1e-6, rtol=0)
    torch.testing.assert_close(all_the_way, target, atol=1e-5, rtol=0)
    assert half @ as_it_was == pytest.approx(float(half @ all_the_way), abs=1e-5)  # midway
    of_a_caption = library.search(CAPTIONS[0], edit="with strings", edit_strength=1).query
    torch.testing.assert_close(of_a_caption, target, atol=1e-5, rtol=0)


def test_inversion_stays_with_the_track_at_strength_0_and_leaves_it_with_more(library):
    cosines = []
    for strength in (0, 0.2, 1):
        hits = library.search(like="test-00003", edit="fast drums", editing="inversion", edit_strength=strength)
        cosines.append(float(hits.query @ library.index[library.position_of("test-00003")]))
    assert cosines[0] == pytest.approx(1, abs=1e-5) and max(cosines[1:]) < 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("joint", [True, False])
def test_a_negative_moves_the_list_away_from_what_is_like_it(retriever_of, kind, joint):
    library = retriever_of(kind, joint).trained_library()
    avoided = library.retriever.encode_query("electronic drums")
    order = {hit.track_id: hit.rank for hit in library.search(CAPTIONS[1], k=40)}
    steered = library.search(CAPTIONS[1], negative="electronic drums", expand=False, k=40)
    near = sorted(order, key=lambda track: -float(library.index[library.positions[track]] @ avoided))[:8]
    ranks = {hit.track_id: hit.rank for hit in steered}
    assert np.mean([ranks[track] for track in near]) > np.mean([order[track] for track in near])


def test_a_negative_that_hardly_weighs_changes_nothing_and_several_add_up(library):
    asked = {"method": "query_penalty", "strength": {"penalty": 1}, "expand": False, "k": 40}
    plain = library.search(CAPTIONS[0], k=40)
    assert ids(library.search(CAPTIONS[0], negative={"drums": 1e-9}, **asked)) == ids(plain)
    losses = {}
    for negative in ({"drums": 1}, {"piano": 0.5}, {"drums": 1, "piano": 0.5}):
        hits = library.search(CAPTIONS[0], negative=negative, **asked)
        losses[tuple(negative)] = {hit.track_id: hit.cosine - hit.score for hit in hits}
    for track, both in losses["drums", "piano"].items():
        assert both == pytest.approx(losses[("drums",)][track] + losses[("piano",)][track], abs=1e-5)


def test_what_was_asked_is_told(library):
    asked = library.search(CAPTIONS[0], negative="drums", k=1, seed=3, num_steps=1).asked
    assert asked["caption"] == CAPTIONS[0] and asked["seed"] == 3 and asked["num_steps"] == 1
    assert asked["method"] == "compose_text_penalty"
    assert "electronic drums" in asked["negatives"][0]["phrasings"]


def test_hits_are_written_as_tables_and_playlists(library, tmp_path, monkeypatch):
    hits = library.search(CAPTIONS[0], k=3)
    assert list(hits.to_pandas()["track_id"]) == ids(hits)
    assert json.loads(hits.to_json())["hits"][1]["track_id"] == hits[1].track_id
    lines = hits.to_m3u().splitlines()
    assert lines[0] == "#EXTM3U" and all(Path(line).is_absolute() and Path(line).is_file() for line in lines[2::2])
    assert [hit.rank for hit in hits[1:]] == [2, 3] and not library.only(row_id="test-00003").search("x")[1:]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"caption": ["x", "y"], "numbers": [1, 1]}, "give each one of its own"),
        ({}, "give a caption or like="),
        ({"caption": "x", "like": "test-00003"}, "not both"),
        ({"caption": "  "}, "say what the music is like"),
        ({"caption": "la " * 40_000}, "has 120,000 characters"),
        ({"caption": "x", "k": 0}, "k is 0"),
        ({"caption": "x", "negative": ""}, "say what to avoid"),
        ({"caption": "x", "negative": {"drums": -1}}, "give it a number above 0"),
        ({"caption": "x", "negative": "y", "method": "magic"}, "no steering method 'magic'; choose one of"),
        ({"caption": "x", "negative": "y", "method": "compose", "strength": {"w": 1}}, "give it as {'guidance'"),
        ({"caption": "x", "negative": "y", "strength": {"w": 1}}, "name it: method="),
        ({"like": "test-00003", "negative": "y", "method": "compose"}, "query is a track's"),
        ({"like": "test-00003", "edit": "the same"}, "changes nothing"),
        ({"like": "test-00003", "edit": "piano", "edit_strength": 2}, "from 0 .* to 1"),
        ({"like": "nowhere.mp3"}, "nowhere.mp3"),
        ({"caption": "x", "edit": "piano", "editing": "inversion"}, "edits a track"),
        ({"caption": "x", "num_steps": 0}, "num_steps"),
        ({"caption": []}, "no caption is given"),
        ({"caption": "x", "k": 2.5}, "k is 2.5"),
        ({"caption": "x", "seed": None}, "seed"),
        ({"caption": "x", "guidance_scale": 1e38}, "the query is not finite"),
        ({"caption": "x", "negative": {"drums": 1e6}}, "100 the most"),
        ({"caption": "x", "method": "compose"}, "steers away from a negative; give one"),
        ({"caption": "x", "editing": "inversion"}, "say what is to be other"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_sentence(library, asked, message):
    with pytest.raises(InputError, match=message):
        library.search(**asked)


@pytest.mark.parametrize(
    ("kind", "joint", "method", "message"),
    [
        (LatentDiffusion, False, "text_penalty", "not joint; choose replace"),
        (Regression, True, "compose", r"toy \(regression\) samples nothing"),
        (ContrastiveHeads, True, "text_penalty", "has a space of its own"),
        (ContrastiveHeads, True, "compose", "has a space of its own"),
    ],
)
def test_a_model_says_which_steering_it_lacks(retriever_of, kind, joint, method, message):
    with pytest.raises(SearchError, match=message):
        retriever_of(kind, joint).trained_library().search("x", negative="drums", method=method)


@pytest.mark.parametrize("kind", [Regression, ContrastiveHeads])
def test_a_model_that_samples_nothing_inverts_nothing(retriever_of, kind):
    with pytest.raises(SearchError, match="samples nothing to invert"):
        retriever_of(kind).trained_library().search(like="test-00003", edit="piano", editing="inversion")


def test_a_vector_is_steered_by_what_needs_no_tracks(retriever):
    plain, steered = (retriever.encode_query("piano", negative) for negative in (None, "drums"))
    avoided = retriever.encode_query("drums")
    assert steered @ avoided < plain @ avoided
    with pytest.raises(SearchError, match="penalises tracks, which a vector cannot"):
        retriever.encode_query("piano", "drums", method="query_penalty")


def test_a_library_is_asked_by_its_own_model_alone(retriever_of, library):
    with pytest.raises(SearchError, match="another retriever, of toy, and this one is of other"):
        retriever_of(name="other").search(library, "piano")

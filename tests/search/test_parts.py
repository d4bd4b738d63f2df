"""Searching in time: tracks and queries by parts, negatives and edits that say where."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.ranks import similarities
from diffgar.evaluation.pooling import Pooling
from diffgar.evaluation.queries import task_of
from diffgar.evaluation.systems import index_for, queries_of
from diffgar.library import Library
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.encoders.segments import segment_means
from diffgar.models.ldm import LatentDiffusion
from diffgar.search.errors import SearchError
from diffgar.search.negatives import Negative, read_negatives
from diffgar.search.parts import WHOLE, Parts
from diffgar.search.places import part_means_of
from diffgar.search.where import read_part
from diffgar.text_states import TextStates

SOUNDS = {name: F.one_hot(torch.tensor(n), 8).float() for n, name in enumerate(["piano", "drums", "violin", "choir"])}
COURSES = ["piano piano", "drums piano", "piano drums", "drums drums", "violin piano", "piano violin", "choir choir"]


class Speller:
    """Encodes a caption as the sound of each of its words: "drums piano" has drums first, "piano" has it all along."""

    def encode(self, captions):
        words = [[word for word in caption.split() if word in SOUNDS] for caption in captions]
        states = torch.stack([torch.stack([SOUNDS[each[0]], SOUNDS[each[-1]]]) for each in words])  # (B, 2, D)
        return TextStates(states, torch.ones(len(words), 2, dtype=torch.bool), F.normalize(states.mean(dim=1), dim=-1))


class Composer(LatentDiffusion):
    """Generates four frames, two of each word, without what it is guided away from."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    num_frames, centre = 4, torch.zeros(8)

    def generate(self, sampler, text, generators, num_frames=None, negatives=(), form="compose"):
        avoided = sum((weight * each.hidden_states.float() for each, weight in negatives), torch.zeros(1))
        return (text.hidden_states.float() - avoided).repeat_interleave(2, dim=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Tracks of six frames, whose halves have the sounds of their names, with a little that is each track's own."""
    folder = tmp_path_factory.mktemp("courses")
    card = Card(
        kind="audio", encoder="toy", dataset="toy", checkpoint_hash="0", frontend_version=1, layer="last", dim=8
    )
    writer = StoreWriter(folder, card, pd.DataFrame({"row_id": COURSES, "path": COURSES, "split": "test"}))
    own = np.random.default_rng(0).normal(scale=0.01, size=(len(COURSES), 8))
    for shard in writer.pending():
        ids = [writer.ids[row] for row in writer.rows_of(shard)]
        halves = {i: np.stack([SOUNDS[word].numpy() for word in i.split()]) for i in ids}
        writer.write_shard(shard, {i: halves[i].repeat(3, axis=0) + own[COURSES.index(i)] for i in ids})
    writer.finish()
    return Store(folder)


@pytest.fixture
def courses(store, retriever_of, home):
    """A library of these tracks, and a model that composes what it is asked for."""
    retriever = retriever_of(name="composer")
    retriever.opened.model, retriever.opened.text_encoder = Composer(), Speller()
    retriever.opened.latents = {"audio": store.card.encoding()}
    return Library(retriever, store, {"piano piano": ["a caption, so that no short word has other phrasings"]})


def ids(hits):
    return [hit.track_id for hit in hits]


def test_a_search_in_parts_tells_what_comes_first_and_one_of_whole_tracks_does_not(courses):
    assert set(ids(courses.search("drums piano", k=2))) == {"drums piano", "piano drums"}
    for caption in ("drums piano", "piano drums", "violin piano", "piano violin"):
        hits = courses.search(caption, segments=2, k=7)
        assert hits[0].track_id == caption and hits[0].cosine > hits[1].cosine + 0.4
    assert hits.query.shape == (16,) and hits.parts == Parts(2)


@pytest.mark.parametrize("weight", [0.0, 0.4])
@pytest.mark.parametrize("segments", [1, 2, 3])
def test_a_search_in_parts_ranks_as_the_evaluation_does(retriever, library, collection, segments, weight):
    weight = weight if segments > 1 else 0.0
    opened, audio, text = retriever.opened, Store(collection / "demo_audio"), TextStore(collection / "demo_text")
    task = task_of("demo", audio, text, "test")
    experiment = Experiment(opened.name, opened.model, 1, {}, opened.sampler, opened.sampler, audio, text, task, None)
    pooling = Pooling(pooling="segments", segments=segments, pooled_weight=weight) if segments > 1 else Pooling()
    [[queries]] = queries_of(experiment, experiment.caption_positions, [0], [pooling])
    [(_, scores)] = similarities(queries, index_for(experiment, pooling))  # (Q, N)
    pool = library.only(split="test")
    asked = {"numbers": experiment.caption_positions, "segments": segments, "pooled_weight": weight}
    found = pool.search(list(task.captions["caption"]), k=len(pool), **asked)
    for hits, of_tracks in zip(found, scores, strict=True):
        cosines = dict(zip(task.track_ids, of_tracks.tolist(), strict=True))
        assert ids(hits) == sorted(cosines, key=lambda track: -cosines[track])
        assert [hit.cosine for hit in hits] == pytest.approx([cosines[track] for track in ids(hits)], abs=1e-5)


METHODS = ["query_penalty", "query_arithmetic", "text_penalty", "text_arithmetic", "compose", "compose_text_penalty"]


@pytest.mark.parametrize("method", [None, *METHODS, "teacher_arithmetic", "teacher_penalty"])
@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize(
    ("said", "with_it", "like_that", "kept", "like_these"),
    [
        ("drums at the start", "drums piano", "violin piano", "piano drums", "piano violin"),
        ("drums at the end", "piano drums", "piano violin", "drums piano", "violin piano"),
        ("drums in part 1", "drums piano", "violin piano", "piano drums", "piano violin"),
    ],
)
def test_a_negative_takes_out_what_has_it_there_and_keeps_what_has_it_elsewhere(
    courses, method, weight, said, with_it, like_that, kept, like_these
):
    hits = courses.search("piano", negative=said, method=method, segments=2, pooled_weight=weight, k=7)
    score = {hit.track_id: hit.score for hit in hits}
    assert score[with_it] < score[like_that] - 0.1
    assert score[kept] == pytest.approx(score[like_these], abs=0.03)


def test_a_place_alone_asks_for_two_parts_and_what_was_understood_is_told(courses):
    hits = courses.search("drums", negative={"drums in the second half": 0.5}, k=1)
    assert hits.asked["segments"] == 2 and hits.parts == Parts(2)
    assert hits.asked["negatives"] == [{"typed": "drums", "weight": 0.5, "phrasings": ["drums"], "part": 2}]
    assert "segments" not in courses.search("drums", k=1).asked
    assert courses.search("drums", negative=Negative("drums at the end"), k=1).parts == WHOLE  # taken as it is


def test_a_negative_everywhere_avoids_it_in_either_part(courses):
    found = ids(courses.search("piano", negative="drums", segments=2, k=7))
    assert set(found[:3]) == {"piano piano", "violin piano", "piano violin"}


def test_an_edit_at_the_end_leaves_the_start_as_it_was(courses):
    for start in ({"caption": "piano"}, {"like": "piano piano"}):
        assert ids(courses.search(**start, edit="the same with violin at the end", edit_strength=1, k=1)) == [
            "piano violin"
        ]
    without = courses.search("drums", edit="no drums at the start", k=1)
    assert ids(without) == ["piano drums"]


def test_the_moment_of_a_hit_fits_the_part_in_which_it_begins(courses, monkeypatch):
    monkeypatch.setattr(Library, "frames_per_moment", 1)
    for caption, fits, second in (("piano drums", [0, 0, 0, 1, 1, 1], 3), ("drums piano", [1, 1, 1, 0, 0, 0], 0)):
        for weight in (0, 0.5):
            hits = courses.search(caption, segments=2, pooled_weight=weight, k=7)
            [hit] = [hit for hit in hits if hit.track_id == "drums drums"]
            assert courses.timeline(hit, hits) == pytest.approx(fits, abs=0.05)
            assert second <= hit.seconds < second + 3


def test_contrastive_heads_of_parts_are_searched_by_those(retriever_of, collection, home):
    retriever = retriever_of(ContrastiveHeads, name="heads of parts")
    model = retriever.opened.model
    torch.manual_seed(0)
    constants = {"latent_mean": model.latent_mean, "latent_std": model.latent_std, "null_text": model.null_text}
    retriever.opened.model = ContrastiveHeads(128, 16, 8, segments=2, num_frames=4, **constants).eval()
    library = retriever.trained_library()
    caption = "a piano, then drums"
    hits = library.search(caption, negative="drums at the end", expand=False, k=3)
    assert library.index.shape == (40, 16) and hits.parts == Parts(2) and hits.query.shape == (16,)
    means = torch.stack([segment_means(library.frames(position), 2) for position in range(40)])
    torch.testing.assert_close(library.index, retriever.opened.model.embed_audio(means).detach())
    path = library.path_of(3)
    torch.testing.assert_close(retriever.encode_document(path), library.index[3], atol=1e-3, rtol=0)
    assert len(library.timeline(hits[0], hits)) == len(library.timeline(hits[0], caption))
    with pytest.raises(SearchError, match="heads compare tracks with segments=2, and the question has segments=3"):
        library.search(caption, segments=3)
    with pytest.raises(SearchError, match="search with segments=2 .contrastive heads: train with"):
        retriever_of(ContrastiveHeads).trained_library().search(caption, negative="drums at the end")


def test_the_vectors_of_parts_are_made_once_and_have_unit_length(courses):
    nearest = courses.nearest_by(Parts(2, 0.5))
    assert nearest.index.shape == (7, 24) and nearest is courses.nearest_by(Parts(2, 0.5))
    torch.testing.assert_close(nearest.index.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("drums at the start", ("drums", "start")),
        ("a loud choir in the beginning.", ("a loud choir", "start")),
        ("drums in its first half", ("drums", "start")),
        ("Drums at the END", ("Drums", "end")),
        ("drums during the second half", ("drums", "end")),
        ("drums in part 3", ("drums", 3)),
        ("at the start", ("at the start", None)),
        ("a start with drums", ("a start with drums", None)),
        ("drums at the end of a film", ("drums at the end of a film", None)),
        ("drums from the start", ("drums from the start", None)),
    ],
)
def test_words_at_the_end_say_where(typed, read):
    assert read_part(typed) == read
    [negative] = read_negatives(typed)
    assert (negative.typed, negative.part) == read


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"segments": 0}, "segments is 0"),
        ({"segments": 1.5}, "segments is 1.5"),
        ({"segments": 2, "pooled_weight": 1}, "pooled_weight is 1; give it a number from 0 to below 1"),
        ({"pooled_weight": 0.5}, "search in parts too: segments=2"),
        ({"negative": "drums at the end", "segments": 1}, "whole tracks are compared; search with segments=2"),
        ({"negative": "drums in part 3"}, "3 is no part of a track that is searched in 2; .* segments=3"),
        ({"negative": Negative("drums", part="middle")}, "'middle' is no part"),
        ({"edit": "with violin in part 9"}, "9 is no part"),
    ],
)
def test_parts_that_are_none_are_told(courses, asked, message):
    with pytest.raises(InputError, match=message):
        courses.search("drums", **asked)


def test_means_of_parts_are_read_again(store, tmp_path):
    first = part_means_of(store, 2, tmp_path)
    assert first.shape == (7, 2, 8)
    unread = Store(store.folder)
    unread.row = None  # which would give the frames
    assert torch.equal(part_means_of(unread, 2, tmp_path), first)
    with pytest.raises(TypeError):
        part_means_of(unread, 3, tmp_path)

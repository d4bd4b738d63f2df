"""Tracks that two collections share, found by latents: copies at another offset, parts, and none that sound alike."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from diffgar.dataloading.store.card import StoreError
from diffgar.evaluation.overlap import OverlapOptions, along_diagonals, compared_pairs, overlapping
from diffgar.jobs.overlap import IDENTITY, refuse_other_encoder, told


class Collection:
    """The part of an audio store that is read: tracks (T_i, D), each with a name of its own."""

    def __init__(self, folder: str, tracks: list[np.ndarray], **card):
        self.folder, self.tracks = folder, tracks
        self.lengths = np.array([len(each) for each in tracks])
        self.card = SimpleNamespace(**dict.fromkeys(IDENTITY, 1) | {"hop_seconds": 0.5} | card)
        self.rows = pd.DataFrame({"row_id": [f"{folder}{n}" for n in range(len(tracks))], "split": "test"})

    def __len__(self) -> int:
        return len(self.tracks)

    def row(self, i: int) -> np.ndarray:
        return self.tracks[i].astype(np.float16)

    def means(self, rows: np.ndarray) -> torch.Tensor:
        return torch.stack([torch.from_numpy(self.tracks[row]).float().mean(dim=0) for row in rows])


def tracks(count: int, seed: int, course: float = 0.7) -> list[np.ndarray]:
    """Tracks of few kinds, whose means are alike within a kind, and which each take a course of their own."""
    rng, kinds = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(6, 32))
    return [kinds[n % 6] + course * rng.normal(size=(rng.integers(16, 40), 32)) for n in range(count)]


def between(track: np.ndarray, start: float, stop: int | None = None) -> np.ndarray:
    """A track from half of a hop after frame `start` on: what a copy at another offset has."""
    return (0.75 * track[:-1] + 0.25 * track[1:])[int(start) : stop]


FIRST = tracks(60, seed=1)


def test_a_copy_at_another_offset_and_a_part_are_found_and_nothing_else():
    copies = [between(FIRST[7], 5), FIRST[20], between(FIRST[33], 4, 12)]
    second = Collection("b", tracks(30, seed=2) + copies)
    found = overlapping(compared_pairs(Collection("a", FIRST), second, OverlapOptions()), OverlapOptions())
    assert {(pair.first, pair.second, pair.offset) for pair in found} == {(7, 30, -5), (20, 31, 0), (33, 32, -4)}
    assert found[0].second == 31 and found[0].similarity == pytest.approx(1, abs=1e-3)
    assert found[0].frames == len(FIRST[20]) and {pair.frames for pair in found} >= {8}


def test_a_part_whose_mean_is_far_is_found_by_its_frames_alone():
    long = np.concatenate([FIRST[0], FIRST[1], FIRST[2], FIRST[3], FIRST[4]])
    first, second = Collection("a", [*FIRST[6:], long]), Collection("b", [*tracks(30, seed=2), FIRST[4][:12]])
    kept = [
        overlapping(compared_pairs(first, second, options), options)
        for options in (OverlapOptions(candidates=2, probes=0), OverlapOptions(candidates=2))
    ]
    assert kept[0] == []
    assert [(pair.first, pair.second) for pair in kept[1]] == [(54, 30)]


def test_tracks_that_are_alike_in_their_means_alone_do_not_overlap():
    alike = Collection("b", tracks(60, seed=3, course=0.2))
    pairs = compared_pairs(Collection("a", tracks(60, seed=4, course=0.2)), alike, OverlapOptions())
    assert max(pair.similarity for pair in pairs) > OverlapOptions().similarity
    assert overlapping(pairs, OverlapOptions()) == []


def test_within_one_collection_a_pair_stands_once_and_no_track_beside_itself():
    store = Collection("a", [*FIRST, between(FIRST[9], 3)])
    found = overlapping(compared_pairs(store, store, OverlapOptions()), OverlapOptions())
    assert [(pair.first, pair.second, pair.offset) for pair in found] == [(9, 60, -3)]


def test_the_diagonals_are_summed_from_the_lower_left_corner_on():
    table = torch.arange(12.0).view(3, 4)
    assert along_diagonals(table).tolist() == [table.diagonal(offset).sum() for offset in range(-2, 4)]
    assert along_diagonals(torch.tensor([[1, 2], [3, 4]])).tolist() == [3, 5, 2]


def test_the_json_has_ids_splits_and_seconds():
    first, second = Collection("a", FIRST), Collection("b", [*tracks(30, seed=2), between(FIRST[7], 5)])
    content = told(compared_pairs(first, second, OverlapOptions()), OverlapOptions(), first, second)
    (pair,) = content["pairs"]
    assert (pair["first"], pair["second"], pair["offset_s"]) == ("a7", "b30", -2.5)
    assert content["num_tracks"] == [60, 31] and content["similarity_of_compared"]["p100"] >= pair["similarity"] - 1e-4


def test_latents_of_two_encoders_are_refused():
    with pytest.raises(StoreError, match="a has checkpoint_hash 1 and b has 'x'"):
        refuse_other_encoder(Collection("a", FIRST), Collection("b", FIRST, checkpoint_hash="x"))

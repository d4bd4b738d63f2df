"""The benchmark of scale: its synthetic stores are real ones, and its stages are the jobs themselves, on 50 tracks."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import growth, measured, options
from benchmarks.scale_stages import STAGES
from benchmarks.scale_store import AUDIO, DATASET, TEXT, tables, write_stores
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore

PERCENT = 0.02  # 50 tracks
ASKED = options().parse_args(["--quick", "--steps", "1", "--batch", "4", "--batches", "2", "--device", "cpu"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    write_stores(folder / "data" / "latents", PERCENT, dense=True)
    return folder


def opened(latents: Path) -> tuple[Store, TextStore]:
    return Store(latents / DATASET / AUDIO), TextStore(latents / DATASET / TEXT)


def test_a_hundredth_of_the_tracks_has_a_hundredth_of_the_hours():
    tracks, captions, seconds, tokens = tables(1)
    train = tracks["split"] == "train"
    assert train.sum() == 2510 and len(captions) == len(tracks) + 1 == 2561
    assert seconds[train].sum() / 3600 == pytest.approx(125, rel=0.02)
    assert tokens[1:].min() == 8 and tokens.max() == 77


def test_a_store_with_holes_has_the_rows_and_sizes_of_one_without(folder, tmp_path):
    write_stores(tmp_path, PERCENT, dense=False)
    for whole, holes in zip(opened(folder / "data" / "latents"), opened(tmp_path), strict=True):
        np.testing.assert_array_equal(holes.spans, whole.spans)
        assert list(holes.rows["row_id"]) == list(whole.rows["row_id"]) and holes.frames.nbytes == whole.frames.nbytes
        assert all(holes.row(row).any() and whole.row(row).all(axis=1).all() for row in range(len(whole)))


def test_every_stage_runs(folder, monkeypatch):
    monkeypatch.setenv("GDR_LIBRARIES", "set anew by the search")  # and put back after the test
    found = {name: STAGES[name](folder, ASKED, PERCENT) for name in STAGES if name != "writing"}
    assert found["loading"]["batch"] == 256 and found["loading"]["batches_per_second"] > 0
    assert found["evaluation"] == {"captions": 50, "tracks": 50}
    assert found["search"]["tracks"] == 51  # the validation track is there too


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what processes share")
def test_two_processes_are_measured_apart_and_share_the_page_cache(folder):
    for report in measured("sharing", folder, ASKED, PERCENT):
        assert 0 < report["peak_mb"] < report["rss_mb"] and report["pss_mb"] < report["rss_mb"]


def test_what_grows_in_a_straight_line_is_reckoned_on_it():
    assert growth([1, 3, 10], [12.0, 16.0, 30.0])["reckoned_at_100_percent"] == pytest.approx(210)
    assert growth([1, 3, 10], [2.0, 18.0, 200.0])["exponent"] == pytest.approx(2)
    assert growth([1, 3], [5.0, 4.0])["reckoned_at_100_percent"] == 4

"""Composed requests as tables: ReMIX's columns, and its corpus."""

import numpy as np
import pandas as pd
import pytest
from scripts import composed

from diffgar.dataloading.datasets.errors import DatasetError
from diffgar.dataloading.datasets.remix import read_corpus
from diffgar.dataloading.datasets.triples import TRIPLE, axes_of, read_triples
from diffgar.jobs.building import build

STEPS = pd.DataFrame(
    {
        "chain_id": ["chain_0", "chain_0", "chain_1"],
        "turn_index": [1, 2, 1],
        "split": ["test", "test", "val"],
        "source_clip_id": ["track_0000386::0-30::1", "track_0000214::30-60::2", "track_0001000::0-30::1"],
        "target_clip_id": ["track_0000214::30-60::2", "track_0000386::30-60::2", "track_0001001::0-30::1"],
        "change_axes": [["speed"], ["genre_style", "mood"], ["vocals"]],
        "preservation_axes": [["vocals", "genre_style"], ["speed"], []],
        "primary_axis": ["speed", "genre_style", "vocals"],
        "primary_edit": ["make it slower", "the same, but jazzier", "add a singer"],
    }
)


def write(table: pd.DataFrame, path):
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_remixs_columns_are_read_from_parquet_and_from_csv(tmp_path, suffix):
    path = write(STEPS, tmp_path / f"steps{suffix}")
    found = read_triples(pd.DataFrame(), "remix", path, axes={"genre_style": "genre"})
    assert list(found.columns) == [*TRIPLE]
    assert list(found["split"]) == ["test", "test", "validation"]
    assert list(found["primary_edit"]) == list(STEPS["primary_edit"])
    assert list(found["primary_axis"]) == ["speed", "genre", "vocals"]
    assert list(found["preservation_axes"]) == [("vocals", "genre"), ("speed",), ()]
    assert list(found["source_clip_id"]) == list(STEPS["source_clip_id"])


def test_the_exported_tables_names_are_mapped_and_rows_are_kept_by_where():
    table = (
        STEPS.rename(columns={"primary_edit": "instruction"}).drop(columns="primary_axis").assign(validated=[1, 1, 0])
    )
    names = {"primary_edit": "instruction", "primary_axis": "change_axes"}
    found = read_triples(pd.DataFrame(), "remix", table, names, where={"validated": True})
    assert list(found["primary_axis"]) == ["speed", "genre_style"]
    assert list(found["primary_edit"]) == ["make it slower", "the same, but jazzier"]


def test_a_table_of_the_least_columns_changes_and_keeps_nothing_that_is_known():
    found = read_triples(pd.DataFrame(), "mine", STEPS.drop(columns=["primary_axis", "preservation_axes"]))
    assert list(found["primary_axis"]) == [""] * 3 and list(found["preservation_axes"]) == [()] * 3


@pytest.mark.parametrize(
    ("cell", "axes"),
    [
        (["speed", "vocals"], ("speed", "vocals")),
        (np.array(["speed"]), ("speed",)),
        ("['speed', 'vocals']", ("speed", "vocals")),
        ("speed|vocals", ("speed", "vocals")),
        ("[]", ()),
        ("", ()),
        (None, ()),
        (np.nan, ()),
    ],
)
def test_a_cell_of_axes_is_a_list_or_a_text_of_one(cell, axes):
    assert axes_of(cell) == axes


@pytest.mark.parametrize(
    ("table", "more", "message"),
    [
        (STEPS.drop(columns="target_clip_id"), {}, "no column 'target_clip_id'; there are"),
        (STEPS, {"columns": {"edit": "primary_edit"}}, "columns maps 'edit', which is none of ours: source_clip_id"),
        (STEPS.assign(primary_edit=["a", " ", "c"]), {}, "row 2: no primary_edit; give it one"),
        (STEPS.assign(target_clip_id=STEPS["source_clip_id"]), {}, "row 1: the source is its own target"),
        (STEPS.assign(preservation_axes="[speed"), {}, "is no list of axes"),
        (STEPS.assign(preservation_axes=3), {}, "3 is no list of axes"),
    ],
)
def test_what_is_no_table_of_requests_is_refused_by_row_and_column(table, more, message):
    with pytest.raises(DatasetError, match=message):
        read_triples(pd.DataFrame(), "mine", table, **more)


def corpus() -> pd.DataFrame:
    clips = sorted({*STEPS["source_clip_id"], *STEPS["target_clip_id"]})
    return pd.DataFrame(
        {
            "clip_id": clips,
            "track_id": [clip.split("::")[0] for clip in clips],
            "artist_id": [f"artist_{clip[6:13]}" for clip in clips],
            "split": ["test", "test", "test", "val", "val"],
            "vocals": ["vocal", "instrumental", None, "vocal", "vocal"],
            "speed": ["fast", "slow", "fast", "slow", None],
            "tags": [["guitar", "rock"], [], ["jazz"], ["rock"], ["rock"]],
            "genre": ["rock", "pop", "jazz", "rock", "rock"],
            "duration_sec": 30.0,
        }
    )


def test_a_clip_of_the_corpus_is_a_part_of_mtg_jamendos_file_with_a_caption_of_its_words():
    found = read_corpus(corpus()).iloc[1]
    assert (found["clip_id"], found["path"]) == ("track_0000386::0-30::1", "86/386.mp3")
    assert (found["start_s"], found["end_s"]) == (0, 30)
    assert list(read_corpus(corpus())["caption"][:3]) == [
        "guitar, rock, vocal, fast",
        "pop, instrumental, slow",
        "jazz, fast",
    ]
    with pytest.raises(DatasetError, match="row 1: clip_id is 'x', expected track_0000386::0-30::1"):
        read_corpus(corpus().assign(clip_id="x"))


def test_the_yamls_read_a_corpus_and_its_requests_from_one_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REMIX", str(tmp_path))
    write(corpus(), tmp_path / "corpus.parquet")
    write(STEPS, tmp_path / "steps.parquet")
    data = build(composed("extract_dataset", "data=remix").data)
    tracks = data.tracks.set_index("track_id")
    assert sorted(tracks.index) == list(corpus()["clip_id"])
    assert str(tracks["path"]["track_0000214::30-60::2"]).endswith("14/214.low.mp3")
    assert list(tracks.loc["track_0000214::30-60::2", ["start_s", "end_s"]]) == [30, 60]
    task = composed("eval_retrieval", "task=remix", "control=composed")
    requests = build(task.control).requests(data.tracks)
    ends = {*requests["source_clip_id"], *requests["target_clip_id"]}
    assert ends == set(tracks.index)
    assert {*requests["primary_axis"], *sum(requests["preservation_axes"], ())} == {*task.task.attributes}

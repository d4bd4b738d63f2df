"""Splits: their words, blank artists, and files that are cut in parts."""

import logging
import re

import pandas as pd
import pytest

from diffgar.dataloading.datasets import splits
from diffgar.dataloading.datasets.tables import DatasetError
from diffgar.dataloading.datasets.tracks import read_dataset

COLUMNS = {"track_id": "track_id", "path": "path", "caption": "caption"}
EVEN = {"train": 0.4, "validation": 0.3, "test": 0.3}


def dataset(rule, columns=None, **cells):
    size = len(next(iter(cells.values())))
    plain = {"track_id": range(size), "path": [f"{i}.wav" for i in range(size)], "caption": ["x"] * size}
    return read_dataset("some", pd.DataFrame(plain | cells), "/audio", COLUMNS | (columns or {}), rule)


@pytest.mark.parametrize(
    ("word", "split"),
    [(word, "validation") for word in ("val", "valid", "dev", "validate", "Validation", " VAL ")]
    + [("training", "train"), ("tr", "train"), ("Train", "train"), ("testing", "test"), ("Test", "test")],
)
def test_a_known_word_for_a_split_is_that_split_and_is_logged(word, split, caplog):
    caplog.set_level(logging.INFO)
    assert set(dataset(splits.by_column(), split=["train", word]).tracks["split"]) == {"train", split}
    assert f"split {word.strip()!r} is read as {split!r} (" in caplog.text


@pytest.mark.parametrize("rule", [splits.by_name("val"), splits.by_hash({"val": 1}), lambda rows: ["val"] * len(rows)])
def test_every_rules_words_are_read(rule):
    assert set(dataset(rule, track_id=["a", "b"]).tracks["split"]) == {"validation"}


def test_files_by_split_may_be_called_by_a_known_word(tmp_path):
    for name in ("train", "val"):
        (tmp_path / f"{name}.csv").write_text(f"track_id,path,caption\n{name}1,{name}.wav,x\n")
    table = {name: str(tmp_path / f"{name}.csv") for name in ("train", "val")}
    read = read_dataset("some", table, "/audio", COLUMNS, splits.by_column())
    assert list(read.tracks["split"]) == ["train", "validation"]


def test_the_plain_words_are_taken_without_a_log_line(caplog):
    caplog.set_level(logging.INFO)
    dataset(splits.by_column(), split=["train", "validation", "test"])
    assert not caplog.text


def test_a_word_that_means_two_things_is_refused_unless_renamed():
    for word in ("eval", "Evaluation"):
        with pytest.raises(DatasetError, match=rf"split '{word}' is validation in some .*rename=.{word}: validation"):
            dataset(splits.by_column(), split=["train", word])
    renamed = dataset(splits.by_column(rename={"eval": "test"}), split=["train", "eval"])
    assert list(renamed.tracks["split"]) == ["train", "test"]


def test_an_unusual_word_stays_and_is_named_in_a_warning(caplog):
    assert list(dataset(splits.by_column(), split=["train", "fold3"]).tracks["split"]) == ["train", "fold3"]
    assert "splits 'fold3' are none of train, validation, test" in caplog.text


@pytest.mark.parametrize("cell", ["", "  ", None, float("nan"), pd.NA])
def test_a_blank_split_is_refused_by_row(cell):
    with pytest.raises(DatasetError, match="row 2 is blank in column .split., "):
        dataset(splits.by_column(), split=["train", cell])


@pytest.mark.parametrize("cells", [[True, False], ["True", "False"], ["true", "FALSE"], [1, 0], ["1", "0"], [1.0, 0.0]])
def test_a_column_of_flags_is_renamed_to_splits_whatever_its_type(cells):
    rule = splits.by_column("flag", rename={True: "test", False: "train"})
    assert list(dataset(rule, flag=cells).tracks["split"]) == ["test", "train"]


@pytest.mark.parametrize("nobody", ["", "  ", None, float("nan"), "nan", "None"])
def test_blank_artists_are_not_one_artist(nobody, caplog):
    artists = [nobody] * 300 + ["ann"] * 50
    read = dataset(splits.by_hash(EVEN, by="artist"), {"artist": "artist"}, artist=artists)
    shares = read.tracks["split"][:300].value_counts(normalize=True)
    assert all(shares[split] == pytest.approx(share, abs=0.1) for split, share in EVEN.items())
    assert read.tracks["split"][300:].nunique() == 1
    assert "300 of 350 rows have no artist" in caplog.text
    assert read.tracks["artist"].isna().sum() == 300
    alone = dataset(splits.by_hash(EVEN), track_id=list(range(300)))  # a blank one is split as its track
    assert list(alone.tracks["split"]) == list(read.tracks["split"][:300])


@pytest.mark.parametrize("by", ["track_id", "artist"])
def test_the_parts_of_a_file_are_in_one_split_which_stays_when_the_table_grows(by, caplog):
    caplog.set_level(logging.INFO)
    cells = {"path": [f"{i // 10}.wav" for i in range(1000)], "start_s": [i % 10 for i in range(1000)]}
    columns = {"start_s": "start_s", "artist": "artist"}
    read = dataset(splits.by_hash(EVEN, by=by), columns, artist=[""] * 1000, **cells)
    assert (read.tracks.groupby("path")["split"].nunique() == 1).all()
    assert set(read.tracks["split"]) == set(EVEN)
    assert "100 files" in caplog.text and "more than one split" not in caplog.text
    fewer = dataset(
        splits.by_hash(EVEN, by=by), columns, artist=[""] * 500, **{name: each[:500] for name, each in cells.items()}
    )
    assert list(fewer.tracks["split"]) == list(read.tracks["split"][:500])


def test_a_whole_file_is_in_the_split_of_its_parts():
    cells = {"path": [f"{i // 2}.wav" for i in range(200)], "start_s": [None if i % 2 else 5 for i in range(200)]}
    read = dataset(splits.by_hash(EVEN), {"start_s": "start_s"}, **cells)
    assert (read.tracks.groupby("path")["split"].nunique() == 1).all()


PARTED = {"path": ["a.wav", "a.wav", "b.wav"], "start_s": [0, 10, 0], "split": ["train", "test", "test"]}
SAID = "1 of 2 files have parts in more than one split, the first /audio/a.wav (train, test)"


def test_parts_of_a_file_in_two_splits_are_refused():
    with pytest.raises(DatasetError, match=re.escape(SAID) + ".*split by file"):
        dataset(splits.by_column(), {"start_s": "start_s"}, **PARTED)


def test_parts_of_a_file_in_two_splits_are_told_where_that_is_allowed(caplog):
    read = dataset(splits.WithLeaks(splits.by_column()), {"start_s": "start_s"}, **PARTED)
    assert list(read.tracks["split"]) == PARTED["split"]
    assert f"some: {SAID}" in caplog.text


def test_an_artist_in_two_splits_is_told_and_a_blank_one_is_nobody(caplog):
    cells = {"artist": ["a", "b", "a", "", ""], "split": ["train", "train", "test", "train", "test"]}
    dataset(splits.by_column(), {"artist": "artist"}, **cells)
    assert "1 of 2 artists have tracks in more than one split, the first a (train, test)" in caplog.text
    caplog.clear()
    dataset(splits.by_hash(EVEN, by="artist"), {"artist": "artist"}, artist=[f"a{i % 9}" for i in range(90)])
    assert "artists have tracks" not in caplog.text


def test_a_hash_does_not_depend_on_the_type_of_an_id():
    rule = splits.by_hash(EVEN)
    whole, decimal, text = (
        rule(pd.DataFrame({"track_id": ids}))
        for ids in (range(50), [float(i) for i in range(50)], [str(i) for i in range(50)])
    )
    assert whole == decimal == text


def test_a_list_of_ids_is_read_with_its_mark_and_for_ids_of_any_type(tmp_path):
    (tmp_path / "test.txt").write_bytes("\ufeff7\r\n8\r\n".encode())
    rule = splits.by_list({"test": str(tmp_path / "test.txt")}, other="train")
    assert rule(pd.DataFrame({"track_id": [7.0, 8, 9]})) == ["test", "test", "train"]
    (tmp_path / "test.txt").write_bytes("é\n".encode("cp1252"))
    with pytest.raises(DatasetError, match=r"test\.txt: line 1 holds the byte 0xe9"):
        splits.by_list({"test": str(tmp_path / "test.txt")})

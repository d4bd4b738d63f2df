"""Folders, tars and joined tables as datasets: AudioFolder, shards, WebDataset, audio alone, captions with metadata."""

import json
from pathlib import Path

import pandas as pd
import pytest
from audio_files import music, write
from test_embedded import parquet_of, tar_of

from diffgar.dataloading.audio import load
from diffgar.dataloading.datasets.aspects import with_attributes
from diffgar.dataloading.datasets.joins import join
from diffgar.dataloading.datasets.splits import by_column, by_name
from diffgar.dataloading.datasets.tables import DatasetError, read_tables
from diffgar.dataloading.datasets.tracks import read_dataset

TEST = by_name("test")


def tone(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, music(0.5, seed=seed))


def audio_folder(folder: Path) -> None:
    for split, number in (("train", 0), ("train", 1), ("test", 2)):
        tone(folder / split / f"sub/{number}.flac", number)
    (folder / "train/metadata.csv").write_text("file_name,caption\nsub/0.flac,slow\nsub/1.flac,fast\n")
    (folder / "test/metadata.jsonl").write_text('{"file_name": "sub/2.flac", "caption": "loud"}\n')


def test_an_audiofolder_says_its_splits_by_its_folders(tmp_path):
    audio_folder(tmp_path)
    columns = {"track_id": "file_name", "path": "file_name", "caption": "caption"}
    dataset = read_dataset("some", str(tmp_path), str(tmp_path), columns, by_column())
    assert not dataset.missing_audio()
    assert list(dataset.tracks["track_id"]) == ["test/sub/2.flac", "train/sub/0.flac", "train/sub/1.flac"]
    assert list(dataset.tracks["split"]) == ["test", "train", "train"]
    assert list(dataset.captions["caption"]) == ["loud", "slow", "fast"]
    (tmp_path / "test/metadata.jsonl").write_text('{"file_name": "sub/2.flac", "caption": ""}\n')
    with pytest.raises(DatasetError, match=r"test/metadata\.jsonl: line 1 has an empty caption"):
        read_dataset("some", str(tmp_path), str(tmp_path), columns, by_column())
    (tmp_path / "test/metadata.jsonl").write_text('{"file": "sub/2.flac", "caption": "loud"}\n')
    with pytest.raises(DatasetError, match=r"test/metadata\.jsonl: no column 'file_name'"):
        read_tables(str(tmp_path))


def test_a_folder_of_audio_needs_no_table_and_takes_the_texts_beside_its_files(tmp_path):
    files = [tone(tmp_path / name, 0) for name in ("b/1.flac", "a.wav")]
    columns = {"track_id": "file_name", "path": "file_name"}
    dataset = read_dataset("some", str(tmp_path), str(tmp_path), columns, TEST)
    assert list(dataset.tracks["track_id"]) == ["a.wav", "b/1.flac"] and dataset.captions.empty
    with pytest.raises(DatasetError, match=r"no column 'caption'; there are \['file_name'\]"):
        read_dataset("some", str(tmp_path), str(tmp_path), columns | {"caption": "caption"}, TEST)
    files[0].with_suffix(".txt").write_text("slow\n")
    with pytest.raises(DatasetError, match=r": a\.wav has an empty caption; write one"):
        read_dataset("some", str(tmp_path), str(tmp_path), columns | {"caption": "caption"}, TEST)
    files[1].with_suffix(".txt").write_text("fast")
    dataset = read_dataset("some", str(tmp_path), str(tmp_path), columns | {"caption": "caption"}, TEST)
    assert list(dataset.captions["caption"]) == ["fast", "slow"]


def shards(folder: Path) -> None:
    """The hub's Parquet of two splits, three tracks of them."""
    folder.mkdir(parents=True)
    for split, numbers in (("train", (0, 1)), ("test", (2,))):
        path = folder / f"{split}-00000-of-00001.parquet"
        files = [tone(folder / f"{number}.wav", number) for number in numbers]
        parquet_of(path, files)
        table = pd.read_parquet(path)
        table = table.assign(id=list(numbers), caption=[f"track {number}" for number in numbers])
        table.to_parquet(path)


@pytest.mark.parametrize("table", ["{}", "{}/data/*.parquet", "{}/data"])
def test_shards_of_the_hub_are_read_from_a_folder_or_a_pattern_with_their_splits(tmp_path, table):
    shards(tmp_path / "data")
    columns = {"track_id": "id", "path": "audio", "caption": "caption"}
    dataset = read_dataset("some", table.format(tmp_path), "/nowhere", columns, by_column())
    assert dict(zip(dataset.tracks["track_id"], dataset.tracks["split"], strict=True)) == {
        **{"2": "test", "0": "train", "1": "train"}
    }
    assert not dataset.missing_audio() and "audio" not in dataset.tracks
    for track in dataset:
        assert (load(track.path, 8000) == load(tmp_path / f"data/{track.track_id}.wav", 8000)).all()
    with pytest.raises(DatasetError, match=r"test-00000-of-00001\.parquet: row 1: caption is a record of bytes"):
        read_dataset("some", table.format(tmp_path), "/nowhere", columns | {"caption": "audio"}, by_column())
    with pytest.raises(DatasetError, match="no file is called so"):
        read_tables(f"{tmp_path}/*.csv")


def test_a_tar_of_webdataset_is_a_table_whose_audio_stays_in_it(tmp_path):
    files = [tone(tmp_path / f"{number}.flac", number) for number in range(2)]
    contents = {}
    for number, file in enumerate(files):
        contents[f"./s/000{number}.flac"] = file.read_bytes()
        contents[f"./s/000{number}.json"] = json.dumps({"artist": "ann", "audio": "x"}).encode()
        contents[f"./s/000{number}.txt"] = f"track {number}\n".encode()
    tar = tar_of(tmp_path / "a.tar", contents | {"s/README.md": b"hello"})
    columns = {"track_id": "__key__", "path": "audio", "caption": "txt", "artist": "artist"}
    dataset = read_dataset("some", str(tar), "/nowhere", columns, TEST)
    assert list(dataset.tracks["track_id"]) == ["s/0000", "s/0001"] and set(dataset.tracks["artist"]) == {"ann"}
    assert list(dataset.captions["caption"]) == ["track 0", "track 1"]
    assert (load(list(dataset)[1].path, 8000) == load(files[1], 8000)).all()


@pytest.mark.parametrize(
    ("contents", "mode", "message"),
    [
        ({"0.wav": b"x", "0.flac": b"x"}, "w", r"a\.tar: sample 0 has two audio files"),
        ({"0.wav": b"x", "0.json": b"{"}, "w", r"a\.tar: member 0\.json is no json"),
        ({"0.wav": b"x", "0.json": b"[]"}, "w", r"a\.tar: member 0\.json is no record"),
        ({"0.wav": b"x"}, "w:gz", r"a\.tar: cannot be read as tar .*unpack it if it is compressed"),
        ({"0.txt": b"x"}, "w", r"a\.tar: holds no row"),
    ],
)
def test_a_tar_that_is_no_table_is_refused_by_its_member(tmp_path, contents, mode, message):
    with pytest.raises(DatasetError, match=message):
        read_tables(str(tar_of(tmp_path / "a.tar", contents, mode)))


CAPTIONS = pd.DataFrame({"id": ["7", "7", "9"], "start": [0, 30, 0], "caption": ["slow", "fast", "loud"]})
METADATA = pd.DataFrame({"id": [9, 7], "artist": ["bob", "ann"], "caption": ["", ""]})


def test_two_tables_are_joined_on_an_id_whatever_its_type():
    found = join(CAPTIONS, METADATA, key="id")
    assert list(found["artist"]) == ["ann", "ann", "bob"] and list(found["caption"]) == ["slow", "fast", "loud"]
    files = METADATA.assign(file=["a/9.mp3", "7.mp3"]).drop(columns="id")
    assert list(join(CAPTIONS, files, key={"id": "{file}"})["artist"]) == ["ann", "ann", "bob"]


def test_what_has_no_partner_or_two_is_refused_by_row_or_told_what_to_do_with():
    lacking = METADATA[:1]
    with pytest.raises(DatasetError, match=r"row 1: no row of the other table has its id \(2 of 3 rows are so\)"):
        join(CAPTIONS, lacking, key="id")
    assert list(join(CAPTIONS, lacking, key="id", missing="skip")["caption"]) == ["loud"]
    assert list(join(CAPTIONS, lacking, key="id", missing="keep")["artist"]) == [None, None, "bob"]
    with pytest.raises(DatasetError, match="row 3: the id '7' .id. stands in row 1 too"):
        join(METADATA, CAPTIONS.iloc[[0, 2, 1]], key="id")
    with pytest.raises(DatasetError, match="no column 'number' to join by"):
        join(CAPTIONS, METADATA, key={"id": "number"})
    with pytest.raises(DatasetError, match="missing is 'drop'; choose refuse, skip, keep"):
        join(CAPTIONS, METADATA, key="id", missing="drop")


def test_captions_of_parts_make_each_part_a_track_by_an_id_of_several_columns():
    columns = {"track_id": ["id", "start"], "caption": "caption", "start_s": "start"}
    dataset = read_dataset("some", CAPTIONS, "/audio", columns, TEST, "{id}.mp3")
    assert [(t.track_id, t.path, t.start_s) for t in dataset] == [
        ("7:0", "/audio/7.mp3", 0),
        ("7:30", "/audio/7.mp3", 30),
        ("9:0", "/audio/9.mp3", 0),
    ]
    with pytest.raises(DatasetError, match="maps start_s to several columns; name one"):
        read_dataset("some", CAPTIONS, "/audio", columns | {"start_s": ["id", "start"]}, TEST, "{id}.mp3")
    with pytest.raises(DatasetError, match="row 2 has no track_id"):
        read_dataset("some", CAPTIONS.assign(start=["0", "", "1"]), "/audio", columns, TEST, "{id}.mp3")


def test_lists_of_aspects_become_columns_of_ground_truth(caplog):
    table = pd.DataFrame({"mood": [["sad", "Slow"], None], "instrument": ["['piano']", '["drums", "piano"]']})
    found = with_attributes(table, ["mood", "instrument"], ["sad", "piano", "drums", "harp"])
    assert list(found["sad"]) == ["sad", "none"] and list(found["drums"]) == ["none", "drums"]
    assert list(found["named"]) == ["sad|piano", "piano|drums"]
    assert "no row has the aspect 'harp'" in caplog.text
    with pytest.raises(DatasetError, match="row 2: mood is 'slow', expected a list of aspects"):
        with_attributes(table.assign(mood=[["sad"], "slow"]), ["mood"], ["sad"])
    with pytest.raises(DatasetError, match="has a column 'mood', where an attribute would go"):
        with_attributes(table, ["mood"], ["mood"])

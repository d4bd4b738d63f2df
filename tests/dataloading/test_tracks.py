"""Datasets: every reader yields unique tracks with captions, splits are by track, what is wrong is named."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from diffgar.dataloading.datasets import splits
from diffgar.dataloading.datasets.tables import DatasetError, read_table
from diffgar.dataloading.datasets.tags import read_jamendo, with_captions
from diffgar.dataloading.datasets.tracks import mix, read_dataset

CONFIGS = Path(__file__).parents[2] / "config" / "data"
REAL = Path(__file__).parents[3] / "shared" / "data"  # the published tables, where someone has put them
COLUMNS = {"track_id": "track_id", "path": "path", "caption": "caption"}
ROWS = [
    {"track_id": "007", "path": "a/7.mp3", "caption": "Slow piano", "mood": "sad", "part": "train"},
    {"track_id": "007", "path": "a/7.mp3", "caption": "A piano, alone", "mood": "sad", "part": "train"},
    {"track_id": "1e3", "path": "b/é 1.wav", "caption": 'Loud drums, "fast"', "mood": "wild", "part": "test"},
]


def read(table, columns=COLUMNS, split=None, **options):
    return read_dataset("some", table, "/audio", columns, split or splits.by_name("test"), **options)


def frame(*rows, **columns):
    return pd.DataFrame(list(rows) or ROWS).assign(**columns)


WRITERS = {
    "csv": lambda rows, path: rows.to_csv(path, index=False),
    "tsv": lambda rows, path: rows.to_csv(path, index=False, sep="\t"),
    "json": lambda rows, path: rows.to_json(path, orient="records"),
    "jsonl": lambda rows, path: rows.to_json(path, orient="records", lines=True),
    "parquet": lambda rows, path: rows.to_parquet(path),
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_form_of_a_table_gives_the_same_dataset(tmp_path, suffix):
    WRITERS[suffix](frame(), tmp_path / f"table.{suffix}")
    dataset = read(str(tmp_path / f"table.{suffix}"), split=splits.by_column("part"))
    assert [(t.track_id, t.path, t.split) for t in dataset] == [
        ("007", "/audio/a/7.mp3", "train"),
        ("1e3", "/audio/b/é 1.wav", "test"),
    ]
    assert list(dataset.captions["caption"]) == [row["caption"] for row in ROWS]
    assert list(dataset.captions["caption_id"]) == ["007#0", "007#1", "1e3#0"]
    assert list(dataset.tracks["mood"]) == ["sad", "wild"]  # a column about tracks stays with them


def test_columns_that_differ_within_a_track_stay_with_its_captions():
    dataset = read(frame(writer=["ann", "bob", "ann"]))
    assert "writer" not in dataset.tracks and list(dataset.captions["writer"]) == ["ann", "bob", "ann"]


def test_captions_come_from_several_columns_or_from_lists():
    several = frame(second=["Night", "", "Noise"])
    dataset = read(several, COLUMNS | {"caption": ["caption", "second"]})
    assert list(dataset.captions["caption"]) == [
        "Slow piano",
        "Night",
        "A piano, alone",
        'Loud drums, "fast"',
        "Noise",
    ]
    lists = frame({"track_id": 1, "path": "x.wav", "caption": ["One", "Two"]})
    assert list(read(lists).captions["caption_id"]) == ["1#0", "1#1"]


def test_a_mapping_of_splits_to_files_says_the_split(tmp_path):
    for split, rows in (("train", ROWS[:2]), ("test", ROWS[2:])):
        (tmp_path / f"{split}.json").write_text(json.dumps(rows))
    table = {split: str(tmp_path / f"{split}.json") for split in ("train", "test")}
    dataset = read(table, split=splits.by_column())
    assert list(dataset.tracks["split"]) == ["train", "test"]


def test_a_path_template_takes_any_column_and_the_paths_stem():
    assert [t.path for t in read(frame(), path_template="{path_stem}.2min.mp3")] == [
        "/audio/a/7.2min.mp3",
        "/audio/b/é 1.2min.mp3",
    ]
    assert next(iter(read(frame(), path_template="{mood}/{track_id}.wav"))).path == "/audio/sad/007.wav"


def test_a_path_template_sees_a_clips_seconds_as_the_table_writes_them():
    table = frame(ROWS[0], start_s="30", end_s="40")
    for columns in (COLUMNS, COLUMNS | {"start_s": "start_s", "end_s": "end_s"}):
        track = next(iter(read(table, columns, path_template="[{track_id}]-[{start_s}-{end_s}].wav")))
        assert track.path == "/audio/[007]-[30-40].wav"
    assert next(iter(read(table, path_template="one file.wav"))).path == "/audio/one file.wav"


def test_where_keeps_rows_whatever_the_type_of_the_cell():
    for flag in (True, "True", "true"):
        kept = read(frame(good=[flag, "", False]), where={"good": True})
        assert list(kept.captions["caption"]) == ["Slow piano"]
    assert len(read(frame(), where={"mood": ["sad", "wild"]}).captions) == 3


def test_a_dataset_is_cut_to_its_splits():
    dataset = read(frame(), split=splits.by_column("part", rename={"part": "x"}))
    assert list(dataset.split("test").captions["track_id"]) == ["1e3"]
    with pytest.raises(DatasetError, match=r"no split 'validation'; it has \['test', 'train'\]"):
        dataset.split("validation")


def test_a_hashed_split_is_by_artist_near_its_fractions_and_stays_when_the_table_grows():
    rows = pd.DataFrame({"track_id": range(3000), "artist": [i // 3 for i in range(3000)]})
    rule = splits.by_hash({"train": 0.7, "validation": 0.1, "test": 0.2}, by="artist")
    assigned = rows.assign(split=rule(rows))
    assert (assigned.groupby("artist")["split"].nunique() == 1).all()
    shares = assigned["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.7, abs=0.05) and shares["test"] == pytest.approx(0.2, abs=0.05)
    assert rule(rows[500:]) == rule(rows)[500:]
    assert splits.by_hash({"train": 0.7, "test": 0.3}, by="artist", salt="other")(rows) != rule(rows)


def test_a_listed_split_names_the_track_that_is_in_no_list_or_in_two(tmp_path):
    (tmp_path / "test.txt").write_text("007\n")
    files = {"test": str(tmp_path / "test.txt")}
    assert list(read(frame(), split=splits.by_list(files, other="train")).tracks["split"]) == [
        "test",
        "train",
    ]
    with pytest.raises(DatasetError, match="'1e3' is in none of"):
        read(frame(), split=splits.by_list(files))
    with pytest.raises(DatasetError, match="test.txt: track_id '007' is in 'train' too"):
        splits.by_list({"train": files["test"], "test": files["test"]})


BAD = {
    "no column 'text'; there are .*caption": (frame(), {"columns": COLUMNS | {"caption": "text"}}),
    "maps no track_id": (frame(), {"columns": {"path": "path"}}),
    "maps 'song', which is none of ours": (frame(), {"columns": COLUMNS | {"song": "path"}}),
    "row 2 has an empty caption": (frame(caption=["a", "  ", "b"]), {}),
    "row 3 has no track_id": (frame(track_id=["1", "1", ""]), {}),
    "row 2: track_id '007' stands for /audio/z.mp3 here and for /audio/a/7.mp3 above": (
        frame(path=["a/7.mp3", "z.mp3", "x.mp3"]),
        {},
    ),
    "row 2: track 007 is in split 'test' here and in 'train' above": (
        frame(part=["train", "test", "test"]),
        {"split": splits.by_column("part")},
    ),
    "row 3: file /audio/a/7.mp3 is in split 'test' here and in 'train' above": (
        frame(path=["a/7.mp3"] * 3),
        {"split": splits.by_column("part")},
    ),
    "row 1: start is 'soon', not a number": (
        frame(start="soon"),
        {"columns": COLUMNS | {"start_s": "start"}},
    ),
    "path_template .* needs 'ytid'; the fields are .*mood": (frame(), {"path_template": "{ytid}.wav"}),
    "path_template .* cannot be filled": (frame(), {"path_template": "{path"}),
    "no row has mood in .'calm'.": (frame(), {"where": {"mood": "calm"}}),
    "caption_id 'sad' stands twice": (frame(), {"columns": COLUMNS | {"caption_id": "mood"}}),
    "missing is 'ignore'; choose refuse or skip": (frame(), {"missing": "ignore"}),
    "row 1: end_s is 3.0, not after start_s 5.0": (
        frame(start=5, end=3),
        {"columns": COLUMNS | {"start_s": "start", "end_s": "end"}},
    ),
    "row 1: start is -1, not a number of seconds": (frame(start=-1), {"columns": COLUMNS | {"start_s": "start"}}),
    "row 2 has no mood, which path_template": (frame(mood=["a", None, "b"]), {"path_template": "{mood}.wav"}),
    "no column 'good'; there are .*correct `where`": (frame(), {"where": {"good": True}}),
    "no row has mood in ..none..": (frame(mood=None), {"where": {"mood": None}}),
    "row 3: mood, which path_template needs, is a record of a, not text": (
        frame(mood=["a", "b", {"a": 1}]),
        {"path_template": "{mood}.wav"},
    ),
    "row 2: path .column 'path'. is a list of 1, not text": (frame(path=["a", ["b"], "c"]), {}),
    "no column 'fold' to split by": (frame(), {"split": splits.by_column("fold")}),
    "no column 'artist' to split by; map it": (frame(), {"split": splits.by_hash({"train": 1}, by="artist")}),
}


@pytest.mark.parametrize("message", BAD)
def test_a_wrong_table_is_refused_with_the_row_or_column_and_the_remedy(message):
    table, options = BAD[message]
    with pytest.raises(DatasetError, match=f"some: .*{message}"):
        read(table, **options)


def test_a_table_that_is_missing_empty_or_of_another_form_is_refused_by_name(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.csv: no such table"):
        read(str(tmp_path / "gone.csv"))
    (tmp_path / "none.csv").write_text("track_id,path,caption\n")
    with pytest.raises(DatasetError, match=r"none\.csv: holds no row"):
        read(str(tmp_path / "none.csv"))
    (tmp_path / "torn.json").write_text('[{"track_id": 1,')
    with pytest.raises(DatasetError, match=r"torn\.json: cannot be read as json"):
        read(str(tmp_path / "torn.json"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DatasetError, match=r"torn\.parquet: cannot be read as parquet"):
        read(str(tmp_path / "torn.parquet"))
    with pytest.raises(DatasetError, match=r"no reader for '\.xls'; there are \.csv"):
        read_table(tmp_path / "table.xls")


def test_audio_that_is_not_on_disk_is_refused_or_left_out_as_the_dataset_says(tmp_path, caplog):
    (tmp_path / "7.mp3").touch()
    table = frame(path=["7.mp3", "7.mp3", "gone.mp3"])
    options = {
        "name": "some",
        "audio_root": str(tmp_path),
        "columns": COLUMNS,
        "split": splits.by_name("test"),
    }
    with pytest.raises(DatasetError, match="1 of 2 tracks is not on disk, the first .*gone.mp3; .*missing=skip"):
        read_dataset(table=table, **options).refuse_missing()
    gone = read_dataset(table=table, **options, missing="skip").refuse_missing()
    assert [track.track_id for track in gone] == ["1e3"]
    assert "1 of 2 tracks" in caplog.text
    (tmp_path / "7.mp3").unlink()
    with pytest.raises(DatasetError, match="2 of 2 tracks is not on disk, .*check audio_root and path_template$"):
        read_dataset(table=table, **options, missing="skip").refuse_missing()


def test_a_mix_names_the_dataset_of_each_track_and_leaves_a_tables_own_columns_alone():
    own = {"seconds": ["1"], "weight": ["heavy"], "dataset": ["theirs"]}
    small, large = (
        frame(*ROWS[2:], **own),
        frame(*({"track_id": i, "path": f"{i}", "caption": "x", "weight": i} for i in range(9))),
    )
    both = mix("both", {"small": read(small), "large": read(large)}, {"small": 1, "large": 3})
    assert both.tracks["track_id"].is_unique and set(both.captions["track_id"]) == set(both.tracks["track_id"])
    assert list(both.tracks["_dataset"]) == ["small"] + ["large"] * 9
    assert list(both.tracks["weight"]) == ["heavy", *map(str, range(9))]
    assert list(both.tracks["dataset"]) == ["theirs"] + [None] * 9
    both.tracks.to_parquet(io.BytesIO())  # words and numbers in one column must not end an extraction
    wrong = ({"large": 1}, {"small": 0}, {"small": "heavy"}, {"small": float("nan")}, {"small": float("inf")})
    for weights in (*wrong, {"small": True}, [1], None):
        with pytest.raises(DatasetError, match="positive"):
            mix("both", {"small": read(small)}, weights)
    for weight in (2, 0.5, np.float32(3)):
        assert len(mix("one", {"small": read(small)}, {"small": weight})) == 1


def test_columns_called_as_ours_once_were_are_a_tables_own():
    dataset = read(frame(seconds=["12", "12", "x"], weight=[1, 1, 0], dataset="a", row_id=[5, 5, 6]))
    assert list(dataset.tracks["seconds"]) == ["12", "x"] and list(dataset.tracks["weight"]) == [1, 0]
    assert list(dataset.tracks["dataset"]) == ["a", "a"] and "_row" not in dataset.tracks


@pytest.mark.parametrize("name", ["_row", "_file", "_seconds", "_key", "_audio", "_dataset"])
def test_a_name_that_is_kept_for_our_columns_is_refused(tmp_path, name):
    frame(**{name: 1}).to_csv(tmp_path / "table.csv", index=False)
    for table in (frame(**{name: 1}), str(tmp_path / "table.csv")):
        with pytest.raises(DatasetError, match=f"has a column '{name}', a name kept for a column of ours; rename it"):
            read(table)


def test_a_dataset_may_have_no_captions():
    for table in (frame(), frame(caption="")):
        dataset = read(table, COLUMNS | {"caption": None})
        assert len(dataset) == 2 and dataset.captions.empty and "caption" not in dataset.tracks
        assert list(dataset.captions.columns) == ["caption_id", "track_id", "caption", "split"]
    both = mix("both", {"a": dataset, "b": read(frame())}, {"a": 1, "b": 1})
    assert len(both) == 4 and set(both.captions["track_id"]) == {"b/007", "b/1e3"}


def test_ids_that_are_decimals_beside_whole_numbers_are_told(caplog):
    read(frame(track_id=["1", "1", "2.0"]))
    assert "some track_ids are written as decimals ('2.0'), some as whole numbers ('1')" in caplog.text


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("caf\u00e9/\u00fc.wav", "cafe\u0301/u\u0308.wav"),
        ("cafe\u0301/u\u0308.wav", "caf\u00e9/\u00fc.wav"),
        ("caf\u00e9/u\u0308.wav", "cafe\u0301/\u00fc.wav"),
        ("sub\\deep\\a.wav", "sub/deep/a.wav"),
        ("caf\u00e9\\a.wav", "cafe\u0301/a.wav"),
        (" a.wav ", "a.wav"),
    ],
)
def test_a_file_is_found_as_the_disk_spells_it(tmp_path, asked, there):
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    dataset = read_dataset("some", frame(path=asked, track_id="1"), str(tmp_path), COLUMNS, splits.by_name("test"))
    assert not dataset.missing_audio() and next(iter(dataset)).path == str(tmp_path / there)


def test_a_file_that_is_there_twice_is_the_one_that_the_table_spells(tmp_path):
    names = ["\u00e9.wav", "e\u0301.wav", "x\\y.wav", "x/y.wav"]
    (tmp_path / "x").mkdir()
    for name in names:
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 4:
        pytest.skip("this disk has one spelling of a name")
    table = pd.DataFrame({"track_id": range(4), "path": names, "caption": "x"})
    dataset = read_dataset("some", table, str(tmp_path), COLUMNS, splits.by_name("test"))
    assert [track.path for track in dataset] == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize(("asked", "there"), [("A.WAV", "a.wav"), ("a.wav", "a.wav "), ("\u00c9.wav", "e\u0301.wav")])
def test_a_file_of_nearly_that_name_is_named(tmp_path, asked, there):
    (tmp_path / there).touch()
    dataset = read_dataset("some", frame(path=asked, track_id="1"), str(tmp_path), COLUMNS, splits.by_name("test"))
    if dataset.missing_audio():  # where the disk tells case apart
        with pytest.raises(DatasetError, match=f"{asked} .'{there}' is there: correct"):
            dataset.refuse_missing()


def test_a_folder_and_a_dead_link_are_told_as_what_they_are(tmp_path):
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(DatasetError, match=r"a\.wav \(a folder, not a file\); check"):
        read_dataset("s", frame(path="a.wav"), str(tmp_path), COLUMNS, splits.by_name("test")).refuse_missing()
    try:
        (tmp_path / "b.wav").symlink_to("nowhere.wav")
    except OSError:
        pytest.skip("this system lets nobody make links")
    with pytest.raises(DatasetError, match=r"b\.wav \(a link to what is not there\); check"):
        read_dataset("s", frame(path="b.wav"), str(tmp_path), COLUMNS, splits.by_name("test")).refuse_missing()


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(DatasetError, match=r"a\.wav .*\(/audio may not be read: permission denied\)"):
        read(frame(path="a.wav", track_id="1")).refuse_missing()


def test_an_absolute_path_is_taken_as_it_is(tmp_path):
    assert next(iter(read(frame(path=str(tmp_path / "a.wav"), track_id="1")))).path == str(tmp_path / "a.wav")


def test_whole_numbers_fill_a_path_without_decimals():
    table = frame(ROWS[0], number=7.0, part=3)
    assert next(iter(read(table, path_template="{number}-{part:03d}.wav"))).path == "/audio/7-003.wav"


JAMENDO = (
    "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    "track_0000214\tartist_000014\talbum_000031\t14/214.mp3\t124.6\tgenre---punkrock\n"
    "track_0000215\tartist_000014\talbum_000031\t15/215.mp3\t151.4\tgenre---metal\tinstrument---electricguitar"
    "\tmood/theme---dark\tmood/theme---epic\n"
    "track_0000216\tartist_000015\talbum_000031\t16/216.mp3\t234.9\n"
)


def test_jamendos_ragged_rows_become_captions_that_name_their_tags(tmp_path):
    (tmp_path / "tags.tsv").write_text(JAMENDO)
    table = with_captions(read_jamendo(str(tmp_path / "tags.tsv")), num_captions=3)
    columns = {"track_id": "track_id", "path": "path", "caption": "caption", "artist": "artist_id"}
    dataset = read(table, columns, path_template="{path_stem}.low.mp3")
    assert [t.path for t in dataset] == [
        "/audio/14/214.low.mp3",
        "/audio/15/215.low.mp3",
    ]  # no tag, no caption
    assert dataset.captions["track_id"].value_counts().to_dict() == {"track_0000214": 3, "track_0000215": 3}
    whole = dataset.captions["caption"][3]
    assert all(word in whole.lower() for word in ("metal", "electricguitar", "dark", "epic"))
    again = with_captions(read_jamendo(str(tmp_path / "tags.tsv")), num_captions=3)
    assert list(again["caption"]) == list(table["caption"])


@pytest.mark.parametrize(
    ("tags", "found"), [("rock, pop", "'rock, pop'"), ({"a": 1}, "a record of a"), ([1], "a list of 1")]
)
def test_tags_that_are_no_list_of_texts_are_refused_by_row(tags, found):
    table = pd.DataFrame({"track_id": ["a", "b", "c"], "tags": [["rock"], None, tags]})
    with pytest.raises(DatasetError, match=f"row 3: tags is {found}, expected a list of tags"):
        with_captions(table)
    assert list(with_captions(table[:2], num_captions=1)["track_id"]) == ["a"]


def test_a_short_row_of_jamendo_is_named_by_its_line(tmp_path):
    (tmp_path / "tags.tsv").write_text(JAMENDO + "\ntrack_0000217\tartist_000015\n")
    with pytest.raises(DatasetError, match=r"tags\.tsv: line 6 has fewer cells"):
        read_jamendo(str(tmp_path / "tags.tsv"))


def configured(name, monkeypatch, **variables):
    """The dataset of a file under config/data, composed as Hydra does."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    for variable, value in variables.items():
        monkeypatch.setenv(variable, str(value))
    with initialize_config_dir(str(CONFIGS.parent), version_base="1.3"):
        cfg = compose("data/" + name, overrides=["+paths.data=data"])
    return instantiate(OmegaConf.create({"paths": {"data": "data"}, "data": cfg.data}).data)


SYNTHETIC = {
    "song_describer": (
        "caption_id,track_id,caption,is_valid_subset,familiarity,artist_id,album_id,path,duration\n"
        "859,1004034,Electronic music,True,0,368880,118196,34/1004034.mp3,202.5\n"
        '233,1009671,"A rock song, upbeat",,0,7063,118858,71/1009671.mp3,160.1\n'
        "810,1009671,Fast blues rock,True,2,7063,118858,71/1009671.mp3,160.1\n"
    ),
    "musiccaps-public": (
        "ytid,start_s,end_s,audioset_positive_labels,aspect_list,caption,author_id,is_balanced_subset,"
        "is_audioset_eval\n"
        "-0Gj8-vB1q4,30,40,\"/m/0140xf\",\"['low quality', 'ballad']\",A ballad.,4,False,True\n"
        '1E10,240,250,"/m/0155w","[\'slow\']",A slow song.,0,False,False\n'
    ),
}


@pytest.fixture(params=["synthetic", "published"])
def tables(request, tmp_path):
    if request.param == "published":
        if not REAL.is_dir():
            pytest.skip(f"the published tables are not in {REAL}")
        return REAL, {
            "song_describer": (706, 1106),
            "song_describer_valid": (547, 746),
            "musiccaps": (5521, 5521),
        }
    for name, text in SYNTHETIC.items():
        (tmp_path / f"{name}.csv").write_text(text)
    return tmp_path, {"song_describer": (2, 3), "song_describer_valid": (2, 2), "musiccaps": (2, 2)}


@pytest.mark.parametrize("name", ["song_describer", "song_describer_valid", "musiccaps"])
def test_the_evaluation_sets_read_whole(tables, name, monkeypatch):
    folder, sizes = tables
    dataset = configured(name, monkeypatch, SONG_DESCRIBER=folder, MUSICCAPS=folder)
    assert (len(dataset), len(dataset.captions)) == sizes[name]
    assert dataset.tracks["track_id"].is_unique and set(dataset.tracks["split"]) == {"test"}
    assert not (dataset.captions["caption"].str.strip() == "").any()
    first = next(iter(dataset))
    if name == "musiccaps":
        assert first.path.endswith("/audio/-0Gj8-vB1q4.wav") and (first.start_s, first.end_s) == (30, 40)
    else:
        assert first.path.endswith("/audio/34/1004034.2min.mp3") and first.start_s is None


def test_musiccaps_clips_are_whole_files(monkeypatch, tmp_path):
    (tmp_path / "musiccaps-public.csv").write_text(SYNTHETIC["musiccaps-public"])
    assert next(iter(configured("musiccaps_clips", monkeypatch, MUSICCAPS=tmp_path))).start_s is None


def test_the_training_sets_read_and_mix(monkeypatch, tmp_path):
    jamendo = tmp_path / "data" / "splits" / "split-0"
    jamendo.mkdir(parents=True)
    header, *rows = JAMENDO.replace("216.mp3\t234.9", "216.mp3\t234.9\tgenre---pop").splitlines(keepends=True)
    for split, row in zip(("train", "validation", "test"), rows, strict=True):
        (jamendo / f"autotagging-{split}.tsv").write_text(header + row)
    for i, split in enumerate(("train", "valid", "test")):
        written = {key: f"A {key}." for key in ("caption_writing", "caption_summary", "caption_paraphrase")}
        pd.DataFrame([{"path": f"{i}.mp3", **written}]).to_parquet(tmp_path / f"{split}.parquet")
    dataset = configured("mix", monkeypatch, MTG_JAMENDO=tmp_path, LP_MUSICCAPS=tmp_path)
    assert set(dataset.tracks["split"]) == {"train", "validation", "test"}
    assert len(dataset) == 6 and len(dataset.captions) == 18 and dataset.tracks["track_id"].is_unique
    assert set(dataset.tracks["_dataset"]) == {"mtg_jamendo", "lp_musiccaps"} and "weight" not in dataset.tracks


def test_muscalls_json_reads(monkeypatch, tmp_path):
    for split in ("train", "val", "test"):
        rows = [{"audio_id": f"{split}1", "caption": "A song", "audio_path": f"{split}/1.wav"}]
        (tmp_path / f"dataset_{split}.json").write_text(json.dumps(rows))
    dataset = configured("muscall_json", monkeypatch, MUSCALL=tmp_path)
    assert list(dataset.tracks["split"]) == ["train", "validation", "test"]


@pytest.mark.parametrize("name", ["template", "private_caps"])
def test_a_dataset_of_ones_own_is_one_file(monkeypatch, tmp_path, name):
    frame(*({"track_id": i, "path": f"{i}.wav", "caption": "x"} for i in range(200))).to_csv(tmp_path / "captions.csv")
    dataset = configured(name, monkeypatch, MY_DATASET=tmp_path, PRIVATE_CAPS=tmp_path)
    assert len(dataset) == 200 and set(dataset.tracks["split"]) >= {"train", "validation"}

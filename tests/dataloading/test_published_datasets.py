"""The published datasets: each file of config/data reads tables of the published columns, with a few made tracks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audio_files import music, write
from omegaconf import OmegaConf
from test_tracks import CONFIGS, configured

from diffgar.dataloading.audio import load
from diffgar.dataloading.datasets.held_out import held_out
from diffgar.dataloading.datasets.splits import by_column
from diffgar.dataloading.datasets.tables import DatasetError

WRITING = ("caption_writing", "caption_summary", "caption_paraphrase")


def sound(path: Path, seed: int = 0, seconds: float = 0.5) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, music(seconds, seed=seed)).read_bytes()


def cell(folder: Path, name: str, seed: int) -> dict:
    """A cell of the hub's Audio column."""
    return {"bytes": sound(folder / "made" / f"{seed}.flac", seed), "path": name}


def parquet(path: Path, *rows: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(list(rows)).to_parquet(path)


def lines(path: Path, *rows: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def conceptcaps(folder: Path) -> None:
    aspects = {"genre_aspects": ["rock"], "mood_aspects": ["Happy"], "tempo_aspects": [], "caption": "Drums and rock."}
    for number, split in enumerate(("train", "validation", "test")):
        row = {"id": number, **aspects, "instrument_aspects": ["drums"] if number else ["piano"]}
        row |= {"aspect_list": "['rock', 'happy']", "file_name": cell(folder, f"{number}.wav", number)}
        parquet(folder / f"{split}-00000-of-00001.parquet", row)


def musicbench(folder: Path) -> None:
    row = {"dataset": "MusicCaps", "alt_caption": "", "prompt_bpm": "", "bpm": 120.5, "key": ["A", "minor"]}
    clips = [f"data_aug2/-0SdAVK79l{letter}_{number}.wav" for letter in "abcdefgh" for number in (1, 2)]
    train = [row | {"location": clip, "main_caption": "A song."} for clip in clips]
    lines(folder / "MusicBench_train.json", *train)
    for part in "AB":
        test = row | {"location": "data/eval0000000.wav", "main_caption": f"Test {part}."}
        lines(folder / f"MusicBench_test_{part}.json", test)
    for clip in (*clips, "data/eval0000000.wav"):
        sound(folder / clip)


def jamendomaxcaps(folder: Path) -> None:
    parts = [{"id": "7", "start_time": start, "end_time": start + 30, "caption": f"From {start}."} for start in (0, 30)]
    elsewhere = {"id": "8", "start_time": 0, "end_time": 30, "caption": "In another shard."}
    lines(folder / "final_caption30sec.jsonl", *parts, elsewhere)
    track = {"id": "7", "name": "a", "artist_id": "66", "musicinfo": {"speed": "low", "tags": {"genres": ["pop"]}}}
    lines(folder / "2008-01-01.jsonl", track)
    parquet(folder / "data/train-00000-of-01256.parquet", {"audio": cell(folder, "7.mp3", 7)})


def lp_musiccaps_msd(folder: Path) -> None:
    for split, name in (("train", "TRA"), ("valid", "TRB"), ("test", "TRC")):
        row = {"track_id": name, "title": "x", "artist_name": "ann", "release": "y", "year": 1994, "tag": ["rap"]}
        parquet(
            folder / f"data/{split}-00000-of-00001-557f11f5f8c72ffa.parquet", row | dict.fromkeys(WRITING, "A song.")
        )
        sound(folder / f"audio/{name}.mp3")


def lp_musiccaps_mc(folder: Path) -> None:
    for split, names in (("train", "ab"), ("test", "c")):
        rows = [
            {"fname": f"{n}.wav", "ytid": n, "aspect_list": "['slow']", "caption_ground_truth": "x", "start_s": 1}
            | {"end_s": 11, "is_audioset_eval": split == "test", **dict.fromkeys(WRITING, "A song.")}
            for n in names
        ]
        parquet(folder / f"data/{split}-00000-of-00001-c4a67f61bdb1fbf4.parquet", *rows)
    for name in "abc":
        sound(folder / f"audio/{name}.wav", seconds=12)


def song_describer_hub(folder: Path) -> None:
    rows = [
        {
            "caption_id": n,
            "track_id": 1004034,
            "caption": f"Music {n}.",
            "familiarity": 0,
            "artist_id": 3,
            "album_id": 1,
        }
        | {"is_valid_subset": True, "duration": 120.0, "path": cell(folder, "1004034.2min.mp3", 4)}
        for n in (859, 860)
    ]
    parquet(folder / "data/train-00000-of-00001.parquet", *rows[:1])
    parquet(folder / "data/train-00001-of-00002.parquet", {**rows[1], "track_id": 1009671})


def musiccaps_mteb(folder: Path) -> None:
    names = ["x-0", "x-1"]
    qrels = [{"query-id": f"q-{n}", "corpus-id": n, "score": 1} for n in names]
    queries = [{"id": f"q-{n}", "modality": "text", "text": f"Music {n}."} for n in reversed(names)]
    corpus = [{"id": n, "modality": "audio", "audio": cell(folder, "a.wav", i)} for i, n in enumerate(names)]
    for name, rows in (("qrels", qrels), ("queries", queries), ("corpus", corpus)):
        parquet(folder / f"{name}/test-00000-of-00001.parquet", *rows)


def wikimute(folder: Path) -> None:
    rows = [
        {"file": "A song.ogg", "pageid": 1, "aspects": "['slow', 'sad']", "sentences": '["It\'s slow."]'},
        {"file": "B.ogg", "pageid": 1, "aspects": "['fast']", "sentences": "[]"},
    ]
    pd.DataFrame([row | {"audio_url": "u", "url": "u"} for row in rows]).to_csv(folder / "filtered_mc.csv", index=False)
    for row in rows:
        sound(folder / "audio" / row["file"])


def youtube8m_musictextclips(folder: Path) -> None:
    header = "video_id,start,end,text\n"
    (folder / "train.csv").write_text(header + "".join(f"v{n},10,20,Music {n}.\n" for n in range(20)))
    (folder / "test.csv").write_text(header + 't,0,10,"Slow, sad."\nt,10,20,Fast.\n')
    for name in ("t", *(f"v{n}" for n in range(20))):
        sound(folder / f"audio/{name}.wav")


def musicsem(folder: Path) -> None:
    parts = dict.fromkeys(("descriptive", "contextual", "situational", "atmospheric"), "['slow']")
    row = {"thread": "t", "spotify_link": "u", "song": "s", "artist": "ann", "raw_text": "r", "prompt": "A slow song."}
    rows = [{"unique_id": n, **row, **parts, "metadata": "{}"} for n in range(3)]
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    for row in rows:
        sound(folder / f"audio/{row['unique_id']}.mp3")


def midicaps(folder: Path) -> None:
    rows = [
        {"location": f"lmd_full/1/{n}.mid", "caption": f"Notes {n}.", "genre": ["pop"], "tempo": 80, "test_set": n > 5}
        for n in range(8)
    ]
    lines(folder / "train.json", *rows)
    for n in range(8):
        sound(folder / f"audio/lmd_full/1/{n}.flac")


DATASETS = {  # the tracks and captions that are read, and a caption of a track
    conceptcaps: (3, 3, ("1", "Drums and rock.")),
    musicbench: (17, 18, ("data/eval0000000.wav", "Test A.")),
    jamendomaxcaps: (2, 2, ("7:30", "From 30.")),
    lp_musiccaps_msd: (3, 9, ("TRC", "A song.")),
    lp_musiccaps_mc: (3, 9, ("c", "A song.")),
    song_describer_hub: (2, 2, ("1009671", "Music 860.")),
    musiccaps_mteb: (2, 2, ("x-1", "Music x-1.")),
    wikimute: (2, 4, ("A song.ogg", "It's slow.")),
    youtube8m_musictextclips: (22, 22, ("t:10", "Fast.")),
    musicsem: (3, 3, ("2", "A slow song.")),
    midicaps: (8, 8, ("lmd_full/1/7.mid", "Notes 7.")),
}
FOLDERS = {"lp_musiccaps_mc": ("LP_MUSICCAPS_MC", "MUSICCAPS")}


def made(make, folder: Path, monkeypatch):
    make(folder)
    variables = FOLDERS.get(make.__name__, (make.__name__.upper(),))
    return configured(make.__name__, monkeypatch, **dict.fromkeys(variables, folder))


@pytest.mark.parametrize("make", DATASETS, ids=lambda make: make.__name__)
def test_a_published_dataset_reads_with_its_audio_and_captions(make, tmp_path, monkeypatch):
    dataset = made(make, tmp_path, monkeypatch)
    num_tracks, num_captions, pair = DATASETS[make]
    assert (len(dataset), len(dataset.captions)) == (num_tracks, num_captions)
    assert pair in set(zip(dataset.captions["track_id"], dataset.captions["caption"], strict=True))
    assert set(dataset.tracks["split"]) <= {"train", "validation", "test"}
    assert not dataset.missing_audio()
    for track in dataset:
        if not track.start_s:
            assert len(load(track.path, 8000, track.start_s, track.end_s)) >= 4000


def test_each_of_them_says_its_licence_and_where_its_audio_is():
    for make in DATASETS:
        head = (CONFIGS / f"{make.__name__}.yaml").read_text(encoding="utf-8").split("_target_")[0]
        assert "audio" in head and any(word in head for word in ("CC BY", "MIT", "licence", "conditions")), make


def test_the_splits_that_are_published_stay(tmp_path, monkeypatch):
    for make in (musicbench, youtube8m_musictextclips, midicaps):
        folder = tmp_path / make.__name__
        folder.mkdir()
        dataset = made(make, folder, monkeypatch)
        tests = {"musicbench": 1, "youtube8m_musictextclips": 2, "midicaps": 2}[make.__name__]
        assert (dataset.tracks["split"] == "test").sum() == tests


def test_the_aspects_of_conceptcaps_are_the_truth_of_its_task(tmp_path, monkeypatch):
    dataset = made(conceptcaps, tmp_path, monkeypatch)
    tracks, captions = dataset.tracks.set_index("track_id"), dataset.captions.set_index("track_id")
    assert tracks.loc["0", ["piano", "drums", "happy"]].tolist() == ["piano", "none", "happy"]
    assert captions.loc["2", "named"] == "drums|rock|happy"  # with the captions, of which each track has one
    task, data = (OmegaConf.load(CONFIGS.parent / kind / "conceptcaps.yaml") for kind in ("task", "data"))
    assert task.attributes == data.table["values"]


def test_what_is_held_out_is_of_train_alone_and_keeps_versions_together():
    names = [f"aug/clip{number:07d}_{version}.mp3" for number in range(400) for version in (1, 2)]
    rows = pd.DataFrame({"track_id": names, "path": names, "split": ["Training"] * 790 + ["test"] * 10})
    found = np.array(held_out(by_column(), 0.25, "path", r"/([^/]{11})[^/]*$")(rows))
    assert (found[790:] == "test").all() and set(found[:790]) == {"train", "validation"}
    assert (found[:790:2] == found[1:790:2]).all() and 0.15 < (found == "validation").mean() < 0.35
    assert (found[:100] == held_out(by_column(), 0.25, "path", r"/([^/]{11})[^/]*$")(rows[:100])).all()  # as it grows
    with pytest.raises(DatasetError, match="no column 'artist' to hold out by"):
        held_out(by_column(), 0.1, "artist")(rows)

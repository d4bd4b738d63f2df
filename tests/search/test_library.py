"""A folder of audio as a library: it grows, it resumes, and it says what made it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch

from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.demo.encoder import DemoAudioEncoder
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.encoders.base import AudioEncoder
from diffgar.search import places
from diffgar.search.errors import SearchError
from diffgar.search.folder import read_folder


@pytest.fixture
def music(collection, tmp_path):
    """A folder of six tracks, one of them in a folder below."""
    folder = tmp_path / "music"
    (folder / "below").mkdir(parents=True)
    for number, source in enumerate(sorted((collection / "demo/audio").iterdir())[:6]):
        shutil.copyfile(source, folder / ("below" if number == 5 else "") / f"song {number}.flac")
    return folder


@pytest.fixture
def encoded(monkeypatch):
    """How many windows were encoded."""
    seen = []
    encode = DemoAudioEncoder.encode
    monkeypatch.setattr(
        DemoAudioEncoder, "encode", lambda self, windows: seen.append(len(windows)) or encode(self, windows)
    )
    return seen


def index(retriever, music):
    return retriever.index(music, num_workers=0)


def test_a_folder_of_audio_is_a_library_without_captions(retriever, music, home):
    library = index(retriever, music)
    assert list(library.tracks["row_id"]) == ["below/song 5.flac", *(f"song {n}.flac" for n in range(5))]
    best = library.search("electronic drums", negative="piano", k=2)[0]
    assert best.caption is None and best.path == str(music / best.track_id)
    assert len(library.skipped) == 0 and "6 tracks" in repr(library)
    assert home in library.store.folder.parents


def test_a_folder_is_the_same_store_as_its_dataset(retriever, collection, home, library):
    """A library's index has the vectors that an extraction of the same files has."""
    again = index(retriever, collection / "demo" / "audio")
    for track_id, position in again.positions.items():
        own = library.positions[track_id.removesuffix(".flac")]
        assert torch.equal(again.index[position], library.index[own])


def test_new_files_alone_are_encoded_gone_ones_go_and_changed_ones_are_encoded_again(retriever, music, home, encoded):
    before = index(retriever, music)
    assert encoded
    encoded.clear()
    index(retriever, music)
    assert not encoded
    shutil.copyfile(music / "song 0.flac", music / "new.flac")
    (music / "song 1.flac").unlink()
    shutil.copyfile(music / "song 3.flac", music / "song 2.flac")
    after = index(retriever, music)
    assert len(encoded) == 1  # one batch: the new and the changed file
    assert sorted(after.positions) == sorted([*(set(before.positions) - {"song 1.flac"}), "new.flac"])
    same = after.index[after.position_of("song 2.flac")], after.index[after.position_of("song 3.flac")]
    assert torch.equal(*same)
    kept = [name for name in before.positions if name in after.positions and name != "song 2.flac"]
    for name in kept:
        assert torch.equal(before.index[before.position_of(name)], after.index[after.position_of(name)])


def test_files_that_cannot_be_read_are_listed_and_counted(retriever, music, home):
    (music / "broken.mp3").write_bytes(b"no audio at all" * 100)
    (music / "empty.wav").touch()
    (music / "._hidden.mp3").write_bytes(b"of a Mac")
    (music / "notes.txt").write_text("no audio")
    library = index(retriever, music)
    assert len(library) == 6 and "left out: 2" in repr(library)
    assert sorted(library.skipped["row_id"]) == ["broken.mp3", "empty.wav"]
    assert library.skipped["reason"].str.len().min() > 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and names in bytes")
def test_dead_links_and_names_that_are_not_utf8_are_left_out_and_linked_folders_searched(
    retriever, music, home, collection, caplog
):
    (music / "dead.mp3").symlink_to(music / "nowhere.mp3")
    (music / "more").symlink_to(collection / "demo" / "audio")
    (music / "more again").symlink_to(music)  # a loop
    try:
        shutil.copyfile(music / "song 0.flac", os.fsencode(music) + b"/caf\xe9.flac")
    except OSError:
        pytest.skip("this file system takes no such name")
    library = index(retriever, music)
    assert len(library) == 6 + 40 and list(library.skipped["row_id"]) == ["dead.mp3"]
    assert "caf\\xe9.flac', whose name is not UTF-8; rename it" in caplog.text


def test_a_folder_that_cannot_be_opened_is_told_and_its_latents_are_kept(retriever, music, home, encoded, monkeypatch):
    index(retriever, music)
    walk = os.walk

    def locked(folder, onerror, **options):
        for root, folders, files in walk(folder, **options):
            if "below" in folders:
                onerror(PermissionError(13, "Permission denied", str(music / "below")))
                folders.remove("below")
            yield root, folders, files

    monkeypatch.setattr(os, "walk", locked)
    assert len(index(retriever, music)) == 5
    monkeypatch.setattr(os, "walk", walk)
    encoded.clear()
    assert len(index(retriever, music)) == 6 and not encoded


def test_a_file_that_may_be_read_now_is_tried_again(retriever, music, home):
    folder = index(retriever, music).store.folder
    (music / "broken.mp3").write_bytes(b"no audio" * 100)
    index(retriever, music)
    skipped = pd.read_csv(folder / "skipped.csv")
    skipped.assign(reason="may not be read (permission denied)").to_csv(folder / "skipped.csv", index=False)
    assert "permission" not in index(retriever, music).skipped["reason"][0]


def test_a_damaged_table_is_told_in_a_sentence(retriever, music, home):
    (index(retriever, music).store.folder / "rows.parquet").write_bytes(b"")
    with pytest.raises(StoreError, match="rows.parquet is damaged .* delete .* and extract it again"):
        index(retriever, music)


@pytest.mark.parametrize("case", ["nothing", "no audio", "a file"])
def test_what_is_no_library_is_told(retriever, tmp_path, home, case):
    source = tmp_path / "there"
    if case == "no audio":
        source.mkdir()
        (source / "notes.txt").write_text("no audio")
    if case == "a file":
        source.write_text("no folder")
    with pytest.raises(SearchError, match="no audio file" if case == "no audio" else "name a folder of audio"):
        index(retriever, source)


def test_a_store_of_other_latents_is_refused_by_what_differs(retriever, collection, tmp_path):
    store = tmp_path / "other"
    shutil.copytree(collection / "demo_audio", store)
    card = json.loads((store / "card.json").read_text())
    (store / "card.json").write_text(json.dumps(card | {"hop_seconds": 0.5}))
    with pytest.raises(SearchError, match="holds latents of hop_seconds 0.5, and toy was trained on hop_seconds 1"):
        retriever.index(store)
    with pytest.raises(SearchError, match="holds latents of kind 'text'"):
        retriever.index(collection / "demo_text")


def test_a_datasets_yaml_is_a_library_with_its_captions(retriever, collection, tmp_path, monkeypatch):
    monkeypatch.setenv("GDR_DATA", str(tmp_path / "data"))
    shutil.copytree(collection / "demo", tmp_path / "data" / "demo")
    library = retriever.index("config/data/demo.yaml", num_workers=0)
    assert len(library) == 40 and library.store.folder == tmp_path / "data/latents/demo/demo_audio"
    assert library.caption_of("test-00003")


def test_tracks_that_the_collection_has_no_more_are_not_found(retriever, collection, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(collection / "demo_audio", store)
    rows = pd.read_parquet(store / "rows.parquet")
    rows.loc[3, "split"] = ""
    rows.to_parquet(store / "rows.parquet")
    library = retriever.index(store)
    assert len(library) == 39 and rows["row_id"][3] not in library.positions
    assert len(library.search("piano", k=100)) == 39


def test_means_are_read_again_and_a_damaged_file_is_made_anew(collection, tmp_path):
    store = Store(collection / "demo_audio")
    first = places.means_of(store, tmp_path)
    [kept] = (tmp_path / "means").iterdir()
    store.means = None  # which would make them
    assert torch.equal(places.means_of(store, tmp_path), first)
    kept.write_bytes(b"cut short")
    assert torch.equal(places.means_of(Store(collection / "demo_audio"), tmp_path), first)


def test_models_of_one_pair_share_a_librarys_latents(retriever, retriever_of, music, home, encoded):
    index(retriever, music)
    encoded.clear()
    other = index(retriever_of(ContrastiveHeads), music)
    assert not encoded and other.index.shape == (6, 8)


def test_an_encoder_of_its_own_needs_no_captions(retriever, music, home):
    assert isinstance(retriever.opened.audio_encoder, AudioEncoder)
    dataset, whole = read_folder(music)
    assert whole and len(dataset) == 6 and dataset.captions.empty


PROGRAM = """
import sys
sys.path.insert(0, "tests/search")
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.demo.encoder import DemoAudioEncoder
from diffgar.extraction.batches import Options
from diffgar.extraction.stores import extract_audio
from diffgar.search.folder import read_folder
from pathlib import Path
import time
encode = DemoAudioEncoder.encode
def slowly(self, windows):
    time.sleep(0.2)
    return encode(self, windows)
DemoAudioEncoder.encode = slowly
extract_audio(read_folder(Path(sys.argv[1]))[0], DemoAudioEncoder(), Path(sys.argv[2]), 1.0,
              Options(num_workers=0, shard_size=1, prune=True))
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups to kill")
def test_a_library_that_was_killed_is_the_one_that_was_never_killed(music, tmp_path):
    """Shards of one track here, so that six tracks are enough to be killed among."""
    folders = [tmp_path / "killed", tmp_path / "whole"]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(music), str(folders[0])], start_new_session=True)
    deadline = time.time() + 120
    while len(list(folders[0].glob("writing/*/*.npz"))) < 2 and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folders[0] / "rows.parquet").is_file()
    for folder in folders:
        subprocess.run([sys.executable, "-c", PROGRAM, str(music), str(folder)], check=True)
    killed, whole = (Store(folder) for folder in folders)
    assert killed.card.checksums == whole.card.checksums and killed.rows.equals(whole.rows)

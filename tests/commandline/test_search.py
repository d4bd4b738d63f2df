"""search.py as a person runs it, on a tiny demo model."""

import gc
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pages import ROOT
from scripts import SMALL, invoke, places, shell

import search
from diffgar import Retriever

CAPTION = "slow music box melody"


@pytest.fixture
def there(small_demo, tmp_path, monkeypatch):
    """The folder of the demo, with a home of its own that has three files of music, one of which is none."""
    monkeypatch.chdir(small_demo)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GDR_LIBRARIES", str(tmp_path / "libraries"))
    (tmp_path / "music").mkdir()
    for name in ("train-00000", "train-00001"):
        shutil.copy(small_demo / f"data/demo/audio/{name}.flac", tmp_path / "music")
    (tmp_path / "music" / "broken.mp3").write_bytes(b"no audio")
    return tmp_path


def test_the_demo_is_searched_and_a_negative_is_spelt_out(there):
    code, out, told = shell(search.main, CAPTION, "--not", "drums", "-k", "3")
    assert code == 0, told
    expansion, header, *rows, last = out.splitlines()
    assert expansion.startswith("drums: ") and " drums," in expansion
    assert header.split()[:2] == ["rank", "percentile"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert [row.split()[1] for row in rows] == ["100.00", "95.65", "91.30"]  # of 24 tracks
    assert last == "of 24 tracks, by demo (step 2)"
    assert "drums: " not in shell(search.main, CAPTION, "--not", "drums", "--literal")[1]


def test_the_same_words_and_seed_give_the_same_hits_as_python(there):
    code, out, _ = shell(search.main, CAPTION, "--not", "drums=0.5", "--json", "--seed", "3", "--samples", "2")
    library = Retriever.from_pretrained("checkpoints/demo").trained_library()
    hits = library.search(CAPTION, negative={"drums": 0.5}, seed=3, num_samples=2)
    assert code == 0 and json.loads(out) == json.loads(hits.to_json())


def test_a_folder_is_searched_and_what_cannot_be_read_is_told(there):
    code, out, told = shell(search.main, CAPTION, "--in", "~/music")
    assert code == 0 and "of 2 tracks, by demo" in out
    assert {line.split()[2] for line in out.splitlines()[1:3]} == {"train-00000.flac", "train-00001.flac"}
    assert "left out: 1, see " in told and told.strip().endswith("skipped.csv")


def test_a_track_is_edited_and_a_playlist_written(there):
    playlist = there / "list.m3u"
    song = "data/demo/audio/train-00000.flac"
    words = ["--like", song, "--edit", "the same with strings, but no drums", "--csv", "--m3u", str(playlist)]
    code, out, told = shell(search.main, *words)
    table = pd.read_csv(io.StringIO(out))
    assert code == 0 and told == f"playlist  {playlist}\n"
    assert len(table) == 10 and "train-00000" not in set(table["track_id"])
    lines = playlist.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#EXTM3U" and lines[2::2] == [os.path.abspath(path) for path in table["path"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([CAPTION, "--model", "nowhere"], "CheckpointError: nowhere: no trained model"),
        ([CAPTION, "--step", "7"], "CheckpointError: "),
        ([CAPTION, "--method", "magic", "--not", "drums"], "SearchError: no steering method 'magic'"),
        (["--like", "missing.mp3"], "SearchError: "),
        (["--like", "train-00000", "--edit", "the same"], "SearchError: the edit 'the same' changes nothing"),
        ([CAPTION, "--in", "checkpoints"], "SearchError: "),
        (["x" * 10_001], "SearchError: a caption has 10,001 characters"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_sentence(there, words, told):
    code, out, err = shell(search.main, *words)
    assert (code, out) == (1, "") and err.startswith(told) and err.count("\n") == 1


def test_a_latent_store_is_searched_with_its_captions(there):
    code, out, _ = shell(search.main, CAPTION, "--in", "data/latents/demo/demo_audio", "-k", "24")
    assert code == 0 and len(out.splitlines()) == 26 and "caption" in out.splitlines()[0]


def test_garbage_is_collected_again_after_the_imports(there):
    shell(search.main, CAPTION, "-k", "1")
    assert gc.isenabled()


def test_what_is_piped_is_plain_and_as_wide_as_a_table_may_be(there):
    environment = os.environ | {"COLUMNS": "40", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "search.py"), CAPTION, "--not", "drums"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout and not done.stderr
    assert 80 < max(map(len, done.stdout.splitlines())) <= 100


def test_a_training_names_the_command_that_searches(small_demo, monkeypatch):
    monkeypatch.chdir(small_demo)
    last = invoke("train_ldm.py", *SMALL, "~task", *places(Path())).splitlines()[-1]
    assert last == "        python search.py 'a slow piano piece' --model checkpoints/demo"
    assert not shell(search.main, *shlex.split(last)[2:])[0]

"""docs/search.md: every search and every Python block that it shows runs, in a folder as the main job leaves it."""

import shlex
import shutil

import pytest
from pages import ROOT, blocks, commands
from scripts import shell

import search

PAGE = ROOT / "docs/search.md"
SEARCHES = [command.partition(">")[0] for command in commands(PAGE) if command.startswith("python search.py")]


@pytest.fixture
def home(small_demo, tmp_path, monkeypatch):
    """The demo's folder as the working directory, in it a model of the name that the page has, and ~/music."""
    shutil.copytree(small_demo, tmp_path / "work")
    shutil.copytree(tmp_path / "work/checkpoints/demo", tmp_path / "work/checkpoints/clap_jamendo")
    (tmp_path / "music").mkdir()
    for number in range(3):
        shutil.copy(small_demo / f"data/demo/audio/train-{number:05}.flac", tmp_path / "music")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GDR_LIBRARIES", str(tmp_path / "libraries"))
    return tmp_path


def test_the_searches_that_are_shown_find_something(home):
    assert len(SEARCHES) == 12
    for command in SEARCHES:
        code, out, told = shell(search.main, *shlex.split(command.replace("~", str(home)))[2:])
        assert code == 0 and len(out.splitlines()) > 3, f"{command}: {told}"
    assert (home / "work/playlist.m3u").read_text(encoding="utf-8").startswith("#EXTM3U\n")


def test_the_table_that_is_shown_has_the_form_of_what_is_printed(home):
    shown = next(block for block in blocks(PAGE, "") if block.startswith("drums: ")).splitlines()
    _, out, _ = shell(search.main, *shlex.split(SEARCHES[0])[2:], "-k", "3")
    printed = out.splitlines()
    assert len(printed) == len(shown)
    assert printed[1].split() == shown[1].split() and [line[:16] for line in printed[2:3]] == [shown[2][:16]]
    assert max(map(len, shown)) <= 100


@pytest.mark.parametrize("number", range(2))
def test_the_python_that_is_shown_runs(home, number, capsys):
    exec(blocks(PAGE, "python")[number], {})
    assert ["train-0", "tensor("][number] in capsys.readouterr().out

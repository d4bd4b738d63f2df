"""The examples are short, run as they tell, and their notebook is their script."""

import json
import os
import runpy
import shutil
import subprocess
import sys

import pytest
from pages import ROOT
from scripts import SMALL, invoke, places

from examples import make_notebook

SHORT = ("search_your_music", "steer", "your_own_encoder")


@pytest.fixture
def music(small_demo, tmp_path, monkeypatch):
    """The demo's folder as the working directory, and a folder of four tracks."""
    monkeypatch.chdir(small_demo)
    monkeypatch.setenv("GDR_LIBRARIES", str(tmp_path / "libraries"))
    (tmp_path / "music").mkdir()
    for number in range(4):
        shutil.copy(f"data/demo/audio/train-{number:05}.flac", tmp_path / "music" / f"{number}.flac")
    return tmp_path / "music"


def example(name: str, *arguments: str, monkeypatch, capsys) -> list[str]:
    """The lines that an example prints, run by its name as `python -m` does."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_module(f"examples.{name}", run_name="__main__")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("name", SHORT)
def test_an_example_is_shorter_than_40_lines(name):
    assert len((ROOT / f"examples/{name}.py").read_text(encoding="utf-8").splitlines()) < 40


def test_a_folder_of_your_own_is_searched(music, monkeypatch, capsys):
    printed = example("search_your_music", str(music), "a calm piano piece", monkeypatch=monkeypatch, capsys=capsys)
    assert "4 tracks" in printed[0]
    assert [line.split()[:2] for line in printed[1:5]] == [["1", "100.0"], ["2", "66.7"], ["3", "33.3"], ["4", "0.0"]]
    edited = printed[7:]
    assert len(edited) == 3 and printed[1].split()[2].rstrip(",") not in " ".join(edited)  # not the track itself


def test_a_search_is_steered(music, monkeypatch, capsys):
    printed = example("steer", monkeypatch=monkeypatch, capsys=capsys)
    assert printed[0].startswith("avoided: ") and "drums" in printed[0]
    plain, steered = (int(line.split()[1]) for line in printed[1:3])
    assert 0 <= steered <= plain <= 10
    assert [line[:3] for line in printed[4:]] == ["0.2", "0.5", "0.8"]


def test_encoders_of_your_own_train_index_and_search(music, tmp_path, monkeypatch, capsys):
    named = ["encoder_pair=own_example", "model_name=own_example", "~task"]
    paths = [places(tmp_path)[0].replace(str(tmp_path / "data"), "data"), *places(tmp_path)[1:]]
    invoke("train_ldm.py", "--config-dir", str(ROOT / "examples"), *SMALL, *named, *paths)
    monkeypatch.chdir(tmp_path)
    words = [str(music), "a calm piano piece"]
    printed = example("your_own_encoder", *words, monkeypatch=monkeypatch, capsys=capsys)
    assert sorted(eval(printed[-1])) == ["0.flac", "1.flac", "2.flac", "3.flac"]
    assert next((tmp_path / "libraries").glob("music-*/band_energies-*/card.json"))


def test_the_notebook_is_the_script():
    script = (ROOT / "examples/steer.py").read_text(encoding="utf-8")
    written = (ROOT / "examples/steer.ipynb").read_text(encoding="utf-8")
    assert written == make_notebook.notebook(script)  # python -m examples.make_notebook
    cells = json.loads(written)["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    compile(code, "steer.ipynb", "exec")
    lines = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert [line for line in code.splitlines() if line] == lines
    assert not any(cell.get("outputs") for cell in cells)


def test_what_an_example_tells_to_type_starts_it():
    environment = os.environ | {"PYTHONPATH": ""}
    command = [sys.executable, "-m", "examples.search_your_music"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "missing 2 required positional arguments" in done.stderr

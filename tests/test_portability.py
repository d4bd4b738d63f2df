"""What would fail on another system: imports, encodings, names of files, how worker processes start."""

import ast
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from diffgar.dataloading import workers
from diffgar.dataloading.datasets.tracks import Track
from diffgar.demo.collection import write_collection
from diffgar.extraction.decode_ahead import Decoder, Framing

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [path for pattern in ("*.py", "diffgar/**/*.py", "benchmarks/*.py") for path in sorted(ROOT.glob(pattern))]
POSIX = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog"}
POSIX_CALLS = {"fork", "killpg", "getppid", "getpgid", "setsid", "sched_getaffinity", "getloadavg", "SIGKILL", "SIGHUP"}
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.I)  # no file may have such a name on Windows
SPAWN = ["win32", "darwin"]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def text_calls_without_encoding(tree: ast.Module) -> list[int]:
    """Lines that read or write text in whatever encoding the system has."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(word.arg in ("encoding", None) for word in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        position = 0 if isinstance(node.func, ast.Attribute) else 1  # of the mode: path.open(mode), open(path, mode)
        given = [word.value for word in node.keywords if word.arg == "mode"] + node.args[position : position + 1]
        mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
        library = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in (
            "av",
            "os",
            "soundfile",
        )
        if name in ("read_text", "write_text") or (name == "open" and not library and "b" not in str(mode)):
            found.append(node.lineno)
    return found


def imports_everywhere(tree: ast.Module) -> set[str]:
    """The modules that are imported on every system, not those under `if sys.platform != "win32"`."""
    elsewhere = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    elsewhere = [node for node in elsewhere if ast.unparse(node.test) == "sys.platform != 'win32'"]
    asked = {id(inner) for node in elsewhere for part in node.body for inner in ast.walk(part)}
    nodes = [node for node in ast.walk(tree) if id(node) not in asked]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_imports_what_every_system_has_and_names_the_encoding_of_text(path):
    tree = parsed(path)
    imports = imports_everywhere(tree)
    assert path.parent.name == "benchmarks" or not imports & POSIX  # they measure memory, where that can be had
    assert not text_calls_without_encoding(tree)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_only_some_systems_have_is_asked_for_first(path):
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in POSIX_CALLS:
            assert f'hasattr({ast.unparse(node.value)}, "{node.attr}")' in source, (node.attr, node.lineno)


def test_the_check_of_encodings_sees_what_it_should():
    bad = "open(p)\nopen(p, 'w')\np.open()\np.open('a')\np.read_text()\np.write_text(t)\nopen(p, mode='r')\n"
    good = "open(p, 'rb')\np.open('wb')\np.open(mode='rb')\nopen(p, encoding='utf-8')\np.read_text(encoding='utf-8')\n"
    assert text_calls_without_encoding(ast.parse(bad)) == [1, 2, 3, 4, 5, 6, 7]
    assert text_calls_without_encoding(ast.parse(good)) == []


def test_the_check_of_imports_sees_what_it_should():
    asked = "import sys\nif sys.platform != 'win32':\n    import fcntl\n"
    assert imports_everywhere(ast.parse(asked)) == {"sys"}
    assert "fcntl" in imports_everywhere(ast.parse(asked + "else:\n    import fcntl\n"))
    assert "fcntl" in imports_everywhere(ast.parse("if sys.platform != 'darwin':\n    import fcntl\n"))


def test_no_file_has_a_name_that_windows_lacks_or_that_differs_by_case_alone():
    folders = ("config", "diffgar", "tests", "benchmarks")
    paths = [path.relative_to(ROOT).as_posix() for name in folders for path in (ROOT / name).rglob("*")]
    paths = [path for path in paths if "__pycache__" not in path]
    assert len({path.lower() for path in paths}) == len(paths)
    for name in {part for path in paths for part in path.split("/")}:
        assert not RESERVED.fullmatch(name) and not set(name) & set('<>:"\\|?*') and not name.endswith((" ", "."))


@pytest.mark.parametrize("system", SPAWN)
def test_the_demo_is_rendered_by_spawned_processes_to_the_same_bytes(tmp_path, monkeypatch, system):
    write_collection(tmp_path / "here", 9, 0, 0, num_workers=0)
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform=system, modules=sys.modules))
    assert workers.context().get_start_method() == "spawn"
    write_collection(tmp_path / "there", 9, 0, 0, num_workers=1)
    for path in (tmp_path / "here").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "there" / path.relative_to(tmp_path / "here")).read_bytes()


@pytest.mark.parametrize("system", SPAWN)
def test_tracks_are_decoded_by_spawned_processes_to_the_same_samples(tmp_path, monkeypatch, system):
    tracks = [Track(f"t{i}", str(tmp_path / f"t{i}.flac"), "train") for i in range(3)]
    for i, track in enumerate(tracks):
        soundfile.write(track.path, 0.1 * np.sin(np.arange(8000) / (i + 2)), 8000)
    framing = Framing(8000, 0.5, 0.25, "zeros")
    monkeypatch.setattr(workers, "sys", SimpleNamespace(platform=system, modules=sys.modules))
    found = []
    for num_workers in (0, 1):
        with Decoder(tracks, framing, num_workers) as decoder:
            found.append([piece.samples for piece in decoder if piece.samples is not None])
    assert len(found[0]) == len(found[1]) == 3
    for here, there in zip(*found, strict=True):
        np.testing.assert_array_equal(here, there)


ORPHAN = """
import multiprocessing, sys, time
from diffgar.dataloading import workers

def work(path):
    workers.begin()
    open(path, "w").write(str(multiprocessing.current_process().pid))
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=(sys.argv[2],))
    process.start()
    time.sleep(600)
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_worker_ends_when_the_process_that_started_it_is_killed(tmp_path, method):
    (tmp_path / "orphan.py").write_text(ORPHAN, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "orphan.py"), method, str(tmp_path / "pid")]
    parent = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text(encoding="utf-8"):
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.communicate()  # returns when nobody writes to the pipe any more: the worker has it as well


def test_a_worker_leaves_ctrl_c_to_its_parent_and_has_one_thread(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, initializer=workers.begin) as pool:
        assert pool.apply(signal.getsignal, (signal.SIGINT,)) == signal.SIG_IGN
        assert pool.apply(os.getenv, ("OMP_NUM_THREADS",)) == "1"

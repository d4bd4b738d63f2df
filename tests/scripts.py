"""What the tests of the scripts share: running them as a person does, on a small demo collection."""

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

from hydra import compose, initialize_config_dir

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = ["prepare.num_train=60", "prepare.num_validation=16", "prepare.num_test=30"]
TINY = [
    *COLLECTION,
    "trainer.max_steps=40",
    "trainer.val_check_interval=10",
    "lr_scheduler.warmup_steps=2",
    "batch_size=16",
    "keep=all",
]

SMALL = [  # the least that trains a model which searches
    *("prepare.num_train=16", "prepare.num_validation=2", "prepare.num_test=6", "batch_size=8"),
    *("prepare.num_workers=0", "extraction.num_workers=0"),
    *("trainer.max_steps=2", "trainer.val_check_interval=2", "lr_scheduler.warmup_steps=1"),
]


def places(folder: Path) -> list[str]:
    paths = {"data": "data", "checkpoints": "checkpoints", "results": "results", "logs": "logs"}
    return [f"paths.{name}={folder / part}" for name, part in paths.items()]


def start(script: str, *arguments: str, **variables: str) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | variables
    command = [sys.executable, script, *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-2, text=True, start_new_session=True)


def run(script: str, *arguments: str, fails: bool = False) -> str:
    process = start(script, *arguments)
    output = finish(process)
    assert (process.returncode != 0) == fails, output[-3000:]
    return output


def finish(process: subprocess.Popen) -> str:
    """What it printed. One that hangs is killed with its children, so that it slows no other test."""
    try:
        return process.communicate(timeout=600)[0]
    except subprocess.TimeoutExpired:
        kill(process)
        raise AssertionError(process.communicate()[0][-3000:]) from None


def kill(process: subprocess.Popen) -> None:
    """End a process that `start` started, and its children where the system has groups of processes."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def shell(entry, *arguments: str) -> tuple[int, str, str]:
    """Call what `cli.main` decorated, as the shell would: the exit code, and what was printed and told."""
    out, told, code = io.StringIO(), io.StringIO(), 0
    argv = mock.patch.object(sys, "argv", ["script.py", *arguments])
    with argv, contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
        try:
            entry()
        except SystemExit as stopped:
            code = stopped.code or 0
    return code, out.getvalue(), told.getvalue()


def invoke(script: str, *arguments: str, fails: bool = False) -> str:
    """The same as `run`, in this process: starting Python anew takes seconds."""
    argv, output, failed = [script, *arguments, "hydra/job_logging=none"], io.StringIO(), False
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            importlib.import_module(script.removesuffix(".py")).main()
        except SystemExit as stopped:
            failed = bool(stopped.code)
            print(stopped.code)
    assert failed == fails, output.getvalue()[-3000:]
    return output.getvalue()


def composed(name: str, *overrides: str):
    """The config that a script would run with, for calling what it calls."""
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose(name, list(overrides))

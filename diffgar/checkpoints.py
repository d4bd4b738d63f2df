"""Checkpoint folders: `checkpoints/<model_name>/step=<n>.ckpt` beside `config.yaml` and `scores.csv`."""

import contextlib
import os
import pickle
import re
import socket
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from diffgar.errors import InputError
from diffgar.scores import scores_of

if TYPE_CHECKING:
    import torch

KEEP = ("all", "best", "last")
OTHER_VERSION = (
    "another version of the code trained it: train it again, or go back to the version that it was trained with"
)


class CheckpointError(InputError):
    """A model or step that is not there, damaged, or of another config or version. The message has the remedy."""


def folder_of(root: str | Path, model_name: str) -> Path:
    """The folder of a trained model. Raises CheckpointError listing the models there are."""
    folder = Path(root) / str(model_name)
    if not is_trained(folder):
        there = sorted(path.parent.name for path in Path(root).glob("*/config.yaml") if is_trained(path.parent))
        raise CheckpointError(
            f"no model {str(model_name)!r} in {root}; models there: {', '.join(there) or 'none'}; "
            f"train it with train_ldm.py model_name={model_name}, or name one of those"
        )
    return folder


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a model: a config.yaml and a checkpoint. A training that failed earlier leaves none."""
    return (Path(folder) / "config.yaml").is_file() and bool(steps_of(folder))


def steps_of(folder: Path) -> list[int]:
    """The steps a folder has checkpoints of, in order."""
    found = (re.fullmatch(r"step=(\d+)\.ckpt", path.name) for path in Path(folder).glob("step=*.ckpt"))
    return sorted(int(match[1]) for match in found if match)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a model's folder while it is trained. Raises CheckpointError where another training holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    try:
        lock.acquire(blocking=False)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise CheckpointError(
            f"{folder} is being trained by {who}; wait for it, end it, or choose another model_name"
        ) from None
    try:
        for partial in folder.glob("*.part"):  # of a write that was cut short
            partial.unlink()
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def unscored(folder: Path) -> list[int]:
    """The steps that have a checkpoint and no score, as a kill between the two leaves them."""
    scored = set(scores_of(folder).index)
    return [step for step in steps_of(folder) if step not in scored]


def choose_step(folder: Path, step: int | str) -> int:
    """The step of a checkpoint that is asked for by its number, as `last` or as `best`.

    `best` is the first of `best_first`.
    """
    steps = steps_of(folder)
    if not steps:
        raise CheckpointError(f"{folder}: no checkpoint yet; train it with train_ldm.py model_name={Path(folder).name}")
    if step == "last":
        return steps[-1]
    if step == "best":
        return best_first(folder)[0]
    if str(step).isdigit() and int(step) in steps:
        return int(step)
    raise CheckpointError(f"{folder}: no step {step}; steps there: {', '.join(map(str, steps))}, or best, or last")


def best_first(folder: Path) -> list[int]:
    """The steps a folder has checkpoints of, the best first: that with the highest validation R@10.

    Ties go to the lower MedR, then the higher MRR, then the later step. Steps without a score come last, the later
    ones first.
    """
    scores, steps = scores_of(folder).fillna({"MedR": 100, "MRR": 0}), steps_of(folder)
    scored = [step for step in steps if step in scores.index]
    scored.sort(key=lambda s: (scores["R@10"][s], -scores["MedR"][s], scores["MRR"][s], s), reverse=True)
    return scored + [step for step in reversed(steps) if step not in scores.index]


def is_keep(keep: object) -> bool:
    """Whether this says which checkpoints to keep: one of `KEEP`, or a number from 1 on; see `prune`."""
    return keep in KEEP if isinstance(keep, str) else type(keep) is int and keep > 0


def prune(folder: Path, keep: str | int) -> None:
    """Delete the checkpoints that `keep` does not ask for: `best` keeps the best and the last step, `last` the last.

    A number n keeps the n first of `best_first` and the last step.
    """
    if keep == "all":
        return
    best = {"last": 0, "best": 1}[keep] if isinstance(keep, str) else keep
    wanted = {*steps_of(folder)[-1:], *best_first(folder)[:best]}
    for step in set(steps_of(folder)) - wanted:
        (Path(folder) / f"step={step}.ckpt").unlink(missing_ok=True)


def intact(folder: Path, step: int) -> Path:
    """The checkpoint of a step, read once and compared with its checksums. Raises CheckpointError where it is damaged.

    Costs about a second per GB.
    """
    path = Path(folder) / f"step={step}.ckpt"
    if not path.is_file():
        choose_step(folder, step)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        damaged = str(error)
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged ({damaged}), perhaps by a full disk or a copy that was cut short; copy it again, or "
            "delete it, and training goes on from the step before"
        )
    return path


def read_weights(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a checkpoint, averaged (EMA) weights. Raises CheckpointError where the file is not one."""
    import torch  # here: a command line that is refused needs none of it

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {OTHER_VERSION}") from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise CheckpointError(f"{path} is no checkpoint of a training; {OTHER_VERSION}")
    return content["state_dict"]


def refuse_other_tensors(path: Path, found: dict, expected: dict) -> None:
    """Raises CheckpointError naming the first tensor that a checkpoint lacks, has too many, or has in another shape."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in tensors.items()} for tensors in (found, expected)]
    if other := sorted(name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name)):
        had, wanted = (shape.get(other[0], "absent") for shape in shapes)
        raise CheckpointError(
            f"{path}: {len(other)} tensors differ, the first {other[0]} ({had} there, {wanted} here); {OTHER_VERSION}"
        )

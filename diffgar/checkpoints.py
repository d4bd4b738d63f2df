"""Checkpoint folders: `checkpoints/<model_name>/step=<n>.ckpt` beside `config.yaml` and `scores.csv`."""

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from diffgar.errors import InputError

NOT_THE_MODEL = {  # may change on resume: a group, or a value of one
    *("paths", "logger", "evaluation", "extraction", "task", "sampler", "model_step", "publish"),
    *("datamodule.num_workers", "prepare.num_workers", "encoder_pair.weights"),
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy")),
    *(f"trainer.{name}" for name in ("enable_progress_bar", "log_every_n_steps")),
}


class CheckpointError(InputError):
    """A model or step that is not there, or a folder of another config. The message has the remedy."""


def folder_of(root: str | Path, model_name: str) -> Path:
    """The folder of a trained model. Raises CheckpointError listing those there are."""
    folder = Path(root) / model_name
    if not (folder / "config.yaml").is_file():
        there = sorted(path.parent.name for path in Path(root).glob("*/config.yaml"))
        raise CheckpointError(
            f"no model {model_name!r} in {root}; models there: {', '.join(there) or 'none'}; "
            f"train it with train_ldm.py model_name={model_name}, or name one of those"
        )
    return folder


def steps_of(folder: Path) -> list[int]:
    """The steps a folder has checkpoints of, in order."""
    found = (re.fullmatch(r"step=(\d+)\.ckpt", path.name) for path in Path(folder).glob("step=*.ckpt"))
    return sorted(int(match[1]) for match in found if match)


def scores_of(folder: Path) -> dict[int, float]:
    """Validation R@10 (%) by step, as training wrote it."""
    path = Path(folder) / "scores.csv"
    if not path.is_file():
        return {}
    table = pd.read_csv(path).drop_duplicates("step", keep="last")
    return dict(zip(table["step"].astype(int), table["R@10"].astype(float), strict=True))


def record_score(folder: Path, step: int, recall: float) -> None:
    """Add a step's validation R@10 (%) to scores.csv; the last of a step counts."""
    path = Path(folder) / "scores.csv"
    with path.open("a", encoding="utf-8") as out:
        if out.tell() == 0:
            out.write("step,R@10\n")
        out.write(f"{step},{recall:.4f}\n")


def choose_step(folder: Path, step: int | str) -> int:
    """`best` is the kept step with the highest validation R@10 (the last one where none was measured)."""
    steps = steps_of(folder)
    if not steps:
        raise CheckpointError(f"{folder}: no checkpoint yet; train on with train_ldm.py --config {folder}/config.yaml")
    if step == "last":
        return steps[-1]
    if step == "best":
        scores = {kept: score for kept, score in scores_of(folder).items() if kept in steps}
        return max(scores, key=lambda kept: (scores[kept], -kept)) if scores else steps[-1]
    if str(step).isdigit() and int(step) in steps:
        return int(step)
    raise CheckpointError(f"{folder}: no step {step}; steps there: {', '.join(map(str, steps))}, or best, or last")


def intact(folder: Path, step: int) -> Path:
    """The checkpoint of a step. Raises CheckpointError where its end is missing."""
    path = Path(folder) / f"step={step}.ckpt"
    if not zipfile.is_zipfile(path):
        raise CheckpointError(
            f"{path} is damaged, perhaps by a kill while it was copied into place; delete it, and training goes on "
            "from the step before"
        )
    return path


def load_model(folder: Path, step: int, build: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    """The trained model of a step with its EMA weights, in eval mode on the device there is.

    build: makes an object of a config (hydra's instantiate), handed in so that this module needs no Hydra.
    """
    config = OmegaConf.load(Path(folder) / "config.yaml")
    content = torch.load(intact(folder, step), map_location="cpu", weights_only=True, mmap=True)
    weights = content["state_dict"]
    sizes = {name: torch.zeros_like(weights[name]) for name in ("latent_mean", "latent_std", "null_text")}
    model = build(config.module, **sizes, num_frames=int(weights["frames"]))
    model.load_state_dict(weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().requires_grad_(False).to(device)


def teacher_of(cfg: DictConfig) -> tuple[Path, int] | None:
    """Folder and step of the trained model that a student's config names; None where it names none.

    Raises CheckpointError where that model or step is not there.
    """
    teacher = (cfg.get("module") or {}).get("teacher")
    if not teacher:
        return None
    folder = folder_of(cfg.paths.checkpoints, teacher.model_name)
    return folder, choose_step(folder, teacher.step)


def pin_teacher(folder: Path, cfg: DictConfig) -> None:
    """Make a number of the step of a student's teacher, for good: on resume what the student's config.yaml has counts.

    So `best` and `last` mean what they meant when training started, also where the teacher has been trained on since.
    """
    path = Path(folder) / "config.yaml"
    if path.is_file():
        found = OmegaConf.select(OmegaConf.load(path), "module.teacher.step")
        if found is not None and OmegaConf.select(cfg, "module.teacher.step") in ("best", "last"):
            cfg.module.teacher.step = found
    elif trained := teacher_of(cfg):
        cfg.module.teacher.step = trained[1]


def with_teacher(module: torch.nn.Module, cfg: DictConfig, build: Callable[..., torch.nn.Module]) -> torch.nn.Module:
    """The module; a student, given the teacher that its config names (see `teacher_of`)."""
    if trained := teacher_of(cfg):
        module.learn_from(load_model(*trained, build))
    return module


def save_config(folder: Path, cfg: DictConfig) -> None:
    """Write config.yaml, or refuse a folder that was trained with another model config.

    Saved unresolved, so that it is itself a `--config` argument whose interpolations still follow overrides.
    """
    path = Path(folder) / "config.yaml"
    if path.is_file():
        differences = compare(OmegaConf.load(path), cfg)
        if differences:
            raise CheckpointError(
                f"{path} was trained with another config ({'; '.join(differences[:3])}); "
                f"choose another model_name, or delete {folder}"
            )
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, path, resolve=False)


def compare(old: DictConfig, new: DictConfig) -> list[str]:
    """What differs between two configs, leaving out what does not change the model."""
    old, new = flatten(old), flatten(new)
    names = [n for n in sorted(old | new) if not NOT_THE_MODEL & {n.split(".")[0], ".".join(n.split(".")[:2])}]
    return [f"{name}: {old.get(name)} there, {new.get(name)} here" for name in names if old.get(name) != new.get(name)]


def flatten(cfg: DictConfig) -> dict[str, object]:
    """Dotted names to values as written, interpolations unresolved."""

    def walk(node, prefix):
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, f"{prefix}{key}.")
        else:
            yield prefix[:-1], node

    return dict(walk(OmegaConf.to_container(cfg, resolve=False), ""))

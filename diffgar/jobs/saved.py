"""A model's `config.yaml`: written when training starts, compared when it resumes, and read to load the model."""

from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import (
    OTHER_VERSION,
    CheckpointError,
    choose_step,
    folder_of,
    intact,
    is_trained,
    read_weights,
    refuse_other_tensors,
    steps_of,
)
from diffgar.dataloading.store.card import write_atomically
from diffgar.jobs.building import build, read_config
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.composed import ComposedHead
from diffgar.models.latent_module import LatentModule
from diffgar.models.ldm import LatentDiffusion

NOT_THE_MODEL = {  # may change on resume: a group, or a value of one
    *("paths", "logger", "evaluation", "extraction", "task", "sampler", "model_step", "publish", "keep"),
    *("datamodule.num_workers", "prepare.num_workers", "encoder_pair.weights"),
    *(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "strategy")),
    *(f"trainer.{name}" for name in ("enable_progress_bar", "enable_model_summary", "log_every_n_steps")),
}


def save_config(folder: Path, cfg: DictConfig) -> None:
    """Write config.yaml, or refuse a folder that holds a model of another config.

    A folder without a checkpoint holds no model, whatever a start that failed has left there. Saved unresolved, so
    that it is itself a `--config` argument whose interpolations still follow overrides.
    """
    path = folder / "config.yaml"
    if steps_of(folder):
        if changed := compare(read_config(path), cfg):
            raise CheckpointError(
                f"{path} was trained with another config ({'; '.join(changed[:3])}); "
                f"choose another model_name, or delete {folder}"
            )
    else:
        for name in ("scores.csv", "latents.json", "tracks.npz"):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, OmegaConf.to_yaml(cfg, resolve=False).encode())


def compare(old: DictConfig, new: DictConfig) -> list[str]:
    """What differs between two configs, leaving out what does not change the model.

    Values are compared as written; where those agree, the module's as they resolve: a value that may change for an
    evaluation (`sampler.num_steps`) may not where the module was built of it.
    """
    return differences(flatten(old), flatten(new)) or differences(flatten(old, "module"), flatten(new, "module"))


def differences(old: dict[str, object], new: dict[str, object]) -> list[str]:
    """Each dotted name whose values differ, with both, leaving out what does not change the model."""
    names = [n for n in sorted(old | new) if not NOT_THE_MODEL & {n.split(".")[0], ".".join(n.split(".")[:2])}]
    return [f"{name}: {old.get(name)} there, {new.get(name)} here" for name in names if old.get(name) != new.get(name)]


def flatten(cfg: DictConfig, resolved: str | None = None) -> dict[str, object]:
    """Dotted names to values as written, or those of the group `resolved` with their interpolations resolved."""

    def walk(node: object, prefix: str) -> Iterator[tuple[str, object]]:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, f"{prefix}{key}.")
        else:
            yield prefix[:-1], node

    if resolved is None:
        return dict(walk(OmegaConf.to_container(cfg, resolve=False), ""))
    part = cfg.get(resolved)
    return dict(walk(OmegaConf.to_container(part, resolve=True), f"{resolved}.")) if part else {}


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
    """Resolve the step of a student's teacher to a number and freeze it: on resume the student's config.yaml wins.

    So `best` and `last` mean what they meant when training started, also where the teacher has been trained on since.
    """
    if is_trained(folder):
        found = OmegaConf.select(read_config(folder / "config.yaml"), "module.teacher.step")
        if found is not None and OmegaConf.select(cfg, "module.teacher.step") in ("best", "last"):
            cfg.module.teacher.step = found
    elif trained := teacher_of(cfg):
        cfg.module.teacher.step = trained[1]


def load_model(folder: Path, step: int) -> LatentDiffusion | ContrastiveHeads:
    """The trained model of a step with its EMA weights, in eval mode on the device there is.

    Raises CheckpointError where the checkpoint is damaged or does not fit this version of the code.
    """
    config, path = read_config(Path(folder) / "config.yaml"), intact(folder, step)
    return model_of(config, read_weights(path), path)


def load_head(folder: Path, step: int) -> ComposedHead:
    """The trained head for composed requests of a step, as `load_model` gives a model."""
    config, path = read_config(Path(folder) / "config.yaml"), intact(folder, step)
    head = module_of(config, read_weights(path), path)
    if not isinstance(head, ComposedHead):
        raise CheckpointError(f"{folder} holds a {type(head).__name__}, no head for composed requests; name another")
    return head


def model_of(config: DictConfig, weights: dict[str, torch.Tensor], path: Path) -> LatentDiffusion | ContrastiveHeads:
    """The module of a config with these weights, in eval mode on the device there is. path: where they were read.

    Raises CheckpointError where they do not fit this version of the code, and for a module that answers no captions.
    """
    model = module_of(config, weights, path)
    if not isinstance(model, LatentDiffusion | ContrastiveHeads):
        raise CheckpointError(f"{path.parent} holds a {type(model).__name__}, which makes no queries; name another")
    return model


def module_of(config: DictConfig, weights: dict[str, torch.Tensor], path: Path) -> LatentModule:
    """As `model_of`, for every kind of module on latents."""
    try:
        constants = {name: torch.zeros_like(weights[name]) for name in ("latent_mean", "latent_std", "null_text")}
        model = build(config.module, **constants, num_frames=int(weights["frames"]))
    except KeyError as error:
        raise CheckpointError(f"{path} has no {error}; {OTHER_VERSION}") from error
    except Exception as error:
        if isinstance(error.__cause__ or error, TypeError | ImportError):  # an argument or class that is no more
            raise CheckpointError(f"{path.parent}: its module cannot be built ({error}); {OTHER_VERSION}") from error
        raise
    if not isinstance(model, LatentModule):
        raise CheckpointError(f"{path.parent} holds a {type(model).__name__}, which makes no queries; name another")
    refuse_other_tensors(path, weights, model.state_dict())
    model.load_state_dict(weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().requires_grad_(False).to(device)

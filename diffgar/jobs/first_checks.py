"""What of a config is refused within a second: these checks need neither torch nor pandas, and come before both."""

import math
import re
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import KEEP, choose_step, folder_of, is_keep, is_trained, steps_of
from diffgar.commandline import ConfigError
from diffgar.dataloading.store.card import refuse_absent
from diffgar.evaluation.checks import check_evaluation
from diffgar.jobs.building import plain, read_config

LARGEST_SEED = 2**32 - 1
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
WHOLE_NUMBERS = {  # the least that each may be
    **dict.fromkeys(("trainer.max_steps", "trainer.val_check_interval", "trainer.accumulate_grad_batches"), 1),
    **dict.fromkeys(
        ("trainer.log_every_n_steps", "trainer.num_nodes", "batch_size", "datamodule.batch_size", "num_frames"), 1
    ),
    **dict.fromkeys(("lr_scheduler.warmup_steps", "datamodule.num_workers", "seed"), 0),
}


def of_training(cfg: DictConfig) -> None:
    """Raises InputError for values that no training can run with, and for a store or a teacher that is not there.

    The model's name becomes a text. Steps are checked one by one, as each begins.
    """
    if cfg.get("steps"):
        return
    cfg.model_name = check_name(cfg.model_name)
    check_values(cfg)
    if cfg.get("task"):
        of_queries(cfg)
    folder = Path(cfg.paths.checkpoints) / cfg.model_name
    teacher = (cfg.get("module") or {}).get("teacher")
    if teacher and not is_trained(folder):
        folder_of(cfg.paths.checkpoints, teacher.model_name)
    if not cfg.get("prepare") and not is_finished(cfg, folder):
        stores = [cfg.datamodule.get(name) for name in ("audio_folder", "text_folder")]
        refuse_absent_stores(filter(None, stores), cfg.datamodule.get("remedy"))


def of_extraction(cfg: DictConfig) -> None:
    """Raises ConfigError for a number of devices that no machine has, and for names that name no folder."""
    check_number_of_devices(cfg.num_devices)
    check_folders(cfg)


def of_evaluation(cfg: DictConfig) -> None:
    """Raises InputError for values that no evaluation can run with, and for a model, step or store that is not there.

    A table of results that are there, and a comparison of two datasets, are none: nothing is checked for them.
    """
    if OmegaConf.select(cfg, "tables.which") or cfg.get("overlap"):
        return
    of_queries(cfg)
    models = [cfg.model_name, *cfg.evaluation.baselines]
    folders = [folder_of(cfg.paths.checkpoints, str(name)) for name in models]
    if cfg.model_step not in ("best", "last", "all"):
        choose_step(folders[0], cfg.model_step)
    for folder in folders:
        pair = read_config(folder / "config.yaml").encoder_pair
        stores = [Path(cfg.paths.latents) / cfg.task.dataset / store for store in (pair.audio_name, pair.text_name)]
        refuse_absent_stores(stores, f"run extract_dataset.py data={cfg.task.dataset} encoder_pair={pair.name}")


def of_queries(cfg: DictConfig) -> None:
    """Raises InputError for what a config asks of an evaluation and no evaluation can do."""
    asked = cfg.evaluation
    check_evaluation(
        str(cfg.model_name),
        seeds=plain(asked.seeds),
        samples=plain(asked.samples),
        pooling=plain(asked.pooling),
        segments=plain(asked.segments),
        grid=plain(asked.grid),
        pooled_weight=plain(asked.pooled_weight),
        allow_missing=plain(asked.allow_missing),
        variant=plain(asked.variant),
        guidance=plain(asked.guidance),
        baselines=plain(asked.baselines),
        with_fidelity=plain(cfg.get("with_fidelity")),
    )


def is_finished(cfg: DictConfig, folder: Path) -> bool:
    """Whether the last step of a training has its checkpoint."""
    return bool(done := steps_of(folder)) and done[-1] >= cfg.trainer.max_steps


def refuse_absent_stores(folders: Iterable[str | Path], remedy: str) -> None:
    """Raises StoreError for the first folder that holds no finished store."""
    for folder in folders:
        refuse_absent(Path(folder), remedy)


def check_name(name: object) -> str:
    """A model's name as text. Raises ConfigError for one that would break paths, lists or the command line."""
    if isinstance(name, int) and not isinstance(name, bool):
        name = str(name)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"model_name is {name!r}; a name has letters, digits, and . _ - after the first character, no slash: "
            "model_name=my_model (one that reads as another kind of value in quotes: \"model_name='1e5'\")"
        )
    return name


def check_folders(cfg: DictConfig) -> None:
    """Raises ConfigError where a dataset's or an encoder's name names no folder of a store; numbers become texts."""
    for key in ("data.name", "encoder_pair.audio_name", "encoder_pair.text_name"):
        name = OmegaConf.select(cfg, key)
        if isinstance(name, int) and not isinstance(name, bool):
            OmegaConf.update(cfg, key, name := str(name))
        if not isinstance(name, str) or not name or name in (".", "..") or "/" in name:
            raise ConfigError(f"{key} is {name!r}; it names a folder of latents: give it one word without a slash")


def check_number_of_devices(number: object) -> None:
    """Raises ConfigError for a number of devices that no machine has."""
    if not isinstance(number, bool) and isinstance(number, int) and (number > 0 or (number == -1 and has_gpu())):
        return
    ways = "num_devices=1, or -1 for all GPUs where there are any"
    raise ConfigError(f"num_devices is {number!r}; it must be a whole number from 1 on: {ways}")


def has_gpu() -> bool:
    """Whether torch finds a GPU here; the one check of this module that needs torch."""
    import torch

    return torch.cuda.is_available()


def check_values(cfg: DictConfig) -> None:
    """Raises ConfigError naming the first value with which a training cannot run, and one that it can."""
    for name, least in WHOLE_NUMBERS.items():
        value = OmegaConf.select(cfg, name, default=least)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from {least} on: {name}={max(least, 1)}")
    if cfg.get("seed", 0) > LARGEST_SEED:
        raise ConfigError(f"seed is {cfg.seed}; it must be at most {LARGEST_SEED}: seed=0")
    rate = OmegaConf.select(cfg, "optimizer.lr", default=1.0)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise ConfigError(f"optimizer.lr is {rate!r}; it must be a number above 0: optimizer.lr=0.0001")
    max_steps, warmup_steps = cfg.trainer.max_steps, cfg.lr_scheduler.warmup_steps
    if warmup_steps >= max_steps:
        raise ConfigError(
            f"lr_scheduler.warmup_steps {warmup_steps} leaves none of trainer.max_steps {max_steps}; "
            f"use lr_scheduler.warmup_steps={max_steps // 10}"
        )
    if not is_keep(keep := cfg.get("keep", "all")):
        raise ConfigError(f"keep is {keep!r}; choose of {', '.join(KEEP)}, or a number of the best: keep=best")
    check_step(cfg.get("model_step", "best"), max_steps, cfg.trainer.val_check_interval)
    check_devices(cfg)


def check_step(step: object, max_steps: int, interval: int) -> None:
    """Raises ConfigError for a step to evaluate at the end that will have no checkpoint."""
    if step in ("best", "last"):
        return
    number = int(str(step)) if str(step).isdigit() else 0
    if not 1 <= number <= max_steps or (number % interval and number != max_steps):
        raise ConfigError(
            f"model_step is {step!r}; choose best, last, or a step that has a checkpoint, each {interval}th and "
            f"{max_steps}: model_step=best"
        )


def check_devices(cfg: DictConfig) -> None:
    """Raises ConfigError where batches do not divide among the processes, as far as the config tells their number."""
    devices = cfg.trainer.devices
    count = len(devices) if OmegaConf.is_list(devices) else devices
    if isinstance(count, int) and count > 0 and "batch_size" in cfg:
        processes = count * cfg.trainer.get("num_nodes", 1)
        if cfg.batch_size % processes:
            near = max(cfg.batch_size // processes, 1) * processes
            raise ConfigError(
                f"batch_size {cfg.batch_size} does not divide among {processes} processes; use batch_size={near}"
            )

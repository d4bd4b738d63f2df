"""What is checked of a training's config before anything is prepared, so that no training ends in a refusal."""

import math
import os
import re

import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import KEEP, choose_step, folder_of
from diffgar.commandline import ConfigError
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store, TextStore
from diffgar.evaluation.systems import refuse_absent
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import open_stores, open_task

LARGEST_SEED = 2**32 - 1
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
WHOLE_NUMBERS = {  # the least that each may be
    **dict.fromkeys(("trainer.max_steps", "trainer.val_check_interval", "trainer.accumulate_grad_batches"), 1),
    **dict.fromkeys(("trainer.log_every_n_steps", "batch_size", "datamodule.batch_size", "num_frames"), 1),
    **dict.fromkeys(("lr_scheduler.warmup_steps", "datamodule.num_workers", "seed"), 0),
}
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "NODE_RANK", "GROUP_RANK")  # that launchers set


def is_first_process() -> bool:
    """Whether this process is the one that writes: the first of the first node, however they were started."""
    return all(int(os.environ.get(name, 0)) == 0 for name in RANKS)


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
    least = 1 if torch.cuda.is_available() else 0
    if isinstance(number, bool) or not isinstance(number, int) or number == 0 or number < -least:
        ways = "num_devices=1" + ", or -1 for all GPUs" * least
        raise ConfigError(f"num_devices is {number!r}; it must be a whole number from 1 on: {ways}")


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
    if (keep := cfg.get("keep", "all")) not in KEEP:
        raise ConfigError(f"keep is {keep!r}; choose of {', '.join(KEEP)}: keep=best")
    check_step(cfg.get("model_step", "best"), max_steps, cfg.trainer.val_check_interval)
    check_devices(cfg)


def check_publish(cfg: DictConfig) -> None:
    """Raises ConfigError for a file to publish by a training that publishes none."""
    target = OmegaConf.select(cfg, "module._target_")
    if cfg.get("publish") and target and not hasattr(get_class(target), "publish"):
        raise ConfigError(f"publish is {cfg.publish!r}, and {target} publishes nothing: publish=null")


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


def check_task(cfg: DictConfig) -> None:
    """Raises an InputError where the model could not be evaluated on `cfg.task` once it is trained.

    The training stores are opened first, so that a message about them comes before one about the task.
    """
    folders = (cfg.datamodule.audio_folder, cfg.datamodule.text_folder)
    trained = Store(folders[0], cfg.datamodule.remedy), TextStore(folders[1], cfg.datamodule.remedy)
    task, ways = cfg.task, "train alone: ~task"
    if task.dataset != cfg.data.name:
        ways = f"evaluate on the training data's own test split: task={cfg.data.name}; or {ways}"
    try:
        stores = open_stores(cfg, task.dataset, cfg.encoder_pair)
        opened = open_task(cfg, *stores)
        if task.attributes and cfg.evaluation.retrieval.direction == "text_to_audio":
            refuse_absent(opened, stores[0], plain(task.attributes))
        refuse_unlike(trained, stores)
    except ValueError as error:
        message = f"once trained, the model could not be evaluated on the task {task.name!r}: {error}; or {ways}"
        raise ConfigError(message) from error
    for name in cfg.evaluation.baselines:  # which stand in the same table
        choose_step(folder_of(cfg.paths.checkpoints, name), "best")


def refuse_unlike(trained: tuple[Store, TextStore], stores: tuple[Store, TextStore]) -> None:
    """Raises StoreError where a task's stores were made otherwise than the training stores."""
    for mine, its in zip(trained, stores, strict=True):
        wanted, found = mine.card.encoding(), its.card.encoding()
        if other := [name for name, value in wanted.items() if found.get(name) != value]:
            raise StoreError(
                f"{its.folder} was made with {other[0]} {found.get(other[0])!r}, the training's {mine.folder} with "
                f"{wanted[other[0]]!r}; extract both with one encoder_pair"
            )

"""What is checked of a training's config and stores before anything is prepared; `first_checks` comes before it."""

import os

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import choose_step, folder_of
from diffgar.commandline import ConfigError
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.evaluation.answers import refuse_no_answers
from diffgar.evaluation.systems import refuse_absent
from diffgar.jobs.building import plain
from diffgar.jobs.experiment import open_stores, open_task

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "NODE_RANK", "GROUP_RANK")  # that launchers set


def is_first_process() -> bool:
    """Whether this process is the one that writes: the first of the first node, however they were started."""
    return all(int(os.environ.get(name, 0)) == 0 for name in RANKS)


def check_publish(cfg: DictConfig) -> None:
    """Raises ConfigError for a file to publish by a training that publishes none."""
    target = OmegaConf.select(cfg, "module._target_")
    if cfg.get("publish") and target and not hasattr(get_class(target), "publish"):
        raise ConfigError(f"publish is {cfg.publish!r}, and {target} publishes nothing: publish=null")


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
        to_audio = cfg.evaluation.retrieval.direction == "text_to_audio"
        if task.attributes and to_audio:
            refuse_absent(opened, stores[0], plain(task.attributes))
        if task.get("answers") and to_audio:
            refuse_no_answers(*stores, plain(task.answers))
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

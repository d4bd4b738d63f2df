"""The commands that a job prints at its end; they work as they are printed."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig

from diffgar.commandline import CONFIG_ROOT

Command = tuple[str, str]  # what is typed, what it does
LEAVES = CONFIG_ROOT / "train_ldm" / "model" / "encoder_pair"
FOLDERS = ("data", "task", "encoder_pair")  # by which a folder of the user's own configs is known


def show(commands: Sequence[Command]) -> None:
    """Print the commands, each below what it does."""
    for command, what in commands:
        print(f"next    {what}:\n        {command}")


def after_training(cfg: DictConfig) -> list[Command]:
    """Evaluations of the model that was trained; none of a model that has no task, such as an encoder."""
    if "encoder_pair" not in cfg:
        return []
    if composed := cfg.get("composed"):
        words = ["--task", composed.name, "control=composed", f"control.head={cfg.model_name}"]
        return [(typed("eval_retrieval.py", *words), "evaluate it beside other ways to compose")]
    task = cfg.get("task")
    name = ["--task", task.name if task else cfg.data.name, "--model_name", cfg.model_name]
    if not task:
        return [(typed("eval_retrieval.py", *name), "evaluate it")]
    if not getattr(get_class(cfg.module._target_), "sampled", False):
        return [(typed("eval_retrieval.py", *name, "--model_step", "all"), "evaluate each of its steps")]
    return [steering(name) if task.attributes else fidelity(name)]


def searching(cfg: DictConfig) -> list[Command]:
    """A search of the training's collection by the model that was trained; none of an encoder or a composed head."""
    return [search(cfg)] if "encoder_pair" in cfg and not cfg.get("composed") else []


def after_retrieval(cfg: DictConfig, sampled: bool) -> list[Command]:
    """Steering where the task has ground truth, else fidelity; both need a model that samples. Then a search."""
    if not sampled:
        return [search(cfg)]
    return [steering(evaluated(cfg)) if cfg.task.attributes else fidelity(evaluated(cfg)), search(cfg)]


def after_fidelity(cfg: DictConfig) -> list[Command]:
    """Fidelity at several guidance scales, where it was at one; else retrieval."""
    if cfg.evaluation.guidance or len(cfg.evaluation.seeds) < 2:
        return [(typed("eval_retrieval.py", *evaluated(cfg)), "see how it retrieves")]
    words = [*evaluated(cfg), "evaluation.guidance=[1,2,3,5]"]
    return [(typed("eval_fidelity.py", *words), "compare quality with diversity at several guidance scales")]


def after_control(cfg: DictConfig) -> list[Command]:
    """A search that is steered."""
    return [search(cfg, "--not", "drums")]


def evaluated(cfg: DictConfig) -> list[str]:
    """The flags that name the task, model and step of an evaluation."""
    step = [] if cfg.model_step in ("best", "all") else ["--model_step", cfg.model_step]
    return ["--task", choice("task") or cfg.task.name, "--model_name", cfg.model_name, *step]


def steering(name: Sequence[str]) -> Command:
    """The evaluation of steering."""
    return typed("eval_retrieval.py", *name, "control=negative"), "steer it, asking for less of an attribute"


def fidelity(name: Sequence[str]) -> Command:
    """The evaluation of fidelity."""
    return typed("eval_fidelity.py", *name), "compare what it generates with real music"


def search(cfg: DictConfig, *words: str) -> Command:
    """A search of the collection that a model was trained on."""
    folder = str(Path(cfg.paths.checkpoints) / str(cfg.model_name))
    return shlex.join(["python", "search.py", "a slow piano piece", *words, "--model", folder]), "search with it"


def after_extraction(cfg: DictConfig) -> list[Command]:
    """Training on the dataset where it has a train split, else evaluating a model on it; none of unfinished stores."""
    folder = Path(cfg.paths.latents) / cfg.data.name
    stores = [folder / cfg.encoder_pair.audio_name, folder / cfg.encoder_pair.text_name]
    if not all((store / "rows.parquet").is_file() for store in stores):
        return []
    data = choice("data") or cfg.data.name
    if "train" not in set(pd.read_parquet(stores[0] / "rows.parquet", columns=["split"])["split"]):
        words = ["--task", data, "--model_name", "NAME"]
        return [(typed("eval_retrieval.py", *words), "evaluate a model, NAME, on it")]
    pair = choice("encoder_pair") or cfg.encoder_pair.name
    if pair == "demo":
        return [(typed("train_ldm.py"), "train on it")] if data == "demo" else []
    leaf = next(iter(sorted((LEAVES / pair).glob("*/train_ldm_sample_pred_*.yaml"), reverse=True)), None)  # the U-Net's
    if leaf is None:
        return []
    config = leaf.relative_to(CONFIG_ROOT.parent)
    words = ["--config", str(config), f"data={data}", f"model_name={data}_{pair}"]
    return [(typed("train_ldm.py", *words, *changes("encoder_pair."), "~task"), "train on it")]


def typed(script: str, *words: str) -> str:
    """A command in the shell's quotes, with the places that this run was given."""
    return shlex.join(["python", script, *map(str, words), *places(), *changes("paths.")])


def places() -> Iterator[str]:
    """The options that name the folders of the user's own configs."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    for source in sources:
        if source.provider == "command-line" and any((Path(source.path) / name).is_dir() for name in FOLDERS):
            yield from ("--config-dir", source.path)


def changes(prefix: str) -> list[str]:
    """The changes of this run's command line whose keys begin so."""
    words = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return [word for word in words if word.startswith(prefix)]


def choice(group: str) -> str | None:
    """The file that this run chose for a group of the config; None outside of a run."""
    return HydraConfig.get().runtime.choices.get(group) if HydraConfig.initialized() else None

"""The plan that a long job prints before it begins: what it will do, what is there already, and where it all goes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from diffgar.checkpoints import steps_of
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.extraction.stores import EMPTY
from diffgar.jobs.building import build

GOES_ON = "the same command goes on from there"
SPLITS = ("train", "validation", "test")


def show(title: str, there: Sequence[str], steps: Sequence[str], stopped: str = GOES_ON) -> None:
    """Print a plan: what is there already, and the steps to come, numbered. Prints nothing where there are none.

    stopped: what the same command does once Ctrl-C has stopped it.
    """
    if not steps:
        return
    print(f"plan    {title}")
    for part in there:
        print(f"        there already: {part}")
    for number, step in enumerate(steps, 1):
        print(f"     {number}. {step}")
    print(f"        Ctrl-C stops it; {stopped}.", flush=True)


def show_training(cfg: DictConfig, folder: Path) -> None:
    """The plan of a training that is not finished: its data where it makes them, its steps, and the evaluation."""
    there, steps = extraction_parts(cfg) if cfg.get("prepare") else ([], [])
    done, last, every = steps_of(folder), cfg.trainer.max_steps, cfg.trainer.val_check_interval
    first = done[-1] if done else 0
    if done:
        there.append(f"step {first} of {folder}")
    steps.append(
        f"train from step {first} to {last}, with a checkpoint every {every}: {folder}{remaining(cfg, folder)}"
    )
    if cfg.get("task"):
        chosen = f"the {cfg.model_step} step" if cfg.model_step in ("best", "last") else f"step {cfg.model_step}"
        results = Path(cfg.paths.results) / str(cfg.model_name) / str(cfg.task.name)
        steps.append(f"evaluate {chosen} on {cfg.task.name}: {results}")
    show(f"train {cfg.model_name}", there, steps)


def show_extraction(cfg: DictConfig, dataset: Dataset | None = None) -> None:
    """The plan of an extraction; none where all is there, and only what has changed since is encoded.

    dataset: that of `cfg.data`, where it is open already.
    """
    show(f"extract {cfg.data.name} with {cfg.encoder_pair.name}", *extraction_parts(cfg, dataset))


def extraction_parts(cfg: DictConfig, dataset: Dataset | None = None) -> tuple[list[str], list[str]]:
    """What is there of a dataset's collection and stores, and the steps that make the rest."""
    there: list[str] = []
    steps: list[str] = []
    new = 0
    if makes_collection(cfg):
        folder, asked, new = cfg.prepare.folder, tracks_asked(cfg.prepare), tracks_to_render(cfg.prepare)
        if new < asked:
            there.append(f"{asked - new:,} of {asked:,} tracks in {folder}" if new else f"{asked:,} tracks in {folder}")
        if new:
            steps.append(f"compose and render {new:,} tracks: {folder}")
        elif (Path(folder) / "captions.csv").is_file():
            dataset = dataset or build(cfg.data)
    ids = {
        "tracks": None if dataset is None else dataset.tracks["track_id"],
        "captions": None if dataset is None else dataset.captions["caption_id"],
    }
    names = (cfg.encoder_pair.audio_name, cfg.encoder_pair.text_name)
    for name, (what, wanted) in zip(names, ids.items(), strict=True):
        store = Path(cfg.paths.latents) / cfg.data.name / name
        held = ids_in(store)
        if held:
            there.append(f"{len(held):,} {what} in {store}")
        absent = None if wanted is None else int((~wanted.isin(held)).sum())
        if absent or (wanted is None and (new or not held)):
            number = f" {absent:,}" if absent else ""
            steps.append(f"encode{number or ' the'}{' new' if held else ''} {what}: {store}")
    return there, steps


def ids_in(store: Path) -> set[str]:
    """The ids that a finished store holds, or has left out for a reason (skipped.csv); none where there is no store."""
    if not (store / "rows.parquet").is_file():
        return set()
    held = set(pd.read_parquet(store / "rows.parquet", columns=["row_id"])["row_id"]) - {EMPTY}
    skipped = store / "skipped.csv"
    return held | set(pd.read_csv(skipped, dtype=str)["row_id"]) if skipped.is_file() else held


def tracks_asked(made: DictConfig) -> int:
    """How many tracks the demo's collection is to have."""
    return sum(made[f"num_{split}"] for split in SPLITS)


def tracks_to_render(made: DictConfig) -> int:
    """How many of these have no audio file yet."""
    there = {split: len(list(Path(made.folder).glob(f"audio/{split}-*.flac"))) for split in SPLITS}
    return sum(max(0, made[f"num_{split}"] - there[split]) for split in SPLITS)


def makes_collection(cfg: DictConfig) -> bool:
    """Whether the data lies in a folder that we fill: the demo's alone."""
    made = cfg.get("prepare") and Path(cfg.prepare.folder).absolute()
    return bool(made and cfg.data.get("audio_root") and made == Path(cfg.data.audio_root).absolute())


def remaining(cfg: DictConfig, folder: Path) -> str:
    """How long the steps to come take at the pace of the fastest interval so far; empty where none was measured."""
    steps = steps_of(folder)
    times = [(folder / f"step={step}.ckpt").stat().st_mtime for step in steps]
    paces = [(t - s) / (b - a) for a, b, s, t in zip(steps, steps[1:], times, times[1:], strict=False)]
    if not paces:
        return ""
    minutes = (cfg.trainer.max_steps - steps[-1]) * min(paces) / 60
    return f", about {minutes / 60:.1f} h" if minutes > 90 else f", about {max(minutes, 1):.0f} min"

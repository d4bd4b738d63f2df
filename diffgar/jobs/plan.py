"""The plan that a long job prints before it begins: what it will do, what is there already, and where it all goes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from diffgar.checkpoints import steps_of
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.extraction.mixes import part_store, reads_parts
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
    there, steps = collection_parts(cfg.prepare) if makes_collection(cfg) else ([], [])
    grows = bool(steps)  # the table does not have all of its tracks yet
    if makes_collection(cfg) and not grows and Path(str(cfg.data.table)).is_file():
        dataset = dataset or build(cfg.data)
    for name, kind in ((cfg.encoder_pair.audio_name, "track"), (cfg.encoder_pair.text_name, "caption")):
        store = Path(cfg.paths.latents) / cfg.data.name / name
        held, count = held_in(store)
        if dataset is not None:
            held |= held_by_parts(dataset, store)
        new = "new " if held else ""
        if held:
            there.append(f"{count:,} {kind}s in {store}")
        if dataset is not None:
            table = getattr(dataset, f"{kind}s")
            absent = table[~table[f"{kind}_id"].isin(held)]
            if len(absent):
                steps.append(f"encode {len(absent):,} {new}{kind}s{hours_of(absent)}: {store}")
        elif grows or not held:
            steps.append(f"encode the {new}{kind}s: {store}")
    return there, steps


def collection_parts(made: DictConfig) -> tuple[list[str], list[str]]:
    """What is there of the demo's collection, and the step that renders the tracks without an audio file."""
    asked = {split: made[f"num_{split}"] for split in SPLITS}
    found = {split: len(list(Path(made.folder).glob(f"audio/{split}-*.flac"))) for split in SPLITS}
    total, missing = sum(asked.values()), sum(max(0, asked[split] - found[split]) for split in SPLITS)
    if not missing:
        return [f"{total:,} tracks in {made.folder}"], []
    there = [f"{total - missing:,} of {total:,} tracks in {made.folder}"] if missing < total else []
    return there, [f"compose and render {missing:,} tracks: {made.folder}"]


def hours_of(table: pd.DataFrame) -> str:
    """The length of tracks, such as ", 15.3 h", where the table says of all of them where they begin and end."""
    if not {"start_s", "end_s"} <= set(table.columns):
        return ""
    seconds = (table["end_s"] - table["start_s"]).sum(skipna=False)
    return f", {seconds / 3600:,.1f} h" if pd.notna(seconds) else ""


def held_in(store: Path) -> tuple[set[str], int]:
    """The ids that a finished store holds or has left out for a reason (skipped.csv), and how many are in a split.

    Without a split are the empty caption, and tracks that are kept though the table has them no more.
    """
    if not (store / "rows.parquet").is_file():
        return set(), 0
    rows = pd.read_parquet(store / "rows.parquet", columns=["row_id", "split"])
    skipped = store / "skipped.csv"
    left_out = set(pd.read_csv(skipped, dtype=str, keep_default_na=False)["row_id"]) if skipped.is_file() else set()
    return set(rows["row_id"]) | left_out, int((rows["split"] != "").sum())


def held_by_parts(dataset: Dataset, store: Path) -> set[str]:
    """The ids of a mix that the stores of its datasets hold; none where the mix's store has frames of its own."""
    if not reads_parts(dataset, store):
        return set()
    stores = {name: part_store(store, part) for name, part in dataset.parts.items()}
    return {f"{name}/{row_id}" for name, folder in stores.items() for row_id in held_in(folder)[0]}


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

"""The plan that a long job prints before it begins: what it will do, what is there already, and where it all goes."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from diffgar.checkpoints import steps_of


def show(title: str, there: Sequence[str], steps: Sequence[str]) -> None:
    """Print a plan: what is there already, and the steps to come, numbered. Prints nothing where there are none."""
    if not steps:
        return
    print(f"plan    {title}")
    for part in there:
        print(f"        there already: {part}")
    for number, step in enumerate(steps, 1):
        print(f"     {number}. {step}")
    print("        Ctrl-C stops it; the same command goes on from there.", flush=True)


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


def show_extraction(cfg: DictConfig) -> None:
    """Print the plan of an extraction, or nothing if all stores exist and only changes are encoded."""
    show(f"extract {cfg.data.name} with {cfg.encoder_pair.name}", *extraction_parts(cfg))


def extraction_parts(cfg: DictConfig) -> tuple[list[str], list[str]]:
    """The parts of a dataset's collection and stores that exist, and the steps that make the rest."""
    there: list[str] = []
    steps: list[str] = []
    if makes_collection(cfg):
        made = cfg.prepare
        if (Path(made.folder) / "captions.csv").is_file():
            there.append(made.folder)
        else:
            number = made.num_train + made.num_validation + made.num_test
            steps.append(f"compose and render {number:,} tracks: {made.folder}")
    for name, what in ((cfg.encoder_pair.audio_name, "tracks"), (cfg.encoder_pair.text_name, "captions")):
        store = Path(cfg.paths.latents) / cfg.data.name / name
        if (store / "rows.parquet").is_file():
            there.append(str(store))
        else:
            steps.append(f"encode the {what}: {store}")
    return there, steps


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

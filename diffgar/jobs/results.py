"""Makes the result of an evaluation from its report and config, and finds the result that a config has already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffgar import checkpoints
from diffgar.commandline import CONFIG_ROOT
from diffgar.dataloading.store.card import StoreError
from diffgar.errors import InputError
from diffgar.evaluation.checks import several
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.report import Report
from diffgar.evaluation.reports.names import differences_of, dotted
from diffgar.evaluation.reports.results import Result, read_result
from diffgar.jobs.building import as_it_resolves, plain, read_config
from diffgar.jobs.experiment import open_stores, open_task

POOLING = ("samples", "pooling", "segments", "grid", "pooled_weight")
ELSEWHERE = {  # what an evaluation of this kind does not read, or what its name has anyway
    "retrieval": ("variant", "guidance", "fidelity"),
    "fidelity": ("variant", "baselines", *POOLING, "retrieval"),
    "control": ("variant", *POOLING, "guidance", "fidelity", "retrieval"),
}


def make_result(kind: str, cfg: DictConfig, experiment: Experiment, report: Report) -> Result:
    """The result of an evaluation; its config is that of the training, overridden by that of the evaluation."""
    direction = report.protocol.get("direction", "text_to_audio")
    sampler, as_trained = experiment.sampler.describe(), experiment.as_trained.describe()
    where = plain(cfg.task.get("where")) or {}
    protocol = experiment.task.describe(direction) | {"dataset": cfg.task.dataset}
    protocol |= {"seen_tracks": {experiment.model.row: experiment.seen}} | report.protocol
    protocol |= {"centre": "none" if experiment.joint else "train mean", "sampler": sampler, "where": where}
    if kind == "retrieval":
        protocol |= pooling_of(plain(cfg.evaluation))
    if kind == "control":
        protocol |= {"control": cfg.control.name}
    variant = cfg.evaluation.variant
    return Result(
        kind=kind,
        model_name=str(cfg.model_name),
        task=str(cfg.task.name),
        step=experiment.step,
        asked_step=cfg.get("model_step"),
        protocol=protocol,
        rows=report.rows,
        variant=None if variant is None else str(variant),
        differences=differences_of(asked_otherwise(kind, cfg), sampler, as_trained, where),
        config=experiment.trained | as_it_resolves(cfg),
        extra=report.extra,
    )


def pooling_of(asked: dict[str, Any]) -> dict[str, object]:
    """What of a config's `evaluation` decides how queries are pooled, without what its poolings do not read."""
    poolings = several(asked["pooling"])
    read = ["samples", "pooling"]
    if set(poolings) & {"segments", "aligned"}:
        read += ["segments", *(["pooled_weight"] if asked["pooled_weight"] else [])]
    if "aligned" in poolings:
        read.append("grid")
    return {name: asked[name] for name in read}


def asked_otherwise(kind: str, cfg: DictConfig) -> dict[str, object]:
    """Name → value of whatever in a config's `evaluation` and `control` differs from their YAMLs in config/."""
    found = differing(cfg.evaluation, CONFIG_ROOT / "evaluation" / "default.yaml", ELSEWHERE[kind])
    if kind == "control":
        found |= differing(cfg.control, CONFIG_ROOT / "control" / f"{cfg.control.name}.yaml")
    return found


def differing(cfg: DictConfig, usual: Path, leave: Sequence[str] = ()) -> dict[str, object]:
    """Last part of a dotted key → its value, where the YAML `usual` has another value or none; None where it is gone.

    leave: groups that are not compared. Values are compared as they are written, before interpolations are resolved.
    """
    configs = [cfg, OmegaConf.load(usual) if usual.is_file() else OmegaConf.create()]
    written: list[Any] = [OmegaConf.to_container(each, resolve=False) for each in configs]
    ours, theirs = map(dotted, written)
    keys = [
        key for key in {**theirs, **ours} if key.partition(".")[0] not in leave and ours.get(key) != theirs.get(key)
    ]
    return {key.rpartition(".")[2]: plain(OmegaConf.select(cfg, key)) for key in keys}


def known(cfg: DictConfig, kind: str = "retrieval") -> tuple[Path, Result] | None:
    """The result of this very config on the stores as they are, and its path, if there is one."""
    name = str(cfg.model_name)
    folder = checkpoints.folder_of(cfg.paths.checkpoints, name)
    trained = read_config(folder / "config.yaml")
    step = checkpoints.choose_step(folder, cfg.model_step)
    config = as_it_resolves(trained) | as_it_resolves(cfg)
    paths = sorted((Path(cfg.paths.results) / name / str(cfg.task.name)).glob(f"{kind}-{step}-*.json"))
    same = [(path, result) for path in paths if (result := _readable(path)) and result.config == config]
    if not same:
        return None
    try:
        now = open_task(cfg, *open_stores(cfg, cfg.task.dataset, trained.encoder_pair)).describe()
    except StoreError:  # deleted since: there is nothing that the result could be older than
        return same[0]
    sets = ("pool", "query_set")
    return next((each for each in same if all(each[1].protocol[key] == now[key] for key in sets)), None)


def _readable(path: Path) -> Result | None:
    """The result of a file, or None where that is damaged or of an older version."""
    try:
        return read_result(path)
    except InputError:
        return None

"""What a person sees of an evaluation: the result with its config, tables on the screen, figures and listings.

A result is on disk before any of this: what cannot be drawn or logged is named in a warning, and nothing is lost.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffgar import checkpoints
from diffgar.dataloading.store.card import StoreError
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Evaluation, open_stores, open_task
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.reports.control import control_figure, control_table
from diffgar.evaluation.reports.figures import curve_figure, rank_figure, recall_figure, tradeoff_figure
from diffgar.evaluation.reports.maps import latent_maps
from diffgar.evaluation.reports.names import differences_of
from diffgar.evaluation.reports.results import Result, queries_path, read_result
from diffgar.evaluation.reports.table_styles import Table, render
from diffgar.evaluation.reports.tables import fidelity_table, retrieval_table
from diffgar.evaluation.reports.wandb_log import log, track
from diffgar.evaluation.reports.worst import worst_captions
from diffgar.evaluation.systems import Rows

QUALITY_DIVERSITY = ("intra_caption_diversity", "pooled_frechet")


def make_result(kind: str, cfg: DictConfig, setting: Evaluation, report: dict, extra: dict | None = None) -> Result:
    """The result of an evaluation, with the model's own config under what the evaluation was asked."""
    direction = report["protocol"].get("direction", "text_to_audio")
    sampler, as_trained = setting.sampler.describe(), setting.as_trained.describe()
    protocol = setting.task.describe(direction) | {"dataset": cfg.task.dataset}
    protocol |= {"seen_tracks": {setting.model.row: setting.seen}} | report["protocol"]
    protocol |= {"centre": "none" if setting.pair.joint else "train mean", "sampler": sampler}
    protocol |= {"where": OmegaConf.to_container(OmegaConf.create(dict(cfg.task.get("where") or {})))}
    if kind == "retrieval":
        protocol |= {"samples": cfg.evaluation.samples, "pooling": cfg.evaluation.pooling}
    if kind == "control":
        protocol |= {"control": cfg.control.name}
    variant = cfg.evaluation.variant
    return Result(
        kind=kind,
        model_name=str(cfg.model_name),
        task=str(cfg.task.name),
        step=setting.step,
        asked_step=cfg.get("model_step"),
        protocol=protocol,
        rows=report["rows"],
        variant=None if variant is None else str(variant),
        differences=differences_of(kind, cfg, sampler, as_trained),
        config=full_config(cfg, setting.trained),
        extra=extra or {},
    )


def full_config(cfg: DictConfig, trained: DictConfig) -> dict:
    """The trained model's config, resolved, with the evaluation's own parts over it."""
    return resolved(trained) | resolved(cfg)


def resolved(node: object) -> object:
    """A config as plain values; one that has no value here, as of a variable of another machine, as it is written."""
    if OmegaConf.is_dict(node):
        return {name: resolved(_value(node, name)) for name in node}
    if OmegaConf.is_list(node):
        return [resolved(_value(node, place)) for place in range(len(node))]
    return node


def _value(node: DictConfig | ListConfig, name: str | int) -> object:
    try:
        return node[name]
    except OmegaConfBaseException:
        return OmegaConf.to_container(node, resolve=False)[name]


def known(cfg: DictConfig) -> Path | None:
    """The retrieval result of this very config on the stores as they are, if there is one."""
    name = str(cfg.model_name)
    folder = checkpoints.folder_of(cfg.paths.checkpoints, name)
    trained = OmegaConf.load(folder / "config.yaml")
    step = checkpoints.choose_step(folder, cfg.model_step)
    places = sorted((Path(cfg.paths.results) / name / str(cfg.task.name)).glob(f"retrieval-{step}-*.json"))
    same = [path for path in places if _has_config(path, full_config(cfg, trained))]
    if not same:
        return None
    try:
        now = open_task(cfg, *open_stores(cfg, cfg.task.dataset, trained.encoder_pair)).describe()
    except StoreError:  # deleted since: there is nothing that the result could be older than
        return same[0]
    sets = ("pool", "query_set")
    return next((path for path in same if all(read_result(path).protocol[key] == now[key] for key in sets)), None)


def _has_config(path: Path, config: dict) -> bool:
    try:
        return read_result(path).config == config
    except InputError:  # of an older version, or damaged
        return False


def show(path: Path) -> None:
    """Print a result's table, what its queries were made with, and where its parts lie; draws figures that are gone."""
    result = read_result(path)
    print("\n" + render(table_of(result)))
    for name, sampler in result.extra.get("samplers", {"": result.protocol["sampler"]}).items():
        count = sampler["num_samples"]
        print(
            f"{name + ': ' if name else ''}{count} sample{'s' * (count > 1)} per caption, {sampler['solver']} with "
            f"{sampler['num_steps']} steps, guidance {sampler['guidance_scale']:g}"
        )
    print(f"JSON    {path}")
    if queries_path(path).is_file() and not path.with_suffix(".png").is_file():
        draw_ranks(path, result)
    if path.with_suffix(".png").is_file():
        print(f"figure  {path.with_suffix('.png')}")


def table_of(result: Result) -> Table:
    """The table that a person sees of one result."""
    tables = {"retrieval": lambda one: retrieval_table([one]), "fidelity": fidelity_table, "control": control_table}
    return tables[result.kind](result)


def publish(path: Path) -> None:
    """Show a new result, and log it where its model's training was logged."""
    show(path)
    attempt(f"{path} could not be logged", lambda: track(path, table_of(read_result(path))))


def attempt(what: str, act: Callable[[], object]) -> None:
    """Act, or warn of what came of it: the result that this is about is on disk, and lives on."""
    try:
        act()
    except Exception as error:  # whatever a figure or a logger may raise
        logging.getLogger(__name__).warning("%s (%s: %s); the result itself is kept", what, type(error).__name__, error)


def draw(path: Path, report: dict, rows: Rows, setting: Evaluation) -> None:
    """Figures beside the JSON: recall against k, ranks, a map of the latents; and the worst captions as CSV."""
    base, name = path.with_suffix(""), setting.model.row
    draw_ranks(path, read_result(path))
    if name not in rows.queries or rows.queries[name].ndim != 3:
        return
    queries, index = rows.queries[name][0], rows.index[name]

    def listing() -> None:
        nearest = top_k(queries, index)[1]
        table = worst_captions(report["queries"], setting.task, nearest, name)
        table.to_csv(f"{base}-worst.csv", index=False, encoding="utf-8")

    attempt(f"{base}-worst.csv was not written", listing)
    first = setting.task.captions["caption"].iloc[0]
    attempt(f"{base}/map-pca.png was not drawn", lambda: latent_maps(base, index, queries, 0, first))


def draw_ranks(path: Path, result: Result) -> None:
    """Recall against k and the ranks, from the per-query ranks beside a result."""
    base, pool_size = path.with_suffix(""), result.protocol["pool_size"]
    for name, figure in ((base, recall_figure), (f"{base}-ranks", rank_figure)):
        attempt(
            f"{name}.png was not drawn",
            lambda name=name, figure=figure: figure(name, pd.read_parquet(queries_path(path)), pool_size),
        )


def draw_control(path: Path) -> None:
    """What is given up against what is gained, beside a control result."""
    attempt(
        f"{path.with_suffix('.png')} was not drawn", lambda: control_figure(path.with_suffix(""), read_result(path))
    )


def draw_guidance(path: Path) -> None:
    """Quality (Fréchet distance) against diversity (within a caption), a point for each guidance scale."""

    def figure() -> None:
        points = []
        for name, row in read_result(path).rows.items():
            label, _, scale = name.partition(" ")
            values = {axis: row[metric]["mean"] for axis, metric in zip("xy", QUALITY_DIVERSITY, strict=True)}
            points.append(values | {"row": label, "label": scale})
        series = dict(list(pd.DataFrame(points).groupby("row", sort=False)))
        tradeoff_figure(path.with_suffix(""), series, *QUALITY_DIVERSITY)

    attempt(f"{path.with_suffix('.png')} was not drawn", figure)


def draw_steps(paths: list[Path], metric: str = "R@10") -> None:
    """The curve of a metric over the steps of one model."""
    results, series = [read_result(path) for path in paths], {}
    for row in results[0].rows:
        found = [(result.step, result.rows[row][metric]) for result in results if row in result.rows]
        series[row] = pd.DataFrame([{"x": step, "y": value["mean"]} | _band(value) for step, value in found])
    name = "-".join(filter(None, ("steps", results[0].protocol["name"], results[0].tag)))

    def figure() -> None:
        drawn = curve_figure(paths[0].with_name(name), series, "step", metric)[0]
        log(results[0], {}, [drawn])
        print("figure ", drawn)

    attempt(f"{paths[0].with_name(name)}.png was not drawn or logged", figure)


def _band(metric: Mapping) -> dict:
    return {"y_low": metric["low"], "y_high": metric["high"]}

"""What a person sees of an evaluation: tables on the screen, figures and listings.

A result is on disk before any of this: what cannot be drawn or logged is named in a warning, and nothing is lost.
"""

import logging
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from torch import Tensor

from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.coverage import COVERAGE, PRECISION
from diffgar.evaluation.metrics.mmr import nearest
from diffgar.evaluation.report import System, in_words
from diffgar.evaluation.reports.control import control_figure, control_table
from diffgar.evaluation.reports.figures import curve_figure, rank_figure, recall_figure, tradeoff_figure
from diffgar.evaluation.reports.maps import latent_maps
from diffgar.evaluation.reports.results import Result, queries_path
from diffgar.evaluation.reports.table_styles import WIDTH, Table, render
from diffgar.evaluation.reports.tables import fidelity_table, retrieval_table
from diffgar.evaluation.reports.wandb_log import log, log_result
from diffgar.evaluation.reports.worst import worst_captions
from diffgar.evaluation.systems import Systems
from diffgar.evaluation.tasks import GRADED

QUALITY_DIVERSITY = ("intra_caption_diversity", "pooled_frechet")


def show(path: Path, result: Result) -> None:
    """Print a result's table, what its queries were made with, and where its parts lie; draws figures that are gone."""
    print("\n" + render(table_of(result)))
    for name, sampler in result.extra.get("samplers", {"": result.protocol["sampler"]}).items():
        count = sampler["num_samples"]
        how = (
            f"{name + ': ' if name else ''}{count} sample{'s' * (count > 1)} per caption, {sampler['solver']} with "
            f"{sampler['num_steps']} steps, guidance {sampler['guidance_scale']:g}"
        )
        print(textwrap.fill(how, WIDTH))
    print(f"JSON    {path}")
    if has_ranks(result) and queries_path(path).is_file() and not path.with_suffix(".png").is_file():
        draw_ranks(path, result, lambda: pd.read_parquet(queries_path(path)))
    if path.with_suffix(".png").is_file():
        print(f"figure  {path.with_suffix('.png')}")


def table_of(result: Result) -> Table:
    """The table that a person sees of one result."""
    if result.kind == "retrieval":
        answers = [name for name in (PRECISION, COVERAGE) if all(name in row for row in result.rows.values())]
        return retrieval_table([result], answers)
    return fidelity_table(result) if result.kind == "fidelity" else control_table(result)


def show_and_log(path: Path, result: Result) -> None:
    """Show a new result, and log it where its model's training was logged."""
    show(path, result)
    attempt(f"{path} could not be logged", lambda: log_result(path, result, table_of(result)))


def attempt(what: str, act: Callable[[], object]) -> None:
    """Act; an error is a warning that says `what`, because the result itself is on disk already."""
    try:
        act()
    except Exception as error:  # whatever a figure or a logger may raise
        logging.getLogger(__name__).warning("%s (%s: %s); the result itself is kept", what, type(error).__name__, error)


def draw(path: Path, result: Result, ranks: pd.DataFrame, systems: Systems, experiment: Experiment) -> None:
    """Figures beside the JSON: recall against k, ranks, a map of the latents; and the worst captions as CSV.

    ranks: the per-query ranks of the report.
    """
    base, own = path.with_suffix(""), System(experiment.model.row)
    if not has_ranks(result):
        return
    draw_ranks(path, result, lambda: ranks)
    if own not in systems.queries or systems.queries[own].ndim != 3:
        return
    queries, index = systems.queries[own][0], systems.index[own]

    def listing() -> None:
        listed = nearest(queries, index, mmr=result.protocol.get("mmr"))
        table = worst_captions(ranks, experiment.task, listed, own.label)
        table.to_csv(f"{base}-worst.csv", index=False, encoding="utf-8")

    attempt(f"{base}-worst.csv was not written", listing)
    first = experiment.task.captions["caption"].iloc[0]
    if isinstance(index, Tensor):  # tracks that may be cut anywhere are no points of a map
        attempt(f"{base}/map-pca.png was not drawn", lambda: latent_maps(base, index, queries, 0, first))


def has_ranks(result: Result) -> bool:
    """Whether a result has a rank for each query; where relevance is graded it has the metrics alone."""
    return result.protocol["name"] != GRADED


def draw_ranks(path: Path, result: Result, ranks: Callable[[], pd.DataFrame]) -> None:
    """Recall against k and the ranks, beside a result. ranks: gives them, by row, seed and query."""
    base, pool_size = path.with_suffix(""), result.protocol["pool_size"]
    attempt(f"{base}.png was not drawn", lambda: recall_figure(base, ranks(), pool_size))
    attempt(f"{base}-ranks.png was not drawn", lambda: rank_figure(f"{base}-ranks", ranks(), pool_size))


def draw_control(path: Path, result: Result) -> None:
    """The trade-off figure of a control result, beside it."""
    attempt(f"{path.with_suffix('.png')} was not drawn", lambda: control_figure(path.with_suffix(""), result))


def draw_guidance(path: Path, result: Result) -> None:
    """Quality (Fréchet distance) against diversity (within a caption), one point per guidance scale."""

    def figure() -> None:
        points = []
        for system, metrics in result.rows.items():
            values = {axis: metrics[name].mean for axis, name in zip("xy", QUALITY_DIVERSITY, strict=True)}
            points.append(values | {"row": system.name, "label": " ".join(map(in_words, system.strength.values()))})
        series = dict(list(pd.DataFrame(points).groupby("row", sort=False)))
        tradeoff_figure(path.with_suffix(""), series, *QUALITY_DIVERSITY)

    attempt(f"{path.with_suffix('.png')} was not drawn", figure)


def draw_steps(folder: Path, results: Sequence[Result], metric: str = "R@10") -> None:
    """The curve of a metric over the steps of one model, in the folder of their results."""
    series = {}
    for system in results[0].rows:
        found = [(result.step, result.rows[system][metric]) for result in results if system in result.rows]
        points = [{"x": step, "y": each.mean, "y_low": each.low, "y_high": each.high} for step, each in found]
        series[system.label] = pd.DataFrame(points)
    name = "-".join(filter(None, ("steps", results[0].protocol["name"], results[0].tag)))

    def figure() -> None:
        drawn = curve_figure(folder / name, series, "step", metric)[0]
        log(results[0], {}, [drawn])
        print("figure ", drawn)

    attempt(f"{folder / name}.png was not drawn or logged", figure)

"""The tables of a paper, from whatever results exist: the published ones beside ours, and our own comparisons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffgar.errors import InputError
from diffgar.evaluation.metrics.recall import wilson_half_width
from diffgar.evaluation.report import System
from diffgar.evaluation.reports.names import USUAL_SPLIT
from diffgar.evaluation.reports.results import Result, config_value
from diffgar.evaluation.reports.table_styles import Table, format_cell
from diffgar.evaluation.reports.tables import GRADED_METRICS, NO_RESULT, notes_of, same_protocol
from diffgar.evaluation.tasks import GRADED

PUBLISHED = Path(__file__).with_name("published.yaml")
METRICS = ("R@1", "R@5", "R@10", "MedR")
GDR = System("gdr")
OUTSIDE = "*"  # marks a difference outside the noise


def paper_table(results: Sequence[Result], which: str = "retrieval") -> Table:
    """The paper's table `retrieval` (by dataset) or `encoder_pairs`, published, ours and the difference.

    Ours are retrieval results under the published protocol, found by their encoder pair. Refuses two of them that would
    need another pool or query set in one column, and two models for one cell (InputError).
    """
    published = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
    shorts = list(next(iter(published[which].values())))
    ours = [result for result in results if _is_comparable(result, published["protocol"])]
    cells = {}
    for short in shorts:
        for label in published[which]:
            wanted = published["ours"][label]
            cells[label, short] = _the_one(ours, wanted, published["tasks"][short])
        found = [result for (_, column), result in cells.items() if column == short and result is not None]
        if found:
            same_protocol(found)
    rows: list[tuple[str, ...]] = []
    used = {}
    for label, numbers in published[which].items():
        lines = [[label, "published"], ["", "ours"], ["", "difference"]]
        for short in shorts:
            result, system = cells[label, short], System(published["ours"][label]["row"])
            num_queries = published["num_queries"].get(short)
            for metric in METRICS:
                texts = _beside(numbers[short][metric], result, system, metric, num_queries)
                for line, text in zip(lines, texts, strict=True):
                    line.append(text)
            if result is not None:
                used[f"{result.label} on {result.task}"] = result
        rows += map(tuple, lines)
    header = ("", "source", *(f"{short} {metric}" for short in shorts for metric in METRICS))
    return Table(f"{which.replace('_', ' ')}, text to audio", header, tuple(rows), _notes(published, used), keys=2)


def grid_table(
    results: Sequence[Result],
    rows_key: str = "backbone._target_",
    columns_key: str = "objective.prediction_type",
    metric: str = "R@10",
    system: System = GDR,
    seed_key: str = "seed",
) -> Table:
    """One metric by two keys of the config, by default backbone × prediction type; `no result` where there is none.

    Several results in a cell are training seeds: mean ± std over them; one has its own interval.
    """
    protocol = same_protocol(results)
    grid: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        key = (config_value(result, rows_key), config_value(result, columns_key))
        grid.setdefault(key, []).append(result)
    heads = sorted({column for _, column in grid})
    rows = tuple(
        (name, *(_over_seeds(grid.get((name, head), []), system, metric, seed_key) for head in heads))
        for name in sorted({name for name, _ in grid})
    )
    title = f"{metric} of {system.label} on {protocol['task']}, {protocol['name']}"
    notes = (f"rows {rows_key}, columns {columns_key}; several training seeds: mean ± std (number of seeds).",)
    return Table(title, ("", *heads), rows, notes)


def training_seeds_table(
    results: Sequence[Result], metrics: Sequence[str] = (), system: System = GDR, seed_key: str = "seed"
) -> Table:
    """One model trained with several seeds: one line per seed, then mean ± std over them."""
    protocol = same_protocol(results)
    metrics = metrics or (GRADED_METRICS if protocol["name"] == GRADED else METRICS)
    by_seed = sorted(results, key=lambda result: (float(config_value(result, seed_key)), result.model_name))
    rows = []
    for result in by_seed:
        cells = (format_cell(result.rows[system][metric], result.seeds_of(system)) for metric in metrics)
        rows.append((f"{result.model_name}, seed {config_value(result, seed_key)}", *cells))
    rows.append(("over training seeds", *(_over_seeds(by_seed, system, metric, seed_key) for metric in metrics)))
    title = f"{system.label} on {protocol['task']}, {protocol['name']}, {len(by_seed)} training seeds"
    return Table(title, ("", *metrics), tuple(rows))


def _is_comparable(result: Result, protocol: str) -> bool:
    """Whether a result may stand beside published numbers: text to audio on the test split, and no variant."""
    named = (result.kind, result.protocol["name"], result.protocol.get("direction"), result.variant)
    split = result.protocol.get("split", USUAL_SPLIT)
    return (*named, split) == ("retrieval", protocol, "text_to_audio", None, USUAL_SPLIT)


def _the_one(results: Sequence[Result], wanted: dict[str, str], task: str) -> Result | None:
    """The result of a cell: the step that was asked for as `best`, or else the last; refuses two models (InputError).

    Of several results at that step it is the one with the fewest differences from the defaults.
    """
    found = [
        result
        for result in results
        if result.task == task
        and System(wanted["row"]) in result.rows
        and config_value(result, "encoder_pair.name") == wanted["encoder_pair"]
    ]
    models = sorted({result.model_name for result in found})
    if len(models) > 1:
        raise InputError(
            f"{len(models)} models of encoder_pair {wanted['encoder_pair']} have results on {task}: "
            f"{', '.join(models)}; choose one with +tables.select.model_name=NAME"
        )
    return max(found, key=lambda one: (one.asked_step == "best", one.step, -len(one.differences)), default=None)


def _beside(
    theirs: float, result: Result | None, system: System, metric: str, num_queries: int | None
) -> tuple[str, str, str]:
    """Published, ours and the difference, marked where it exceeds the root of both half-intervals' squares."""
    if result is None:
        return f"{theirs:.1f}", NO_RESULT, NO_RESULT
    ours = result.rows[system][metric]
    gap = ours.mean - theirs
    half = ours.mean - ours.low if gap > 0 else ours.high - ours.mean
    if metric.startswith("R@") and num_queries:
        half = float(np.hypot(half, wilson_half_width(theirs, num_queries)))
    mark = OUTSIDE if abs(gap) > half else ""
    return f"{theirs:.1f}", format_cell(ours, result.seeds_of(system)), f"{gap:+.1f}{mark}"


def _over_seeds(results: Sequence[Result], system: System, metric: str, seed_key: str) -> str:
    """A cell of several training seeds; refuses two results of one seed (InputError)."""
    found = [result for result in results if system in result.rows]
    if len({config_value(result, seed_key) for result in found}) < len(found):
        raise InputError(
            f"{len(found)} results for one cell, not all of different {seed_key}: "
            f"{'; '.join(result.label for result in found)}: choose models with +tables.select.model_name=[…], and one "
            "step and one tag of each with +tables.select.step=… and +tables.select.tag='…'"
        )
    if not found:
        return NO_RESULT
    if len(found) == 1:
        return format_cell(found[0].rows[system][metric], found[0].seeds_of(system))
    means = [result.rows[system][metric].mean for result in found]
    return f"{np.mean(means):.1f} ± {np.std(means, ddof=1):.1f} ({len(means)})"


def _notes(published: dict[str, Any], used: dict[str, Result]) -> tuple[str, ...]:
    """The source of the published numbers, what the mark means, and the pool of each result of ours."""
    pools = [
        f"{name}: {result.protocol['num_queries']} queries, pool of {result.protocol['pool_size']}, "
        f"{result.protocol['num_missing_tracks']} tracks missing"
        for name, result in used.items()
    ]
    pools += dict.fromkeys(note for result in used.values() for note in notes_of(result, several=True))
    return (
        f"Published: {published['source']}. Protocol {published['protocol']}; per cent.",
        f"{OUTSIDE} outside the noise: our 95 % interval and theirs, where its number of queries is known.",
        *pools,
    )

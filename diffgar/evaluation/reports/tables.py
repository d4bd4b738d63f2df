"""Results as tables: the one that is printed after an evaluation, with what a reader must know below it."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffgar.errors import InputError
from diffgar.evaluation.metrics.graded import MAP, MRR, NDCG
from diffgar.evaluation.metrics.order import ORDER_RIGHT
from diffgar.evaluation.report import CHANCE, REAL, System
from diffgar.evaluation.reports.names import USUAL_SPLIT
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import Table, format_cell
from diffgar.evaluation.tasks import GRADED

RETRIEVAL_METRICS = ("R@1", "R@5", "R@10", "MedR", "MRR")
GRADED_METRICS = (NDCG, MAP, "R@10", MRR)
ORDER = ("chance", "teacher", "contrastive", "regression")  # others follow, by name
SHARED = (  # what results in one column have in common
    *("name", "direction", "pool", "pool_size", "query_set"),
    *("judgements", "relevant_from"),  # where relevance is graded
)
WITH_INTERVAL = ("R@10", NDCG, ORDER_RIGHT)  # the others' are in the JSON: all of them make a table too wide to read
TITLES = {ORDER_RIGHT: "order right"}
TWINS = "Order right: per cent of captions whose track is nearer than its twin, the same music in another order."
NO_RESULT = "no result"


def retrieval_table(results: Sequence[Result], further: Sequence[str] = ()) -> Table:
    """The table printed after evaluation: chance, teacher, baselines, then the models, of one task and protocol.

    Chance is printed once, and so is the teacher of models that share an encoder pair. Where all results are of tracks
    with twins, a further column says how often the order is right. further: metrics beside those of the protocol.
    """
    protocol = same_protocol(results)
    metrics = (*metrics_of(protocol), *further)
    twins = all(ORDER_RIGHT in numbers for result in results for numbers in result.rows.values())
    metrics = (*metrics, ORDER_RIGHT) if twins else metrics
    several = len({result.label for result in results}) > 1
    lines: list[tuple[tuple, tuple[str, ...]]] = []  # where each stands, and its cells
    shared = set()
    for result in results:
        for system in sorted(result.rows, key=order_of):
            cells = tuple(retrieval_cell(result, system, metric) for metric in metrics)
            if system.name in ORDER[:2]:
                pair = (result.config.get("encoder_pair") or {}).get("name")
                if (same := (system, None if system == CHANCE else (pair, cells))) in shared:
                    continue
                shared.add(same)
            own = several and system != CHANCE
            order = (order_of(system)[0], result.model_name, result.step, result.tag) if own else order_of(system)
            lines.append((order, (f"{system.label} ({result.label})" if own else system.label, *cells)))
    lines.sort(key=lambda line: line[0])  # several that stand together stay in the order of their names
    split = protocol.get("split")
    parts = (protocol["task"], split if split != USUAL_SPLIT else None, protocol["direction"].replace("_", " "))
    return Table(
        ", ".join(filter(None, (*parts, protocol["name"]))),
        ("row", *(TITLES.get(metric, metric) for metric in metrics)),
        tuple(cells for _, cells in lines),
        (
            *how_measured(protocol, twins),
            *dict.fromkeys(note for result in results for note in notes_of(result, several)),
        ),
    )


def how_measured(protocol: Mapping[str, Any], twins: bool = False) -> list[str]:
    """What stands below a table: its sizes, what its metrics mean, and what the intervals are of."""
    missing = protocol["num_missing_tracks"]
    sizes = f"{protocol['num_queries']} queries, pool of {protocol['pool_size']}"
    sizes += (f", {missing} tracks missing" if missing else "") + "; per cent."
    spread = "mean ± std over sampling seeds [95 % bootstrap interval by {}]."
    if protocol["name"] == GRADED:
        return [sizes, spread.format("query, captions of one track together"), graded_note(protocol)]
    whole = "worst rank seen" if protocol["name"] == "caption_rows" else "pool"
    sizes += f" MedR: the median rank (in per cent of the {whole})."
    return [sizes, spread.format("pair of twins"), TWINS] if twins else [sizes, spread.format("track")]


def metrics_of(protocol: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics that a protocol's table shows."""
    return GRADED_METRICS if protocol["name"] == GRADED else RETRIEVAL_METRICS


def graded_note(protocol: Mapping[str, Any]) -> str:
    """What a reader of graded metrics must know: the gain, what is relevant, and how many queries nothing answers."""
    note = (
        f"nDCG@10 by the grades themselves (linear gain); the others: a track is relevant from grade "
        f"{protocol['relevant_from']:g} on. R@10: the share of a query's relevant tracks."
    )
    unanswered = protocol["num_unanswered"]
    return note + (f" Queries without a relevant track, which count 0: {unanswered}." if unanswered else "")


def retrieval_cell(result: Result, system: System, metric: str) -> str:
    """One number of a row; the median rank as a rank, with its share of the pool behind it."""
    found, seeds = result.rows[system], result.seeds_of(system)
    if metric == "MedR" and "MedR_abs" in found:
        rank = format_cell(found["MedR_abs"], seeds, interval=False)
        return f"{rank} ({found['MedR'].mean:.1f} %)"
    return format_cell(found[metric], seeds, interval=metric in WITH_INTERVAL)


def notes_of(result: Result, several: bool = False) -> list[str]:
    """What a reader of a result must know: tracks that the model was trained on, and the centre of the ranking.

    several: whether the table has several results, so that the rows are named with theirs.
    """
    protocol = result.protocol
    num_tracks, whose = protocol.get("num_tracks"), f" ({result.label})" if several else ""
    notes = [
        f"{name}{whose}: {seen} of {num_tracks} tracks of the pool were in its training split."
        for name, seen in (protocol.get("seen_tracks") or {}).items()
        if seen
    ]
    if protocol.get("centre", "none") != "none":
        notes.append(f"Latents are ranked about the {protocol['centre']}: the pair is not joint.")
    return notes


def fidelity_table(result: Result) -> Table:
    """One metric per line: real music's own value beside every system's, and how many vectors or captions each used."""
    systems = [REAL, *sorted((system for system in result.rows if system != REAL), key=lambda system: system.label)]
    rows = []
    for metric in dict.fromkeys(metric for system in systems for metric in result.rows[system]):
        found = [result.rows[system].get(metric) for system in systems]
        cells = [NO_RESULT if summary is None else format_cell(summary, 2, digits=3) for summary in found]
        counts = dict.fromkeys(str(summary.n) for summary in found if summary)
        rows.append((metric, *cells, "/".join(counts)))
    samples = ", ".join(f"{name} {count}" for name, count in result.protocol["samples"].items())
    return Table(
        f"{result.task}, {result.model_name}@{result.step}, fidelity",
        ("metric", "real (the floor)", *(system.label for system in systems[1:]), "n"),
        tuple(rows),
        (f"{result.protocol['num_splits']} splits in halves; samples per caption: {samples}.", *notes_of(result)),
    )


def same_protocol(results: Sequence[Result]) -> dict[str, Any]:
    """The one protocol of all the results; refuses (InputError) to mix protocols, pools or query sets."""
    if not results:
        raise InputError("no results to show; run eval_retrieval.py or eval_fidelity.py first")
    first = results[0]
    for other in results[1:]:
        for key in SHARED:
            ours, theirs = first.protocol.get(key), other.protocol.get(key)
            if ours != theirs:
                raise InputError(
                    f"{first.model_name}@{first.step} and {other.model_name}@{other.step} cannot share "
                    f"a column of {first.task}: {key} is {ours!r} and {theirs!r}; evaluate both with one protocol on "
                    "the same tracks and captions, or choose results by +tables.select.task=… or .protocol=…"
                )
    return first.protocol


def order_of(system: System) -> tuple[int, str]:
    """Sort key of a system: chance, teacher and baselines first, others by their labels."""
    return (ORDER.index(system.name) if system.name in ORDER else len(ORDER), system.label)

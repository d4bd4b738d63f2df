"""Results as tables: the one that is printed after an evaluation, with what a reader must know below it."""

from collections.abc import Sequence

from diffgar.errors import InputError
from diffgar.evaluation.reports.names import USUAL_SPLIT
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import Table, format_cell

RETRIEVAL_METRICS = ("R@1", "R@5", "R@10", "MedR", "MRR")
ROW_ORDER = ("chance", "teacher", "contrastive", "regression")  # others follow, by name
SHARED = ("name", "direction", "pool", "pool_size", "query_set")  # what results in one column have in common
WITH_INTERVAL = ("R@10",)  # the others' are in the JSON: all of them make a table too wide to read
NO_RESULT = "no result"


def retrieval_table(results: Sequence[Result], metrics: Sequence[str] = RETRIEVAL_METRICS) -> Table:
    """The table printed after evaluation: chance, teacher, baselines, then the models, of one task and protocol.

    Chance stands once, and so does the teacher of models that share an encoder pair.
    """
    protocol = same_protocol(results)
    several = len({result.label for result in results}) > 1
    rows, shared = [], set()
    for result in results:
        for name in sorted(result.rows, key=row_order):
            cells = tuple(retrieval_cell(result, name, metric) for metric in metrics)
            if name.partition("+")[0] in ROW_ORDER[:2]:
                pair = (result.config.get("encoder_pair") or {}).get("name")
                if (same := (name, None if name == "chance" else (pair, cells))) in shared:
                    continue
                shared.add(same)
            own = several and name != "chance"
            place = (row_order(name)[0], result.model_name, result.step, result.tag) if own else row_order(name)
            rows.append((place, (f"{name} ({result.label})" if own else name, *cells)))
    rows.sort(key=lambda row: row[0])  # several of a place stay in the order of their names
    split, whole = protocol.get("split"), "worst rank seen" if protocol["name"] == "caption_rows" else "pool"
    parts = (protocol["task"], split if split != USUAL_SPLIT else None, protocol["direction"].replace("_", " "))
    return Table(
        ", ".join(filter(None, (*parts, protocol["name"]))),
        ("row", *metrics),
        tuple(row for _, row in rows),
        (
            f"{protocol['num_queries']} queries, pool of {protocol['pool_size']}"
            + (f", {protocol['num_missing_tracks']} tracks missing" if protocol["num_missing_tracks"] else "")
            + f"; per cent. MedR: the median rank (in per cent of the {whole}).",
            "mean ± std over sampling seeds [95 % bootstrap interval by track].",
            *dict.fromkeys(note for result in results for note in notes_of(result, several)),
        ),
    )


def retrieval_cell(result: Result, name: str, metric: str) -> str:
    """One number of a row; the median rank as a rank, with its share of the pool behind it."""
    found, seeds = result.rows[name], result.protocol.get("seeds", {}).get(name, 1)
    if metric == "MedR" and "MedR_abs" in found:
        rank = format_cell(found["MedR_abs"], seeds, interval=False)
        return f"{rank} ({found['MedR']['mean']:.1f} %)"
    return format_cell(found[metric], seeds, interval=metric in WITH_INTERVAL)


def notes_of(result: Result, several: bool = False) -> list[str]:
    """What a reader of a result must know: tracks that the model was trained on, and where directions are seen from.

    several: whether rows are named with their result, as in a table of several.
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
    """One metric a line: the real-against-real floor beside every row, and how many vectors or captions each used."""
    names = ["real", *sorted(set(result.rows) - {"real"})]
    metrics = list(dict.fromkeys(metric for name in names for metric in result.rows[name]))
    rows = []
    for metric in metrics:
        found = [result.rows[name].get(metric) for name in names]
        cells = [NO_RESULT if entry is None else format_cell(entry, 2, digits=3) for entry in found]
        counts = dict.fromkeys(str(entry["n"]) for entry in found if entry)
        rows.append((metric, *cells, "/".join(counts)))
    samples = ", ".join(f"{name} {count}" for name, count in result.protocol["samples"].items())
    return Table(
        f"{result.task}, {result.model_name}@{result.step}, fidelity",
        ("metric", "real (the floor)", *names[1:], "n"),
        tuple(rows),
        (f"{result.protocol['num_splits']} splits in halves; samples per caption: {samples}.", *notes_of(result)),
    )


def same_protocol(results: Sequence[Result]) -> dict:
    """The one protocol of all the results; refuses (ValueError) to mix protocols, pools or query sets."""
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


def row_order(name: str) -> tuple[int, str]:
    """The place of a row: chance, teacher and baselines first, others by name."""
    base = name.partition("+")[0]
    return (ROW_ORDER.index(base) if base in ROW_ORDER else len(ROW_ORDER), name)

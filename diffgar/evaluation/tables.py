"""Tables as text, Markdown, LaTeX (booktabs) and CSV; the same rows give the same bytes."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from diffgar.evaluation.results import Result

RETRIEVAL_METRICS = ("R@1", "R@5", "R@10", "MedR", "MRR")
ROW_ORDER = ("chance", "teacher", "contrastive", "regression")  # others follow, by name
NO_RESULT = "no result"
LATEX = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "→": r"$\to$", "×": r"$\times$"}


@dataclass(frozen=True)
class Table:
    """A title, column heads, rows of ready cells, and the lines below that say what was compared."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"table {self.title!r}: {len(row)} cells in row {row[0]!r}, {len(self.header)} heads")


def render(table: Table, style: str = "text") -> str:
    """A table as `text`, `markdown`, `latex` or `csv`, ending in a newline."""
    if style not in STYLES:
        raise ValueError(f"unknown table style {style!r}; choose one of {', '.join(STYLES)}")
    return STYLES[style](table)


def format_cell(metric: dict[str, float], num_seeds: int = 1, digits: int = 1) -> str:
    """`mean ± std [low, high]`, without ± for one seed and without an interval where there is none."""
    text = f"{metric['mean']:.{digits}f}"
    if num_seeds > 1:
        text += f" ± {metric['std']:.{digits}f}"
    if metric.get("low") is not None and metric["low"] != metric["high"]:
        text += f" [{metric['low']:.{digits}f}, {metric['high']:.{digits}f}]"
    return text


def retrieval_table(results: Sequence[Result], metrics: Sequence[str] = RETRIEVAL_METRICS) -> Table:
    """The table printed after evaluation: chance, teacher, baselines, then the models, of one task and protocol."""
    protocol = same_protocol(results)
    several = len({(result.model_name, result.step, result.variant) for result in results}) > 1
    rows = []
    for result in results:
        for name in sorted(result.rows, key=row_order):
            seeds = result.protocol.get("seeds", {}).get(name, 1)
            cells = tuple(format_cell(result.rows[name][metric], seeds) for metric in metrics)
            if name.partition("+")[0] in ROW_ORDER[:2] and any(row[1:] == cells for row in rows):
                continue  # chance, and the teacher of models that share an encoder pair, stand once
            own = several and name != "chance"
            rows.append((f"{name} ({result.model_name}@{result.step})" if own else name, *cells))
    rows.sort(key=lambda row: row_order(row[0].partition(" (")[0])[0])
    return Table(
        f"{protocol['task']}, {protocol['direction'].replace('_', ' ')}, {protocol['name']}",
        ("row", *metrics),
        tuple(rows),
        (
            f"{protocol['num_queries']} queries, pool of {protocol['pool_size']}"
            + (f", {protocol['num_missing_tracks']} tracks missing" if protocol["num_missing_tracks"] else "")
            + "; per cent, MedR in per cent of the pool.",
            "mean ± std over sampling seeds [95 % bootstrap interval by track].",
        ),
    )


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
        (f"{result.protocol['num_splits']} splits in halves; samples a caption: {samples}.",),
    )


def same_protocol(results: Sequence[Result]) -> dict:
    """The one protocol of all the results; refuses (ValueError) to mix protocols, pools or query sets."""
    if not results:
        raise ValueError("no results to show; run eval_retrieval.py or eval_fidelity.py first")
    first = results[0]
    for other in results[1:]:
        for key in ("name", "direction", "pool", "pool_size", "query_set"):
            ours, theirs = first.protocol.get(key), other.protocol.get(key)
            if ours != theirs:
                raise ValueError(
                    f"{first.model_name}@{first.step} and {other.model_name}@{other.step} cannot share "
                    f"a column of {first.task}: {key} is {ours!r} and {theirs!r}; "
                    "evaluate both with one protocol on the same tracks and captions"
                )
    return first.protocol


def row_order(name: str) -> tuple[int, str]:
    """The place of a row: chance, teacher and baselines first, others by name."""
    base = name.partition("+")[0]
    return (ROW_ORDER.index(base) if base in ROW_ORDER else len(ROW_ORDER), name)


def _text(table: Table) -> str:
    columns = list(zip(table.header, *table.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]

    def line(cells):
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [table.title, rule, line(table.header), rule, *map(line, table.rows), rule, *table.notes]
    return "\n".join(lines) + "\n"


def _markdown(table: Table) -> str:
    def line(cells):
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    rule = "|" + "---|" * len(table.header)
    lines = [f"**{table.title}**", "", line(table.header), rule, *map(line, table.rows)]
    return "\n".join(lines + [text for note in table.notes for text in ("", note)]) + "\n"


def _latex(table: Table) -> str:
    def line(cells):
        return " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    title, *notes = ("".join(LATEX.get(c, c) for c in text) for text in (table.title, *table.notes))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{' '.join([title + '.', *notes])}}}"]
    lines += [
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        line(table.header),
        r"\midrule",
    ]
    lines += [*map(line, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _csv(table: Table) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.header, *table.rows])
    return out.getvalue()


STYLES = {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}

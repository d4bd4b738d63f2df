"""The tables of a whole results folder: chosen by name, printed, and written in every style."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from diffgar.errors import InputError
from diffgar.evaluation.reports.names import word
from diffgar.evaluation.reports.paper import grid_table, paper_table, training_seeds_table
from diffgar.evaluation.reports.results import Result, read_results
from diffgar.evaluation.reports.table_styles import STYLES, Table, render
from diffgar.evaluation.reports.tables import SHARED, retrieval_table
from diffgar.values import one_of

PAPER = {"paper": "retrieval", "encoder_pairs": "encoder_pairs"}  # of many tasks at once
COMPARISONS: dict[str, Callable[[Sequence[Result]], Table]] = {  # each of one protocol
    "grid": grid_table,
    "seeds": training_seeds_table,
    "models": retrieval_table,
}
TABLES = (*PAPER, *COMPARISONS)
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}
FIELDS = ("model_name", "task", "step", "asked_step", "variant", "tag")


def render_tables(folder: str, which: str, style: str = "text", select: Mapping | None = None) -> None:
    """Print a table of the results there are, and write it in every style to `<folder>/tables/`.

    which: one of TABLES; where the results are of several tasks or protocols, there is a table of each. select: field
    of a result (model_name, task, step, asked_step, variant, tag, protocol, split) → value, or list of values.
    """
    one_of("tables.which", which, TABLES)
    one_of("tables.style", style, tuple(STYLES))
    results = [result for result in read_results(folder, "retrieval") if selected(result, select or {})]
    if not results and which in COMPARISONS:
        asked = f" with tables.select={dict(select)}" if select else ""
        raise InputError(f"no retrieval result in {folder}{asked}; run eval_retrieval.py first, or select others")
    tables = make_tables(which, results)
    written = Path(folder) / "tables"
    written.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        for each, ending in ENDINGS.items():
            (written / f"{name}.{ending}").write_text(render(table, each), encoding="utf-8", newline="\n")
        print(render(table, style))
    print(f"tables  {written}")


def make_tables(which: str, results: Sequence[Result]) -> dict[str, Table]:
    """Name → table; a comparison has one table for each task, protocol, pool and query set."""
    if which in PAPER:
        return {which: paper_table(results, PAPER[which])}
    groups: dict[tuple, list[Result]] = {}
    for result in results:
        key = (result.task, *(result.protocol.get(name) for name in SHARED))
        groups.setdefault(key, []).append(result)
    if len(groups) == 1:
        return {which: COMPARISONS[which](results)}
    tables: dict[str, Table] = {}
    for group in groups.values():
        first = group[0]
        name = "-".join(
            map(word, filter(None, (which, first.task, first.protocol["name"], first.protocol.get("split"))))
        )
        number = sum(other.startswith(name) for other in tables) + 1  # of other pools
        tables[f"{name}-{number}" if number > 1 else name] = COMPARISONS[which](group)
    return tables


def selected(result: Result, wanted: Mapping) -> bool:
    """Whether a result has the values, or one of the values, that are wanted of its fields; refuses other fields."""
    for field, value in wanted.items():
        one_of("a field of tables.select", field, (*FIELDS, "protocol", "split"))
        named = {"protocol": result.protocol["name"], "split": result.protocol.get("split")}
        found = str(named[field] if field in named else getattr(result, field))
        values = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        if found not in {str(each) for each in values}:
            return False
    return True

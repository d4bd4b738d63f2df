"""The paper in miniature: its two tables beside ours on small collections, and its findings, checked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from diffgar.evaluation.reports.findings import Finding, checklist, the_rows
from diffgar.evaluation.reports.paper import METRICS, PUBLISHED
from diffgar.evaluation.reports.results import Result, read_results
from diffgar.evaluation.reports.table_styles import Table, format_cell, render
from diffgar.evaluation.reports.tables import NO_RESULT

MINIATURE = Path(__file__).with_name("miniature.yaml")
TABLES = ("retrieval", "encoder_pairs")
NAME = "paper_in_miniature"


def report(folder: str) -> None:
    """Print both tables and the checklist of a results folder; write them to its tables/, as Markdown and JSON."""
    settings, published = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (MINIATURE, PUBLISHED))
    results = read_results(folder)
    tables = [table_of(results, settings, published, which) for which in TABLES]
    findings = checklist(results, settings["findings"], published["retrieval"] | published["encoder_pairs"])
    tables.append(table_of_findings(findings))
    for table in tables:
        print("\n" + render(table))
    place = Path(folder) / "tables" / NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    markdown = "\n".join(render(table, "markdown") for table in tables)
    place.with_suffix(".md").write_text(markdown, encoding="utf-8", newline="\n")
    content = {"tables": [asdict(table) for table in tables], "findings": [asdict(each) for each in findings]}
    place.with_suffix(".json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"tables  {place.with_suffix('.md')}")


def table_of(results: Sequence[Result], settings: Mapping[str, Any], published: Mapping[str, Any], which: str) -> Table:
    """The published table `retrieval` or `encoder_pairs`, each row with ours below it: other music, other pools."""
    shorts = list(next(iter(published[which].values())))
    rows: list[tuple[str, ...]] = []
    for label, numbers in published[which].items():
        theirs = [f"{numbers[short][metric]:.1f}" for short in shorts for metric in METRICS]
        ours = settings["ours"].get(label)
        whose = f"{ours['model']}, {ours['row']}" if ours else "no miniature"
        cells = [cell for short in shorts for cell in cells_of(results, ours, settings["tasks"][short])]
        rows += [(label, "published", *theirs), ("", whose, *cells)]
    header = ("", "row", *(f"{short} {metric}" for short in shorts for metric in METRICS))
    named = ", ".join(f"{short} {settings['tasks'][short]}" for short in shorts)
    notes = (
        f"Published: {published['source']}; protocol {published['protocol']}. Ours: {named}; protocol unique_tracks. "
        "Pools and protocols differ: rows of one source compare, a published number and ours do not.",
        "Per cent; [95 % bootstrap interval by track].",
    )
    return Table(f"{which.replace('_', ' ')} in miniature, text to audio", header, tuple(rows), notes, keys=2)


def cells_of(results: Sequence[Result], ours: Mapping[str, str] | None, task: str) -> list[str]:
    """The metrics of one row of ours on a task."""
    found = the_rows(results, ours["model"], task, [ours["row"]]) if ours else None
    if found is None:
        return [NO_RESULT] * len(METRICS)
    result, (system,) = found
    return [format_cell(result.rows[system][metric], interval=metric == "R@10") for metric in METRICS]


def table_of_findings(findings: Sequence[Finding]) -> Table:
    """The checklist: a finding per line, with the published numbers, ours and the verdict."""
    rows = [
        (str(number), each.claim, each.published or "a curve", each.found or "–", each.verdict)
        for number, each in enumerate(findings, start=1)
    ]
    notes = ("R@10 unless another metric is named. Differences with intervals are paired by track.",)
    return Table("findings", ("", "claim", "published", "here", "verdict"), tuple(rows), notes, keys=2)

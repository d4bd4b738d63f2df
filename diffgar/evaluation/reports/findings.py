"""Findings of a paper, checked against results: what is claimed, what was found, and whether that holds.

A comparison of two rows of one result is paired by track; points of a curve and results at several guidance scales are
compared by their own intervals.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import PLAIN, System, in_words
from diffgar.evaluation.reports.results import Result

METRIC = "R@10"
CLOSE = 0.1  # of the other's value: what counts as about level
USUAL = {"baselines", "seeds"}  # what a result may have been asked for beyond the defaults
HELD, PARTLY, NOT_HELD, NOT_MEASURED = "held", "partly held", "not held", "not measured"


@dataclass(frozen=True)
class Gap:
    """By how much one number exceeds another, `other`, with its 95 % interval from `low` to `high`."""

    difference: float
    low: float
    high: float
    other: float


@dataclass(frozen=True)
class Finding:
    """A claim, the numbers published for it, ours, and a verdict: held, partly held, not held or not measured."""

    claim: str
    published: str
    found: str
    verdict: str


EXPECTATIONS: dict[str, Callable[[Gap], bool]] = {
    "above": lambda gap: gap.low > 0,
    "at_least": lambda gap: gap.high >= 0,  # not below, but for the noise
    "level": lambda gap: abs(gap.difference) <= CLOSE * gap.other,
    "at_most": lambda gap: gap.difference <= CLOSE * gap.other,  # close to it, or below
}


def checklist(results: Sequence[Result], findings: Sequence[Mapping[str, Any]], published: Mapping) -> list[Finding]:
    """Check each finding by the results there are, in the order of `findings`.

    A finding has a `claim`, and one of: `compare` (rows of a model's result on a task) with an `expect` of
    EXPECTATIONS; `guidance` (a model and a task: the best scale above 1 against 1); `curve` (a steering method, whose
    last point is compared with the unsteered one). published: retrieval numbers by label and task.
    """
    return [check(results, finding, published) for finding in findings]


def check(results: Sequence[Result], finding: Mapping[str, Any], published: Mapping) -> Finding:
    """One finding; see `checklist`."""
    if "compare" in finding:
        expected = EXPECTATIONS[finding["expect"]]
        outcomes = [compared(results, where, expected) for where in finding["compare"]]
    elif "guidance" in finding:
        outcomes = [guided(results, **finding["guidance"])]
    else:
        outcomes = [along(results, finding["curve"])]
    measured = [outcome for outcome in outcomes if outcome is not None]
    holds = [held for held, _ in measured]
    verdict = (HELD if all(holds) else PARTLY if any(holds) else NOT_HELD) if holds else NOT_MEASURED
    found = "; ".join(words for _, words in measured)
    numbers = [
        (published[a][task][METRIC], published[b][task][METRIC], task) for a, b, task in finding.get("published", ())
    ]
    theirs = "; ".join(f"{first:.1f} against {second:.1f} ({task})" for first, second, task in numbers)
    return Finding(finding["claim"], theirs, found, verdict)


def compared(
    results: Sequence[Result], where: Mapping[str, Any], expected: Callable[[Gap], bool]
) -> tuple[bool, str] | None:
    """Whether a paired comparison is as expected, and its numbers; None where no result has both rows."""
    found = the_rows(results, where["model"], where["task"], where["rows"])
    if found is None:
        return None
    result, (first, second) = found
    means = [result.rows[system][METRIC].mean for system in (first, second)]
    gap = paired(result, first, second)
    words = f"{means[0]:.1f} against {means[1]:.1f}, difference {gap.difference:+.1f} [{gap.low:.1f}, {gap.high:.1f}]"
    return expected(gap), f"{words} ({where['task']})"


def guided(results: Sequence[Result], model: str, task: str) -> tuple[bool, str] | None:
    """Whether the best guidance scale above 1 ranks above 1, and the recall at each; None where a side is missing."""
    scales: dict[float, Summary] = {}
    for result in candidates(results, model, task, {*USUAL, "guidance_scale"}):
        for system in rows_of(result, ["gdr"]):
            scales[float(result.protocol["sampler"]["guidance_scale"])] = result.rows[system][METRIC]
    above = [summary for scale, summary in scales.items() if scale > 1]
    if 1.0 not in scales or not above:
        return None
    best = max(above, key=lambda summary: summary.mean)
    words = ", ".join(f"{scales[scale].mean:.1f} at {scale:g}" for scale in sorted(scales))
    return unpaired(best, scales[1.0]).low > 0, f"{METRIC} {words}"


def along(results: Sequence[Result], curve: Mapping[str, str]) -> tuple[bool, str] | None:
    """Whether a steering method's curve ends where it should, and its points; None where it was not measured."""
    for result in results:
        where = (result.kind, result.model_name, result.task, result.protocol.get("control"))
        systems = [system for system in result.rows if system.name == curve["method"]]
        if where == ("control", curve["model"], curve["task"], curve["control"]) and systems:
            break
    else:
        return None
    points = [PLAIN, *systems]
    holds, words = [], []
    for sign, key in ((1, "rises"), (-1, "falls")):
        if key in curve:
            values = [result.rows[system][curve[key]] for system in points]
            gap = unpaired(values[-1], values[0])
            holds.append(gap.low > 0 if sign > 0 else gap.high < 0)
            words.append(f"{curve[key]} {' → '.join(f'{value.mean:.1f}' for value in values)}")
    strengths = ", ".join(" ".join(map(in_words, system.strength.values())) for system in systems)
    return all(holds), f"{', '.join(words)} (plain, then {curve['method']} {strengths})"


def the_rows(
    results: Sequence[Result], model: str, task: str, names: Sequence[str]
) -> tuple[Result, list[System]] | None:
    """The result of a model on a task that has rows of these names, and the rows; None where there is none.

    Of several it is the one of the best step with the fewest differences from the defaults; only USUAL may differ.
    """
    found = [one for one in candidates(results, model, task, USUAL) if len(rows_of(one, names)) == len(names)]
    best = max(found, key=lambda one: (one.asked_step == "best", str(one.step), -len(one.differences)), default=None)
    return None if best is None else (best, rows_of(best, names))


def candidates(results: Sequence[Result], model: str, task: str, may_differ: set[str]) -> Iterator[Result]:
    """The retrieval results of a model on a task that differ from the defaults in nothing else."""
    for result in results:
        about = (result.kind, result.model_name, result.task, result.protocol["name"], result.variant)
        if about == ("retrieval", model, task, "unique_tracks", None) and set(result.differences) <= may_differ:
            yield result


def rows_of(result: Result, names: Sequence[str]) -> list[System]:
    """The rows of these names that a result has: systems as they are, or other models at their step."""
    plain = {system.name: system for system in result.rows if system.correction is None and not system.strength}
    return [plain[name] for name in names if name in plain]


def paired(result: Result, first: System, second: System) -> Gap:
    """The paired difference of two rows of a result."""
    other, known = result.rows[second][METRIC].mean, result.extra["paired"]
    if found := known.get(f"{first.label} - {second.label}"):
        return Gap(found[METRIC]["difference"], found[METRIC]["low"], found[METRIC]["high"], other)
    found = known[f"{second.label} - {first.label}"]
    return Gap(-found[METRIC]["difference"], -found[METRIC]["high"], -found[METRIC]["low"], other)


def unpaired(first: Summary, second: Summary) -> Gap:
    """The difference of two summaries, its interval by the root of both half-intervals' squares."""
    difference = first.mean - second.mean
    below = np.hypot(first.mean - first.low, second.high - second.mean)
    above = np.hypot(first.high - first.mean, second.mean - second.low)
    return Gap(difference, float(difference - below), float(difference + above), second.mean)

"""From the queries of every way to compose to a report: metrics with intervals by source, and paired differences."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.control.measures import similarity
from diffgar.evaluation.control.requests import ComposedRequests
from diffgar.evaluation.metrics.bootstrap import paired_differences, redrawn_means
from diffgar.evaluation.metrics.composed import chance_of_composed, composed_values, ranked_by_truth
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, Report, System
from diffgar.evaluation.tasks import RetrievalTask

TRUTH = System("truth")
FROM_SOURCE = ("arithmetic", "interpolation", "inversion")  # ways whose curves begin at the source
NUM_RESAMPLES = 1000


def composed_report(
    answers: Iterable[tuple[System, Tensor]],
    index: Tensor,
    asked: ComposedRequests,
    task: RetrievalTask,
    protocol: Mapping[str, Any],
) -> Report:
    """The report of queries (S, P, D) on unit tracks (N, D), with the rows `chance` and `truth`, the upper bound."""
    truth, values = asked.truth, {}
    for system, queries in answers:
        runs = [composed_values(similarity(sample, index), truth) for sample in queries]
        values[system] = {metric: torch.stack([run[metric] for run in runs]).numpy() for metric in runs[0]}  # (S, P)
    bounds = {CHANCE: chance_of_composed(truth), TRUTH: composed_values(ranked_by_truth(truth), truth)}
    values |= {system: {name: each[None].numpy() for name, each in row.items()} for system, row in bounds.items()}
    values = {system: without_unknown(row) for system, row in values.items()}
    redraws = {system: redrawn(row, truth.sources) for system, row in values.items()}
    rows = {
        system: {
            name: Summary.of(known(each), redraws[system][name], n=known(each).shape[1]) for name, each in row.items()
        }
        for system, row in values.items()
    }
    ways = [system for system in rows if system not in bounds]
    paired = {(a, b): paired_differences(redraws[a], redraws[b], (rows[a], rows[b])) for a, b in combinations(ways, 2)}
    ends = {"source": truth.sources, "target": truth.targets}
    listing = pd.DataFrame({name: [task.track_ids[i] for i in each.tolist()] for name, each in ends.items()})
    right = truth.right.sum(dim=1).double()
    return Report(
        dict(protocol) | {"num_right": float(right.mean())},
        rows,
        paired,
        extra={
            "from_plain": list(FROM_SOURCE),
            "pairs": listing.assign(instruction=asked.instructions).to_dict("records"),
        },
    )


def without_unknown(row: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The metrics (S, P) that are known of some request."""
    return {name: each for name, each in row.items() if not np.isnan(each).all()}


def known(values: np.ndarray) -> np.ndarray:
    """The terms (S, P') of the requests for which they are known, of (S, P)."""
    return values[:, ~np.isnan(values[0])]


def redrawn(row: Mapping[str, np.ndarray], sources: Tensor) -> dict[str, np.ndarray]:
    """Each metric, averaged over sampling seeds, on redraws of the sources, whose requests are drawn together."""
    return {
        name: redrawn_means(known(each).mean(axis=0), sources[~np.isnan(each[0])], NUM_RESAMPLES, 0)
        for name, each in row.items()
    }

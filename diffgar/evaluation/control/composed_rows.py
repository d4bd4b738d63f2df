"""From the queries of every way to compose to a report: metrics with intervals by source."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.control.measures import similarity
from diffgar.evaluation.control.requests import ComposedRequests
from diffgar.evaluation.metrics.bootstrap import redrawn_means
from diffgar.evaluation.metrics.composed import chance_of_composed, composed_values, ranked_by_truth
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, Metrics, Report, System
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
    rows = {system: summaries(row, truth.sources) for system, row in values.items()}
    for bound in bounds:  # no rival of any way
        rows[bound] = {name: replace(each, redraws=None) for name, each in rows[bound].items()}
    ends = {"source": truth.sources, "target": truth.targets}
    listing = pd.DataFrame({name: [task.track_ids[i] for i in each.tolist()] for name, each in ends.items()})
    right = truth.right.sum(dim=1).double()
    return Report(
        dict(protocol) | {"num_right": float(right.mean())},
        rows,
        extra={
            "from_plain": list(FROM_SOURCE),
            "pairs": listing.assign(instruction=asked.instructions).to_dict("records"),
        },
    )


def summaries(row: Mapping[str, np.ndarray], sources: Tensor) -> Metrics:
    """Each metric (S, P) on the requests for which it is known; the requests of a source are drawn together."""
    found = {}
    for name, each in row.items():
        known = ~np.isnan(each[0])  # (P,)
        if known.any():
            terms = each[:, known]
            redraws = redrawn_means(terms.mean(axis=0), sources[known], NUM_RESAMPLES, 0)
            found[name] = Summary.of(terms, redraws, n=terms.shape[1])
    return found

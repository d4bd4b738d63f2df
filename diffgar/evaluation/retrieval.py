"""The retrieval evaluator: rows of queries and an index in, one dict of metrics, intervals and ranks out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.checks import POOLINGS, SAMPLES
from diffgar.evaluation.metrics.bootstrap import bootstrap_metrics, paired_differences, summarise
from diffgar.evaluation.metrics.hubness import CORRECTIONS, correct
from diffgar.evaluation.metrics.ranks import Adjust, Ranks, ranks
from diffgar.evaluation.metrics.recall import chance_metrics, retrieval_metrics
from diffgar.evaluation.tasks import DIRECTIONS, RetrievalTask
from diffgar.models.encoders.base import pool
from diffgar.values import listed, one_of, whole


@dataclass(frozen=True)
class RetrievalOptions:
    """How to evaluate. hubness: corrections reported as extra rows, of `qb_norm` and `centring`."""

    direction: str = "text_to_audio"
    num_resamples: int = 1000
    bootstrap_seed: int = 0
    hubness: tuple[str, ...] = ()
    chunk: int | None = None

    def __post_init__(self):
        one_of("retrieval.direction", self.direction, DIRECTIONS)
        whole("retrieval.num_resamples", self.num_resamples, least=1)
        whole("retrieval.bootstrap_seed", self.bootstrap_seed)
        for correction in listed("retrieval.hubness", self.hubness, "[centring]"):
            one_of("retrieval.hubness", correction, tuple(CORRECTIONS))


@dataclass(frozen=True)
class Setting:
    """What a task comes to for the ranks: relevant rows, the rows to take of each side, the tracks of the queries."""

    relevant: Tensor | list[list[int]]
    query_rows: Tensor | None  # rows to take of the given queries, or None for all
    index_rows: Tensor | None  # rows to take of the given index, or None for all
    groups: Tensor  # (Q,) the track that each query belongs to
    query_ids: list[str]


def evaluate_retrieval(
    rows: Mapping[str, Tensor],
    index: Tensor | Mapping[str, Tensor],
    task: RetrievalTask,
    options: RetrievalOptions = RetrievalOptions(),  # noqa: B008 (frozen)
    bank: Mapping[str, Tensor] | None = None,
) -> dict:
    """Evaluate every row of queries by the task's protocol.

    rows: row name → queries (S, Q, D) for S sampling seeds, or (S, Q, M, D) for sets of M vectors, in the order of
    `task.captions` (of `task.track_ids` for audio → text). index (N, D) in the order of `task.track_ids` (of
    `task.captions`), for all rows or by row name. bank: row name → queries (B, D) of training captions, on which
    `options.hubness` is estimated.

    Returns {"protocol", "rows", "paired", "queries"}: metrics of each row and of chance as {"mean", "std", "low",
    "high"}; the paired difference of every two rows, "a - b"; a table of row, seed, query_id and its three ranks.
    """
    if not rows:
        raise ValueError("nothing to evaluate: give at least one row of queries")
    if "chance" in rows:
        raise ValueError("row name 'chance' is taken: chance is computed in closed form; rename that row")
    setting = make_setting(task, options.direction)
    runs: dict[str, list[Ranks]] = {}
    for name, queries in rows.items():
        row_index = index[name] if isinstance(index, Mapping) else index
        _check_sizes(name, queries, row_index, task, options.direction)
        runs[name] = [_rank(sample, row_index, setting, options.chunk) for sample in queries]
        for correction in options.hubness:
            if bank is None or name not in bank:
                raise ValueError(f"hubness {correction!r} needs training queries of row {name!r}: give bank[{name!r}]")
            runs[f"{name}+{correction}"] = [
                _rank(*moved[:2], setting, options.chunk, moved[2])
                for moved in (correct(correction, sample, row_index, bank[name]) for sample in queries)
            ]
    return _report(runs, setting, task, options)


def make_setting(task: RetrievalTask, direction: str) -> Setting:
    """Turn a task and a direction into rows: who is asked, who answers, what is right."""
    if direction == "text_to_audio":
        query_ids = list(task.captions["caption_id"])
        if task.protocol == "unique_tracks":
            return Setting(task.targets, None, None, task.targets, query_ids)
        return Setting(torch.arange(len(task.targets)), None, task.targets, task.targets, query_ids)
    if task.protocol != "unique_tracks":
        raise InputError(f"audio_to_text is evaluated by unique_tracks only, not by {task.protocol}")
    captions = task.captions_of_tracks()
    asked = [track for track, own in enumerate(captions) if own]
    rows = torch.tensor(asked)
    return Setting([captions[track] for track in asked], rows, None, rows, [task.track_ids[t] for t in asked])


def make_queries(
    latents: Tensor,
    mask: Tensor | None = None,
    samples: str = "mean",
    pooling: str = "mean",
    centre: Tensor | None = None,
) -> Tensor:
    """Generated latents (Q, K, T, D), K samples per caption, and their mask (Q, K, T), to queries.

    pooling `mean` over frames and samples `mean` gives (Q, D); samples `set` gives (Q, K, D), the best of which counts;
    pooling `best_frame` gives (Q, T, D) or (Q, K · T, D), so that the best frame counts. centre (D,): where directions
    are seen from, as for the index (see `queries.index_of`).
    """
    one_of("samples", samples, SAMPLES)
    one_of("pooling", pooling, POOLINGS)
    if pooling == "best_frame":
        if mask is not None and not mask.all():
            raise ValueError("best_frame needs queries without padding frames: generate all with one num_frames")
        frames = pool(latents.unsqueeze(-2), centre=centre)  # (Q, K, T, D), each frame by itself
        return frames.mean(dim=1) if samples == "mean" else frames.flatten(1, 2)
    vectors = pool(latents, mask, centre)  # (Q, K, D)
    return torch.nn.functional.normalize(vectors.mean(dim=1), dim=-1) if samples == "mean" else vectors


def _rank(queries: Tensor, index: Tensor, setting: Setting, chunk: int | None, adjust: Adjust | None = None) -> Ranks:
    queries = queries if setting.query_rows is None else queries[setting.query_rows]
    index = index if setting.index_rows is None else index[setting.index_rows.to(index.device)]
    if adjust is not None and setting.index_rows is not None:
        adjust = adjust.take(setting.index_rows)
    return ranks(queries, index, setting.relevant, chunk, adjust)


def _report(runs: dict[str, list[Ranks]], setting: Setting, task: RetrievalTask, options: RetrievalOptions) -> dict:
    protocol = task.describe(options.direction)
    size = protocol["pool_size"]
    redraws, table, queries = {}, {}, []
    for name, samples in runs.items():
        redraws[name] = bootstrap_metrics(
            samples, setting.groups, size, task.protocol, options.num_resamples, options.bootstrap_seed
        )
        metrics = [retrieval_metrics(sample, size, task.protocol) for sample in samples]
        table[name] = summarise(metrics, redraws[name])
        queries += [_query_table(name, seed, sample, setting) for seed, sample in enumerate(samples)]
    num_relevant = next(iter(runs.values()))[0].num_relevant
    chance = chance_metrics(num_relevant, size)
    chance_row = {key: {"mean": v, "std": 0.0, "low": v, "high": v} for key, v in chance.items()}
    paired = {
        f"{a} - {b}": paired_differences(redraws[a], redraws[b], (table[a], table[b])) for a, b in combinations(runs, 2)
    }
    protocol |= {"seeds": {name: len(samples) for name, samples in runs.items()}, **asdict(options)}
    del protocol["chunk"]  # changes nothing but the memory
    protocol["hubness"] = list(options.hubness)
    return {
        "protocol": protocol,
        "rows": {"chance": chance_row} | table,
        "paired": paired,
        "queries": pd.concat(queries, ignore_index=True),
    }


def _query_table(name: str, seed: int, sample: Ranks, setting: Setting) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row": name,
            "seed": seed,
            "query_id": setting.query_ids,
            "rank": sample.mid.numpy(),
            "optimistic": sample.optimistic.numpy(),
            "pessimistic": sample.pessimistic.numpy(),
        }
    )


def _check_sizes(name: str, queries: Tensor, index: Tensor, task: RetrievalTask, direction: str) -> None:
    sizes = (len(task.captions), len(task.track_ids))
    num_queries, size = sizes if direction == "text_to_audio" else sizes[::-1]
    if queries.ndim not in (3, 4) or queries.shape[1] != num_queries:
        raise ValueError(
            f"row {name!r}: expected queries (seeds, {num_queries}, D) for task {task.name}, "
            f"found {tuple(queries.shape)}; put the sampling seeds first"
        )
    if len(index) != size:
        raise ValueError(
            f"row {name!r}: the index has {len(index)} rows, task {task.name} has {size}; "
            "use task.with_tracks(...) to keep the tracks that have latents"
        )

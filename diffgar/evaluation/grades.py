"""Graded relevance: a task whose queries need belong to no track, and whose tracks are judged by a score."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from diffgar.errors import InputError

Judge = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]  # tracks, captions → query_id, track_id, score


@dataclass(frozen=True)
class Grades:
    """How well tracks answer queries.

    queries, tracks (J,) long: positions among a task's captions and tracks; scores (J,): the grade of each pair. Pairs
    that are not here have not been judged, and count as 0. relevant_from: the least grade of a relevant track.
    """

    queries: Tensor
    tracks: Tensor
    scores: Tensor
    relevant_from: float = 1

    @classmethod
    def of(
        cls, judgements: pd.DataFrame, query_ids: Sequence[str], track_ids: Sequence[str], relevant_from: float = 1
    ) -> "Grades":
        """From a table of query_id, track_id and score, in these orders; others than these are left out."""
        ours = [
            pd.Index(ids).get_indexer(judgements[name])
            for ids, name in ((query_ids, "query_id"), (track_ids, "track_id"))
        ]
        there = (ours[0] >= 0) & (ours[1] >= 0)
        queries, tracks = (torch.from_numpy(each[there]).long() for each in ours)
        scores = torch.tensor(judgements["score"].to_numpy(dtype=float)[there])
        return cls(queries, tracks, scores, relevant_from)

    def dense(self, start: int, stop: int, size: int) -> Tensor:
        """The grades of the queries from `start` to `stop` for all `size` tracks, (stop − start, size)."""
        here = (self.queries >= start) & (self.queries < stop)
        grades = torch.zeros(stop - start, size, dtype=torch.float64)
        grades[self.queries[here] - start, self.tracks[here]] = self.scores[here]
        return grades

    def describe(self, num_queries: int) -> dict[str, object]:
        """What a protocol says of them; `judgements` is a hash, equal only for the same grades."""
        rows = sorted(zip(self.queries.tolist(), self.tracks.tolist(), self.scores.tolist(), strict=True))
        answered = self.queries[self.scores >= self.relevant_from].unique()
        return {
            "gain": "linear",
            "relevant_from": self.relevant_from,
            "judgements": hashlib.sha256(repr(rows).encode()).hexdigest()[:16],
            "num_judgements": len(rows),
            "num_unanswered": num_queries - len(answered),
        }


def share_of_attributes(tracks: pd.DataFrame, captions: pd.DataFrame, attributes: Sequence[str]) -> pd.DataFrame:
    """Judgements from ground truth: the share of the attributes that a caption names which a track has, from 0 to 1.

    tracks: a table of track_id and a column for each attribute. captions: one of caption_id, track_id, and `named`, the
    attributes that each names, joined by "|", whose values are those of its own track. Captions that name none are left
    out. Raises InputError where a column is absent.
    """
    absent = [name for name in attributes if name not in tracks] + ["named"] * ("named" not in captions)
    if absent:
        raise InputError(f"graded relevance needs the column {absent[0]!r}, the ground truth, and the stores lack it")
    values = tracks.set_index("track_id")[list(attributes)].astype(str)
    tables = []
    for caption, track, words in captions[["caption_id", "track_id", "named"]].itertuples(index=False):
        named = [name for name in attributes if name in str(words).split("|")]
        if named and track in values.index:
            score = (values[named] == values.loc[track, named]).mean(axis=1)
            tables.append(pd.DataFrame({"query_id": caption, "track_id": values.index, "score": score.to_numpy()}))
    if not tables:
        raise InputError(f"no caption names any of {list(attributes)}; correct task.qrels.attributes")
    return pd.concat(tables, ignore_index=True)

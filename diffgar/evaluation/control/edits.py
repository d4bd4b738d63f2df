"""The edits that are measured, "the same but with …", and how an edit changed the attributes of the top 10."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.errors import InputError
from diffgar.evaluation.control.measures import K
from diffgar.evaluation.metrics.bootstrap import mean_with_interval
from diffgar.evaluation.report import Metrics


@dataclass(frozen=True)
class Edits:
    """P edits, each of one track: the values that its caption names, and the same with another value of one attribute.

    tracks (P,): their positions in the index. source, target: the {attribute: value} that the two captions name.
    changed: the one attribute that differs, such as "lead" of {lead: harp, drums: rock} and {lead: flute, drums: rock}.
    """

    tracks: np.ndarray
    source: list[dict[str, str]]
    target: list[dict[str, str]]
    changed: list[str]

    def replaced(self) -> list[dict[str, str]]:
        """The attribute value that each edit replaces."""
        return [{name: words[name]} for name, words in zip(self.changed, self.source, strict=True)]


def choose_edits(
    named: Sequence[set[str]], targets: Tensor, attributes: pd.DataFrame, max_pairs: int, seed: int = 0
) -> Edits:
    """One edit for each of `max_pairs` tracks: an attribute that its first caption names gets another value.

    Captions that name a single attribute are skipped: there would be nothing to keep. named: the attributes that each
    caption names; targets: the track of each; attributes: one row per track. Raises InputError where no edit is left.
    """
    random, seen = np.random.default_rng(seed), set()
    tracks: list[int] = []
    source, target, changed = [], [], []
    for caption, track in enumerate(targets.tolist()):
        if track in seen or len(named[caption]) < 2 or len(tracks) == max_pairs:
            continue
        seen.add(track)
        words = {name: attributes[name].iloc[track] for name in sorted(named[caption])}
        name = str(random.choice(list(words)))
        others = sorted(set(attributes[name]) - {words[name], "none"})
        if others:
            tracks.append(track)
            source.append(words)
            target.append(words | {name: str(random.choice(others))})
            changed.append(name)
    if not tracks:
        raise InputError(
            "no edit can be asked for: it takes two tracks, and a caption that names two attributes, one of which has "
            "another value on some track; evaluate on a larger pool, or correct the column `named`"
        )
    return Edits(np.array(tracks), source, target, changed)


def edit_metrics(queries: Tensor, start: Tensor, index: Tensor, edits: Edits, attributes: pd.DataFrame) -> Metrics:
    """gained@10, kept@10 and cos_start of edited queries (S, P, D), in per cent.

    cos_start is the cosine to `start` (P, D), the query before the edit. index (N, D): the tracks; attributes: one row
    per track. The edited track itself is not in the top 10.
    """
    own = torch.from_numpy(edits.tracks)
    index = F.normalize(index, dim=-1)
    values: dict[str, list[Tensor]] = {"gained@10": [], "kept@10": [], "cos_start": []}
    for unit in F.normalize(queries, dim=-1):  # (P, D), of one sampling seed
        values["cos_start"].append(100 * (unit * F.normalize(start, dim=-1)).sum(dim=-1).double())
        similarity = unit @ index.T  # (P, N)
        top = similarity.scatter(1, own[:, None], -torch.inf).topk(min(K, len(index) - 1), dim=1).indices
        shares = [share_of(attributes.iloc[found], edits, pair) for pair, found in enumerate(top.tolist())]
        gained, kept = torch.tensor(shares, dtype=torch.float64).T
        values["gained@10"].append(100 * gained)
        values["kept@10"].append(100 * kept)
    return {metric: mean_with_interval(torch.stack(found), own, 1000, 0) for metric, found in values.items()}


def share_of(found: pd.DataFrame, edits: Edits, pair: int) -> tuple[float, float]:
    """The share of the found tracks that have the new value, and the mean share that have each other named value."""
    changed, source, target = edits.changed[pair], edits.source[pair], edits.target[pair]
    rest = [name for name in source if name != changed]
    kept = np.mean([(found[name] == source[name]).mean() for name in rest])
    return float((found[changed] == target[changed]).mean()), float(kept)

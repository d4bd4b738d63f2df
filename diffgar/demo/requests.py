"""The demo's composed requests, "this track, but …", made from its ground truth.

A request changes one attribute of its source track and names two or three others that stay. It is answered by every
track of the same split with the new value and the source's values of those that stay. Its one target is the track
among them that agrees with the source in the most other attributes, since "the same, but …" asks for that.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from diffgar.dataloading.datasets.triples import TRIPLE
from diffgar.demo.captions import SALIENCE, draw_names
from diffgar.demo.instructions import instruction

ATTRIBUTES = [name for name in SALIENCE if name != "mood"]  # which follows from mode and tempo
TRIES = 30  # draws of what changes and what stays, until a track answers


def requests(tracks: pd.DataFrame, per_track: int = 1) -> pd.DataFrame:
    """Composed requests for the tracks of each split, `per_track` for each source that has an answer at all.

    tracks: a store's rows: row_id, split, the attributes, and `changes` (the attribute that changes within the track).
    The columns are those of TRIPLE. What changes within the source has no one value, so no request is about it.
    """
    rows: list[tuple[object, ...]] = []
    for split, own in tracks[tracks["split"] != ""].groupby("split", sort=False):
        values = own[ATTRIBUTES].to_numpy(dtype=object)  # (N, A)
        codes = np.stack([pd.factorize(column, sort=True)[0] for column in values.T], axis=1)  # (N, A)
        ids, changes = own["row_id"].tolist(), own.get("changes", pd.Series("", own.index)).tolist()
        for source, track in enumerate(ids):
            random = np.random.default_rng([*track.encode()])
            for changed, kept, target in draws(codes, source, changes[source], random, per_track):
                names = [ATTRIBUTES[each] for each in kept]
                before, after = (dict(zip(ATTRIBUTES, values[at], strict=True)) for at in (source, target))
                asked = instruction(ATTRIBUTES[changed], before, after[ATTRIBUTES[changed]], names, random)
                rows.append((track, ids[target], asked, split, ATTRIBUTES[changed], tuple(names)))
    return pd.DataFrame(rows, columns=list(TRIPLE))


def draws(
    codes: np.ndarray, source: int, untold: str, random: np.random.Generator, count: int
) -> Iterator[tuple[int, list[int], int]]:
    """At most `count` times what changes, what stays, and the target, for one source; codes (N, A) of its split."""
    for _ in range(TRIES):
        if not count:
            return
        changed, *kept = random.permutation(drawn(random, untold)).tolist()
        answers = (codes[:, kept] == codes[source, kept]).all(axis=1) & (codes[:, changed] != codes[source, changed])
        if answers.any():
            value = random.choice(np.unique(codes[answers, changed]))
            answers &= codes[:, changed] == value
            agreement = np.where(answers, (codes == codes[source]).sum(axis=1), -1)
            yield changed, sorted(kept), int(random.choice(np.flatnonzero(agreement == agreement.max())))
            count -= 1


def drawn(random: np.random.Generator, untold: str) -> Sequence[int]:
    """The numbers of three or four attributes, by their salience, without the one that is untold."""
    names = draw_names(int(random.integers(3, 5)), random, untold={"mood", untold})
    return [ATTRIBUTES.index(name) for name in names]

"""A collection that can be searched: its tracks, their latents, and what made them."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit, Hits
from diffgar.search.moments import SMOOTH_SECONDS, best_moment, timeline
from diffgar.search.nearest import Nearest
from diffgar.search.negatives import Phrasebook, count_phrases, tags_of
from diffgar.search.parts import Parts
from diffgar.search.places import libraries, part_means_of

if TYPE_CHECKING:
    from diffgar.retriever import Retriever


class Library:
    """The tracks of an audio store, as one model searches them. `Retriever.index` makes it.

    captions: track id → its captions, for tracks that have any. They are shown with hits, and a short negative such as
    "drums" becomes phrases that they contain; ranking does not use them. Raises SearchError for a store whose latents
    are not the model's.
    form: how FAISS searches a large library, see `diffgar.search.lists.FORMS`; to be set before its first search.
    """

    form = "ivf_sq"

    def __init__(
        self,
        retriever: "Retriever",
        store: Store,
        captions: Mapping[str, Sequence[str]] | None = None,
        rows: np.ndarray | None = None,
    ):
        self.retriever, self.store, self.captions = retriever, store, dict(captions or {})
        retriever.refuse_other_latents(store.card, store.folder)
        there = np.flatnonzero((store.rows["split"] != "").to_numpy())  # "": no longer in the collection
        self.rows = there if rows is None else rows
        self.tracks = store.rows.iloc[self.rows].reset_index(drop=True)
        self._nearest: dict[Parts, Nearest] = {}

    def __len__(self) -> int:
        return len(self.tracks)

    def __repr__(self) -> str:
        left_out = f", left out: {len(self.skipped)} (see .skipped)" if len(self.skipped) else ""
        made_by = f"{self.retriever.opened.name}@{self.retriever.opened.step}"
        return f"<Library of {len(self)} tracks in {self.store.folder}, asked by {made_by}{left_out}>"

    def only(self, **values: str | Sequence[str]) -> "Library":
        """The tracks that have these values in these columns of `tracks`: library.only(split="test").

        Raises SearchError for a column that is not there, and where no track is left.
        """
        kept = self.tracks
        for column, value in values.items():
            if column not in kept:
                raise SearchError(f"the library's tracks have no column {column!r}; there are {', '.join(kept)}")
            kept = kept[kept[column].isin([value] if isinstance(value, str) else list(value))]
        if kept.empty:
            raise SearchError(f"no track of the library has {values}; look at library.tracks")
        return Library(self.retriever, self.store, self.captions, self.rows[kept.index.to_numpy()])

    @property
    def skipped(self) -> pd.DataFrame:
        """The files that could not be read: `row_id`, `path` and `reason` of each."""
        path = self.store.folder / "skipped.csv"
        return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["row_id", "path", "reason"])

    @property
    def index(self) -> Tensor:
        """The tracks as unit vectors (N, D), in the space of the model's queries."""
        return self.nearest.index

    @property
    def nearest(self) -> Nearest:
        """What finds the nearest of `index`."""
        return self.nearest_by(self.retriever.parts)

    def nearest_by(self, parts: Parts) -> Nearest:
        """What finds the nearest tracks where these parts are compared; its index (N, L) is made once."""
        if parts not in self._nearest:
            means = part_means_of(self.store, parts.segments)[torch.from_numpy(self.rows)]  # (N, P, D)
            vectors = self.retriever.to_vectors(means, parts)
            index = F.normalize(vectors, dim=-1)  # again, as an evaluation: to the last digit
            self._nearest[parts] = Nearest(index, form=self.form, folder=libraries() / "nearest")
        return self._nearest[parts]

    @cached_property
    def phrasebook(self) -> Phrasebook:
        """The phrases of the collection's captions (of the training captions if it has none), and its tags."""
        own = count_phrases(caption for several in self.captions.values() for caption in several)
        return Phrasebook(own or self.retriever.opened.training_phrases, tags_of(self.tracks))

    @cached_property
    def positions(self) -> dict[str, int]:
        """Track id → its position in `tracks` and `index`."""
        return {track_id: position for position, track_id in enumerate(self.tracks["row_id"])}

    @cached_property
    def positions_by_file(self) -> dict[str, int]:
        """Absolute path → position of its track, for files that hold a single track."""
        paths = self.tracks["path"].map(os.path.abspath)
        alone = ~paths.duplicated(keep=False)
        return {path: int(position) for position, path in paths[alone].items()}

    def position_of(self, track_id: str) -> int:
        """The position of a track. Raises SearchError for an id that is not in the library."""
        if track_id not in self.positions:
            first = ", ".join(map(repr, list(self.positions)[:3]))
            raise SearchError(f"no track {track_id!r} among the {len(self)} of the library; they are {first}, …")
        return self.positions[track_id]

    def search(self, caption: str | Sequence[str] | None = None, *, k: int = 10, **asked: Any) -> "Hits | list[Hits]":
        """The k tracks that fit best; see `Retriever.search`, which this calls with itself as the library."""
        return self.retriever.search(self, caption, k=k, **asked)

    def timeline(self, hit: Hit | str, query: Hits | Tensor | str) -> np.ndarray:
        """The cosine (T,) of a query with each moment of a track, one every `seconds_per_frame` from its start.

        hit: a hit, or a track id. query: what a search returned, a vector as `index` has them, or a caption. What was
        searched in parts has a vector for each: a moment is compared with that of the part in which it begins.
        """
        position = hit.position if isinstance(hit, Hit) else self.position_of(hit)
        if isinstance(query, str):
            query = self.retriever.encode_query(query)
        if isinstance(query, Hits):
            return self._timeline(position, query.parts.each(query.query))
        return self._timeline(position, self.retriever.parts.each(query))

    def _timeline(self, position: int, queries: Tensor) -> np.ndarray:
        return timeline(self.frames(position), queries, self.retriever.moment_vectors, self.frames_per_moment)

    def moment(self, position: int, queries: Tensor) -> float:
        """The second of its file at which the moment of a track that fits a query best begins.

        queries (P, D): its vector of each part, see `timeline`.
        """
        similarity = self._timeline(position, queries)
        moment = best_moment(similarity, self.frames_per_moment) * self.seconds_per_frame
        start: Any = self.tracks.at[position, "start_s"] if "start_s" in self.tracks else None
        return moment if pd.isna(start) else float(start) + moment

    def frames(self, position: int) -> Tensor:
        """The latents (T, D) float32 of a track."""
        return torch.from_numpy(self.store.row(int(self.rows[position])).astype(np.float32))

    @property
    def seconds_per_frame(self) -> float:
        """The time from one frame of latents to the next; 1 where the store does not say."""
        return float(self.store.card.hop_seconds or 1.0)

    @property
    def frames_per_moment(self) -> int:
        """How many frames a moment averages."""
        return max(1, round(SMOOTH_SECONDS / self.seconds_per_frame))

    def caption_of(self, track_id: str) -> str | None:
        """The first caption of a track, or None."""
        return next(iter(self.captions.get(track_id, ())), None)

    def path_of(self, position: int) -> Path:
        """The audio file of a track."""
        return Path(self.tracks.at[position, "path"])

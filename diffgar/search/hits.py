"""What a search returns: hits in order, and what was asked."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

import pandas as pd
from torch import Tensor

from diffgar.dataloading.places import inside
from diffgar.search.errors import SearchError
from diffgar.search.parts import WHOLE, Parts


@dataclass(frozen=True)
class Hit:
    """One track that was found.

    rank: from 1. percentile: the share of the library's other tracks that score lower, per cent; 100 is the best.
    seconds: where in the file the moment begins that fits best; of a search in parts each moment is compared with the
    query's vector of the part in which it begins. caption: the track's first caption, if it has one.
    cosine: between query and track; score: what ranks, the cosine less what the negatives take off.
    position: where the track stands in the library.
    """

    rank: int
    percentile: float
    track_id: str
    path: str
    seconds: float
    caption: str | None
    cosine: float
    score: float
    position: int = field(repr=False)


@dataclass(frozen=True, eq=False)
class Hits(Sequence[Hit]):
    """The hits of one query, best first; a sequence of `Hit`.

    asked: what was asked, in words, and how it was answered: `caption`, `like`, `edit`, `negatives` (each with its
    weight and the phrasings that it was taken for), `method`, `strength`, `seed`. query (D,): the query's vector; of a
    search in `parts` their vectors side by side.
    """

    hits: tuple[Hit, ...]
    query: Tensor = field(repr=False)
    asked: dict[str, Any]
    parts: Parts = field(default=WHOLE, repr=False)

    @overload
    def __getitem__(self, item: int) -> Hit: ...

    @overload
    def __getitem__(self, item: slice) -> tuple[Hit, ...]: ...

    def __getitem__(self, item: int | slice) -> Hit | tuple[Hit, ...]:
        return self.hits[item]

    def __len__(self) -> int:
        return len(self.hits)

    def to_pandas(self) -> pd.DataFrame:
        """One row per hit, with the fields of `Hit` as columns."""
        return pd.DataFrame([asdict(hit) for hit in self.hits]).drop(columns="position", errors="ignore")

    def to_json(self) -> str:
        """The question and its hits as JSON."""
        hits = [asdict(hit) for hit in self.hits]
        return json.dumps({"asked": self.asked, "hits": hits}, indent=2, ensure_ascii=False)

    def to_m3u(self) -> str:
        """The hits as a playlist in extended M3U, with absolute paths: it can be written anywhere, in UTF-8.

        Raises SearchError for audio inside a Parquet file or a tar, and for a file with a line break in its path, of
        which the playlist would make two.
        """
        lines = ["#EXTM3U"]
        for hit in self.hits:
            if inside(hit.path):
                raise SearchError(
                    f"{hit.path} lies inside another file, where no player of playlists finds it; unpack it"
                )
            path = os.path.abspath(hit.path)
            if "\n" in path or "\r" in path:
                raise SearchError(
                    f"the path {path!r} has a line break, and a playlist has one path per line; rename the file or its "
                    "folder, and search again"
                )
            lines += [f"#EXTINF:-1,{' '.join((hit.caption or Path(path).stem).split())}", path]
        return "\n".join(lines) + "\n"

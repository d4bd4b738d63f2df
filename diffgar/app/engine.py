"""The engine of the app: a person's query to an answer. It knows nothing of pages and is tested alone."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from diffgar.app.moves import moves
from diffgar.app.plane import Plane
from diffgar.app.query import Query
from diffgar.app.uploads import Uploads
from diffgar.dataloading.places import name_of
from diffgar.library import Library
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hits

COUNT = 20  # hits of a list


@dataclass(frozen=True, eq=False)
class Answer:
    """A query, its name for the trail, and its hits; the hits of the plain query too where it is steered.

    before: the plain rank of each hit. after: the rank of each plain hit, None where it left the list.
    """

    query: Query
    title: str
    hits: Hits
    plain: Hits | None = None
    before: tuple[int, ...] = ()
    after: tuple[int | None, ...] = ()


class Engine:
    """A library that people search, and the files that they drop."""

    def __init__(self, library: Library, uploads: Uploads):
        self.library, self.uploads = library, uploads

    @cached_property
    def plane(self) -> Plane:
        """The map of the library."""
        return Plane(self.library.index)

    def answer(self, query: Query) -> Answer:
        """The hits of a query. Raises SearchError, in a sentence for the person who asked."""
        title = self.title(query)
        hits = self._hits(query)
        if not query.steered:
            return Answer(query, title, hits)
        plain = self._hits(query.plain())
        left_out = self.library.position_of(query.like) if query.like else None
        before, after = moves(plain, hits, self.library.index, left_out)
        return Answer(query, title, hits, plain, tuple(before), tuple(after))

    def point(self, hits: Hits) -> np.ndarray:
        """Where the query of hits lies on the plane, (2,); one in parts by their mean."""
        whole = hits.parts == self.library.retriever.parts
        return self.plane.see(hits.query if whole else hits.parts.pooled(hits.query))

    def title(self, query: Query) -> str:
        """What a query searches by: its caption, or what the track or the file in its place is called."""
        if query.upload:
            return self.uploads.find(query.upload)[1]
        if query.like:
            return self.name(self.library.position_of(query.like))
        return query.caption

    def name(self, position: int) -> str:
        """What a track is called: its caption, or else its file."""
        path = self.library.path_of(position)
        return self.library.caption_of(str(self.library.tracks["row_id"].iloc[position])) or name_of(path)

    def _hits(self, query: Query) -> Hits:
        asked: dict[str, Any] = {"negative": query.avoided or None}
        if query.edit:
            asked |= {"edit": query.edit, "edit_strength": query.edit_strength}
        if query.upload:
            return self._hits_of_upload(query.upload, asked)
        if query.like:
            self.library.position_of(query.like)  # never a path: what is asked for by name is the library's
            return self._one(self.library.search(like=query.like, k=COUNT, **asked))
        return self._one(self.library.search(query.caption, k=COUNT, **asked))

    def _hits_of_upload(self, token: str, asked: dict[str, Any]) -> Hits:
        path, name = self.uploads.find(token)
        try:
            return self._one(self.library.search(like=path, k=COUNT, **asked))
        except SearchError as error:
            raise SearchError(str(error).replace(str(path), name)) from error

    @staticmethod
    def _one(found: Hits | list[Hits]) -> Hits:
        """The hits of the one query that was asked."""
        return found if isinstance(found, Hits) else found[0]

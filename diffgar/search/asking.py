"""From a question to ranked tracks: start from a query, edit it, steer it, rank the library."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.answers import Answer
from diffgar.jobs.opened import Opened
from diffgar.search.bench import Asker, CaptionBench, SearchBench, TypedCaptions, VectorBench
from diffgar.search.edits import Edit, between, read_edit
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit, Hits
from diffgar.search.likeness import Likeness, inverted
from diffgar.search.negatives import Negative, read_negatives
from diffgar.search.parts import WHOLE, Parts
from diffgar.search.question import Question
from diffgar.search.steering import Steering, steering_of

if TYPE_CHECKING:
    from diffgar.library import Library


@dataclass(frozen=True, eq=False)
class Asking:
    """One search of a library by a model: for P captions, or, if `captions` is None, for the track `question.like`."""

    opened: Opened
    library: "Library"
    captions: Sequence[str] | None
    question: Question

    def hits(self, k: int) -> list[Hits]:
        """The k best tracks for each of the P queries."""
        like = None if self.question.like is None else Likeness.of(self.library, self.question.like, self.parts)
        negatives = self.negatives
        if self.question.method is not None and not negatives:
            raise SearchError(
                f"method={self.question.method!r} steers away from a negative; give one: negative='drums'"
            )
        bench = self.bench(like)
        steering = steering_of(self.opened, self.question, isinstance(bench, CaptionBench)) if negatives else None
        answer = Answer(bench.plain()) if steering is None else steering.answer(bench)
        penalties = [None] * bench.size if answer.penalties is None else next(iter(answer.penalties))  # (P, N)
        asked = self.described(like, bench.negatives, steering)
        left_out = None if like is None else like.position  # a track is no answer to itself
        captions = self.captions if self.captions is not None else [None]
        return [
            self.ranked(query, penalty, k, left_out, {"caption": caption} | asked)
            for query, penalty, caption in zip(answer.queries[0], penalties, captions, strict=True)
        ]

    @cached_property
    def edit(self) -> Edit:
        """The question's edit, one that changes nothing where there is none."""
        return Edit(None, ()) if self.question.edit is None else read_edit(self.question.edit)

    @cached_property
    def parts(self) -> Parts:
        """The parts that are compared."""
        named = [self.edit.part, *(negative.part for negative in self.negatives)]
        return self.question.parts(self.opened.model, any(part is not None for part in named))

    @cached_property
    def negatives(self) -> list[Negative]:
        """The negatives of the question and of its edit, the short ones with phrasings from the collection."""
        found = read_negatives(self.question.negative) + read_negatives(self.edit.unwanted)
        if not self.question.expand:
            return found
        return [each if each.phrasings else replace(each, phrasings=self.expanded(each.typed)) for each in found]

    def expanded(self, typed: str) -> tuple[str, ...]:
        """The phrasings of a short negative in the library's captions and tags."""
        return self.library.phrasebook.expand(typed)

    def bench(self, like: Likeness | None) -> SearchBench:
        """The queries before steering, edited if there is an edit, and the negatives to steer away from."""
        question, edit, negatives, parts = self.question, self.edit, self.negatives, self.parts
        index = self.library.nearest_by(parts).index
        asker = Asker(self.opened, replace(self.opened.sampler, **question.sampling()), question.seed, parts)
        if like is None:
            captions = TypedCaptions(self.opened, self.captions or [], question.numbers)
            bench: SearchBench = CaptionBench(asker, captions, negatives, index)
        else:
            bench = VectorBench(asker, like.vector, negatives, index)
        if edit.wanted is None:
            return bench
        if question.editing == "inversion":
            edited = inverted(self.opened, like, edit.wanted, question.edit_strength, parts)
        else:
            target = asker.queries(TypedCaptions(self.opened, [edit.wanted]))[0]  # (1, D)
            edited = between(bench.plain()[0], target, question.edit_strength)
        if edit.part is not None:
            edited = parts.replaced(bench.plain()[0], edited, edit.part)
        return VectorBench(asker, edited, negatives, index)

    def ranked(
        self, query: Tensor, penalty: Tensor | None, k: int, left_out: int | None, asked: dict[str, Any]
    ) -> Hits:
        """The k tracks with the highest cosine to a query (D,) less a penalty (N,).

        left_out: the position of a track that is not ranked.
        """
        if not query.isfinite().all():
            raise SearchError("the query is not finite; take a lower guidance_scale, and lower weights of negatives")
        if left_out is not None:
            penalty = torch.zeros(len(self.library)) if penalty is None else penalty.clone()
            penalty[left_out] = torch.inf
        found = self.library.nearest_by(self.parts).search(F.normalize(query, dim=-1), k, penalty)
        each = zip(found.positions.tolist(), found.cosines.tolist(), found.scores.tolist(), strict=True)
        hits = [self.hit(rank, found.count, *one, query) for rank, one in enumerate(each, start=1)]
        return Hits(tuple(hits), query, asked, self.parts)

    def hit(self, rank: int, count: int, position: int, cosine: float, score: float, query: Tensor) -> Hit:
        """The hit at a rank among `count` tracks."""
        library, track_id = self.library, self.library.tracks.at[position, "row_id"]
        percentile = 100.0 * (count - rank) / (count - 1) if count > 1 else 100.0
        path, moment = str(library.path_of(position)), library.moment(position, self.parts.each(query))
        return Hit(rank, percentile, track_id, path, moment, library.caption_of(track_id), cosine, score, position)

    def described(self, like: Likeness | None, negatives: list[Negative], steering: Steering | None) -> dict[str, Any]:
        """What was asked and how it was answered, as `Hits.asked` has it."""
        question = self.question
        asked: dict[str, Any] = {"like": None if like is None else like.name, "edit": question.edit}
        if question.edit is not None:
            asked |= {"edit_strength": question.edit_strength, "editing": question.editing}
        asked["negatives"] = [negative.describe() for negative in negatives]
        if steering is not None:
            asked |= {"method": steering.name, "strength": dict(steering.strength)}
        if self.parts != WHOLE:
            asked |= asdict(self.parts)
        return asked | {"seed": question.seed} | question.sampling()

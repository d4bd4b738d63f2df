"""The Python API: a trained model that encodes captions and audio, indexes collections and searches them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.reader import Store
from diffgar.jobs.opened import Opened
from diffgar.jobs.published import open_named, push, save_published
from diffgar.library import Library
from diffgar.models.baselines import ContrastiveHeads
from diffgar.search.asking import Asking
from diffgar.search.bench import Asker, CaptionBench, TypedCaptions
from diffgar.search.encoding import encode_audio
from diffgar.search.errors import SearchError
from diffgar.search.hits import Hits
from diffgar.search.indexing import OPTIONS, captions_beside, check_latents, open_source
from diffgar.search.negatives import Asked, read_negatives
from diffgar.search.parts import WHOLE, Parts, parts_of
from diffgar.search.question import Question
from diffgar.search.steering import vector_steering_of
from diffgar.values import whole


class Retriever:
    """A trained model that searches music by text.

        retriever = Retriever.from_pretrained("checkpoints/demo")
        library = retriever.index("~/music")
        for hit in library.search("a calm piano piece", negative="drums", k=10):
            print(hit.rank, hit.percentile, hit.track_id, hit.path, hit.seconds)

    It works with every encoder pair and every kind of model. An option that a kind of model does not support raises
    SearchError; contrastive heads and regressions, for example, cannot be guided.
    """

    def __init__(self, opened: Opened):
        self.opened = opened

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        step: int | str = "best",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        allow: Sequence[str] = (),
    ) -> "Retriever":
        """A training folder, a folder of `save_pretrained`, or the id of one on the Hugging Face hub.

        step: a step of a training folder: a number, `best` (by validation) or `last`. revision, token: for the hub.
        allow: further packages whose classes a published model may use; they must be installed already. Raises
        CheckpointError for a model that is missing, damaged, of another version, or of classes that are not allowed.
        """
        return cls(open_named(name, step, allow, revision, token))

    def save_pretrained(
        self, folder: str | Path, *, license: str | None = None, results: str | Path | None = None
    ) -> Path:
        """Write `config.json`, `model.safetensors`, `phrases.json` and a model card, `README.md`; returns the folder.

        license: the weights' licence; by default MIT, or that of an encoder with a more restrictive one. results: the
        folder whose results the card shows, by default that of the model's config. An existing card is kept as it is,
        also that of a model that was loaded from such a folder. Raises CheckpointError for a training folder.
        """
        return save_published(
            self.opened, Path(folder).expanduser(), license, None if results is None else Path(results)
        )

    def push_to_hub(
        self, repo_id: str, *, private: bool | None = None, token: str | bool | None = None, license: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub, and return its URL.

        A model that was loaded from a published folder keeps that folder's card, with your changes. private: whether a
        new repository is private. token: by default that of `hf auth login`. Raises HubError where the hub refuses.
        """
        return push(self.opened, repo_id, private, token, license)

    def encode_query(
        self,
        captions: str | Sequence[str],
        negatives: Asked = None,
        **asked: Any,
    ) -> Tensor:
        """Unit vectors (Q, D) of captions, or (D,) of one, on the CPU, to be compared with `encode_document`'s.

        negatives: what to avoid, as in `search`, by default with the method `query_arithmetic`; the methods that
        penalise tracks need the whole search. asked: fields of `Question`, such as seed, num_steps or segments.
        """
        if unfit := {"like", "edit"} & asked.keys():
            raise SearchError(f"a query is of captions, and {unfit.pop()}= is of a search: library.search(…)")
        question = Question(negative=negatives, **asked)
        several = [captions] if isinstance(captions, str) else list(captions)
        avoided = read_negatives(question.negative)
        parts = question.parts(self.opened.model, any(each.part is not None for each in avoided))
        asker = Asker(self.opened, replace(self.opened.sampler, **question.sampling()), question.seed, parts)
        bench = CaptionBench(asker, TypedCaptions(self.opened, several, question.numbers), avoided)
        queries = bench.plain()[0]
        if bench.negatives:
            steering = vector_steering_of(self.opened, question)
            answer = steering.answer(bench)
            if answer.penalties is not None:
                raise SearchError(
                    f"{steering.name} penalises tracks, which a vector cannot; choose query_arithmetic or compose"
                )
            queries = answer.queries[0]
        return queries[0] if isinstance(captions, str) else queries

    def encode_document(
        self, paths: str | Path | Sequence[str | Path], num_workers: int = 0, **compared: Any
    ) -> Tensor:
        """Unit vectors (N, D) of audio files, or (D,) of one, on the CPU. num_workers: processes that decode ahead.

        compared: `segments` and `pooled_weight` of `Question`, for queries that were encoded with the same.
        """
        several = [paths] if isinstance(paths, str | Path) else list(paths)
        parts = Question(**compared).parts(self.opened.model)
        means = torch.stack([parts.means(frames) for frames in encode_audio(self.opened, several, num_workers)])
        vectors = self.to_vectors(means, parts)
        return vectors[0] if isinstance(paths, str | Path) else vectors

    def similarity(self, queries: Tensor, documents: Tensor) -> Tensor:
        """The cosine (Q, N) of queries (Q, D), or (D,), and documents (N, D)."""
        both = [torch.nn.functional.normalize(torch.atleast_2d(each), dim=-1) for each in (queries, documents)]
        return both[0] @ both[1].T

    def index(self, source: str | Path, root: str | Path | None = None, num_workers: int = 2) -> Library:
        """A library of a folder of audio, of a dataset's YAML file, or of an existing latent store.

        New and changed files are encoded, deleted ones are dropped; a kill loses the encoding of at most 64 tracks.
        Files that cannot be read are left out: `Library.skipped`. root: where the latents of a folder are kept, by
        default in the user's cache (GDR_LIBRARIES). Raises SearchError for a store of another encoder.
        """
        if not str(source):
            raise SearchError("the place to index is empty; name a folder of audio, a dataset's YAML or a latent store")
        options = replace(OPTIONS, num_workers=num_workers, device=str(self.opened.device))
        store, captions = open_source(self.opened, Path(source), None if root is None else Path(root), options)
        return Library(self, store, captions)

    def trained_library(self) -> Library:
        """The collection that the model was trained on. Raises StoreError if its latent store is not there."""
        folder = self.opened.stores["audio"]
        store = Store(folder, f"run extract_dataset.py data={folder.parent.name}, or index a folder of audio")
        return Library(self, store, captions_beside(folder))

    def search(
        self, library: Library, caption: str | Sequence[str] | None = None, *, k: int = 10, **asked: Any
    ) -> Hits | list[Hits]:
        """The k tracks of a library that fit best: `Hits` of one caption, or a list of them.

        asked: the fields of `Question`: like, edit, negative, method, seed and more. Raises SearchError for a library
        of another model, and for a question that this one cannot answer.
        """
        if library.retriever.opened is not self.opened:
            raise SearchError(
                f"the library was indexed by another retriever, of {library.retriever.opened.name}, and this one is of "
                f"{self.opened.name}; index it with this one: retriever.index(…)"
            )
        whole("k", k, least=1)
        question = Question(**asked)
        if (caption is None) == (question.like is None):
            raise SearchError("give a caption or like=, a track to search by, and not both; edit= changes either")
        if caption is None or isinstance(caption, str):
            captions = None if caption is None else [caption]
            return Asking(self.opened, library, captions, question).hits(k)[0]
        return Asking(self.opened, library, list(caption), question).hits(k)

    @property
    def parts(self) -> Parts:
        """How queries and tracks are compared unless a question says otherwise."""
        return parts_of(self.opened.model)

    def to_vectors(self, means: Tensor, parts: Parts = WHOLE) -> Tensor:
        """Unit vectors (N, L) in the space of the queries, from the mean latents (N, P, D) of tracks' parts."""
        model = self.opened.model
        if isinstance(model, ContrastiveHeads):
            with torch.inference_mode():
                return model.embed_audio(means if parts.segments > 1 else means.squeeze(1)).cpu()
        return parts.units(means, model.centre.cpu())

    def moment_vectors(self, means: Tensor) -> Tensor:
        """Unit vectors (T, D) from mean latents (T, D) of moments, to be compared with a query's part or the whole."""
        count = self.parts.segments
        vectors = self.to_vectors(means.unsqueeze(1).expand(-1, count, -1), self.parts)  # the same in every part
        return self.parts.each(vectors)[:, 0] * count**0.5

    def refuse_other_latents(self, card: Card, folder: Path) -> None:
        """Raises SearchError for a store whose latents are not those that the model was trained on."""
        check_latents(card.encoding(), self.opened.latents["audio"], folder, self.opened.name)

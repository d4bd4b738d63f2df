"""Retrieval on the validation split, by which training chooses its best step."""

import numpy as np
import torch
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.metrics.ranks import ranks
from diffgar.evaluation.metrics.recall import retrieval_metrics
from diffgar.evaluation.models import CaptionProjector, LatentGenerator, Model
from diffgar.evaluation.pooling import make_queries
from diffgar.evaluation.projected import projected_index, projected_queries
from diffgar.evaluation.queries import caption_positions, generated_queries, task_of, track_positions
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.distributed import summed

FEW = 50  # tracks, below which steps tie or are told apart by chance


class ValidationRetrieval:
    """R@10, MedR and MRR (%) of a model's queries on the validation split, with one caption per track.

    It is called with the model. The noise is the same every time, so that checkpoints differ by their weights alone.
    Several processes that train it together share the captions, and each has the metrics of all of them.
    notes: sentences for the user, about tracks without latents and about a split that is too small to choose a step.
    Raises InputError for a model that makes no finite queries, and ValueError where the split has no caption of a track
    with latents.
    """

    def __init__(self, audio: Store, text: TextStore, sampler: Sampler, max_tracks: int = 1000):
        task = task_of("validation", audio, text, "validation", allow_missing=True)
        first = task.captions.drop_duplicates("track_id").index[:max_tracks].to_numpy(copy=True)
        self.audio, self.task = audio, task
        self.means, self.targets = audio.means(track_positions(audio, task)), task.targets[first]
        self.text, self.positions, self.sampler = text, caption_positions(text, task)[first], sampler
        self.notes: list[str] = []
        if task.missing:
            self.notes.append(
                f"validation: {len(task.missing)} tracks have captions but no latents, the first "
                f"{task.missing[0]!r}; they are left out"
            )
        if len(self.means) < FEW:
            self.notes.append(
                f"validation: {len(self.means)} tracks, which hardly tell steps apart (ties of R@10 go to MedR, MRR "
                f"and the later step); give the split {FEW} or more where you can"
            )

    def __call__(self, model: Model, rank: int = 0, world_size: int = 1) -> dict[str, float]:
        """Measure the model. rank, world_size: of this process among those that call this together."""
        if isinstance(model, CaptionProjector):
            queries = projected_queries(model, self.text, self.positions)[0]
            index = projected_index(model, self.audio, self.task)
        else:
            centre = model.centre.cpu()
            queries, index = self.shared_queries(model, centre, rank, world_size), self.means - centre
        if not torch.isfinite(queries).all():
            raise InputError(
                "the training has diverged: the model makes NaN or infinite queries; train anew, under another "
                "model_name, with a lower optimizer.lr"
            )
        metrics = retrieval_metrics(ranks(queries, index, self.targets), pool_size=len(index))
        return {name: metrics[name] for name in ("R@10", "MedR", "MRR")}

    def shared_queries(self, model: LatentGenerator, centre: Tensor, rank: int, world_size: int) -> Tensor:
        """The queries (Q, D) of all captions, each sampled by one of the processes.

        Whole batches are shared, so that every query is made in the batch in which one process alone would make it: in
        another one the last digits may differ, and with them ranks.
        """
        size = max(1, self.sampler.batch_size // self.sampler.num_samples)  # captions of a batch
        mine = np.flatnonzero(np.arange(len(self.positions)) // size % world_size == rank)
        queries = torch.zeros(len(self.positions), self.means.shape[1], device=model.centre.device)
        if len(mine):
            centred = [lambda latents: make_queries(latents - centre)]
            own = generated_queries(model, self.sampler, self.text, self.positions[mine], [0], centred)
            queries[mine] = own[0][0].to(queries.device)
        return (queries if world_size == 1 else summed(queries)).cpu()

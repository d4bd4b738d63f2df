"""Retrieval on the validation split, by which training chooses its best step."""

import torch

from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.metrics.ranks import ranks
from diffgar.evaluation.metrics.recall import retrieval_metrics
from diffgar.evaluation.models import CaptionProjector, Model
from diffgar.evaluation.pooling import make_queries
from diffgar.evaluation.projected import projected_index, projected_queries
from diffgar.evaluation.queries import caption_positions, generated_latents, task_of, track_positions
from diffgar.models.diffusion.sampling import Sampler

FEW = 50  # tracks, below which steps tie or are told apart by chance


class ValidationRetrieval:
    """R@10, MedR and MRR (%) of a model's queries on the validation split, with one caption per track.

    It is called with the model. The noise is the same every time, so that checkpoints differ by their weights alone.
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

    def __call__(self, model: Model) -> dict[str, float]:
        if isinstance(model, CaptionProjector):
            queries = projected_queries(model, self.text, self.positions)[0]
            index = projected_index(model, self.audio, self.task)
        else:
            latents = generated_latents(model, self.sampler, self.text, self.positions, seed=0)
            centre = model.centre.cpu()
            queries, index = make_queries(latents - centre), self.means - centre
        if not torch.isfinite(queries).all():
            raise InputError(
                "the training has diverged: the model makes NaN or infinite queries; train anew, under another "
                "model_name, with a lower optimizer.lr"
            )
        metrics = retrieval_metrics(ranks(queries, index, self.targets), pool_size=len(index))
        return {name: metrics[name] for name in ("R@10", "MedR", "MRR")}

"""How samples and frames become queries, and tracks the index that these search."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from diffgar.dataloading.store.reader import Store
from diffgar.evaluation.checks import POOLINGS, SAMPLES
from diffgar.evaluation.metrics.alignment import AlignedIndex
from diffgar.evaluation.metrics.ranks import Index
from diffgar.evaluation.tasks import RetrievalTask
from diffgar.evaluation.track_means import index_of, part_means
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import mixed, segment_means, side_by_side
from diffgar.values import one_of

IN_TIME = ("segments", "aligned")  # poolings for which the order counts


@dataclass(frozen=True)
class Pooling:
    """One way to make queries and an index.

    samples, pooling, segments, pooled_weight: see `make_queries`. grid: the steps on which a track's cuts may lie;
    `aligned` alone has them. A pooling that is not in time has neither parts nor a mixture.
    """

    samples: str = "mean"
    pooling: str = "mean"
    segments: int = 2
    grid: int = 8
    pooled_weight: float = 0.0

    def queries(self, latents: Tensor, centre: Tensor | None = None) -> Tensor:
        """Queries from generated latents (Q, K, T, D)."""
        return make_queries(latents, None, self.samples, self.pooling, centre, self.segments, self.pooled_weight)

    def index(self, audio: Store, task: RetrievalTask, centre: Tensor | None = None) -> Index:
        """The task's tracks, for these queries to search."""
        if self.pooling == "aligned":
            steps = part_means(audio, task, self.grid)  # (N, G, D)
            centred = steps if centre is None else steps - centre.to(steps)
            return AlignedIndex(centred, self.segments, self.pooled_weight)
        pooled = index_of(audio, task, centre)
        if self.pooling == "segments":
            return mixed(pooled, side_by_side(part_means(audio, task, self.segments), centre), self.pooled_weight)
        return pooled


def make_queries(
    latents: Tensor,
    mask: Tensor | None = None,
    samples: str = "mean",
    pooling: str = "mean",
    centre: Tensor | None = None,
    segments: int = 2,
    pooled_weight: float = 0.0,
) -> Tensor:
    """Queries from generated latents (Q, K, T, D), K samples per caption, and their mask (Q, K, T).

        pooling       samples   queries
        "mean"        "mean"    (Q, D)         one vector per caption
        "mean"        "set"     (Q, K, D)      one per sample; the sample nearest to a track counts
        "best_frame"  "mean"    (Q, T, D)      one per frame; the frame nearest to a track counts
        "best_frame"  "set"     (Q, K · T, D)  one per frame of each sample
        "segments"    "mean"    (Q, P · D)     the means of P = `segments` parts side by side: order counts
        "segments"    "set"     (Q, K, P · D)  the same per sample
        "aligned"                              as "segments"; tracks are cut where that answers best

    centre (D,): the point that is subtracted before vectors get unit length, as for the index. pooled_weight: that of
    the pooled cosine in a mixture with the parts', see `segments.mixed`.
    """
    one_of("samples", samples, SAMPLES)
    one_of("pooling", pooling, POOLINGS)
    if pooling == "best_frame":
        if mask is not None and not mask.all():
            raise ValueError("best_frame needs queries without padding frames: generate all with one num_frames")
        frames = pool(latents.unsqueeze(-2), centre=centre)  # (Q, K, T, D), each frame by itself
        return frames.mean(dim=1) if samples == "mean" else frames.flatten(1, 2)
    mean = samples == "mean"
    pooled = mean_direction(pool(latents, mask, centre), mean)  # (Q, K, D), or (Q, D) of the mean
    if pooling not in IN_TIME:
        return pooled
    parts = mean_direction(side_by_side(segment_means(latents, segments, mask), centre), mean)  # (Q, …, P · D)
    if mean and pooling == "aligned":  # the mean of cosines asks for parts of one length
        parts = side_by_side(parts.unflatten(-1, (segments, -1)))
    return mixed(pooled, parts, pooled_weight)


def mean_direction(vectors: Tensor, mean: bool) -> Tensor:
    """The unit mean (Q, D) of the vectors of K samples (Q, K, D), or if it is not wanted the vectors themselves."""
    return F.normalize(vectors.mean(dim=1), dim=-1) if mean else vectors

"""Training of the demo's encoder pair, as a thin Lightning module."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from diffgar.demo.encoder import DemoAudioEncoder, DemoTextEncoder, save_pair, split_words
from diffgar.demo.towers import DIM
from diffgar.evaluation.metrics.ranks import ranks
from diffgar.evaluation.metrics.recall import KS, retrieval_metrics
from diffgar.models.backbones.layers import TextPooling
from diffgar.models.clipping import ClipsGradients
from diffgar.models.contrastive import against_reverse, info_nce
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.pretrained.weights import RANDOM
from diffgar.models.encoders.segments import segment_means, side_by_side
from diffgar.text_states import TextStates

TEMPERATURE = 0.05  # of the loss of order


class ContrastiveTowers(ClipsGradients):
    """Trains the demo's encoder pair: a track's pooled windows against one of its captions.

    captions: the text tower gets to know their words. Batches are those of `WindowsDataModule`. From step `order_from`
    on a second loss asks the token states for the order of things (`order_loss`); any sooner it keeps the towers from
    meeting. weights: a file of `save_pair` to start from, with its words, or "random".
    """

    def __init__(
        self,
        captions: list[str],
        optimizer: Callable,
        lr_scheduler: Callable,
        word_dropout: float = 0.1,
        max_mask: int = 10,
        order_from: int = 1000,
        reverse_weight: float = 10.0,
        weights: str | Path = RANDOM,
    ):
        super().__init__()
        self.audio_encoder, self.text_encoder = DemoAudioEncoder(weights), DemoTextEncoder(weights)
        self.text_encoder.add_words(word for text in captions for word in split_words(text))
        self.text_encoder.word_dropout, self.max_mask = word_dropout, max_mask
        self.order_from, self.reverse_weight = order_from, reverse_weight
        self.halves = TextPooling(self.text_encoder.dim, 2 * DIM, num_heads=2)
        self.log_scale = nn.Parameter(torch.tensor(14.0).log())
        self.make_optimizer, self.make_lr_scheduler = optimizer, lr_scheduler
        self.train()  # encoders come in evaluation mode

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        """InfoNCE between captions and the pooled windows of their tracks, and between them and the halves in order."""
        latents = self.latents_of(batch["features"])  # (B, K, D)
        text, temperature = self.text_encoder.encode(batch["captions"]), 1 / self.log_scale.exp().clamp(max=100)
        loss = info_nce(embedding_of(text), pool(latents), temperature).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(latents))
        if self.global_step < self.order_from:
            return loss
        order = self.order_loss(text, segment_means(latents, 2), batch["tells_course"])
        self.log("train/order", order, prog_bar=True, batch_size=len(latents))
        return loss + order

    def latents_of(self, features: Tensor) -> Tensor:
        """Windows (B, K, F, M), some of their bands hidden, to latents (B, K, D)."""
        masked = masked_bands(features.flatten(0, 1), self.max_mask)  # (B·K, F, M)
        return self.audio_encoder.tower(masked).unflatten(0, features.shape[:2])

    def order_loss(self, text: TextStates, means: Tensor, tells_course: Tensor) -> Tensor:
        """How badly captions find the halves of their tracks, mean latents (B, 2, D), in their order.

        Two vectors that are pooled from the token states, for training alone, must find their track's halves side by
        side among those of other tracks and, where the caption tells a course, its own track's reversed. The reverse
        alone is also asked for, with `reverse_weight`: without it the order of two instruments is never learned.
        """
        told = side_by_side(self.halves(text.hidden_states, text.mask).unflatten(-1, (2, DIM)))  # (B, 2 · D)
        index = torch.cat([side_by_side(means), side_by_side(means.flip(1))])  # (2B, 2 · D)
        similarity, partner = told @ index.T / TEMPERATURE, torch.arange(len(told), device=told.device)  # (B, 2B)
        untold = F.one_hot(partner + len(told), len(index)).bool() & ~tells_course[:, None]
        found = F.cross_entropy(similarity.masked_fill(untold, -torch.inf), partner)
        reverse = against_reverse(told, index[: len(told)], index[len(told) :], TEMPERATURE)  # (B,)
        return found + self.reverse_weight * (reverse * tells_course).mean()

    def validation_step(self, tracks: list[dict], batch_idx: int) -> None:
        """The whole split in one batch, while averaged weights, where a callback keeps them, are still in place."""
        metrics = recalls(embedded(tracks, self.audio_encoder, self.text_encoder))
        self.log_dict({f"val/{name}": value for name, value in metrics.items()}, prog_bar=True, batch_size=len(tracks))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser, and its learning-rate schedule by optimiser step."""
        optimizer = self.make_optimizer(self.parameters())
        lr_scheduler = self.make_lr_scheduler(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"}}

    def publish(self, path: str | Path) -> dict[str, float]:
        """Write the towers to `path`; returns retrieval by that very file on the test split, in per cent."""
        save_pair(path, self.audio_encoder, self.text_encoder)
        tracks = next(iter(self.trainer.datamodule.test_dataloader()))  # type: ignore[attr-defined]
        with torch.inference_mode():
            figures = recalls(embedded(tracks, DemoAudioEncoder(path), DemoTextEncoder(path)))
        return {**figures, "num_tracks": len(tracks)}


def embedding_of(text: TextStates) -> Tensor:
    """The unit vectors (Q, D) of captions."""
    assert text.embedding is not None  # the demo's encoder always has one
    return text.embedding


def embedded(
    tracks: list[dict], audio_encoder: DemoAudioEncoder, text_encoder: DemoTextEncoder
) -> list[tuple[Tensor, Tensor]]:
    """The index vector (D,) of each track's windows and the embeddings (Q, D) of its captions."""
    return [
        (pool(audio_encoder.tower(track["features"])), embedding_of(text_encoder.encode(track["captions"])))
        for track in tracks
    ]


def masked_bands(features: Tensor, max_mask: int) -> Tensor:
    """Features (N, F, M) with a random run of at most `max_mask` bands of each set to its mean (SpecAugment)."""
    width = torch.randint(max_mask + 1, (len(features), 1), device=features.device)
    start = (torch.rand(len(features), 1, device=features.device) * (features.shape[2] - width)).long()
    bands = torch.arange(features.shape[2], device=features.device)
    hidden = (bands >= start) & (bands < start + width)  # (N, M)
    return torch.where(hidden.unsqueeze(1), features.mean(dim=(1, 2), keepdim=True), features)


def recalls(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """R@1, R@5, R@10 in per cent, of (index (D,), queries (Q_i, D)) for each track; mid-rank among ties."""
    index = torch.stack([vector for vector, _ in pairs])  # (N, D)
    own = torch.cat([torch.full((len(queries),), i) for i, (_, queries) in enumerate(pairs)])  # (Q,)
    found = ranks(torch.cat([queries for _, queries in pairs]), index, own)
    metrics = retrieval_metrics(found, pool_size=len(index))
    return {f"R@{k}": metrics[f"R@{k}"] for k in KS}

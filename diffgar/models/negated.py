"""Contrastive heads that are trained to heed negations in captions."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from diffgar.batch import Batch, NegatedBatch
from diffgar.errors import InputError
from diffgar.models.baselines import ContrastiveHeads, NormedPooling, head
from diffgar.models.contrastive import against_others, info_nce
from diffgar.models.distributed import gather_rows
from diffgar.values import number


class NegatedHeads(ContrastiveHeads):
    """`ContrastiveHeads` whose captions also say what a track lacks, "piano, without rock drums".

    After Vasilakis et al. 2026 (arXiv 2601.13931), who add negated captions to the training of a joint model and a loss
    that sets captions apart from their negations; only its abstract was at hand, and the formulas are this project's.
    Beside the InfoNCE of the captions stand three terms of weight `negated_weight`: the InfoNCE of the captions with a
    true negation; that they prefer their track to those with the negated value (`against_others`); and that a track
    prefers its caption to the same with a false negation. Token states are pooled by attention, because a mean of them
    does not say to which word a "without" belongs. The encoder stays frozen, where the paper's is trained from scratch:
    heads can heed only what its states have of a negation. parts: as for `ContrastiveHeads`, without its `segments`.
    """

    row = "negated_head"

    def __init__(
        self,
        text_dim: int,
        width: int = 512,
        dim: int = 128,
        dropout: float = 0.1,
        negated_weight: float = 1.0,
        **parts: Any,
    ):
        super().__init__(text_dim, width, dim, dropout, **parts)
        self.negated_weight = number("module.negated_weight", negated_weight, least=0)
        self.text_pooling = NormedPooling(text_dim, width)
        self.text_head = head(width, width, dim, dropout)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The mean loss of a batch. Raises InputError for one without negations."""
        if not isinstance(batch, NegatedBatch):
            raise InputError(
                "negated heads train on negated captions, and the batches have none; give datamodule.negated its "
                "attributes, negations and text_encoder, as baselines/negated.yaml of the demo does"
            )
        temperature, audio = 1 / self.log_scale.exp().clamp(max=100), self.embed_audio(self.means_of(batch))
        text, said, denied = (self.embed_text(each) for each in (batch.text, batch.said, batch.denied))
        plain = info_nce(text, audio, temperature, gather_rows, batch.track)
        heeded = info_nce(said, audio, temperature, gather_rows, batch.track)
        attribute, value = batch.absent.unbind(dim=1)
        holders = value.unsqueeze(1) == gather_rows(batch.values)[:, attribute].T  # (B, G): the tracks with the value
        avoided = against_others(said, audio, gather_rows(audio), holders, temperature)
        apart = F.softplus(((denied - text) * audio).sum(dim=-1) / temperature)
        loss = (plain + self.negated_weight * (heeded + avoided + apart)).mean()
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

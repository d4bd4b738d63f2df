"""MuQ-MuLan's text tower: XLM-RoBERTa, and a transformer that takes no mask.

The modules have the names that the published checkpoint needs.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaModel

from diffgar.models.encoders.networks.muq_transformer import Transformer, TransformerSizes


class TextTower(nn.Module):
    """Token ids (N, L), none of them padding, to the transformer's states (N, L, dim)."""

    def __init__(self, roberta: XLMRobertaConfig, sizes: TransformerSizes, projected: bool):
        super().__init__()
        self.model = XLMRobertaModel(roberta, add_pooling_layer=False)
        self.proj = nn.Linear(roberta.hidden_size, sizes.dim) if projected else nn.Identity()
        self.transformer = Transformer(sizes)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (N, L) to (N, L, dim)."""
        return self.transformer(self.proj(self.model(input_ids=ids).last_hidden_state))


class MuqText(nn.Module):
    """Token ids (N, L), none of them padding, to token states (N, L, dim) and unit-norm embeddings (N, latent_dim).

    projected: whether a linear layer lies between XLM-RoBERTa and the transformer, as where their widths differ.
    """

    def __init__(self, roberta: XLMRobertaConfig, sizes: TransformerSizes, projected: bool, latent_dim: int):
        super().__init__()
        tower = TextTower(roberta, sizes, projected)
        self.mulan = nn.ModuleDict({"text": tower, "text_to_latents": nn.Linear(sizes.dim, latent_dim)})

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids (N, L) to states (N, L, dim) and embeddings (N, latent_dim)."""
        hidden_states = self.mulan["text"](ids)
        embedding = self.mulan["text_to_latents"](hidden_states.mean(dim=1))
        return hidden_states, F.normalize(embedding, dim=-1)

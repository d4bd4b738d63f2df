"""The published U-Net and the text encoder in its training loop, for `train_step` to be timed beside ours.

Needs `a-unet` (benchmarks/requirements.txt).
"""

import torch
from a_unet import TimeConditioningPlugin
from a_unet.apex import AttentionItem, CrossAttentionItem, ModulationItem, ResnetItem, SkipModulate, XBlock, XUNet
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from benchmarks.base_unet import ATTENTIONS, BLOCKS, CHANNELS, FACTORS, LATENT_DIM, TEXT_DIM
from diffgar.text_states import TextStates


class PublishedUNet(nn.Module):
    """a-unet behind our contract; it is channels-first, and knows no masks."""

    def __init__(self):
        super().__init__()
        levels = zip(CHANNELS, FACTORS, BLOCKS, ATTENTIONS, strict=True)
        self.unet = TimeConditioningPlugin(XUNet)(
            modulation_features=1024,
            dim=1,
            in_channels=LATENT_DIM,
            blocks=[XBlock(channels=c, factor=f, items=_items(a) * n) for c, f, n, a in levels],
            skip_t=SkipModulate,
            resnet_groups=8,
            attention_heads=8,
            attention_features=64,
            embedding_features=TEXT_DIM,
        )

    def forward(self, noisy_latents: Tensor, timesteps: Tensor, text: TextStates, mask: Tensor) -> Tensor:
        """The prediction (B, T, D), of padding tokens and frames too."""
        inputs = {"time": timesteps / 1000, "embedding": text.hidden_states}
        return self.unet(noisy_latents.transpose(1, 2), **inputs).transpose(1, 2)


def _items(attends: int) -> list:
    return [ResnetItem, ModulationItem] + [AttentionItem, CrossAttentionItem] * attends


class TextInTheLoop(nn.Module):
    """Token ids (B, L) to states (B, L, 768), every one of them, as the published training does each step."""

    def __init__(self):
        super().__init__()
        config = RobertaConfig(vocab_size=50265, max_position_embeddings=514)
        self.encoder = RobertaModel(config, add_pooling_layer=False)

    @torch.no_grad()
    def forward(self, ids: Tensor, text_mask: Tensor) -> Tensor:
        """The states of all tokens, of a random RoBERTa-base."""
        return self.encoder(ids, attention_mask=text_mask.long()).last_hidden_state

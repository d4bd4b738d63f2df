"""The base U-Net with random weights, and inputs of its size: what the benchmarks of training and sampling share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from diffgar.batch import Batch
from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.text_states import TextStates

LATENT_DIM, TEXT_DIM = 512, 768
NUM_FRAMES, NUM_TOKENS = 64, 77
CHANNELS, FACTORS, BLOCKS, ATTENTIONS = (1024, 1024, 1536, 2048), (2, 2, 4, 4), (1, 1, 2, 2), (0, 0, 1, 1)


@dataclass(frozen=True)
class Sizes:
    """The sizes of a U-Net: those of config/backbone/unet_base.yaml, or small ones that only show that a run works."""

    channels: tuple[int, ...] = CHANNELS
    factors: tuple[int, ...] = FACTORS
    num_blocks: tuple[int, ...] = BLOCKS
    attentions: tuple[int, ...] = ATTENTIONS

    def build(self) -> UNet:
        """The network, on the CPU."""
        levels = {"num_blocks": self.num_blocks, "attentions": self.attentions}
        return UNet(LATENT_DIM, TEXT_DIM, self.channels, self.factors, **levels, num_heads=8, head_dim=64)


SMALL = Sizes(channels=(64, 64), factors=(2, 2), num_blocks=(1, 1), attentions=(0, 1))


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a training step takes, and the token ids (B, L) of its captions."""

    batch: Batch
    draws: Draws
    ids: Tensor


def make_inputs(size: int, device: torch.device) -> Inputs:
    """Random inputs of a step of `size` samples, always the same; captions have 8 to 77 tokens."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, NUM_TOKENS + 1, (size, 1), generator=generator)
    latents, noise = torch.randn(2, size, NUM_FRAMES, LATENT_DIM, generator=generator).to(device)
    timesteps = torch.randint(1000, (size,), generator=generator).to(device)
    ids = torch.randint(5, 50000, (size, NUM_TOKENS), generator=generator).to(device)
    states = torch.randn(size, NUM_TOKENS, TEXT_DIM, generator=generator)
    text = TextStates(states, torch.arange(NUM_TOKENS) < lengths)
    mask = torch.ones(size, NUM_FRAMES, dtype=torch.bool)
    batch = Batch(latents, mask, text, torch.arange(size), step=0).to(device)
    return Inputs(batch, Draws(noise, timesteps, torch.zeros(size, dtype=torch.bool, device=device)), ids)

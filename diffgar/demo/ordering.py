"""The second stage of training the demo's pair: its text tower alone, on what the frozen audio tower hears.

Without the audio tower a step costs little, and its targets are whole halves of tracks instead of single windows. So
the text tower has time to learn what a caption says of the order of things: "saxophone follows piano".
After Zhai et al. 2022 (LiT, arXiv 2111.07991), who train a text tower against a locked tower of the other kind.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from diffgar.demo.encoder import DemoAudioEncoder
from diffgar.demo.training import ContrastiveTowers
from diffgar.demo.windows import Tracks, TrainBatches, WindowsDataModule
from diffgar.models.encoders.segments import segment_means


class HalvesDataModule(WindowsDataModule):
    """Yields the halves of the train tracks with captions: "features" (B, 2, D) are the mean latents of each half.

    weights: a file of `save_pair`, whose audio tower hears the tracks. options: as for `WindowsDataModule`.
    """

    def __init__(self, weights: str | Path, **options: Any):
        super().__init__(**(options | {"num_windows": 2}))
        self.weights = weights

    def train_dataloader(self) -> DataLoader:
        """Batches of halves with captions."""
        return DataLoader(HalvesBatches(self), batch_size=None)


class HalvesBatches(TrainBatches):
    """Batches of the train tracks' halves."""

    def __init__(self, data: HalvesDataModule):
        super().__init__(data)
        self.halves = halves_of(self.tracks, DemoAudioEncoder(data.weights))

    def _windows(self, i: int) -> Tensor:
        return self.halves[i]


@torch.inference_mode()
def halves_of(tracks: Tracks, audio_encoder: DemoAudioEncoder) -> Tensor:
    """The mean latents (N, 2, D) of the tracks' halves, all of their windows heard."""
    heard = (audio_encoder.tower(tracks[i]["features"]) for i in tqdm(range(len(tracks)), "encoding train"))
    return torch.stack([segment_means(latents, 2) for latents in heard])


class OrderedText(ContrastiveTowers):
    """Trains the text tower of a pair, as `ContrastiveTowers` does, while the audio tower stays as it is."""

    def __init__(self, **options: Any):
        super().__init__(order_from=0, **options)
        self.audio_encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "OrderedText":
        """Training mode for the text tower alone: the audio tower's norms keep their statistics."""
        super().train(mode)
        self.audio_encoder.eval()
        return self

    def latents_of(self, features: Tensor) -> Tensor:
        """The halves (B, 2, D), which are latents already."""
        return features

"""What the tests of pools and centres share: two stores in memory, and a model that knows what captions mean."""

import numpy as np
import pandas as pd
import torch
from diffusers import DDIMScheduler

from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import task_of
from diffgar.models.diffusion.sampling import Sampler
from diffgar.text_states import TextStates


class Latents:
    """The audio store's part that an evaluation reads: rows, and the mean of each track's latents (N, D)."""

    folder = "audio"

    def __init__(self, vectors: torch.Tensor, **columns):
        self.vectors = vectors
        ids = [f"t{n}" for n in range(len(vectors))]
        self.rows = pd.DataFrame({"row_id": ids, "track_id": ids, "split": "test"} | columns)

    def means(self, rows: np.ndarray) -> torch.Tensor:
        return self.vectors[rows]


class Captions:
    """The text store's part: rows, whose token state is the number of the row. tracks: which of the ids each is of."""

    folder, embeddings, purpose = "text", None, "caption"

    def __init__(self, tracks: list[int], **columns):
        ids = [f"c{n}" for n in range(len(tracks))]
        rows = {"row_id": ids, "caption_id": ids, "track_id": [f"t{n}" for n in tracks], "split": "test"}
        self.rows = pd.DataFrame(rows | {"caption": [f"music {name}" for name in ids]} | columns)

    def padded(self, rows: np.ndarray) -> TextStates:
        return TextStates(torch.as_tensor(rows).float().view(-1, 1, 1), torch.ones(len(rows), 1, dtype=torch.bool))

    def rows_of(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.rows["split"] == split)


class Oracle:
    """Generates the vector (D,) of each caption, with noise of the sample's own, `frames` times."""

    row, sampled, num_frames, device = "gdr", True, 3, "cpu"

    def __init__(self, vectors: torch.Tensor, centre: torch.Tensor, noise: float = 1.0):
        self.vectors, self.centre, self.noise = vectors, centre, noise

    def generate(self, sampler, text, generators, num_frames: int, negatives=(), form="compose") -> torch.Tensor:
        wanted = self.vectors[text.hidden_states.flatten().long()]
        noise = torch.stack([torch.randn(wanted.shape[1], generator=each) for each in generators])
        return (wanted + self.noise * noise).unsqueeze(1).expand(-1, num_frames, -1)


def evaluation(audio: Latents, text: Captions, model, **task) -> Experiment:
    """An experiment on these, as `open_experiment` would make it of a pair that is not joint."""
    sampler = Sampler(DDIMScheduler.from_config, num_samples=2)
    opened = task_of("t", audio, text, **({"split": "test"} | task))
    trained = {"encoder_pair": {"name": "own", "joint": False}}
    return Experiment("m", model, 5, trained, sampler, sampler, audio, text, opened, seen=0)

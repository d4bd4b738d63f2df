"""What comes first: a pool in which every track has its reversed twin."""

import pytest
import torch
import torch.nn.functional as F
from pools import Captions, Latents, evaluation

from diffgar.evaluation.report import System
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.systems import Pooling, make_systems


class Sequences(Latents):
    """Tracks of two unlike halves, and after them the same tracks with the halves exchanged."""

    def __init__(self, halves: torch.Tensor):
        first, second = (half.unsqueeze(1).expand(-1, 3, -1) for half in halves.unbind(1))  # (N, 3, D) each
        self.frames = torch.cat([torch.cat([first, second], dim=1), torch.cat([second, first], dim=1)])  # (2N, 6, D)
        super().__init__(self.frames.mean(dim=1))

    def row(self, position):
        return self.frames[position].numpy()


class Composer:
    """Generates the frames (T, D) of each caption's track, with a little noise."""

    row, sampled, num_frames, device, centre = "gdr", True, 4, "cpu", torch.zeros(32)

    def __init__(self, halves: torch.Tensor):
        self.halves = halves

    def generate(self, sampler, text, generators, num_frames, negatives=(), form="compose"):
        wanted = self.halves[text.hidden_states.flatten().long()].repeat_interleave(2, dim=1)  # (B, 4, D)
        return wanted + 0.1 * torch.stack([torch.randn(4, 32, generator=each) for each in generators])


def first_right(**how) -> float:
    """R@1 of 40 captions in a pool of 40 tracks and their twins."""
    halves = F.normalize(torch.randn(40, 2, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    experiment = evaluation(Sequences(halves), Captions(list(range(40))), Composer(halves))
    systems = make_systems([experiment], [0], Pooling(**how))
    options = RetrievalOptions(num_resamples=10)
    report = evaluate_retrieval(systems.queries, systems.index, experiment.task, options)
    return report.rows[System("gdr")]["R@1"].mean


def test_the_mean_over_time_cannot_tell_a_track_from_its_reverse_and_parts_side_by_side_can():
    assert first_right() < 75  # the twin is as near
    assert first_right(pooling="segments", segments=2) == 100
    assert first_right(pooling="segments", segments=3) == 100  # a cut through the middle of a part


def test_one_part_is_the_mean_over_time():
    assert first_right(pooling="segments", segments=1) == pytest.approx(first_right())

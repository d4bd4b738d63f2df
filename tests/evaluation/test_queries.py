"""Queries are pooled batch by batch, and are those of all latents pooled at once."""

import weakref

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from pools import Captions, Latents, Oracle, evaluation

from diffgar.evaluation.metrics.alignment import AlignedIndex
from diffgar.evaluation.pooling import Pooling
from diffgar.evaluation.queries import generated_latents, generated_queries, task_of
from diffgar.evaluation.report import System
from diffgar.evaluation.systems import Systems, make_systems, queries_of
from diffgar.evaluation.track_means import track_means
from diffgar.models.diffusion.sampling import Sampler

NUM_CAPTIONS, DIM = 23, 48
EVERY = [
    Pooling(samples, pooling, segments=3, pooled_weight=weight)
    for samples in ("mean", "set")
    for pooling, weight in (("mean", 0.0), ("best_frame", 0.0), ("segments", 0.0), ("segments", 0.4), ("aligned", 0.0))
]


class Singer(Oracle):
    """Generates noise of the sample's own, so that no two frames are alike."""

    def generate(self, sampler, text, generators, num_frames, negatives=(), form="compose"):
        return torch.stack([torch.randn(num_frames, DIM, generator=each) for each in generators]) + self.centre


def singer(num_frames: int = 7) -> Singer:
    model = Singer(torch.zeros(0), centre=torch.linspace(-1, 1, DIM))
    model.num_frames = num_frames
    return model


@pytest.mark.parametrize("batch_size", [2, 10, 16, 1000])
def test_queries_pooled_in_batches_are_to_the_bit_those_of_all_latents_at_once(batch_size):
    model, text, positions = singer(), Captions([0] * 100), np.arange(60, 60 + NUM_CAPTIONS)
    sampler = Sampler(DDIMScheduler.from_config, num_samples=2, batch_size=batch_size)
    experiment = evaluation(Latents(torch.ones(1, DIM)), text, model)
    experiment.sampler = sampler
    found = queries_of(experiment, positions, seeds=[3, 5], poolings=EVERY)
    for number, seed in enumerate((3, 5)):
        latents = generated_latents(model, sampler, text, positions, seed)
        for pooling, queries in zip(EVERY, found, strict=True):
            assert torch.equal(queries[number], pooling.queries(latents, centre=model.centre)), pooling


def test_the_latents_of_a_batch_are_gone_when_the_next_is_pooled():
    seen = []

    def to_queries(latents):
        assert all(latents() is None for latents in seen)
        seen.append(weakref.ref(latents))
        return latents.mean(dim=(1, 2))

    sampler = Sampler(DDIMScheduler.from_config, num_samples=2, batch_size=4)
    generated_queries(singer(), sampler, Captions([0] * 50), np.arange(50), [0, 1], [to_queries])
    assert len(seen) == 50


def test_the_means_of_a_tasks_tracks_are_read_once_for_all_models_and_poolings():
    class Counted(Latents):
        read = 0

        def means(self, rows):
            self.read += 1
            return super().means(rows)

    audio = Counted(torch.randn(9, DIM))
    experiment = evaluation(audio, Captions([0, 4, 8]), singer())
    make_systems([experiment] * 2, [0], [Pooling(), Pooling(pooling="best_frame")])
    assert audio.read == 1
    fewer = task_of("t", audio, Captions([0, 4, 8]), "test", where={"track_id": ["t0", "t4", "t8"]})
    assert torch.equal(track_means(audio, fewer), audio.vectors[[0, 4, 8]]) and audio.read == 2


def test_every_index_goes_to_the_device_that_ranks():
    systems = Systems(index={System("a"): torch.ones(3, 2), System("b"): torch.ones(3, 2)})
    assert {each.device.type for each in systems.ranked_on("meta").index.values()} == {"meta"}
    aligned = Systems(index={System("a"): AlignedIndex(torch.ones(3, 4, 2), 2, 0.5)}).ranked_on("cpu").index
    assert next(iter(aligned.values())).shape == (3, 6)

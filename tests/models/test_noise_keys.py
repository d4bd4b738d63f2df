"""Keys of noise: they name what the numbers are for, so no two draws meet."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffgar.evaluation.control.phrasings import Negatives
from diffgar.evaluation.queries import generated_latents
from diffgar.models.diffusion.noise_keys import PURPOSES, seed_of
from diffgar.text_states import TextStates


def test_keys_of_other_purposes_numbers_or_lengths_give_other_seeds():
    numbers = [(), (0,), (0, 0), (0, 0, 0), (1, 0), (0, 1), (10,), (1 << 32,), (0, 1 << 20), (1 << 21, 0)]
    seeds = [seed_of(purpose, *key) for purpose in PURPOSES for key in numbers]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_a_key_gives_the_same_seed_everywhere_and_for_any_kind_of_integer():
    assert seed_of("caption", 0, 17, 2) == 7598433887158892329
    assert seed_of("caption", np.int64(0), torch.tensor(17), 2) == seed_of("caption", 0, 17, 2)


def test_a_purpose_that_nobody_owns_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'guess'; the purposes are training, .*caption"):
        seed_of("guess", 0)


def test_a_caption_and_a_phrasing_of_the_same_place_start_from_other_noise():
    def first_numbers(text):
        def generate(sampler, text, generators, num_frames):
            return torch.stack([torch.randn(num_frames, 3, generator=generator) for generator in generators])

        sampler = SimpleNamespace(num_samples=2, batch_size=4)
        model = SimpleNamespace(generate=generate, num_frames=2)
        return generated_latents(model, sampler, text, np.arange(3), seed=0)

    states = TextStates(torch.zeros(3, 1, 5), torch.ones(3, 1, dtype=torch.bool))
    phrasings = Negatives(["a", "b", "c"], states, torch.arange(3), torch.arange(3))
    captions = SimpleNamespace(purpose="caption", padded=lambda rows: states.select(rows % 3))
    found = torch.cat([first_numbers(phrasings), first_numbers(captions)]).flatten(0, 1)  # (2 * 3 * 2, T, D)
    assert len(found.unique(dim=0)) == 12

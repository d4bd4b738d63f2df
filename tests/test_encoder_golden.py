"""The audio encoders against the originals' formulas: slow code in double precision, and the numbers that it gives.

Float32 differs from it by some 1e-6 of a vector's length, 1e-5 where a logarithm is taken of a small power; the
smallest of the mistakes that were ever made here, a level of 0.5 for 1, by 1e-2. The bound lies between.
"""

import numpy as np
import pytest
import torch
from layouts import MULE, MULOOC, MUSCALL, save_mule
from originals import draw, drawn, mule, mulooc, muscall

from diffgar.models.encoders.mule import MuleAudioEncoder
from diffgar.models.encoders.mule_network import Mule
from diffgar.models.encoders.mulooc import MuloocAudioEncoder
from diffgar.models.encoders.mulooc_network import Mulooc
from diffgar.models.encoders.muscall import MuscallAudioEncoder
from diffgar.models.encoders.muscall_network import MuscallAudio

BOUND = 1e-4


def noise(seconds: int) -> torch.Tensor:
    """A window (1, S) at 16 kHz that is drawn as the weights are: loud first, then quiet."""
    window = 5 * draw(f"{seconds} seconds of noise", (16_000 * seconds,))  # draws within 0.2
    window[len(window) // 2 :] *= 0.002
    return window[None]


def assert_golden(latents: torch.Tensor, expected: torch.Tensor, numbers: list[float]) -> None:
    """latents (1, D) are those of the formulas, and these are the ones that they gave when they were written."""
    assert (latents[0].double() - expected).norm() < BOUND * expected.norm()
    np.testing.assert_allclose(expected[:6], numbers, rtol=0, atol=BOUND * float(expected.norm()))


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        (1.0, [0.431598, -0.243468, -0.118025, 0.085447, -0.286441, -0.070584]),
        (0.5, [0.430382, -0.243858, -0.116566, 0.083172, -0.286087, -0.064489]),
    ],
)
def test_mule_at_full_scale_and_at_half(tmp_path, level, numbers):
    state = drawn(Mule(**MULE))
    encoder = MuleAudioEncoder(save_mule(tmp_path, lambda _: state), level=level)
    assert_golden(encoder.encode(noise(3)), mule(state, noise(3)[0].numpy(), level), numbers)


@pytest.mark.parametrize(
    ("layer", "numbers"),
    [
        ("encoder", [-0.1167066, -0.0668763, -0.1046791, 0.0911662, 0.1094402, -0.0005377]),
        ("head_0", [0, 0.0339713, 0, 0, 0.0884569, 0.0809948]),
        ("head_1", [0.02055138, 0.00488474, 0, 0.006299, 0.00441572]),
    ],
)
def test_mulooc_and_its_heads(tmp_path, layer, numbers):
    state = drawn(Mulooc(heads=[(12, 6), (10, 5)], **MULOOC))
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    encoder = MuloocAudioEncoder(str(tmp_path / "last.ckpt"), layer, model_config=MULOOC)
    head = None if layer == "encoder" else int(layer[-1])
    assert_golden(encoder.encode(noise(3)), mulooc(state, noise(3)[0].numpy(), head), numbers)


@pytest.mark.parametrize(
    ("pooling", "numbers"),
    [
        ("attention", [0.260955, -0.242604, -0.358365, 0.523869, 0.193795, -0.061332]),
        ("average", [0.087231, -0.080206, -0.243602, -0.200707, 0.012405, -0.023829]),
    ],
)
def test_muscall_under_both_poolings(tmp_path, pooling, numbers):
    state = drawn(MuscallAudio(**MUSCALL, pooling=pooling))
    torch.save({"state_dict": state}, tmp_path / "best_model.pth.tar")
    encoder = MuscallAudioEncoder(str(tmp_path / "best_model.pth.tar"), model_config=MUSCALL)
    expected = muscall(state, noise(20)[0].numpy(), MUSCALL["blocks"])
    assert_golden(encoder.encode(noise(20)), expected, numbers)

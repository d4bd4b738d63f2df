"""The encoders against the originals' formulas: slow code in double precision, and the numbers that it gives.

Float32 differs from it by some 1e-6 of a vector's length, 1e-5 where a logarithm is taken of a small power; the
smallest of the mistakes that were ever made here, a level of 0.5 for 1, by 1e-2. The bound lies between.
"""

import numpy as np
import pytest
import torch
from layouts import MULE, MULOOC, MUSCALL, clap_sizes, save_mule, tiny_t5, word_tokenizer
from original_transformers import clap_audio, clap_text, t5
from originals import draw, drawn, mule, mulooc, muscall
from safetensors.torch import save_file
from transformers import ClapConfig, ClapModel, T5ForConditionalGeneration

from diffgar.models.encoders.clap import ClapAudioEncoder, ClapTextEncoder
from diffgar.models.encoders.mule import MuleAudioEncoder
from diffgar.models.encoders.mulooc import MuloocAudioEncoder
from diffgar.models.encoders.muscall import MuscallAudioEncoder
from diffgar.models.encoders.networks.mule import Mule
from diffgar.models.encoders.networks.mulooc import Mulooc
from diffgar.models.encoders.networks.muscall import MuscallAudio
from diffgar.models.encoders.t5 import T5TextEncoder

BOUND = 1e-4
CAPTION = "a calm piano song with slow drums and soft bass and loud guitar " * 2  # 26 words: T5's far buckets as well


def noise(seconds: int, sample_rate: int = 16_000) -> torch.Tensor:
    """A window (1, S) that is drawn as the weights are: loud first, then quiet."""
    window = 5 * draw(f"{seconds} seconds of noise", (sample_rate * seconds,))  # draws within 0.2
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


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    """A small CLAP's folder, its tokenizer's, and its tensors."""
    root = tmp_path_factory.mktemp("clap")
    sizes = clap_sizes(word_tokenizer(root / "tokenizer", "roberta"))
    model = ClapModel(ClapConfig(**sizes))
    model.save_pretrained(root / "clap")
    state = drawn(model)
    save_file(state, root / "clap/model.safetensors")
    return str(root / "clap"), str(root / "tokenizer"), state


def test_claps_audio_of_which_the_loudest_is_clipped(clap):
    window = 1.2 * noise(10, 48_000)
    expected = clap_audio(clap[2], window[0].numpy(), heads=[2, 2, 4, 4])
    assert_golden(
        ClapAudioEncoder(clap[0]).encode(window),
        expected,
        [-0.046204, 0.336312, -0.153524, -0.012166, 0.216142, -0.208706],
    )


def test_claps_token_states_and_caption(clap):
    encoder = ClapTextEncoder(*clap[:2])
    states = encoder.encode([CAPTION])
    expected, embedding = clap_text(clap[2], encoder.tokenizer(CAPTION)["input_ids"], heads=2)
    assert_golden(
        states.hidden_states.flatten(1),
        expected.flatten(),
        [-1.216263, -1.452044, 1.203434, 0.83887, 0.721038, 0.192612],
    )
    assert_golden(states.embedding, embedding, [0.05454, -0.328888, -0.133262, -0.131478, -0.339367, 0.093053])


def test_t5s_token_states(tmp_path):
    state = drawn(T5ForConditionalGeneration.from_pretrained(tiny_t5(tmp_path)))
    state = {name: x for name, x in state.items() if not name.startswith(("decoder", "lm_head", "encoder.embed"))}
    save_file(state, tmp_path / "model.safetensors")
    encoder = T5TextEncoder(str(tmp_path))
    expected = t5(state, encoder.tokenizer(CAPTION)["input_ids"], heads=4)
    assert_golden(
        encoder.encode([CAPTION]).hidden_states.flatten(1),
        expected.flatten(),
        [0.806753, 0.52755, -0.757448, -2.413095, 0.3942, -1.038113],
    )

"""T5: any folder of it loads strictly, padding changes nothing, half precision does not overflow."""

import json

import pytest
import torch
from layouts import DAMAGES, damaged, tiny_t5
from safetensors.torch import load_file, save_file
from transformers import T5Config, T5EncoderModel

from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.t5 import FLAN_T5_BASE, T5TextEncoder

CAPTIONS = ["a calm piano song", "loud drums and bass", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A whole T5 of few parameters, decoder included, with its tokenizer."""
    return tiny_t5(tmp_path_factory.mktemp("t5"))


def test_flan_t5_base_has_the_size_that_was_counted():
    with torch.device("meta"):
        network = T5EncoderModel(T5Config.from_dict(FLAN_T5_BASE))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 1) == 109.6


def test_states_are_the_librarys_own_and_zero_at_padding(folder):
    encoder = T5TextEncoder(str(folder))
    states, batch = encoder.encode(CAPTIONS), encoder.tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    library = T5EncoderModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = library(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert states.embedding is None and encoder.dim == 32 and states.mask.sum(dim=1).tolist() == [5, 5, 1]
    torch.testing.assert_close(states.hidden_states[states.mask], expected[states.mask], rtol=1e-5, atol=1e-6)
    assert (states.hidden_states[~states.mask] == 0).all()


@pytest.mark.parametrize("kept", ["shared.weight", "encoder.embed_tokens.weight"])
def test_an_encoder_alone_loads_under_either_name_of_its_embedding(folder, tmp_path, kept):
    state = {name: x for name, x in load_file(folder / "model.safetensors").items() if name.startswith("encoder.block")}
    whole = load_file(folder / "model.safetensors")
    state |= {"encoder.final_layer_norm.weight": whole["encoder.final_layer_norm.weight"], kept: whole["shared.weight"]}
    torch.save(state, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    encoder = T5TextEncoder(str(tmp_path), tokenizer=str(folder))
    expected = T5TextEncoder(str(folder)).encode(CAPTIONS)
    assert torch.equal(encoder.encode(CAPTIONS).hidden_states, expected.hidden_states)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["encoder.block.1.layer.0.SelfAttention.k.weight", "shared.weight"])
def test_a_damaged_checkpoint_is_refused_by_name(folder, tmp_path, name, damage):
    save_file(damaged(load_file(folder / "model.safetensors"), name, damage), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        T5TextEncoder(str(tmp_path), tokenizer=str(folder))


def test_a_caption_alone_equals_the_same_caption_beside_a_longer_one(folder):
    encoder = T5TextEncoder(str(folder))
    both, alone = encoder.encode(["piano", "a slow song with soft drums"]), encoder.encode(["piano"])
    torch.testing.assert_close(both.hidden_states[:1, :2], alone.hidden_states, rtol=0, atol=1e-5)


def test_captions_longer_than_the_limit_are_cut_and_counted(folder):
    states = T5TextEncoder(str(folder)).encode(["piano " * 76, "piano " * 77])
    assert states.num_truncated == 1 and states.mask.shape == (2, 77)
    assert T5TextEncoder(str(folder), max_tokens=8).encode(["piano " * 76]).mask.shape == (1, 8)


def test_float16_is_refused_and_a_float16_autocast_left_out(folder):
    with pytest.raises(ValueError, match="bfloat16"):
        T5TextEncoder(str(folder), dtype="float16")
    encoder, half = T5TextEncoder(str(folder)), T5TextEncoder(str(folder), dtype="bfloat16")
    exact = encoder.encode(CAPTIONS).hidden_states
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(encoder.encode(CAPTIONS).hidden_states, exact)
    rounded = half.encode(CAPTIONS).hidden_states
    assert rounded.dtype == torch.float32 and 1e-5 < (rounded - exact).abs().max() < 0.1


def test_a_folder_without_weights_tells_the_download(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(FLAN_T5_BASE))
    with pytest.raises(WeightsError, match=f"hf download google/flan-t5-base --include .* --local-dir {tmp_path}"):
        T5TextEncoder(str(tmp_path))

"""Sentence transformers: vectors are the original's, states the library's, and what is not read here is refused."""

import json
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from pages import ROOT
from safetensors.torch import load_file, save_file
from sentence_models import CAPTIONS, DENSE_WIDTH, MODELS, POSITIONS, WIDTH, save_model, write, write_modules
from transformers import AutoModel

from diffgar.extraction.batches import Options
from diffgar.extraction.stores import text_card
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.sentence_transformer import SentenceTransformerTextEncoder
from diffgar.models.encoders.t5 import T5TextEncoder

ORIGINAL = {  # python tests/models/encoders/sentence_models.py, with sentence-transformers 6.2.0 on torch 2.13.0
    "mean": [
        [0.061363, -0.433048, 0.041336, -0.319045],
        [0.391941, 0.136542, -0.077968, -0.005292],
        [-0.136246, -0.144831, -0.146563, -0.225811],
    ],
    "first": [
        [0.011966, 0.087342, 0.04182, -0.046815],
        [-0.092538, 0.082368, 0.176618, -0.204177],
        [-0.026587, -0.072846, -0.011844, -0.100294],
    ],
    "dense": [
        [0.33084, -0.345852, -0.346, -0.336935],
        [0.335353, -0.349126, -0.28518, -0.345139],
        [0.361598, -0.370538, 0.270463, -0.321946],
    ],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each of `MODELS`, saved."""
    return {name: save_model(tmp_path_factory.mktemp(name), name) for name in MODELS}


@pytest.fixture
def copied(folders, tmp_path):
    """A copy of one of `MODELS`, to be changed."""
    return lambda name: shutil.copytree(folders[name], tmp_path / name)


def encoder_at(folder, **how) -> SentenceTransformerTextEncoder:
    return SentenceTransformerTextEncoder(str(folder), **{"max_tokens": 20} | how)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_sentence_transformers(folders, name):
    encoder = encoder_at(folders[name])
    vectors = encoder.encode(CAPTIONS).embedding
    assert vectors.shape == (3, encoder.embedding_dim) and encoder.dim == WIDTH
    assert encoder.embedding_dim == (DENSE_WIDTH if name == "dense" else WIDTH)
    torch.testing.assert_close(vectors[:, :4], torch.tensor(ORIGINAL[name]), rtol=0, atol=2e-6)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


@pytest.mark.parametrize("name", MODELS)
def test_states_are_the_librarys_own_and_a_caption_alone_has_the_same(folders, name):
    encoder = encoder_at(folders[name])
    states, batch = encoder.encode(CAPTIONS), encoder.tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    with torch.no_grad():
        library = AutoModel.from_pretrained(folders[name]).eval()
        expected = library(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    torch.testing.assert_close(states.hidden_states[states.mask], expected[states.mask], rtol=1e-5, atol=1e-5)
    assert (states.hidden_states[~states.mask] == 0).all() and states.mask.sum(dim=1).tolist() == [6, 6, 2]
    alone = encoder.encode(CAPTIONS[2:])
    torch.testing.assert_close(alone.hidden_states, states.hidden_states[2:, :2], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone.embedding, states.embedding[2:], rtol=0, atol=1e-5)


def test_a_prefix_is_part_of_every_caption_and_of_the_stores_identity(folders):
    plain, prefixed = encoder_at(folders["mean"]), encoder_at(folders["mean"], prefix="loud ")
    expected = plain.encode(["loud piano", "loud "])
    states = prefixed.encode(["piano", ""])
    assert torch.equal(states.hidden_states, expected.hidden_states) and torch.equal(states.mask, expected.mask)
    cards = [text_card("demo", encoder, Options()).encoding() for encoder in (plain, prefixed)]
    assert [card["layer"] for card in cards] == ["last_hidden_state", "last_hidden_state after 'loud '"]


def test_without_modules_there_are_states_and_no_vector(copied):
    folder = copied("mean")
    (folder / "modules.json").unlink()
    encoder = encoder_at(folder)
    assert encoder.embedding_dim is None and encoder.encode(CAPTIONS).embedding is None


def test_small_letters_are_made_where_the_model_wants_them(copied):
    folder = copied("mean")
    write(folder / "sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": True})
    given, expected = (encoder_at(folder).encode([text]) for text in ("Loud PIANO", "loud piano"))
    assert torch.equal(given.hidden_states, expected.hidden_states)


def test_other_weights_of_its_dense_are_another_encoder(folders, copied):
    path = copied("dense") / "2_Dense/model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    assert encoder_at(path.parents[1]).checkpoint_hash != encoder_at(folders["dense"]).checkpoint_hash


def test_half_precision_files_with_a_prefix_and_a_head_load_in_full_precision(folders, copied):
    folder = copied("mean")
    state = {f"bert.{name}": x.half() for name, x in load_file(folder / "model.safetensors").items()}
    save_file(state | {"cls.predictions.bias": torch.zeros(3)}, folder / "model.safetensors")
    write(folder / "config.json", json.loads((folder / "config.json").read_text()) | {"dtype": "float16"})
    states, expected = encoder_at(folder).encode(CAPTIONS), encoder_at(folders["mean"]).encode(CAPTIONS)
    assert states.hidden_states.dtype == torch.float32
    torch.testing.assert_close(states.hidden_states, expected.hidden_states, rtol=0, atol=0.02)


@pytest.mark.parametrize(("name", "most"), [("mean", POSITIONS), ("first", POSITIONS - 2), ("dense", POSITIONS - 2)])
def test_more_tokens_than_positions_are_refused_and_all_positions_serve(folders, name, most):
    assert encoder_at(folders[name], max_tokens=most).encode(["piano " * 30]).mask.shape == (1, most)
    with pytest.raises(ValueError, match=f"max_tokens is {most + 1}; .* has {most} positions"):
        encoder_at(folders[name], max_tokens=most + 1)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([], "lists nothing; read here are a Transformer"),
        ([("Transformer", "0_Transformer"), ("Pooling", "1_Pooling")], "a Transformer in the folder itself"),
        ([("Transformer", ""), ("Pooling", "1_Pooling"), ("LSTM", "2")], "lists Transformer, Pooling, LSTM"),
        ([("Transformer", ""), ("Pooling", "9_Pooling")], "9_Pooling/config.json is missing; download it as well"),
    ],
)
def test_another_head_is_refused_by_name(copied, modules, message):
    folder = copied("mean")
    write_modules(folder, *modules)
    with pytest.raises(WeightsError, match=message):
        encoder_at(folder)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode": ["mean", "max"]}, "mean, max"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True}, "max_tokens, cls"),
        ({"pooling_mode_mean_tokens": False}, "nothing"),
    ],
)
def test_another_pooling_is_refused_by_name(copied, settings, found):
    folder = copied("mean")
    write(folder / "1_Pooling/config.json", settings)
    with pytest.raises(WeightsError, match=f"pools by {found}; read here are mean and cls"):
        encoder_at(folder)


@pytest.mark.parametrize("change", [{"in_features": 99}, {"activation_function": "mine.Act"}, {"use_residual": True}])
def test_another_dense_is_refused_with_its_settings(copied, change):
    path = copied("dense") / "2_Dense/config.json"
    write(path, json.loads(path.read_text()) | change)
    with pytest.raises(WeightsError, match=f"a Dense that is not read here: .*{next(iter(change))}"):
        encoder_at(path.parents[1])


@pytest.mark.parametrize("content", ["<html>", '{"a": 1}', '[{"type": "x"}]'])
def test_a_damaged_list_of_modules_is_refused_by_its_path(copied, content):
    (folder := copied("mean")).joinpath("modules.json").write_text(content)
    with pytest.raises(WeightsError, match="modules.json is no list of modules .*download it again"):
        encoder_at(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "new"}, "of type 'new', which transformers does not know; models that bring code"),
        ({"model_type": "t5"}, "with a decoder; T5 has text/flan_t5"),
    ],
)
def test_a_network_that_is_not_built_here_is_refused_by_its_type(copied, config, message):
    write((folder := copied("mean")) / "config.json", config)
    with pytest.raises(WeightsError, match=message):
        encoder_at(folder)


def test_missing_weights_tell_the_download_and_its_checkpoint_is_known_elsewhere(folders, tmp_path):
    with pytest.raises(WeightsError, match="hf download intfloat/e5-small-v2 .*--include modules.json"):
        encoder_at(tmp_path)
    with pytest.raises(WeightsError, match="looks like one of a sentence transformer, for encoder_pair=demo_minilm"):
        T5TextEncoder(str(folders["mean"]))


def test_any_pair_takes_it_from_the_command_line(folders):
    words = ["encoder_pair=demo", "+encoder_pair/text@encoder_pair=sentence_transformer", "encoder_pair.joint=false"]
    mine = {"text_weights": folders["first"], "text_name": "mine", "text_dim": WIDTH, "text_length": 20}
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        cfg = compose("extract_dataset", words + [f"encoder_pair.{key}={value}" for key, value in mine.items()])
    encoder = instantiate(cfg.encoder_pair.text_encoder)
    assert (encoder.name, encoder.dim, encoder.max_tokens, encoder.prefix) == ("mine", WIDTH, 20, "query: ")

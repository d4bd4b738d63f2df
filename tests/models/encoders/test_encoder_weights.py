"""Weights and tokenizers: found or refused with the remedy, read without running code, the same when random."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from layouts import word_tokenizer
from safetensors.torch import save_file
from torch import nn

from diffgar.demo.encoder import DemoAudioEncoder
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.muscall import MuscallAudioEncoder
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.tokens import load_tokenizer, tokenize
from diffgar.models.encoders.pretrained.weights import find_checkpoint, load_strict

CONFIG = Path(__file__).parents[3] / "config/encoder_pair"
STATE = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


class Settings:
    """Stands for a training script's own class, which exists nowhere else."""


class Malice:
    def __reduce__(self):
        return os.system, ("touch harm",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_checkpoint_is_read_whatever_else_it_holds(tmp_path, protocol, zipped, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": STATE, "settings": Settings(), "loss": np.float64(0.5), "rng": np.arange(3), "x": Malice()}
    torch.save(content, "last.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    state = find_checkpoint("last.ckpt", "").state()
    assert state.keys() == STATE.keys() and all(torch.equal(state[name], STATE[name]) for name in STATE)
    assert not (tmp_path / "harm").exists()


def test_shards_are_read_as_one(tmp_path):
    for i, name in enumerate(STATE):
        save_file({name: STATE[name]}, tmp_path / f"model-{i}.safetensors")
    index = {"weight_map": {name: f"model-{i}.safetensors" for i, name in enumerate(STATE)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoint = find_checkpoint(tmp_path, "")
    assert checkpoint.state().keys() == STATE.keys() and len(checkpoint.files) == 2
    with pytest.raises(WeightsError, match=f"name the folder, {tmp_path}"):
        find_checkpoint(tmp_path / "model.safetensors.index.json", "")
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(WeightsError, match="model-1.safetensors, which is missing"):
        find_checkpoint(tmp_path, "")


def test_the_hash_is_of_the_bytes_and_follows_them(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    first = find_checkpoint(path, "").hash
    assert len(first) == 64 and find_checkpoint(tmp_path, "").hash == first
    save_file({**STATE, "bias": torch.zeros(2)}, path)
    os.utime(path, ns=(1, 1))
    assert find_checkpoint(path, "").hash != first


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"PK\x03\x04half"]
)
def test_a_damaged_file_is_refused_with_the_advice_to_download_it_again(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="Download it again"):
        find_checkpoint(path, "").state()


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2, 3], tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="no table of tensors"):
        find_checkpoint(tmp_path / "weights.pt", "").state()


def test_absent_weights_are_refused_with_the_remedy(tmp_path):
    for weights in (tmp_path / "absent.pt", "somebody/absent", tmp_path, f"{tmp_path}/"):
        with pytest.raises(WeightsError, match=f"no weights at {str(weights).rstrip('/')}.*Ask its authors"):
            find_checkpoint(weights, "Ask its authors")
    for weights in (None, "", " "):
        with pytest.raises(WeightsError, match="it must name a file, a folder or a hub's model. Ask its authors"):
            find_checkpoint(weights, "Ask its authors")


def test_every_fault_is_named_and_the_whitelist_is_kept():
    layer = nn.Linear(3, 2)
    load_strict(layer, {**STATE, "extra.step": torch.ones(1)}, "x", may_remain=("extra.*",))
    assert torch.equal(layer.weight, STATE["weight"])
    with pytest.raises(WeightsError, match="bias is missing; bias_ is unknown"):
        load_strict(layer, {"weight": STATE["weight"], "bias_": STATE["bias"]}, "x")
    with pytest.raises(WeightsError, match=r"weight has shape \(2, 3\), not \(4, 3\)"):
        load_strict(nn.Linear(3, 4), STATE, "x")
    with pytest.raises(WeightsError, match="bias is not finite"):
        load_strict(layer, {**STATE, "bias": torch.tensor([1.0, torch.nan])}, "x")


def test_random_weights_warn_and_are_the_same_every_time(caplog):
    sizes = {"channels": 4, "blocks": (1, 1, 1, 1), "hidden_size": 8, "projection_dim": 8}
    torch.manual_seed(5)
    first = MuscallAudioEncoder("random", model_config=sizes)
    following = torch.rand(1)
    assert first.checkpoint_hash == "random" and "latents mean nothing" in caplog.text
    second = MuscallAudioEncoder("random", model_config=sizes)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), following)  # the caller's own randomness goes on undisturbed


@pytest.mark.parametrize("kind", ["roberta", "clip", "t5"])
def test_tokens_are_padded_to_the_longest_and_cut_ones_counted(tmp_path, kind):
    size = word_tokenizer(tmp_path, kind)
    tokenizer = load_tokenizer(str(tmp_path), size, published=True)
    ids, mask, num_truncated = tokenize(tokenizer, ["calm piano", "", "a " * 9], max_tokens=6)
    marks = 1 if kind == "t5" else 2
    assert ids.shape == (3, 6) and mask.sum(dim=1).tolist() == [2 + marks, marks, 6] and num_truncated == 1
    assert int(ids[2, 5]) == tokenizer.convert_tokens_to_ids("</s>")  # a cut caption keeps its end


def test_a_tokenizer_built_from_no_files_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(WeightsError, match="tokenizer at"):
        load_tokenizer(str(tmp_path), 32_128, published=True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer"}))
    with pytest.raises(WeightsError, match="tokenizer at"):
        load_tokenizer(str(tmp_path), 32_128, published=True)


@pytest.mark.parametrize("name", ["T5Tokenizer", "RobertaTokenizer", "CLIPTokenizer"])
def test_the_empty_vocabulary_that_the_library_builds_silently_is_found_out(tmp_path, name):
    import transformers

    getattr(transformers, name)().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="of no use here"):
        load_tokenizer(str(tmp_path), 32_128, published=False)


def test_another_models_tokenizer_is_refused(tmp_path):
    size = word_tokenizer(tmp_path, "roberta")
    load_tokenizer(str(tmp_path), 50_265, published=False)
    with pytest.raises(WeightsError, match=f"{size} tokens, the text encoder 50265"):
        load_tokenizer(str(tmp_path), 50_265, published=True)
    with pytest.raises(WeightsError, match=f"{size} tokens, the text encoder 8"):
        load_tokenizer(str(tmp_path), 8, published=False)


def test_an_absent_tokenizer_tells_the_download():
    with pytest.raises(WeightsError, match="hf download somebody/absent"):
        load_tokenizer("somebody/absent", 10, published=False)


def test_a_checkpoint_pickled_by_hand_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(pickle.dumps(Malice()))
    with pytest.raises(WeightsError):
        find_checkpoint("weights.bin", "").state()
    assert not (tmp_path / "harm").exists()


def test_a_home_folder_and_a_trailing_slash_are_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(STATE, tmp_path / "model.safetensors")
    for weights in ("~/model.safetensors", "~", "~/", f"{tmp_path}/"):
        assert find_checkpoint(weights, "").files == (tmp_path / "model.safetensors",)


@pytest.mark.parametrize("names", [("module.weight", "module.bias"), ("_orig_mod.module.weight", "_orig_mod.bias")])
def test_what_parallel_and_compiled_training_put_before_names_is_left_out(tmp_path, names):
    torch.save({"state_dict": dict(zip(names, STATE.values(), strict=True))}, tmp_path / "last.ckpt")
    state = find_checkpoint(tmp_path / "last.ckpt", "").state()
    assert list(state) == ["weight", "bias"] and torch.equal(state["weight"], STATE["weight"])
    torch.save({"inner._orig_mod.weight": STATE["bias"], "inner.weight": STATE["bias"]}, tmp_path / "twice.pt")
    with pytest.raises(WeightsError, match="holds inner.weight twice"):
        find_checkpoint(tmp_path / "twice.pt", "").state()


def test_a_folder_with_weights_of_another_form_tells_their_names(tmp_path):
    torch.save(STATE, tmp_path / "music.pt")
    with pytest.raises(WeightsError, match=f"it holds music.pt: set the weights to {tmp_path}/music.pt"):
        find_checkpoint(tmp_path, "")


@pytest.mark.parametrize("content", ["", "{", "[1]", "<html>"])
def test_a_damaged_config_is_refused_by_its_path(tmp_path, content):
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(WeightsError, match="config.json .*download it again"):
        find_checkpoint(tmp_path, "").config()


def test_a_tokenizers_file_in_the_place_of_its_folder_is_told(tmp_path):
    size = word_tokenizer(tmp_path, "t5")
    with pytest.raises(WeightsError, match="that is a file; set encoder_pair.tokenizer to its folder"):
        load_tokenizer(str(tmp_path / "tokenizer.json"), size, published=True)
    assert load_tokenizer(f"{tmp_path}/", size, published=True).pad_token == "<pad>"


@pytest.mark.parametrize("pair", sorted({path.stem for path in CONFIG.glob("*.yaml")} - {"demo"}))
def test_every_pair_takes_random_weights_and_its_names_and_widths_are_its_encoders(pair, monkeypatch):
    """On the meta device, so that the published sizes cost nothing."""
    monkeypatch.setattr("diffgar.models.encoders.t5.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.clap.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.msclap.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.muscall.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.muq.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.sentence_transformer.load_tokenizer", lambda *args: None)
    monkeypatch.setattr("diffgar.models.encoders.minilm.packaged", lambda: "")  # where the tokenizer would be
    with initialize_config_dir(str(CONFIG.parent), version_base="1.3"):
        keys = {"weights", "text_weights"} & compose("extract_dataset", [f"encoder_pair={pair}"]).encoder_pair.keys()
        cfg = compose("extract_dataset", [f"encoder_pair={pair}", *(f"encoder_pair.{key}=random" for key in keys)])
    cfg = cfg.encoder_pair
    with torch.device("meta"):
        text = instantiate(cfg.text_encoder)
        audio = DemoAudioEncoder("random") if pair == "own" else instantiate(cfg.audio_encoder)
    found = EncoderPair(pair, audio, text, cfg.joint)
    own = {"latent_dim": 128, "audio_name": "demo_audio"} if pair == "own" else {}
    said = {key: cfg[key] for key in ("latent_dim", "text_dim", "audio_name", "text_name")}
    found.check(**said | own)
    assert text.checkpoint_hash == "random" and text.max_tokens == cfg.text_length
    assert pair == "own" or audio.window_seconds == cfg.window_seconds

"""CLAP: two layouts, one network; the front end to the letter; what is refused."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import DAMAGES, clap_sizes, damaged, published, randomise, shapes, tones, word_tokenizer
from safetensors.torch import load_file, save_file
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

from diffgar.models.encoders import clap
from diffgar.models.encoders.clap import ClapAudioEncoder, ClapFrontEnd, ClapTextEncoder
from diffgar.models.encoders.pretrained.clap_layouts import open_clap, to_hugging_face
from diffgar.models.encoders.pretrained.tensor_files import WeightsError

NAMES = [  # Hugging Face's, LAION's
    ("text_model.", "text_branch."),
    ("audio_model.audio_encoder.", "audio_branch."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("batch_norm", "bn0"),
    ("linear1", "0"),
    ("linear2", "2"),
]


def laion_state(state: dict) -> dict:
    """A state dict of `ClapModel` as LAION's code would save it."""
    renamed = {}
    for name, tensor in state.items():
        if name.startswith("audio_model."):
            name = name.replace("attention.output.dense", "attn.proj").replace("attention.self", "attn")
            name = name.replace("intermediate.dense", "mlp.fc1").replace("output.dense", "mlp.fc2")
        for ours, theirs in NAMES:
            name = name.replace(ours, theirs)
        if "attn.query" in name:
            tensor = torch.cat([state[_hf(name, part)] for part in ("query", "key", "value")])
            name = name.replace("query", "qkv")
        if "attn.key" not in name and "attn.value" not in name and "_ids" not in name:
            renamed[f"module.{name}"] = tensor
    renamed["module.audio_branch.layers.0.blocks.0.attn_mask"] = torch.zeros(4, 64, 64)
    renamed["module.audio_branch.tscam_conv.weight"] = torch.zeros(5, 4)
    renamed["module.text_transform.sequential.0.weight"] = torch.zeros(2, 2)
    return renamed


def _hf(name: str, part: str) -> str:
    return name.replace("audio_branch.", "audio_model.audio_encoder.").replace("attn.query", f"attention.self.{part}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A ClapModel of few parameters, saved in both layouts, with a tokenizer: model, sizes, and the three paths."""
    root = tmp_path_factory.mktemp("clap")
    sizes = clap_sizes(word_tokenizer(root / "tokenizer", "roberta"))
    model = randomise(ClapModel(ClapConfig(**sizes)))
    model.save_pretrained(root / "folder")
    config = json.loads((root / "folder/config.json").read_text())
    config["text_config"]["layer_norm_eps"] = 1e-12  # as the published folders say, against the training
    (root / "folder/config.json").write_text(json.dumps(config))
    checkpoint = {"epoch": 15, "name": "x", "state_dict": laion_state(model.state_dict()), "loss": np.float64(1.0)}
    torch.save(checkpoint, root / "laion.pt", pickle_protocol=4)
    return model, sizes, root


def audio_encoder(tiny, layout: str, **options) -> ClapAudioEncoder:
    return ClapAudioEncoder(str(tiny[2] / layout), model_config=tiny[1] if layout.endswith(".pt") else None, **options)


def text_encoder(tiny, layout: str) -> ClapTextEncoder:
    sizes = tiny[1] if layout.endswith(".pt") else None
    return ClapTextEncoder(str(tiny[2] / layout), tokenizer=str(tiny[2] / "tokenizer"), model_config=sizes)


def test_names_and_shapes_are_those_of_both_published_layouts():
    layout = open_clap(None, {})
    with torch.device("meta"):
        audio = clap.ClapAudioModelWithProjection(layout.audio)
        text = clap.ClapTextModelWithProjection(layout.text)
        laion = {name: torch.empty(shape) for name, shape in published("laion_clap").items()}
    own = shapes(audio, text)
    assert own == {name: s for name, s in published("hf_clap").items() if not name.startswith("logit_scale")}
    converted = {name: tuple(tensor.shape) for name, tensor in to_hugging_face(laion).items()}
    assert set(own) - set(converted) == set(clap.BUFFERS)
    assert all(converted[name] == shape for name, shape in own.items() if name in converted)
    left = [name.split(".") for name in converted if name not in own]
    assert {name[0] for name in left} == {
        "logit_scale_a",
        "logit_scale_t",
        "audio_model",
        "audio_transform",
        "text_transform",
    }


def test_both_layouts_give_the_latents_of_the_librarys_own_model_and_front_end(tiny):
    windows = tones(48_000, 10)
    quantised = (np.clip(windows.numpy(), -1, 1) * 32767).astype(np.int16) / 32767
    extractor = ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc", padding="repeatpad")
    features = extractor(list(quantised.astype(np.float32)), sampling_rate=48_000, return_tensors="pt")
    with torch.no_grad():
        expected = tiny[0].get_audio_features(features["input_features"]).pooler_output
    expected = expected / expected.norm(dim=1, keepdim=True)
    folder, laion = (audio_encoder(tiny, layout).encode(windows) for layout in ("folder", "laion.pt"))
    assert torch.equal(folder, laion)
    torch.testing.assert_close(folder, expected, rtol=1e-3, atol=1e-5)
    assert (folder[0] - folder[1]).norm() > 1e-3


def test_both_layouts_give_the_token_states_and_embeddings_of_the_trained_epsilon(tiny):
    captions = ["a calm piano song", "loud drums and guitar with bass", ""]
    folder, laion = (text_encoder(tiny, layout).encode(captions) for layout in ("folder", "laion.pt"))
    tokenizer = text_encoder(tiny, "folder").tokenizer
    batch = tokenizer(captions, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = tiny[0].text_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        embedding = tiny[0].text_projection(output.pooler_output)
    mask = batch["attention_mask"].bool()
    assert torch.equal(folder.hidden_states, laion.hidden_states) and torch.equal(folder.mask, mask)
    torch.testing.assert_close(folder.hidden_states[mask], output.last_hidden_state[mask], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(folder.embedding, embedding / embedding.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)
    assert (folder.hidden_states[~mask] == 0).all() and folder.mask[2].sum() == 2


@pytest.mark.parametrize("layout", ["folder", "laion.pt"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_name(tiny, tmp_path, layout, damage):
    if layout == "folder":
        name = "audio_model.audio_encoder.layers.2.blocks.1.layernorm_after.weight"
        state = damaged(load_file(tiny[2] / "folder/model.safetensors"), name, damage)
        save_file(state, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text((tiny[2] / "folder/config.json").read_text())
        path, sizes = tmp_path, None
    else:
        name = "audio_model.audio_encoder.layers.2.blocks.1.layernorm_after.weight"
        stored = "module.audio_branch.layers.2.blocks.1.norm2.weight"
        state = damaged(laion_state(tiny[0].state_dict()), stored, damage)
        path, sizes = tmp_path / "laion.pt", tiny[1]
        torch.save({"state_dict": state}, path)
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        ClapAudioEncoder(str(path), model_config=sizes)


def test_a_damaged_text_tower_is_refused_by_the_text_encoder(tiny, tmp_path):
    state = damaged(laion_state(tiny[0].state_dict()), "module.text_projection.2.bias", "missing")
    torch.save({"state_dict": state}, tmp_path / "laion.pt")
    ClapAudioEncoder(str(tmp_path / "laion.pt"), model_config=tiny[1])
    with pytest.raises(WeightsError, match="text_projection.linear2.bias is missing"):
        ClapTextEncoder(str(tmp_path / "laion.pt"), str(tiny[2] / "tokenizer"), model_config=tiny[1])


def test_a_window_alone_equals_the_same_window_in_a_batch_on_every_call(tiny):
    encoder, windows = audio_encoder(tiny, "folder"), tones(48_000, 10)
    latents = encoder.encode(windows)
    encoder.train()  # asked to train, it stays as it is
    alone = torch.cat([encoder.encode(window[None]) for window in windows])
    torch.testing.assert_close(alone, latents, rtol=0, atol=1e-5)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(3))
    assert not latents.requires_grad and not any(p.requires_grad for p in encoder.parameters())


def test_a_caption_alone_equals_the_same_caption_beside_a_longer_one(tiny):
    encoder = text_encoder(tiny, "laion.pt")
    both = encoder.encode(["calm piano", "a loud song with drums and bass and guitar"])
    alone = encoder.encode(["calm piano"])
    torch.testing.assert_close(both.hidden_states[:1, :4], alone.hidden_states, rtol=0, atol=1e-5)
    torch.testing.assert_close(both.embedding[:1], alone.embedding, rtol=0, atol=1e-5)


def test_captions_longer_than_77_tokens_are_cut_and_counted(tiny):
    states = text_encoder(tiny, "folder").encode(["piano " * 75, "piano " * 76, "song " * 300])
    assert states.num_truncated == 2 and states.hidden_states.shape == (3, 77, 32) and states.mask.all()


def test_one_mel_frame_equals_a_fourier_transform_by_hand():
    window = tones(48_000, 10, 1)[0].double().numpy()
    samples = np.trunc(np.clip(window, -1, 1) * 32767) / 32767
    frame, time = samples[480 * 100 - 512 : 480 * 100 + 512], np.arange(1024)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * time / 1024)
    power = [abs(np.sum(frame * taper * np.exp(-2j * np.pi * k * time / 1024))) ** 2 for k in range(513)]
    expected = [10 * np.log10(max(float(slaney_filter(band) @ power), 1e-10)) for band in range(64)]
    mel = ClapFrontEnd()(torch.from_numpy(window).float()[None])
    assert mel.shape == (1, 1, 1001, 64)
    np.testing.assert_allclose(mel[0, 0, 100], expected, atol=2e-2)


def slaney_filter(band: int) -> np.ndarray:
    """Triangle `band` of 64 between 50 Hz and 14 kHz, of unit area, on 513 bins: librosa's default, written out."""

    def mel(hz):
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def hertz(m):
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    low, centre, high = (hertz(mel(50) + (mel(14_000) - mel(50)) * (band + i) / 65) for i in range(3))
    bins = np.arange(513) * 48_000 / 1024
    rise, fall = (bins - low) / (centre - low), (high - bins) / (high - centre)
    return np.maximum(0, np.minimum(rise, fall)) * 2 / (high - low)


def test_audio_is_clipped_and_cut_to_16_bits(tiny):
    frontend, window = ClapFrontEnd(), tones(48_000, 10, 1)
    sixteen = torch.round(window * 32767) / 32767
    torch.testing.assert_close(frontend(sixteen + 0.3 / 32767 * sixteen.sign()), frontend(sixteen), rtol=0, atol=1e-3)
    assert torch.equal(frontend(20 * window), frontend((20 * window).clamp(-1, 1)))


def test_under_half_precision_the_front_end_keeps_full_precision(tiny):
    windows, seen = tones(48_000, 10), []
    encoder, half = audio_encoder(tiny, "folder"), audio_encoder(tiny, "folder", dtype="bfloat16")
    encoder.frontend.register_forward_hook(lambda module, inputs, output: seen.append(output))
    exact = encoder.encode(windows)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = encoder.encode(windows)
    assert torch.equal(seen[0], seen[1]) and rounded.dtype == torch.float32
    assert 1e-5 < (rounded - exact).abs().max() < 0.05
    torch.testing.assert_close(half.encode(windows), rounded, rtol=0, atol=1e-2)
    with pytest.raises(ValueError, match="float8"):
        audio_encoder(tiny, "folder", dtype="float8")


def test_a_window_of_another_length_is_refused(tiny):
    with pytest.raises(ValueError, match=r"\(N, 480000\)"):
        audio_encoder(tiny, "folder").encode(torch.zeros(1, 480_001))


def test_a_checkpoint_that_fuses_crops_is_refused(tiny, tmp_path):
    state = laion_state(tiny[0].state_dict()) | {"module.audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(4)}
    torch.save({"state_dict": state}, tmp_path / "fused.pt")
    with pytest.raises(WeightsError, match="without fusion"):
        ClapAudioEncoder(str(tmp_path / "fused.pt"), model_config=tiny[1])


def test_the_adapter_says_which_architecture_it_found(tiny, caplog):
    with caplog.at_level(logging.INFO):
        audio_encoder(tiny, "laion.pt")
        audio_encoder(tiny, "folder")
    assert "LAION's layout" in caplog.text and "Hugging Face's layout" in caplog.text
    stem = {"audio_branch.patch_embed.proj.weight": torch.zeros(96, 1, 4, 4)}
    path = Path(tiny[2]) / "stem.pt"
    torch.save({"state_dict": stem}, path)
    with caplog.at_level(logging.INFO), pytest.raises(WeightsError):
        ClapAudioEncoder(str(path))
    assert "HTSAT-tiny" in caplog.text


def test_a_missing_checkpoint_tells_the_download_and_the_place(tmp_path):
    with pytest.raises(WeightsError) as error:
        ClapAudioEncoder(str(tmp_path / "music_audioset_epoch_15_esc_90.14.pt"))
    assert f"and set encoder_pair.weights={tmp_path}/larger_clap_general" in str(error.value)
    assert "hf download lukewys/laion_clap music_audioset_epoch_15_esc_90.14.pt" in str(error.value)
    assert f"--local-dir {tmp_path}" in str(error.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ["encoder.slow_stem.layers.0.weight", "heads.0.0.weight"],
            "looks like one of MuLOOC, for encoder_pair=mulooc_t5",
        ),
        (["audio_backbone.conv1.weight", "logit_scale"], "looks like one of MusCALL, for encoder_pair=muscall or"),
        (["backbone.slow_stem.convs.0.gain"], "looks like one of MULE"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "looks like one of T5"),
        (["bert.pooler.bias", "a.b"], "nor of another encoder here; its first tensors: a.b, bert.pooler.bias"),
    ],
)
def test_another_networks_checkpoint_is_refused_by_what_it_looks_like(tmp_path, names, words):
    path = str(tmp_path / "last.ckpt")
    torch.save({"state_dict": {name: torch.zeros(1) for name in names}}, path)
    for encoder in (ClapAudioEncoder, ClapTextEncoder):
        with pytest.raises(WeightsError, match=f"{path} is no checkpoint of CLAP.*{words}"):
            encoder(path)

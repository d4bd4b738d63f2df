"""MuQ-MuLan: the original's names and numbers, captions of unequal length, and what is refused."""

import json
from fnmatch import fnmatch
from pathlib import Path

import original_muq as original
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from layouts import DAMAGES, damaged, published, shapes, tiny_t5, tones, word_tokenizer
from safetensors.torch import save_file

from diffgar.dataloading.audio import pad_short
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.muq import AUDIO, CONSTANTS, TEXT, UNUSED, MuqAudioEncoder, MuqTextEncoder
from diffgar.models.encoders.networks.muq import MuqAudio
from diffgar.models.encoders.networks.muq_text import MuqText
from diffgar.models.encoders.pretrained.muq_settings import audio_settings, text_settings
from diffgar.models.encoders.pretrained.tensor_files import WeightsError

BOUND = 1e-4  # float32 differs by some 1e-6
FILES = {"mulan": original.MULAN, "muq": original.MUQ, "roberta": original.ROBERTA}
CAPTIONS = [*original.CAPTIONS, "", "loud drums", "a song"]
HEADS = {  # of the original, which the networks here do not have
    "mulan.contrast.temperatures": (1, 1, 1),
    "mulan.audio.aggregator.weight": (1, 25, 1),
    "mulan.audio.model.model.cls_token": (32,),
    "mulan.audio.model.model.quantizer_melspec_2048.codebook": (16, 8),
    "mulan.text.model.pooler.dense.bias": (16,),
}


def save(folder: Path, change=lambda state: state, **settings: dict) -> Path:
    """A small MuQ-MuLan as it is published: folders `mulan`, `muq` and `roberta`, weights drawn by name."""
    for name, content in (FILES | settings).items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(content))
    assert word_tokenizer(folder / "roberta", "roberta") == original.VOCAB_SIZE
    networks = MuqAudio(*audio_settings(None, "", sizes())[:4]), MuqText(*text_settings(None, "", sizes()))
    own = {name: tensor for network in networks for name, tensor in network.state_dict().items()}
    state = own | original.drawn(shapes(*networks) | HEADS)
    save_file(change(state), folder / "mulan/model.safetensors")
    return folder


def sizes() -> dict:
    """The small sizes as a `model_config`, for random weights."""
    return {**original.MULAN, "muq": original.MUQ, "roberta": original.ROBERTA}


def audio_encoder(root: Path, **options) -> MuqAudioEncoder:
    return MuqAudioEncoder(str(root / "mulan"), str(root / "muq"), **options)


def text_encoder(root: Path, **options) -> MuqTextEncoder:
    return MuqTextEncoder(str(root / "mulan"), str(root / "roberta"), **options)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return save(tmp_path_factory.mktemp("muq"))


def assert_begins(vector: torch.Tensor, numbers: list[float]) -> None:
    """A vector begins with these numbers, to `BOUND` of its length."""
    torch.testing.assert_close(vector[: len(numbers)], torch.tensor(numbers), rtol=0, atol=BOUND * float(vector.norm()))


def test_names_and_shapes_are_the_originals():
    with torch.device("meta"):
        networks = MuqAudio(*audio_settings(None, "", {})[:4]), MuqText(*text_settings(None, "", {}))
    expected, own = published("muq_mulan"), shapes(*networks)
    rest = {name for name in expected if any(fnmatch(name, pattern) for pattern in UNUSED)}
    assert own == {name: shape for name, shape in expected.items() if name not in rest}
    assert len(rest) == 77 and set(CONSTANTS) <= set(own)
    assert all(any(fnmatch(name, pattern) for pattern in AUDIO + TEXT) for name in own)


def test_audio_is_the_originals(tiny):
    (latents,) = audio_encoder(tiny).encode(original.noise())
    assert_begins(latents, [0.22314897, 0.19901289, 0.3660554, -0.20553237, -0.08983498, -0.26348430])


def test_a_track_of_5_seconds_is_repeated_as_the_original_repeats_it(tiny):
    encoder = audio_encoder(tiny)
    window = pad_short(original.noise()[0, 90_000:210_000].numpy(), 240_000, encoder.short_padding)
    (latents,) = encoder.encode(torch.from_numpy(window)[None])
    assert_begins(latents, [0.14083068, 0.20240843, 0.18042295, -0.15283437, -0.08547738, -0.34064654])


def test_token_states_and_embeddings_are_the_originals_of_a_caption_alone(tiny):
    encoder = text_encoder(tiny)
    states = encoder.encode(original.CAPTIONS)
    assert [encoder.tokenizer(caption)["input_ids"] for caption in original.CAPTIONS] == original.IDS
    assert_begins(states.hidden_states[0, 3], [-1.75020909, 1.41174388, 0.83014512, 1.94990373, 1.90990999, 1.10456693])
    assert_begins(states.embedding[0], [-0.20586427, 0.00339139, 0.1562098, 0.20088233, -0.25617793, 0.16391283])
    assert_begins(
        states.hidden_states[1, 14], [-2.57560587, 1.99548841, 1.42979836, 1.57226861, 1.21450675, 1.49830794]
    )
    assert_begins(states.embedding[1], [-0.24752423, 0.11889087, 0.09277114, 0.17800315, -0.15568994, 0.28134069])


def test_a_caption_has_the_same_states_beside_longer_and_shorter_ones_as_alone(tiny):
    encoder = text_encoder(tiny)
    together = encoder.encode(CAPTIONS)
    for i, caption in enumerate(CAPTIONS):
        alone = encoder.encode([caption])
        length = alone.mask.shape[1]
        torch.testing.assert_close(together.hidden_states[i, :length], alone.hidden_states[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(together.embedding[i], alone.embedding[0], rtol=0, atol=1e-6)
        assert together.mask[i].sum() == length and (together.hidden_states[i, length:] == 0).all()
    assert together.embedding.shape == (5, 24) and together.num_truncated == 0


def test_padding_would_change_a_caption_so_that_the_groups_are_needed(tiny):
    encoder = text_encoder(tiny)
    ids = torch.tensor([original.IDS[0]])
    _, alone = encoder.network(ids)
    _, padded = encoder.network(torch.nn.functional.pad(ids, (0, 4), value=1))
    assert (alone - padded).norm() > 0.1


def test_captions_longer_than_77_tokens_are_cut_and_counted(tiny):
    states = text_encoder(tiny).encode(["piano " * 75, "piano " * 76])
    assert states.num_truncated == 1 and states.mask.shape == (2, 77)
    torch.testing.assert_close(states.embedding[0], states.embedding[1])


def test_a_window_alone_equals_the_same_window_in_a_batch_and_stays_in_float32(tiny):
    encoder, windows = audio_encoder(tiny), tones(24_000, 10)
    latents = encoder.encode(windows)
    encoder.train()
    alone = torch.cat([encoder.encode(window[None]) for window in windows])
    torch.testing.assert_close(alone, latents, rtol=0, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.encode(windows), latents)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(3))
    assert (latents[0] - latents[1]).norm() > 1e-3


@pytest.mark.parametrize("pair", ["muq", "muq_t5"])
def test_the_pair_that_config_names_is_built(tiny, tmp_path, pair):
    text_dim = 16 if pair == "muq" else 32
    places = [f"{key}={tiny / folder}" for key, folder in {"weights": "mulan", "audio_config": "muq"}.items()]
    places += [f"tokenizer={tiny / 'roberta'}"] if pair == "muq" else [f"text_weights={tiny_t5(tmp_path)}"]
    with initialize_config_dir(str(Path(__file__).resolve().parents[3] / "config"), version_base="1.3"):
        overrides = [f"encoder_pair.{each}" for each in (*places, "latent_dim=24", f"text_dim={text_dim}")]
        cfg = compose("train_ldm", ["model_name=name", f"encoder_pair={pair}", *overrides]).encoder_pair
    built = EncoderPair(cfg.name, instantiate(cfg.audio_encoder), instantiate(cfg.text_encoder), cfg.joint)
    built.check(latent_dim=24, text_dim=text_dim, audio_name=cfg.audio_name, text_name=cfg.text_name)
    assert (built.name, built.joint, cfg.window_seconds) == (pair, pair == "muq", built.audio_encoder.window_seconds)


@pytest.mark.parametrize(
    ("tower", "name"),
    [
        (audio_encoder, "mulan.audio.model.model.conformer.layers.1.self_attn.linear_q.bias"),
        (audio_encoder, "mulan.audio.transformer.layers.0.0.q_scale"),
        (text_encoder, "mulan.text.transformer.layers.1.1.0.learned_gamma"),
    ],
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tower_is_refused_by_name(tmp_path, tower, name, damage):
    save(tmp_path, lambda state: damaged(state, name, damage))
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        tower(tmp_path)


def test_an_unknown_tensor_is_refused(tmp_path):
    save(tmp_path, lambda state: state | {"mulan.text_layers_indices": torch.zeros(3)})
    with pytest.raises(WeightsError, match="mulan.text_layers_indices is unknown"):
        audio_encoder(tmp_path)


@pytest.mark.parametrize(
    ("file", "part", "change", "message"),
    [
        ("mulan", "audio_model", {"use_layer_idx": 6}, r"different MuQ-MuLan: use_layer_idx 6 \(here -1\)"),
        ("mulan", "mulan", {"sr": 16_000}, r"sr 16000 \(here 24000\)"),
        ("mulan", "audio_model", None, "mulan/model.safetensors lacks audio_model"),
        ("muq", "hop_length", 320, r"hop_length 320 \(here 240\)"),
        ("muq", "w2v2_config", None, "the config.json of .*muq lacks w2v2_config"),
        ("muq", "w2v2_config", {"position_embeddings_type": None}, "w2v2_config in .* lacks position_embeddings_type"),
        ("muq", "stat", {"melspec_2048_std": None}, "stat in .* lacks melspec_2048_std"),
    ],
)
def test_settings_of_another_network_and_incomplete_ones_are_refused(tmp_path, file, part, change, message):
    settings = json.loads(json.dumps(FILES[file]))
    if isinstance(change, dict):
        merged = {**settings[part], **change}
        settings[part] = {key: value for key, value in merged.items() if value is not None or key not in change}
    elif change is None:
        del settings[part]
    else:
        settings[part] = change
    save(tmp_path, **{file: settings})
    with pytest.raises(WeightsError, match=message):
        audio_encoder(tmp_path)


def test_absent_weights_tell_the_download_and_their_licence(tmp_path):
    download = "hf download OpenMuQ/MuQ-MuLan-large config.json model.safetensors"
    for encoder in (MuqAudioEncoder, MuqTextEncoder):
        with pytest.raises(WeightsError, match=f"{download} .*CC BY-NC 4.0"):
            encoder()
        with pytest.raises(WeightsError, match=f"{download} --local-dir {tmp_path}; .*CC BY-NC 4.0"):
            encoder(str(tmp_path))


def test_absent_settings_tell_the_download_of_their_own_file(tmp_path):
    save(tmp_path)
    with pytest.raises(WeightsError, match="hf download OpenMuQ/MuQ-large-msd-iter config.json .*audio_config to it"):
        MuqAudioEncoder(str(tmp_path / "mulan"))
    with pytest.raises(WeightsError, match="hf download xlm-roberta-base .*encoder_pair.tokenizer"):
        MuqTextEncoder(str(tmp_path / "mulan"))
    (tmp_path / "mulan/config.json").unlink()
    with pytest.raises(WeightsError, match="mulan/config.json is missing"):
        audio_encoder(tmp_path)


def test_another_network_is_refused_by_name(tiny, tmp_path):
    save_file({"backbone.slow_stem.convs.0.bias": torch.zeros(1)}, tmp_path / "mule.safetensors")
    with pytest.raises(WeightsError, match="no checkpoint of MuQ-MuLan: it looks like one of MULE"):
        MuqAudioEncoder(str(tmp_path / "mule.safetensors"))
    roberta = tmp_path / "bert"
    roberta.mkdir()
    (roberta / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(WeightsError, match="of a bert; MuQ-MuLan needs that of an xlm-roberta"):
        MuqTextEncoder(str(tiny / "mulan"), str(roberta))

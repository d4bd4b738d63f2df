"""MusCALL: the original's names, its front end by hand, and two text branches against slower code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from layouts import DAMAGES, MUSCALL, damaged, published, randomise, shapes, tones, word_tokenizer
from transformers import CLIPTextConfig, CLIPTextModel

from diffgar.models.encoders.muscall import MuscallAudioEncoder, MuscallTextEncoder
from diffgar.models.encoders.networks.muscall import AttentionPool, LogMel, MuscallAudio
from diffgar.models.encoders.networks.muscall_text import MuscallText, TextTransformer
from diffgar.models.encoders.pretrained.tensor_files import WeightsError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Checkpoints as the original's trainer saves them, one a text branch: folder, text sizes."""
    root = tmp_path_factory.mktemp("muscall")
    text = {"hidden_size": 32, "num_layers": 2, "heads": 4, "projection_dim": 24}
    text["vocab_size"] = word_tokenizer(root / "tokenizer", "clip")
    for branch in ("TextTransformer", "CLIPTextModel"):
        torch.save(checkpoint(text, branch), root / f"{branch}.pth.tar")
    return root, text


def checkpoint(text: dict, branch: str) -> dict:
    audio, words = randomise(MuscallAudio(**MUSCALL)), randomise(MuscallText(branch, **text))
    state = {"logit_scale": torch.tensor(2.6), **audio.state_dict()}
    for name, tensor in words.state_dict().items():
        clip = branch == "CLIPTextModel" and name.startswith("textual_head.")
        state[name.replace("textual_head.", "textual_head.text_model.") if clip else name] = tensor
    return {"epoch": 3, "state_dict": state, "optimizer": {}}


def audio_encoder(tiny, **options) -> MuscallAudioEncoder:
    return MuscallAudioEncoder(str(tiny[0] / "TextTransformer.pth.tar"), model_config=MUSCALL, **options)


def text_encoder(tiny, branch: str = "TextTransformer") -> MuscallTextEncoder:
    return MuscallTextEncoder(str(tiny[0] / f"{branch}.pth.tar"), str(tiny[0] / "tokenizer"), model_config=tiny[1])


def test_names_and_shapes_are_the_originals():
    with torch.device("meta"):
        towers, clip = (MuscallAudio(), MuscallText()), MuscallText("CLIPTextModel")
    expected = published("muscall")
    assert expected.pop("logit_scale") == ()
    assert shapes(*towers) == expected
    assert sum(p.numel() for tower in towers for p in tower.parameters()) + 1 == 40_774_153
    head = {name: shape for name, shape in shapes(clip).items() if name.startswith("textual_head.")}
    assert head == published("muscall_clip_text")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["audio_backbone.layer2.0.bn3.running_mean", "audio_backbone.attnpool.q_proj.bias"])
def test_a_damaged_audio_tower_is_refused_by_name(tiny, tmp_path, name, damage):
    state = damaged(checkpoint(tiny[1], "TextTransformer")["state_dict"], name, damage)
    torch.save({"state_dict": state}, tmp_path / "best_model.pth.tar")
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        MuscallAudioEncoder(str(tmp_path / "best_model.pth.tar"), model_config=MUSCALL)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("branch", ["TextTransformer", "CLIPTextModel"])
def test_a_damaged_text_tower_is_refused_by_name(tiny, tmp_path, branch, damage):
    layer = "transformer.layers.1.0.norm.weight" if branch == "TextTransformer" else "encoder.layers.1.mlp.fc1.bias"
    stored = layer if branch == "TextTransformer" else f"text_model.{layer}"
    state = damaged(checkpoint(tiny[1], branch)["state_dict"], f"textual_head.{stored}", damage)
    torch.save({"state_dict": state}, tmp_path / "best_model.pth.tar")
    with pytest.raises(WeightsError, match=f"textual_head.{layer} {DAMAGES[damage]}"):
        MuscallTextEncoder(str(tmp_path / "best_model.pth.tar"), str(tiny[0] / "tokenizer"), model_config=tiny[1])


def test_a_mel_frame_equals_a_fourier_transform_by_hand():
    window = tones(16_000, 20, 1)
    frame, time = window[0, 512 * 100 - 512 : 512 * 100 + 512].double().numpy(), np.arange(1024)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * time / 1024)
    power = [abs(np.sum(frame * taper * np.exp(-2j * np.pi * k * time / 1024))) ** 2 for k in range(513)]
    mel = LogMel()(window)
    assert mel.shape == (1, 1, 128, 626)
    expected = 10 * np.log10(np.maximum([htk_filter(band) @ power for band in range(128)], 1e-10 * sum(taper**2)))
    floor = mel.max().item() - 100
    np.testing.assert_allclose(mel[0, 0, :, 100], np.maximum(expected - 10 * np.log10(sum(taper**2)), floor), atol=2e-2)


def htk_filter(band: int) -> np.ndarray:
    """Triangle `band` of 128 between 0 and 11,025 Hz, of unit height, on 513 bins up to 8 kHz."""
    top = 2595 * np.log10(1 + 11_025 / 700)
    low, centre, high = (700 * (10 ** (top * (band + i) / 129 / 2595) - 1) for i in range(3))
    bins = np.arange(513) * 16_000 / 1024
    return np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))


def test_bands_above_nyquist_are_empty_and_the_floor_is_each_clips_own():
    loud, quiet = tones(16_000, 20, 2)[1], 1e-4 * tones(16_000, 20, 2)[0]
    mel = LogMel()(torch.stack([loud, quiet]))
    floors = mel.amax(dim=(1, 2, 3)) - 100
    torch.testing.assert_close(mel[0, 0, 116:], floors[0].expand(12, 626))
    assert floors[1] < floors[0] - 60
    torch.testing.assert_close(mel[1:], LogMel()(quiet[None]), rtol=0, atol=1e-4)


def test_the_maps_have_the_sizes_that_were_traced():
    with torch.device("meta"):
        backbone, mel, seen = MuscallAudio().audio_backbone, torch.zeros(1, 1, 128, 626), []
    for layer in (backbone.conv1, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    assert backbone(mel).shape == (1, 256)
    assert seen == [(8, 64, 313), (64, 32, 156), (128, 16, 78), (256, 8, 39), (512, 4, 19)]


def test_the_attention_pool_equals_torchs_own_attention():
    pool = randomise(AttentionPool(num_positions=6, dim=16, out_dim=10, heads=4))
    x = torch.randn(2, 16, 2, 3, generator=torch.Generator().manual_seed(0))
    tokens = x.flatten(2).permute(2, 0, 1)  # (6, 2, 16)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    expected, _ = F.multi_head_attention_forward(
        tokens[:1], tokens, tokens, 16, 4,
        in_proj_weight=torch.cat([pool.q_proj.weight, pool.k_proj.weight, pool.v_proj.weight]),
        in_proj_bias=torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
        out_proj_weight=pool.c_proj.weight, out_proj_bias=pool.c_proj.bias,
    )  # fmt: skip
    torch.testing.assert_close(pool(x), expected[0], rtol=1e-4, atol=1e-5)


def test_the_text_transformer_equals_attention_written_out():
    text = randomise(TextTransformer(dim=16, num_layers=2, heads=4, vocab_size=30, max_tokens=9))
    ids = torch.tensor([3, 7, 7, 12, 29])
    x = text.token_embedding.weight[ids] + text.position_embedding.weight[:5]
    for attention, feed_forward in text.transformer.layers:
        query, key, value = (attention.norm(x) @ attention.fn.to_qkv.weight.T).chunk(3, dim=1)
        heads = []
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            scores = query[:, part] @ key[:, part].T / 2  # the root of 4 dimensions a head
            scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
            heads.append(scores.softmax(dim=1) @ value[:, part])
        x = x + attention.fn.out_projection(torch.cat(heads, dim=1))
        x = x + feed_forward.fn.mlp(feed_forward.norm(x))
    torch.testing.assert_close(text(ids[None])[0], text.transformer.norm_out(x), rtol=1e-4, atol=1e-5)


def test_the_clip_branch_equals_the_librarys_clip(tiny):
    encoder = text_encoder(tiny, "CLIPTextModel")
    sizes = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = CLIPTextConfig(**sizes, vocab_size=tiny[1]["vocab_size"], eos_token_id=tiny[1]["vocab_size"] - 1)
    library = CLIPTextModel(config).eval()
    head = encoder.network.textual_head.state_dict()
    prefix = "" if "final_layer_norm.weight" in library.state_dict() else "text_model."
    library.load_state_dict({prefix + name: tensor for name, tensor in head.items()}, strict=False)
    captions = ["calm piano", "a loud song with drums and bass", ""]
    states, batch = encoder.encode(captions), encoder.tokenizer(captions, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = library(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        embedding = F.normalize(encoder.network.text_projection(output.pooler_output), dim=1)
    mask = states.mask
    torch.testing.assert_close(states.hidden_states[mask], output.last_hidden_state[mask], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(states.embedding, embedding, rtol=1e-4, atol=1e-5)


def test_a_window_alone_equals_the_same_window_in_a_batch_on_every_call(tiny):
    encoder, windows = audio_encoder(tiny), tones(16_000, 20)
    latents = encoder.encode(windows)
    encoder.train()
    alone = torch.cat([encoder.encode(window[None]) for window in windows])
    torch.testing.assert_close(alone, latents, rtol=0, atol=1e-5)
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(3))
    assert latents.shape == (3, 24) and (latents[0] - latents[1]).norm() > 1e-3


@pytest.mark.parametrize("branch", ["TextTransformer", "CLIPTextModel"])
def test_padding_changes_no_token_and_no_embedding(tiny, branch):
    encoder = text_encoder(tiny, branch)
    both = encoder.encode(["calm piano", "a loud song with drums and bass and guitar"])
    alone = encoder.encode(["calm piano"])
    torch.testing.assert_close(both.hidden_states[:1, :4], alone.hidden_states, rtol=0, atol=1e-5)
    torch.testing.assert_close(both.embedding[:1], alone.embedding, rtol=0, atol=1e-5)
    assert (both.hidden_states[0, 4:] == 0).all() and both.mask[0].sum() == 4


def test_the_embedding_is_the_end_tokens_projection(tiny):
    encoder = text_encoder(tiny)
    states = encoder.encode(["calm piano", ""])
    ends = torch.stack([states.hidden_states[0, 3], states.hidden_states[1, 1]])
    expected = F.normalize(encoder.network.text_projection(ends), dim=1)
    torch.testing.assert_close(states.embedding, expected)


def test_captions_longer_than_77_tokens_are_cut_and_counted(tiny):
    states = text_encoder(tiny).encode(["piano " * 75, "piano " * 76])
    assert states.num_truncated == 1 and states.mask.shape == (2, 77)


def test_average_pooling_is_found_in_the_checkpoint(tmp_path):
    torch.save({"state_dict": MuscallAudio(**MUSCALL, pooling="average").state_dict()}, tmp_path / "average.pth.tar")
    encoder = MuscallAudioEncoder(str(tmp_path / "average.pth.tar"), model_config=MUSCALL)
    assert encoder.network.audio_backbone.attnpool is None and encoder.encode(tones(16_000, 20)).shape == (3, 24)


def test_the_encoder_takes_windows_of_exactly_20_seconds(tiny):
    with pytest.raises(ValueError, match=r"\(N, 320000\)"):
        audio_encoder(tiny).encode(torch.zeros(1, 300_000))


def test_a_missing_checkpoint_says_that_none_is_published(tmp_path):
    with pytest.raises(WeightsError, match=f"{tmp_path}.*publish no weights.*set encoder_pair.weights"):
        MuscallTextEncoder(str(tmp_path / "best_model.pth.tar"), str(tmp_path))

"""MULE and its relative MuLOOC: the published names, the front ends by hand, the networks against slower code."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from layouts import DAMAGES, MULOOC, damaged, published, randomise, save_mule, save_mulooc, shapes, tones

from diffgar.models.encoders.mule import MuleAudioEncoder
from diffgar.models.encoders.mulooc import MuloocAudioEncoder
from diffgar.models.encoders.networks import mule as mule_network
from diffgar.models.encoders.networks import mulooc as mulooc_network
from diffgar.models.encoders.networks.mule import Mule
from diffgar.models.encoders.networks.mule_layers import GELU_GAIN, SqueezeExcite, WSConv2d, pad_same
from diffgar.models.encoders.networks.mulooc import Mulooc
from diffgar.models.encoders.pretrained.tensor_files import WeightsError


def test_mules_names_and_shapes_are_those_of_the_published_conversion():
    with torch.device("meta"):
        network = Mule()
    expected = {name: shape for name, shape in published("mule").items() if not name.startswith("frontend.stft")}
    assert shapes(network) == expected
    assert sum(p.numel() for p in network.parameters()) == 62_345_742


def test_muloocs_names_and_shapes_are_those_of_its_checkpoints():
    with torch.device("meta"):
        own = shapes(Mulooc())
    expected = published("mulooc") | {"heads.0.0.weight": (512, 1728), "heads.0.2.weight": (128, 512)}
    assert own == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_mule_is_refused_by_name(tmp_path, damage):
    name = "backbone.slow_stages.2.blocks.3.convs.1.gain"
    folder = save_mule(tmp_path, lambda state: damaged(state, name, damage))
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        MuleAudioEncoder(folder)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["encoder.fast_layers.1.blocks.1.residual_path.1.scalar", "heads.1.2.weight"])
def test_a_damaged_mulooc_is_refused_by_name(tmp_path, name, damage):
    path = save_mulooc(tmp_path / "last.ckpt", lambda state: damaged(state, name, damage))
    with pytest.raises(WeightsError, match=f"{name} {DAMAGES[damage]}"):
        MuloocAudioEncoder(path, model_config=MULOOC)


def test_a_conversion_with_another_front_end_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"mel_norm 1.0 \(here 2.0\)"):
        MuleAudioEncoder(save_mule(tmp_path, mel_norm=1.0))


@pytest.mark.parametrize("level", [1.0, 0.5])
def test_a_slice_of_mel_equals_a_fourier_transform_by_hand(level):
    window = tones(16_000, 3, 1)
    frame, time = level * window[0, 160 * 101 - 200 : 160 * 101 + 200].double().numpy(), np.arange(400)
    frame = frame * (0.5 - 0.5 * np.cos(2 * np.pi * time / 400))
    power = [abs(np.sum(frame * np.exp(-2j * np.pi * k * time / 2048))) ** 2 for k in range(1025)]
    expected = [np.log10(10_000 * float(htk_filter(band) @ power) + 1) for band in range(96)]
    frontend = mule_network.FrontEnd(level)
    slices = frontend(window)[0, 0]  # (96, 300); its frame 100 is the spectrogram's 101
    mel = torch.log10(10_000 * (frontend.mel_fb @ power_of(level * window))[0, :, 1:] + 1)
    np.testing.assert_allclose(mel[:, 100], expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(slices, (mel - mel.mean()) / mel.std(correction=0), rtol=1e-3, atol=1e-4)


def power_of(waveforms: torch.Tensor) -> torch.Tensor:
    return torch.stft(waveforms, 2048, 160, 400, torch.hann_window(400), return_complex=True).abs() ** 2


def htk_filter(band: int, unit: bool = True) -> np.ndarray:
    """Triangle `band` of 96 between 0 and 8 kHz on 1,025 bins, of unit L2 norm or of unit height."""
    top = 2595 * np.log10(1 + 8000 / 700)
    low, centre, high = (700 * (10 ** (top * (band + i) / 97 / 2595) - 1) for i in range(3))
    bins = np.arange(1025) * 16_000 / 2048
    triangle = np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return triangle / np.linalg.norm(triangle) if unit else triangle


def test_silence_is_not_divided_by_its_own_deviation():
    assert (mule_network.FrontEnd()(torch.zeros(1, 48_000)) == 0).all()


def test_muloocs_mel_is_in_decibels_of_unit_height_filters():
    window = tones(16_000, 3, 1)
    power = power_of(window)[0, :, 150].double().numpy()
    expected = [10 * np.log10(max(htk_filter(band, unit=False) @ power, 1e-10)) for band in range(96)]
    mel = mulooc_network.FrontEnd()(window)
    assert mel.shape == (1, 1, 96, 301)
    np.testing.assert_allclose(mel[0, 0, :, 150], expected, atol=1e-2)


def test_a_standardised_convolution_equals_one_written_out():
    conv = randomise(WSConv2d(4, 6, (3, 1), (2, 1), groups=2))
    x = torch.randn(1, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    padded = F.pad(x, (0, 0, 1, 1))  # 5 rows, stride 2: 3 out, one row of padding above and below
    expected = torch.zeros(1, 6, 3, 3)
    for out in range(6):
        kernel = conv.weight[out]
        kernel = (kernel - kernel.mean()) / (kernel.var(correction=0) * kernel.numel()) ** 0.5 * conv.gain[out]
        group = padded[0, 2 * (out // 3) : 2 * (out // 3) + 2]
        for row in range(3):
            expected[0, out, row] = (group[:, 2 * row : 2 * row + 3] * kernel).sum(dim=(0, 1)) + conv.bias[out]
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(300, 1, 8, 0, 0), (38, 3, 2, 0, 1), (75, 7, 4, 2, 2), (19, 3, 1, 1, 1)],
)
def test_padding_is_tensorflows_same(size, kernel, stride, before, after):
    padded = pad_same(torch.ones(1, 1, 1, size), (1, kernel), (1, stride))[0, 0, 0]
    assert padded.tolist() == [0.0] * before + [1.0] * size + [0.0] * after


def test_squeeze_and_excite_doubles_the_sigmoid():
    layer, x = SqueezeExcite(4), torch.ones(1, 4, 2, 2)
    torch.nn.init.zeros_(layer.fc2.weight), torch.nn.init.zeros_(layer.fc2.bias)
    torch.testing.assert_close(layer(x), x)


def test_the_scaled_activation_keeps_unit_variance():
    x = torch.randn(1_000_000, generator=torch.Generator().manual_seed(0))
    assert abs(mule_network.activation(x).std() - 1) < 5e-3 and GELU_GAIN > 1.7


def test_each_stage_of_mule_has_the_size_that_was_traced():
    with torch.device("meta"):
        backbone, slices, seen = Mule().backbone, torch.zeros(2, 1, 96, 300), []
    for stage in (*backbone.slow_stages, *backbone.fast_stages):
        stage.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    assert backbone(slices).shape == (2, 1728)
    assert seen[::2] == [(256, 24, 19), (512, 12, 19), (1536, 6, 19), (1536, 3, 19)]
    assert seen[1::2] == [(32, 24, 75), (64, 12, 75), (192, 6, 75), (192, 3, 75)]


def test_muloocs_slow_path_grows_along_time():
    with torch.device("meta"):
        encoder, mel, seen = Mulooc().encoder, torch.zeros(2, 1, 96, 300), []
    for stage in (encoder.slow_stem, *encoder.slow_layers):
        stage.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    assert encoder(mel).shape == (2, 1728)
    assert seen == [(128, 24, 19), (256, 24, 37), (512, 12, 55), (1536, 6, 73), (1536, 3, 91)]


def test_a_block_without_its_skip_gain_is_its_shortcut():
    block = mule_network.Block(8, 16, group_size=8, beta=0.5, stride=2, first=True)
    x = torch.randn(2, 8, 4, 5, generator=torch.Generator().manual_seed(0))
    shortcut = block.skip_conv(F.avg_pool2d(0.5 * mule_network.activation(x), (2, 1)))
    torch.testing.assert_close(block(x), shortcut)
    later = mule_network.Block(16, 16, group_size=8, beta=0.5, stride=1, first=False)
    assert torch.equal(later(shortcut), shortcut)


def test_a_block_of_mulooc_equals_its_layers_written_out():
    block = randomise(mulooc_network.Block(16, 16, group_size=8, beta=0.5, stride=1, first=False))
    x = torch.randn(2, 16, 4, 5, generator=torch.Generator().manual_seed(0))
    _, beta, *convs, excite, skip_gain, alpha = block.residual_path
    h = beta.scalar * F.relu(x)
    for i, conv in enumerate(convs):
        weight, padding = conv.conv.weight, tuple(size // 2 for size in conv.conv.kernel_size)
        std = weight.flatten(1).std(dim=1)[:, None, None, None]  # of a sample
        weight = (weight - weight.mean(dim=(1, 2, 3), keepdim=True)) / (std * weight[0].numel() ** 0.5)
        h = F.conv2d(F.relu(h) if i else h, weight, padding=padding)
    h = h * torch.sigmoid(excite.fc[2](F.relu(excite.fc[0](h.mean(dim=(2, 3))))))[:, :, None, None]
    torch.testing.assert_close(block(x), x + alpha.scalar * skip_gain.scalar * h, rtol=1e-4, atol=1e-5)


def test_every_blocks_beta_undoes_the_variance_that_the_blocks_before_it_add():
    with torch.device("meta"):
        stages = Mule().backbone.slow_stages
    variances = [[round(block.beta**-2, 6) for block in stage.blocks] for stage in stages]
    assert variances == [[1.0], [1.04, 1.08], [1.04, 1.08, 1.12, 1.16, 1.2, 1.24], [1.04, 1.08, 1.12]]
    with torch.device("meta"):
        network = Mulooc().encoder
    assert [len(stage.blocks) for stage in network.slow_layers] == [1, 2, 6, 3]


@pytest.mark.parametrize("relative", ["mule", "mulooc", "head"])
def test_a_window_alone_equals_the_same_window_in_a_batch_on_every_call(tmp_path, relative):
    if relative == "mule":
        encoder, dim = MuleAudioEncoder(save_mule(tmp_path)), 24
    else:
        path, layer = save_mulooc(tmp_path / "last.ckpt"), "encoder" if relative == "mulooc" else "head_1"
        encoder, dim = MuloocAudioEncoder(path, layer, model_config=MULOOC), 24 if relative == "mulooc" else 5
    windows = tones(16_000, 3)
    latents = encoder.encode(windows)
    encoder.train()
    alone = torch.cat([encoder.encode(window[None]) for window in windows])
    torch.testing.assert_close(alone, latents, rtol=1e-4, atol=1e-5)
    assert latents.shape == (3, dim) == (3, encoder.dim) and not latents.requires_grad


def test_mule_hears_loudness_because_its_compression_is_not_scale_invariant(tmp_path):
    encoder, windows = MuleAudioEncoder(save_mule(tmp_path)), tones(16_000, 3)
    latents, quieter = encoder.encode(windows), encoder.encode(0.5 * windows)
    assert (latents - quieter).norm() > 1e-3 * latents.norm()


def test_a_level_is_part_of_what_made_the_latents_and_half_of_it_is_half_the_waveform(tmp_path):
    folder, windows = save_mule(tmp_path), tones(16_000, 3)
    full, half = MuleAudioEncoder(folder), MuleAudioEncoder(folder, level=0.5)
    assert torch.equal(half.encode(windows), full.encode(0.5 * windows))  # a half is exact in any float
    assert (full.layer, half.layer, full.frontend_version) == ("pooled", "pooled at level 0.5", 2)
    for level in (0, -1.0, 2, "0.5", True, None):
        with pytest.raises(WeightsError, match="MULE's level is"):
            MuleAudioEncoder(folder, level=level)


def test_all_heads_are_the_single_ones_one_after_the_other(tmp_path):
    path, windows = save_mulooc(tmp_path / "last.ckpt"), tones(16_000, 3)
    heads = [MuloocAudioEncoder(path, layer, model_config=MULOOC) for layer in ("head_0", "head_1", "heads")]
    single = torch.cat([head.encode(windows) for head in heads[:2]], dim=1)
    assert torch.equal(heads[2].encode(windows), single) and [head.dim for head in heads] == [6, 5, 11]


def test_a_checkpoint_with_parallel_last_blocks_is_refused_as_such(tmp_path):
    name = "encoder.slow_layers.3.blocks.2.parallels.0.residual_path.1.scalar"
    path = save_mulooc(tmp_path / "plus.ckpt", lambda state: state | {name: torch.ones(())})
    with pytest.raises(WeightsError, match="parallel last blocks .*which are not supported"):
        MuloocAudioEncoder(path, model_config=MULOOC)


def test_a_checkpoint_with_its_front_end_inside_loads_where_that_is_the_same(tmp_path):
    frontend = mulooc_network.FrontEnd()
    inside = {"encoder.frontend.mel.spectrogram.window": frontend.window}
    inside |= {"encoder.frontend.mel.mel_scale.fb": frontend.bank}
    plain = MuloocAudioEncoder(save_mulooc(tmp_path / "plain.ckpt"), model_config=MULOOC)
    state = plain.network.state_dict()
    path = save_mulooc(tmp_path / "inside.ckpt", lambda _: state | inside)
    windows = tones(16_000, 3, 1)
    assert torch.equal(MuloocAudioEncoder(path, model_config=MULOOC).encode(windows), plain.encode(windows))
    inside["encoder.frontend.mel.mel_scale.fb"] = torch.zeros(1025, 64)
    path = save_mulooc(tmp_path / "other.ckpt", lambda state: state | inside)
    with pytest.raises(WeightsError, match=r"another front end: its mel bank \(1025, 64\)"):
        MuloocAudioEncoder(path, model_config=MULOOC)


def test_an_unknown_head_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="encoder, head_0, head_1"):
        MuloocAudioEncoder(save_mulooc(tmp_path / "last.ckpt"), "head_2", model_config=MULOOC)


def test_neither_relative_loads_the_others_weights(tmp_path):
    (tmp_path / "mule").mkdir()
    with pytest.raises(WeightsError, match="no checkpoint of MuLOOC: it looks like one of MULE.*encoder_pair=mule_t5"):
        MuloocAudioEncoder(save_mule(tmp_path / "mule") + "/model.safetensors", model_config=MULOOC)
    with pytest.raises(WeightsError, match="no checkpoint of MULE: it looks like one of MuLOOC"):
        MuleAudioEncoder(save_mulooc(tmp_path / "last.ckpt"))


def test_a_missing_checkpoint_tells_the_download_and_the_place(tmp_path):
    with pytest.raises(WeightsError, match=f"hf download matteospanio/mule .*--local-dir {tmp_path}"):
        MuleAudioEncoder(str(tmp_path))

"""What every backbone promises, and what only the U-Net has to."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from diffgar.errors import InputError
from diffgar.models.backbones.attention import SelfAttention
from diffgar.models.backbones.base import Backbone, check_backbone
from diffgar.models.backbones.dit import DiT
from diffgar.models.backbones.layers import PositionFeatures, TextPooling, positions
from diffgar.models.backbones.mlp import MLP
from diffgar.models.backbones.unet import Convolution, DeepFrames, Stage, UNet
from diffgar.text_states import TextStates

D, C, T, L = 16, 12, 12, 5
UNET = {"channels": [32, 32, 48], "factors": [2, 2, 4], "num_blocks": [1, 1, 2], "attentions": [0, 1, 1]}
BACKBONES = {
    "unet": lambda: UNet(D, C, **UNET, num_heads=2, head_dim=8, features=32),
    "mlp": lambda: MLP(D, C, width=32, depth=2, num_heads=2),
    "dit": lambda: DiT(D, C, width=32, depth=2, num_heads=2),
}


@pytest.fixture(params=BACKBONES)
def backbone(request):
    """With weights as after training: those that start at or near zero would hide what they pass on."""
    torch.manual_seed(0)
    network = BACKBONES[request.param]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    text_mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] * 1 + [False] * 4])
    mask = torch.arange(T) < torch.tensor([[T], [7], [1]])
    return {
        "noisy_latents": torch.randn(3, T, D, generator=generator),
        "timesteps": torch.tensor([0, 500, 999]),
        "text": TextStates(torch.randn(3, L, C, generator=generator), text_mask),
        "mask": mask,
    }


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 5, 16, 21])
def test_any_number_of_frames_goes_in_and_comes_out(backbone, inputs, num_frames):
    noisy_latents = torch.randn(3, num_frames, D)
    prediction = backbone(noisy_latents, inputs["timesteps"], inputs["text"])
    assert prediction.shape == noisy_latents.shape


@torch.no_grad()
def test_padding_tokens_change_nothing(backbone, inputs):
    expected = backbone(**inputs)
    text = inputs["text"]
    garbage = torch.where(text.mask.unsqueeze(-1), text.hidden_states, torch.tensor(7.0))
    longer = TextStates(F.pad(garbage, (0, 0, 0, 6), value=-3.0), F.pad(text.mask, (0, 6)))
    close(backbone(**inputs | {"text": longer}), expected)


@torch.no_grad()
@pytest.mark.parametrize("extra", [1, 4, 20])
def test_padding_frames_change_nothing(backbone, inputs, extra):
    valid = inputs["mask"]
    expected = backbone(**inputs)
    garbage = torch.where(valid.unsqueeze(-1), inputs["noisy_latents"], torch.tensor(9.0))
    longer = {
        "noisy_latents": F.pad(garbage, (0, 0, 0, extra), value=-5.0),
        "mask": F.pad(valid, (0, extra)),
    }
    close(backbone(**inputs | longer)[:, :T][valid], expected[valid])


@torch.no_grad()
def test_a_short_sequence_alone_equals_the_same_one_padded_in_a_batch(backbone, inputs):
    together = backbone(**inputs)[1, :7]
    short = TextStates(inputs["text"].hidden_states[1:2, :3], torch.ones(1, 3, dtype=torch.bool))
    close(backbone(inputs["noisy_latents"][1:2, :7], inputs["timesteps"][1:2], short)[0], together)


@torch.no_grad()
def test_a_mask_of_only_valid_frames_equals_no_mask(backbone, inputs):
    everything = torch.ones(3, T, dtype=torch.bool)
    close(backbone(**inputs | {"mask": everything}), backbone(**inputs | {"mask": None}))


@torch.no_grad()
def test_prepared_text_equals_raw_text(backbone, inputs):
    prepared = backbone.prepare_text(inputs["text"])
    close(backbone(**inputs | {"text": prepared}), backbone(**inputs))


@torch.no_grad()
@pytest.mark.parametrize("name", ["timesteps", "text"])
def test_the_conditions_are_heard(backbone, inputs, name):
    other = inputs["timesteps"].flip(0) if name == "timesteps" else inputs["text"].select(torch.tensor([2, 1, 0]))
    assert not torch.allclose(backbone(**inputs | {name: other}), backbone(**inputs), atol=1e-3)


def gradients(network, inputs):
    """The norm of each parameter's gradient, in float64: what is zero in theory is then below 1e-16 of the others."""
    doubled = {"noisy_latents": inputs["noisy_latents"].double(), "text": inputs["text"].to(dtype=torch.float64)}
    inputs = inputs | doubled
    generator = torch.Generator().manual_seed(2)
    target = torch.randn(inputs["noisy_latents"].shape, generator=generator, dtype=torch.float64)
    (network.double()(**inputs) - target).square().mean().backward()
    return {name: 0.0 if x.grad is None else x.grad.norm().item() for name, x in network.named_parameters()}


@pytest.mark.parametrize("name", BACKBONES)
def test_gradient_reaches_every_parameter_from_the_first_step(name, inputs):
    torch.manual_seed(0)
    found = gradients(BACKBONES[name](), inputs)
    assert [key for key, norm in found.items() if norm < 1e-9 * max(found.values())] == []


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_queries_learn_from_a_single_frame(name, inputs):
    torch.manual_seed(0)
    single = {key: x[:, :1] if key in ("noisy_latents", "mask") else x for key, x in inputs.items()}
    found = gradients(BACKBONES[name](), single)
    queries = [norm for key, norm in found.items() if key.endswith("to_frames.to_query.weight")]
    assert queries and min(queries) > 1e-9 * max(found.values())


@torch.no_grad()
def test_a_row_without_a_valid_frame_is_finite_and_changes_no_other(backbone, inputs):
    empty = inputs["mask"].clone()
    empty[1] = False
    found = backbone(**inputs | {"mask": empty})
    assert found.isfinite().all()
    close(found[[0, 2]], backbone(**inputs)[[0, 2]])


def test_a_unet_takes_keys_and_values_on_the_way_down_and_then_up():
    backbone = UNet(D, C, [8, 8], [1, 2], [1, 1], [1, 1], num_heads=2, head_dim=4, features=8)
    assert backbone.cross_attentions() == [stage.to_text for stage in [*backbone.down, *backbone.up]]


@torch.no_grad()
def test_the_sink_is_one_more_frame_to_attend_to():
    attention = SelfAttention(6, num_heads=2, head_dim=3, norm=False)
    attention.sink.normal_()
    frames, mask = torch.randn(2, 4, 6), torch.tensor([[True] * 4, [True, False, False, True]])
    keys, values = attention.to_keys_values(frames).chunk(2, dim=-1)
    queries, expected = attention.to_query(frames), torch.zeros(2, 4, 6)
    for row, frame, head in product(range(2), range(4), range(2)):
        part, valid = slice(3 * head, 3 * head + 3), mask[row]
        key, value = (
            torch.cat([sink[head], x[row, valid, part]]) for sink, x in zip(attention.sink, (keys, values), strict=True)
        )
        weights = (key @ queries[row, frame, part] / 3**0.5).softmax(dim=0)
        expected[row, frame, part] = weights @ value
    close(attention(frames, mask=mask), attention.out(expected))


@pytest.mark.parametrize("name", BACKBONES)
def test_an_untrained_backbone_predicts_about_zero(name, inputs):
    torch.manual_seed(0)
    assert BACKBONES[name]()(**inputs).abs().max() < 0.1


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_the_convolution_equals_conv1d(num_frames):
    ours, theirs = Convolution(6), torch.nn.Conv1d(6, 6, 3, padding=1)
    theirs.weight.copy_(ours.taps.weight.unflatten(1, (3, 6)).transpose(1, 2))
    theirs.bias.copy_(ours.taps.bias)
    frames = torch.randn(2, num_frames, 6)
    close(ours(frames), theirs(frames.transpose(1, 2)).transpose(1, 2))


@torch.no_grad()
def test_text_pooling_starts_as_the_mean_over_tokens():
    pooling, text = TextPooling(C, 8, num_heads=2), torch.randn(2, L, C)
    text_mask = torch.arange(L) < torch.tensor([[L], [2]])
    means = torch.stack([text[0].mean(dim=0), text[1, :2].mean(dim=0)])
    close(pooling(text, text_mask), pooling.out(pooling.values(means)))


@torch.no_grad()
def test_frames_of_unet_and_dit_see_one_another_and_those_of_the_mlp_do_not(backbone, inputs):
    changed = inputs["noisy_latents"].clone()
    changed[:, 0] += 1
    before, after = (backbone(**inputs | {"noisy_latents": x})[0, -1] for x in (inputs["noisy_latents"], changed))
    difference = (before - after).abs().max()
    assert difference < 1e-5 if isinstance(backbone, MLP) else difference > 1e-3


def test_positions_are_relative_to_the_valid_frames():
    mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6, [True] + [False] * 5])
    found = positions(torch.zeros(3, 6, D), mask)
    close(found[0, :4], torch.tensor([1 / 8, 3 / 8, 5 / 8, 7 / 8]))
    close(found[1:2], positions(torch.zeros(1, 6, D), None))
    assert found[2, 0] == 0.5


@pytest.mark.parametrize("factor", [2, 4])
def test_frames_of_a_shorter_sequence_have_the_positions_of_the_same_parts_of_a_longer_one(factor):
    long, short = torch.zeros(1, 64, D), torch.zeros(1, 64 // factor, D)
    close(positions(long, None, factor), positions(short, None))


@pytest.mark.parametrize("valid", [1, 5, 8, 11])
def test_a_deep_frame_is_at_the_mean_of_the_positions_of_its_valid_frames(valid):
    latents, mask = torch.zeros(1, 12, D), (torch.arange(12) < valid)[None]
    each = positions(latents, mask)[0, :valid]
    expected = torch.stack([part.mean() for part in each.split(4)])
    close(positions(latents, mask, 4)[0, : len(expected)], expected)


@torch.no_grad()
def test_position_features_tell_64_frames_apart_and_are_one_half_wave_at_their_slowest():
    layer = PositionFeatures(14)
    layer.out.weight.copy_(torch.eye(14))
    features = layer(positions(torch.zeros(1, 64, D), None))[0]  # sines, then cosines
    assert F.pdist(features).min() > 0.3
    slowest = features[:, 7]
    assert (slowest[1:] < slowest[:-1]).all() and (slowest[:32] > 0).all() and (slowest[32:] < 0).all()


ORDER = torch.randperm(T, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
@pytest.mark.parametrize("name", ["mlp", "dit"])
def test_shuffled_frames_change_nothing_if_and_only_if_their_positions_are_shuffled_too(name, inputs, monkeypatch):
    torch.manual_seed(0)
    backbone, full = BACKBONES[name](), inputs | {"mask": None}
    nn.init.normal_(backbone.head.out.weight)
    shuffled = full | {"noisy_latents": full["noisy_latents"][:, ORDER]}
    expected = backbone(**full)[:, ORDER]
    assert (backbone(**shuffled) - expected).abs().max() > 0.1
    monkeypatch.setattr(f"diffgar.models.backbones.{name}.positions", lambda *given: positions(*given)[:, ORDER])
    close(backbone(**shuffled), expected)


@torch.no_grad()
def test_a_unet_stages_attention_knows_frames_by_their_positions(inputs):
    torch.manual_seed(0)
    stage = Stage(16, num_blocks=0, attends=True, text_dim=C, num_heads=2, head_dim=8, features=8, dropout=0)
    frames, where, text = torch.randn(3, T, 16), positions(torch.zeros(3, T, D), inputs["mask"]), inputs["text"]

    def attend(frames, mask, where):
        keys_values = iter([stage.to_text.keys_values(text.hidden_states)])
        return stage(frames, torch.zeros(3, 8), DeepFrames(mask, where), keys_values, text.mask)

    expected = attend(frames, inputs["mask"], where)[:, ORDER]
    moved = frames[:, ORDER], inputs["mask"][:, ORDER]
    close(attend(*moved, where[:, ORDER]), expected)
    assert (attend(*moved, where) - expected).abs().max() > 0.1
    # Equal frames read the words differently, and by their positions alone.
    equal = attend(frames[:, :1].expand(-1, T, -1), inputs["mask"], where) - stage.position_features(where)
    assert (equal[0] - equal[0, 0]).abs().max() > 0.01


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_learns_a_course_that_the_order_of_two_words_tells(name):
    torch.manual_seed(0)
    backbone, words, latents = BACKBONES[name](), torch.randn(3, C - 2), torch.randn(3, D)
    first, second = torch.tensor([(a, b) for a in range(3) for b in range(3) if a != b]).T
    places = torch.eye(2).expand(len(first), -1, -1)  # the last two dimensions of a state: the word's place
    states = torch.cat([words[torch.stack([first, second], dim=1)], places], dim=-1)
    text = TextStates(states, torch.ones(states.shape[:2], dtype=torch.bool))
    halves = torch.stack([latents[first], latents[second]], dim=1)  # (B, 2, D)
    target = halves.repeat_interleave(4, dim=1)
    without_order = (target - halves.mean(dim=1, keepdim=True)).square().mean()
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-2)
    for _ in range(100):
        loss = (backbone(torch.zeros_like(target), torch.full((len(target),), 999), text) - target).square().mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    assert loss < 0.05 * without_order


class Wordless(nn.Module):
    def forward(self, noisy_latents, timesteps, text, mask=None):
        return noisy_latents


class Maskless(Wordless):
    prepare_text = Backbone.prepare_text

    def forward(self, noisy_latents, timesteps, text):
        return noisy_latents


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Wordless, r"the backbone Wordless has no prepare_text\(text\)"),
        (Maskless, r"the backbone Maskless has no forward\(noisy_latents, timesteps, text, mask\)"),
    ],
)
def test_what_does_not_keep_the_contract_is_refused_by_name(other, message):
    with pytest.raises(InputError, match=message):
        check_backbone(other())
    for make in BACKBONES.values():
        check_backbone(make())


def test_heads_that_do_not_divide_the_features_are_refused():
    for make in (lambda: MLP(D, C, width=30, depth=1), lambda: DiT(D, C, width=30, depth=1, num_heads=4)):
        with pytest.raises(InputError, match="must divide its features .* 30"):
            make()


def test_levels_of_different_count_are_refused_by_name():
    with pytest.raises(ValueError, match="3, 2, 3 and 3"):
        UNet(D, C, **UNET | {"factors": [2, 2]})

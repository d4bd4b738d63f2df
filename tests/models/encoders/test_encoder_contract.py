"""What an encoder pair refuses before anything is encoded: a broken contract, and a YAML that says otherwise."""

import pytest
import torch

from diffgar.demo.encoder import DemoAudioEncoder, DemoTextEncoder
from diffgar.models.encoders.base import AudioEncoder, EncoderPair, TextEncoder
from diffgar.models.encoders.contract import PairError
from diffgar.text_states import TextStates

ATTRIBUTES = {
    "audio": ["name", "checkpoint_hash", "frontend_version", "dim", "sample_rate", "window_seconds"],
    "text": ["name", "checkpoint_hash", "frontend_version", "dim", "max_tokens"],
}
WRONG = [
    ("audio", "dim", "32"),
    ("audio", "dim", 0),
    ("audio", "dim", True),
    ("audio", "sample_rate", 16_000.5),
    ("audio", "window_seconds", float("nan")),
    ("audio", "window_seconds", None),
    ("audio", "short_padding", "repeatpad"),
    ("audio", "name", ""),
    ("audio", "name", "a/b"),
    ("audio", "checkpoint_hash", None),
    ("audio", "layer", None),
    ("text", "embedding_dim", "32"),
    ("text", "max_tokens", -1),
    ("text", "frontend_version", "1"),
]


def encoders() -> dict:
    """Classes of one audio and one text encoder that keep the contract, anew each time."""

    class Bands(AudioEncoder):
        name, checkpoint_hash, frontend_version = "bands", "none", 1
        sample_rate, window_seconds, dim = 8000, 0.5, 32

        def encode(self, windows):
            return windows[:, :32]

    class Words(TextEncoder):
        name, checkpoint_hash, frontend_version = "words", "none", 1
        dim, max_tokens = 4, 8

        def encode(self, captions):
            return TextStates(torch.ones(len(captions), 1, 4), torch.ones(len(captions), 1).bool())

    return {"audio": Bands, "text": Words}


def pair(joint: bool = False, **changed) -> EncoderPair:
    kinds = encoders() | changed
    return EncoderPair("mine", kinds["audio"](), kinds["text"](), joint)


def test_a_pair_that_keeps_the_contract_is_taken():
    assert pair().audio_encoder.short_padding == "zeros"
    EncoderPair("demo", DemoAudioEncoder("random"), DemoTextEncoder("random"), joint=True)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in ATTRIBUTES for name in ATTRIBUTES[kind]])
def test_a_missing_attribute_is_named_with_its_class(kind, name):
    kinds = encoders()
    delattr(kinds[kind], name)
    with pytest.raises(PairError, match=rf"{kinds[kind].__name__} has no {name}; set it to"):
        pair(**kinds)


@pytest.mark.parametrize(("kind", "name", "value"), WRONG)
def test_an_attribute_of_another_kind_is_named_with_its_class_and_value(kind, name, value):
    kinds = encoders()
    setattr(kinds[kind], name, value)
    with pytest.raises(PairError, match=rf"{name} of .*{kinds[kind].__name__} is .*; it must be"):
        pair(**kinds)


def test_an_encoder_without_encode_or_of_the_other_kind_or_of_none_is_refused():
    kinds = encoders()
    del kinds["audio"].encode
    with pytest.raises(PairError, match="Bands has no encode of its own"):
        pair(**kinds)
    with pytest.raises(PairError, match="Words is no AudioEncoder: derive it from .*base.AudioEncoder"):
        pair(audio=encoders()["text"])
    with pytest.raises(PairError, match="Linear is no TextEncoder"):
        pair(text=lambda: torch.nn.Linear(2, 2))


def test_latents_that_were_computed_elsewhere_need_no_encode():
    class Latents:
        name, checkpoint_hash, frontend_version, layer, dim = "own", "0", 1, "given", 32

    assert pair(audio=Latents).audio_encoder.dim == 32
    Latents.dim = "32"
    with pytest.raises(PairError, match="dim of .*Latents is '32'"):
        pair(audio=Latents)


def test_a_joint_pair_of_two_spaces_is_refused():
    with pytest.raises(PairError, match="32 dimensions and its caption embeddings None; set joint: false"):
        pair(joint=True)


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [("latent_dim", 64, 32), ("text_dim", 5, 4), ("audio_name", "mine", "bands"), ("text_name", "theirs", "words")],
)
def test_a_yaml_that_says_another_width_or_name_is_refused_and_its_remedy_mends_it(key, value, found):
    said = {"latent_dim": 32, "text_dim": 4, "audio_name": "bands", "text_name": "words"}
    pair().check(**said)
    with pytest.raises(PairError, match=rf"says {key}: {value}, .* is {found}, .* encoder_pair\.{key}={found}"):
        pair().check(**said | {key: value})

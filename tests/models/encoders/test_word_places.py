"""Token states say where a word stands: of two instruments in a caption, which one is named first."""

import pytest
import torch
from layouts import clap_sizes, word_tokenizer
from word_places import INSTRUMENTS, WORDINGS, word_probe

from diffgar.demo.encoder import DemoTextEncoder, split_words
from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.clap import ClapTextEncoder
from diffgar.models.encoders.minilm import MiniLMTextEncoder, packaged
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.t5 import T5TextEncoder
from diffgar.text_states import TextStates

WORDS = sorted({*INSTRUMENTS, *split_words(" ".join(WORDINGS)), "drums"})
SMALL_T5 = {"d_model": 128, "d_ff": 256, "d_kv": 32, "num_layers": 3, "num_heads": 4}


class BagOfWords(TextEncoder):
    """A random vector per word, wherever it stands."""

    def encode(self, captions: list[str]) -> TextStates:
        rows = [[0] + [WORDS.index(word) for word in split_words(caption)] for caption in captions]
        vectors = torch.randn(len(WORDS), 64, generator=torch.Generator().manual_seed(0))
        states = torch.nn.utils.rnn.pad_sequence([vectors[row] for row in rows], batch_first=True)  # (B, L, C)
        return TextStates(states, states.abs().sum(dim=-1) > 0)


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    """A small Flan-T5 with random weights."""
    folder = tmp_path_factory.mktemp("t5")
    sizes = {"vocab_size": word_tokenizer(folder, "t5", WORDS), **SMALL_T5}
    return T5TextEncoder("random", tokenizer=str(folder), model_config=sizes)


def test_without_places_the_probe_is_right_once_in_two():
    assert word_probe(BagOfWords()) == 0.5


def test_learned_positions_tell_it_from_the_start(tmp_path):
    sizes = clap_sizes(word_tokenizer(tmp_path, "roberta", WORDS))
    sizes["text_config"]["hidden_size"] = 64
    assert word_probe(ClapTextEncoder("random", tokenizer=str(tmp_path), model_config=sizes)) >= 0.95


def test_relative_positions_tell_it_as_far_as_their_bias_is_loud(t5):
    """Initialised at about 0.1, beside attention logits of about 1, it moves attention by a few per cent."""
    bias = t5.network.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight  # (buckets, heads)
    initialised = bias.clone()
    assert 0.54 <= word_probe(t5) < 0.7
    bias.copy_(2 * initialised / initialised.std())
    assert word_probe(t5) >= 0.95
    bias.zero_()
    assert word_probe(t5) == pytest.approx(0.5, abs=0.02)


def test_minilm_tells_it_with_its_published_weights():
    try:
        packaged()
    except WeightsError as error:
        pytest.skip(str(error))
    assert word_probe(MiniLMTextEncoder()) >= 0.95


def test_the_demos_tower_tells_it():
    assert word_probe(DemoTextEncoder()) >= 0.95

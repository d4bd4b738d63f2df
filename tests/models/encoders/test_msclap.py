"""Microsoft's CLAP: its numbers are the original's, and what else Microsoft published is refused by name."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from layouts import published
from msclap_original import CONSTANT, IDS, LENGTHS, SMALL, drawn_by_name
from originals import draw
from pages import ROOT
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.msclap import MsClapAudioEncoder, MsClapTextEncoder
from diffgar.models.encoders.networks.mel import mel_bank
from diffgar.models.encoders.networks.msclap import MsClapAudio
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.t5 import T5TextEncoder

ORIGINAL = {  # what msclap_original.py prints, with torch 2.13.0, transformers 4.57.6 and torchlibrosa 0.1.0
    "audio": [[0.0076469, -0.0015734, 0.002448, 0.0035914, 0.0472704, 0.0296564]],
    "text": [
        [0.0234103, 0.023987, 0.0549395, 0.0459857, -0.02727, 0.0916078],
        [0.0001177, 0.0019758, 0.0614739, 0.0208275, -0.0371442, 0.0306238],
        [0.0320261, 0.042638, 0.031323, 0.0168936, -0.0298227, 0.018056],
    ],
}
WORDS = ["!", "a", "calm", "loud", "piano", "guitar", "Ġ", "drums", "bass", "song"]  # their ids are their places
END = 19
INDEX = "relative_position_index"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The layout of the published file, with drawn weights and the original's constants."""
    shapes = published("msclap")
    state = drawn_by_name(shapes) | {name: torch.zeros(shapes[name]) for name in shapes if name.endswith(CONSTANT)}
    bank = mel_bank(64, 1024, 32_000, 50, 14_000, scale="slaney", norm="slaney")
    index = next(x for name, x in MsClapAudioEncoder("random").network.state_dict().items() if name.endswith(INDEX))
    state |= {name: bank for name in state if name.endswith("melW")}
    state |= {name: index for name in state if name.endswith(INDEX)}
    path = tmp_path_factory.mktemp("msclap") / "CLAP_weights_2023.pth"
    torch.save({"model": state}, path)
    return path


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A tokenizer of few words in GPT-2's manner: no padding token, and an end that stands for itself."""
    vocabulary = {word: row for row, word in enumerate(WORDS)} | {"<|endoftext|>": END}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    folder = tmp_path_factory.mktemp("gpt2")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def text_encoder(checkpoint, tokenizer):
    return MsClapTextEncoder(str(checkpoint), tokenizer, {"text_config": SMALL})


def test_audio_is_the_originals(checkpoint):
    window = 5 * draw("7 seconds of noise", (44_100 * 7,))
    window[len(window) // 2 :] *= 0.002
    encoder = MsClapAudioEncoder(str(checkpoint))
    latents = encoder.encode(window[None])
    torch.testing.assert_close(latents[:, :6], torch.tensor(ORIGINAL["audio"]), rtol=0, atol=1e-6)
    assert latents.shape == (1, 1024) == (1, encoder.dim)
    both = encoder.encode(torch.stack([window, window.flip(0)]))
    torch.testing.assert_close(both[:1], latents, rtol=0, atol=1e-6)


def test_text_is_the_originals_also_where_a_caption_holds_the_padding(text_encoder):
    ids, mask = torch.tensor(IDS), torch.arange(6) < torch.tensor(LENGTHS)[:, None]
    with torch.no_grad():
        states, embedding = text_encoder.network(ids, mask)
    unit = torch.nn.functional.normalize(embedding, dim=-1)
    torch.testing.assert_close(unit[:, :6], torch.tensor(ORIGINAL["text"]), rtol=0, atol=1e-6)
    end = text_encoder.network.projection(states[0, 3])
    torch.testing.assert_close(end, embedding[0], rtol=0, atol=1e-5)


def test_a_caption_gets_an_end_and_is_the_same_alone(text_encoder):
    states = text_encoder.encode(["calm piano", "", "loud drums ! bass"])
    assert states.mask.sum(dim=1).tolist() == [3, 1, 5] and states.hidden_states.shape == (3, 5, 32)
    assert (states.hidden_states[~states.mask] == 0).all() and states.num_truncated == 0
    torch.testing.assert_close(states.embedding.norm(dim=1), torch.ones(3))
    alone = text_encoder.encode(["calm piano"])
    torch.testing.assert_close(alone.hidden_states, states.hidden_states[:1, :3], rtol=0, atol=1e-5)
    torch.testing.assert_close(alone.embedding, states.embedding[:1], rtol=0, atol=1e-5)
    assert text_encoder.encode(["piano " * 80]).num_truncated == 1


def test_the_files_own_bank_is_used(checkpoint, tmp_path):
    state = torch.load(checkpoint)["model"]
    (name,) = (name for name in state if name.endswith("melW"))
    torch.save({"model": state | {name: 2 * state[name]}}, tmp_path / "other.pth")
    louder = MsClapAudioEncoder(str(tmp_path / "other.pth")).network
    assert isinstance(louder, MsClapAudio) and torch.equal(louder.bank, 2 * state[name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("audio_encoder.base.conv_block1.conv1.weight", "is the version of 2022, Cnn14 and BERT; read here is CLAP_w"),
        ("clap_project.model.0.weight", "is clapcap, which writes captions; read here is CLAP_weights_2023.pth"),
        ("audio_branch.bn0.weight", "looks like one of CLAP, for encoder_pair=clap"),
        ("audio_encoder.base.htsat.norm.weight", "bank is missing"),
    ],
)
def test_other_checkpoints_are_refused_by_name(tmp_path, name, message):
    torch.save({"model": {name: torch.zeros(2)}}, tmp_path / "some.pth")
    with pytest.raises(WeightsError, match=message):
        MsClapAudioEncoder(str(tmp_path / "some.pth"))


def test_its_checkpoint_is_known_elsewhere_and_a_missing_one_tells_the_download(checkpoint, tmp_path):
    with pytest.raises(WeightsError, match="looks like one of Microsoft's CLAP, for encoder_pair=msclap"):
        T5TextEncoder(str(checkpoint))
    with pytest.raises(WeightsError, match="hf download microsoft/msclap CLAP_weights_2023.pth"):
        MsClapAudioEncoder(str(tmp_path / "CLAP_weights_2023.pth"))


def test_the_pair_says_what_its_encoders_are(checkpoint, tokenizer):
    mine = {"weights": checkpoint, "tokenizer": tokenizer}
    words = [f"encoder_pair.{key}={value}" for key, value in mine.items()]
    sizes = (
        "+encoder_pair.text_encoder.model_config.text_config={" + ",".join(f"{k}:{v}" for k, v in SMALL.items()) + "}"
    )
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        cfg = compose("extract_dataset", ["encoder_pair=msclap", *words, sizes]).encoder_pair
    audio, text = instantiate(cfg.audio_encoder), instantiate(cfg.text_encoder)
    pair = EncoderPair(cfg.name, audio, text, cfg.joint)
    pair.check(latent_dim=cfg.latent_dim, text_dim=32, audio_name=cfg.audio_name, text_name=cfg.text_name)
    assert pair.joint and audio.window_seconds == cfg.window_seconds and text.max_tokens == cfg.text_length

"""The demo's own pair, a miniature CLAP: a convolutional audio tower and a small transformer over words.

Both towers share one space of 128 dimensions. They were trained contrastively on the demo collection's train split
by `train_ldm.py --config config/train_ldm/model/encoder_pair/demo/train_demo_encoder.yaml`; the weights, and the
words that the text tower knows, ship beside this file.
"""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from diffgar.demo.towers import DIM, AudioTower, Block, LogMel
from diffgar.models.backbones.layers import sinusoids
from diffgar.models.encoders.base import AudioEncoder, TextEncoder
from diffgar.models.encoders.pretrained.recognise import refuse_others
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import RANDOM, find_checkpoint, load_strict
from diffgar.text_states import TextStates

WEIGHTS = Path(__file__).with_suffix(".safetensors")
SHIPPED = {"demo": WEIGHTS, "general": WEIGHTS.with_name("general.safetensors")}  # pair → its file in the package


class DemoAudioEncoder(AudioEncoder):
    """16 kHz windows of 3 s → unit vectors. `weights`: a file of `save_pair`, None for the shipped one, or "random"."""

    name, frontend_version, pair = "demo_audio", 1, "demo"
    sample_rate, window_seconds, dim = LogMel.sample_rate, 3.0, DIM

    def __init__(self, weights: str | Path | None = None):
        super().__init__()
        weights = find_weights(weights, self.pair)
        self.frontend, self.tower = LogMel(), AudioTower()
        self.checkpoint_hash = load_weights(self, "audio", weights)
        self.eval()

    def encode(self, windows: Tensor) -> Tensor:
        """Windows (N, S) at 16 kHz to unit vectors (N, 128)."""
        with torch.autocast(windows.device.type, enabled=False):  # power overflows half precision
            features = self.frontend(windows.float())
        return self.tower(features).float()


class DemoTextEncoder(TextEncoder):
    """Captions → token states (B, L, 128) and unit vectors (B, 128) in the audio tower's space.

    A token is a word: a learned vector for those of the vocabulary, plus the mean of its letter triples' vectors,
    which is all that an unknown word has, plus a vector of its place, from sinusoids on. The first token is a start
    mark, so the empty caption has states too. The embedding is a projection of the mean of the states. `weights` as for
    the audio encoder.
    """

    name, frontend_version, pair = "demo_text", 1, "demo"
    dim, embedding_dim, max_tokens = DIM, DIM, 32
    num_buckets = 2048  # letter triples share these vectors by their hash

    def __init__(self, weights: str | Path | None = None):
        super().__init__()
        weights = find_weights(weights, self.pair)
        self.words = nn.Embedding(1, self.dim)  # row 0: any unknown word
        self.triples = nn.EmbeddingBag(self.num_buckets, self.dim, mode="mean")
        self.positions = nn.Parameter(0.5 * sinusoids(torch.arange(self.max_tokens), self.dim))  # as large as words
        self.blocks = nn.ModuleList(Block(self.dim, heads=4) for _ in range(2))
        self.norm, self.projection = nn.LayerNorm(self.dim), nn.Linear(self.dim, DIM)
        self.set_vocabulary([] if weights == RANDOM else read_vocabulary(weights))
        self.checkpoint_hash = load_weights(self, "text", weights)
        self.word_dropout = 0.0  # share of known words shown by their triples alone while training
        self.eval()

    def set_vocabulary(self, words: list[str]) -> None:
        """Know these words, their vectors fresh."""
        self.vocabulary = {word: row for row, word in enumerate(words, start=1)}
        self.words = nn.Embedding(1 + len(words), self.dim)
        nn.init.normal_(self.words.weight, std=0.5)

    def add_words(self, words: Iterable[str]) -> None:
        """Know these words too: the vectors of those that are new are fresh."""
        known = self.words.weight.detach()
        self.set_vocabulary([*self.vocabulary, *sorted(set(words) - self.vocabulary.keys())])
        with torch.no_grad():
            self.words.weight[: len(known)] = known

    def encode(self, captions: list[str]) -> TextStates:
        tokens = [["<start>", *split_words(caption)] for caption in captions]
        num_truncated = sum(len(words) > self.max_tokens for words in tokens)
        tokens = [words[: self.max_tokens] for words in tokens]
        lengths = torch.tensor([len(words) for words in tokens], device=self.positions.device)
        mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]  # (B, L)
        x = mask.unsqueeze(-1) * self.positions[: mask.shape[1]]  # (B, L, C)
        x = x.masked_scatter(mask.unsqueeze(-1), x[mask] + self._vectors([w for words in tokens for w in words]))
        for block in self.blocks:
            x = block(x, mask)
        hidden_states = self.norm(x) * mask.unsqueeze(-1)  # (B, L, C)
        mean = hidden_states.sum(dim=1) / lengths.unsqueeze(-1)  # (B, C)
        return TextStates(hidden_states, mask, F.normalize(self.projection(mean), dim=-1), num_truncated)

    def _vectors(self, words: list[str]) -> Tensor:
        """Words (V) to their input vectors (V, C)."""
        device = self.positions.device
        rows = torch.tensor([self.vocabulary.get(word, 0) for word in words], device=device)
        if self.training and self.word_dropout:
            rows = rows * (torch.rand(len(rows), device=device) >= self.word_dropout)
        hashed = [triples(word, self.num_buckets) for word in words]
        starts = torch.tensor([0, *map(len, hashed)], device=device).cumsum(0)[:-1]
        return self.words(rows) + self.triples(torch.tensor(list(chain.from_iterable(hashed)), device=device), starts)


def split_words(caption: str) -> list[str]:
    """The words of a caption, in lower case and without punctuation."""
    return re.findall(r"\w+", caption.lower())


@lru_cache(maxsize=100_000)
def triples(word: str, num_buckets: int) -> tuple[int, ...]:
    """Buckets of a word's letter triples, its ends marked: "bass" has " ba", "bas", "ass", "ss "."""
    marked = f" {word} "
    return tuple(zlib.crc32(marked[i : i + 3].encode()) % num_buckets for i in range(len(marked) - 2))


def save_pair(path: str | Path, audio_encoder: DemoAudioEncoder, text_encoder: DemoTextEncoder) -> None:
    """Both towers in fp16, and the vocabulary, in one file."""
    towers = {"audio": audio_encoder, "text": text_encoder}
    tensors = {f"{name}.{key}": value for name, tower in towers.items() for key, value in tower.state_dict().items()}
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    tensors = {key: value.cpu().contiguous() for key, value in tensors.items()}
    save_file(tensors, path, metadata={"vocabulary": json.dumps(list(text_encoder.vocabulary))})


def find_weights(weights: str | Path | None, pair: str) -> str | Path:
    """The weights that are asked for: "random", or a file that is there; None is the one shipped for this pair."""
    if weights == RANDOM:
        return RANDOM
    path = Path(weights or SHIPPED[pair]).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"{path}: no weights of the {pair} pair; restore the file from the repository, or train it: "
            f"python train_ldm.py --config config/train_ldm/model/encoder_pair/{pair}/train_{pair}_encoder.yaml"
        )
    return path


def read_vocabulary(path: str | Path) -> list[str]:
    """The words that the text tower of a weights file knows. Raises WeightsError for another kind of file."""
    try:
        with safe_open(path, "pt") as file:
            return json.loads((file.metadata() or {})["vocabulary"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is no file of the demo pair: its vocabulary cannot be read ({error})") from error


def load_weights(tower: nn.Module, name: str, path: str | Path) -> str:
    """Load a tower's part of the file, every tensor of it and no other, unless "random"; returns the file's hash."""
    if path == RANDOM:
        return RANDOM
    checkpoint, prefix = find_checkpoint(path, ""), f"{name}."
    assert checkpoint is not None  # which "random" alone has none of
    state = checkpoint.state()
    refuse_others(state, "the demo pair", str(path))
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    load_strict(tower, own, str(path))
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]

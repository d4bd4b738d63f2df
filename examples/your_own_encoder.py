"""Encoders of your own: bands of a spectrum for audio, a vector per word for text; the two share no space.

python train_ldm.py --config-dir examples encoder_pair=own_example model_name=own_example
python -m examples.your_own_encoder ~/music "a calm piano piece"  # searches a folder with that model"""

import sys
import zlib

import torch

from diffgar import Retriever
from diffgar.models.encoders.base import AudioEncoder, TextEncoder
from diffgar.text_states import TextStates


class BandEnergies(AudioEncoder):
    name, checkpoint_hash, frontend_version = "band_energies", "none", 1
    sample_rate, window_seconds, dim = 16_000, 2.0, 32

    def encode(self, windows):  # (N, 32000)
        power = torch.fft.rfft(windows).abs().square()[:, 1:]  # (N, 16000)
        return (power.unflatten(1, (self.dim, -1)).mean(dim=2) + 1e-6).log()  # (N, 32)


class WordVectors(TextEncoder):
    name, checkpoint_hash, frontend_version, dim, max_tokens = "word_vectors", "none", 1, 64, 32

    def encode(self, captions):
        tokens = [["<start>", *caption.lower().split()][: self.max_tokens] for caption in captions]
        states = torch.nn.utils.rnn.pad_sequence([torch.stack([*map(self.vector, words)]) for words in tokens], True)
        return TextStates(states, states.abs().sum(dim=-1) > 0)  # (B, L, C), (B, L)

    def vector(self, word):
        return torch.randn(self.dim, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))  # (C,)


if __name__ == "__main__":
    library = Retriever.from_pretrained("checkpoints/own_example").index(sys.argv[1])
    print([hit.track_id for hit in library.search(sys.argv[2])])

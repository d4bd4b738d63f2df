"""A linear probe: do token states say which of two instruments a caption names first?

The probe is fitted to some pairs of instruments, in every wording and both orders, and asked about pairs that it has
not seen.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffgar.demo.encoder import split_words
from diffgar.models.encoders.base import TextEncoder

INSTRUMENTS = (
    *("accordion", "cello", "choir", "clarinet", "fiddle", "flute", "guitar", "harmonica", "harp", "marimba"),
    *("organ", "piano", "saxophone", "sitar", "strings", "trumpet", "vibraphone", "violin"),
)
WORDINGS = (
    "{} then {}",
    "first {}, then {}",
    "it starts with {} and ends with {}",
    "a slow piece with {}, followed by {}",
    "{} gives way to {} in this calm song",
)
PENALTY = 0.01  # of the ridge, as a share of a feature's mean variance; what it finds is the same from 0.1 to 1e-6


class Caption(NamedTuple):
    """Two instruments in one order and one wording."""

    first: str
    second: str
    is_held_out: bool
    words: str


def word_probe(encoder: TextEncoder) -> float:
    """Share of held-out words whose own token states tell whether the word is its caption's first instrument."""
    states, is_first, is_held_out = [], [], []
    captions = both_orders()
    encoded = encoder.encode([caption.words for caption in captions]).hidden_states  # (B, L, C)
    for caption, tokens in zip(captions, encoded, strict=True):
        for instrument in (caption.first, caption.second):
            states.append(tokens[tokens_of(encoder, caption.words, instrument)].mean(dim=0))  # (C)
            is_first.append(instrument == caption.first)
            is_held_out.append(caption.is_held_out)
    return accuracy(torch.stack(states), torch.tensor(is_first), torch.tensor(is_held_out))


def both_orders() -> list[Caption]:
    """Every two instruments in both orders and every wording. A third of the pairs is held out, in both orders."""
    pairs = list(combinations(INSTRUMENTS, 2))
    held_out = np.random.default_rng(0).permutation(len(pairs)) < len(pairs) // 3
    return [
        Caption(first, second, bool(held), wording.format(first, second))
        for pair, held in zip(pairs, held_out, strict=True)
        for first, second in (pair, pair[::-1])
        for wording in WORDINGS
    ]


def tokens_of(encoder: TextEncoder, caption: str, word: str) -> list[int]:
    """The positions of a word's tokens among its caption's states."""
    if not hasattr(encoder, "tokenizer"):  # the demo's tower: a start mark, then one token per word
        return [1 + split_words(caption).index(word)]
    start = caption.index(word)
    spans = encoder.tokenizer(caption, return_offsets_mapping=True)["offset_mapping"]
    return [row for row, (left, right) in enumerate(spans) if left < start + len(word) and right > start]


def accuracy(features: Tensor, labels: Tensor, is_held_out: Tensor) -> float:
    """Share of held-out rows of `features` (N, C) on whose label (N,) a ridge regression on the others decides right.

    Both labels are equally frequent, so that features without any trace of the label give one half.
    """
    targets = torch.where(labels, 1.0, -1.0).double()  # (N,)
    x = features.double() - features[~is_held_out].double().mean(dim=0)
    seen = x[~is_held_out]
    covariance = seen.T @ seen / len(seen)  # (C, C)
    ridge = PENALTY * covariance.diagonal().mean() * torch.eye(len(covariance))
    weights = torch.linalg.solve(covariance + ridge, seen.T @ targets[~is_held_out] / len(seen))
    return ((x[is_held_out] @ weights) * targets[is_held_out] > 0).double().mean().item()

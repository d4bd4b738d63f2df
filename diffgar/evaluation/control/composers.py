"""The ways to answer a composed request: from the source, from the words, and from both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.editor import Editor
from diffgar.evaluation.control.pair_bench import Generator
from diffgar.evaluation.experiment import Experiment
from diffgar.text_states import TextStates


class Composer(Protocol):
    """A trained model that answers composed requests, as `ComposedHead` does.

    row: the name of its kind in a table.
    """

    row: str

    def compose(self, means: Tensor, text: TextStates) -> Tensor:
        """Mean latents (P, D) of sources, in the encoder's scale, and instructions (P) to unit queries (P, D)."""


@dataclass(frozen=True, eq=False)
class Instructions:
    """The encoded words of P requests, for `generated_queries`, which takes this object instead of a text store."""

    states: TextStates
    purpose: ClassVar[str] = "instruction"  # what their noise is for: no caption has the same

    def padded(self, rows: np.ndarray) -> TextStates:
        """Token states of some of the instructions, as a text store gives those of captions."""
        return self.states.select(rows)


class ComposedBench:
    """P requests under a trained model: sources (P,), their words, and the unit index (N, D) that is ranked."""

    def __init__(self, generate: Generator, index: Tensor, sources: Tensor, states: TextStates):
        self.generate, self.index, self.states = generate, index, states
        self.experiment: Experiment = generate.experiment
        self.sources = sources

    def source(self) -> Tensor:
        """The sources themselves, (1, P, D)."""
        return self.index[self.sources].unsqueeze(0)

    def generated(self) -> Tensor:
        """What is generated for the words alone, (S, P, D)."""
        return self.generate(np.arange(len(self.states)), text=Instructions(self.states))

    def embedded(self) -> Tensor | None:
        """The words' own embeddings, (1, P, D); None where the pair is not joint."""
        embedding = self.states.embedding
        return embedding.unsqueeze(0) if self.experiment.joint and embedding is not None else None

    def composed(self, head: Composer) -> Tensor:
        """The answers of a trained head, (1, P, D)."""
        with torch.inference_mode():
            means = self.experiment.audio.means(self.experiment.track_positions[self.sources.numpy()])
            return head.compose(means, self.states).cpu().unsqueeze(0)

    def inverted(self, shares: Sequence[float], num_steps: int, num_iterations: int) -> Iterator[tuple[float, Tensor]]:
        """The sources' latents, inverted under the empty caption and generated under the words, (1, P, D) per share."""
        sampler = replace(self.experiment.sampler, num_steps=num_steps)
        for share in shares:
            count, edited = max(1, round(share * num_steps)), []
            for part in np.array_split(np.arange(len(self.states)), -(-len(self.states) // sampler.batch_size)):
                editor = Editor.of_tracks(self.experiment, sampler, self.sources[part].numpy())
                inverting = editor.denoiser(editor.model.null_states(len(part)), 1.0)
                edited += editor.edit(inverting, [editor.denoiser(self.states.select(part))], count, num_iterations)
                self.generate.progress(len(part))
            yield share, torch.cat(edited).unsqueeze(0)


def summed(sources: Tensor, words: Tensor, weight: float) -> Tensor:
    """Unit queries: the sources, with a weight of the words' unit vectors added."""
    return F.normalize(sources + weight * F.normalize(words, dim=-1), dim=-1)


def mixed(sources: Tensor, words: Tensor, weight: float) -> Tensor:
    """Unit queries between the sources (weight 0) and the words (weight 1)."""
    return F.normalize((1 - weight) * sources + weight * F.normalize(words, dim=-1), dim=-1)

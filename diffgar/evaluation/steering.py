"""The ways to be rid of an attribute: what each makes of the same (caption, attribute) pairs.

Generated forms need no joint space: `replace` and `compose` steer the diffusion, `compose_within` in an interval of the
noise range alone, `query_arithmetic` subtracts one generated query from another. The others need the teacher's:
`text_arithmetic` subtracts the attribute's embedding from the generated query, `teacher_arithmetic` from the caption's
own, `teacher_filter` drops the tracks that score highest on the attribute. `truth_filter` drops those that have it by
ground truth: the ceiling.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control import Answer, Unwanted, choose_unwanted, evaluate_control
from diffgar.evaluation.queries import Steer, generated_queries, index_of, sample_generator
from diffgar.evaluation.ranks import top_k
from diffgar.evaluation.retrieval import make_queries
from diffgar.evaluation.rows import named_attributes
from diffgar.evaluation.setting import Evaluation
from diffgar.models.encoders.base import TextEncoder, TextStates

JOINT = ("text_arithmetic", "teacher_arithmetic", "teacher_filter")


@dataclass(frozen=True)
class NegativeControl:
    """Evaluates methods of being rid of an attribute that the plain top 10 has and the caption did not ask for.

    attributes: columns of the tracks' table, the ground truth (see `named_attributes`). phrase: (attribute, value) →
    the negative caption. methods: name → strengths.
    """

    name: str
    attributes: Sequence[str]
    phrase: Callable[[str, str], str]
    methods: Mapping[str, Sequence]
    max_captions: int = 300

    def __call__(
        self, setting: Evaluation, text_encoder: TextEncoder, seeds: Sequence[int], progress: Callable
    ) -> dict:
        """{"protocol", "rows", "extra"}: method → metric, and the table of pairs."""
        named, attributes = named_attributes(setting, self.attributes)
        index = index_of(setting.audio, setting.task)
        methods = Methods(setting, index, seeds, progress)
        unwanted = methods.choose(named, attributes, self.max_captions)
        negatives = [self.phrase(*value) for value in unwanted.values]
        with torch.inference_mode():
            states = text_encoder.encode(negatives)
        rows, vectors = setting.rows[unwanted.captions.numpy()], None
        if setting.text.embeddings is not None:
            vectors = setting.text.embeddings[rows], states.embedding
        answers = methods.answers(unwanted, states, self.methods)
        targets = setting.task.targets[unwanted.captions]
        pairs = setting.task.captions.iloc[unwanted.captions.tolist()][["caption_id", "caption"]]
        return {
            "protocol": {"num_pairs": len(negatives), "seeds": len(seeds), "right_track": "lacks the value"},
            "rows": evaluate_control(answers, index, targets, unwanted, vectors),
            "extra": {"pairs": pairs.assign(negative=negatives).to_dict("records")},
        }


class Methods:
    """Answers of every method for a trained model's task."""

    def __init__(self, setting: Evaluation, index: Tensor, seeds: Sequence[int], progress: Callable):
        self.setting, self.index, self.seeds, self.progress = setting, index, seeds, progress

    def _rows(self, unwanted: Unwanted) -> np.ndarray:
        """Where the pairs' captions stand in the text store, (P,)."""
        return self.setting.rows[unwanted.captions.numpy()]

    def _generate(self, rows, steer: Steer | None = None, seeds: Sequence[int] = (), **guidance) -> Tensor:
        setting = self.setting
        return generated_queries(
            setting.model,
            replace(setting.sampler, **guidance),
            setting.text,
            rows,
            setting.num_frames,
            seeds or self.seeds,
            make_queries,
            steer,
            self.progress,
        )

    def choose(self, named: Sequence[set[str]], attributes, max_captions: int) -> Unwanted:
        """The pairs, of `max_captions` captions, evenly spread: some may have no value that stands out.

        Chosen by the plain top 10 of a seed of their own, so that no method, plain among them, is measured on the
        draw that they were chosen by.
        """
        every = torch.linspace(0, len(named) - 1, min(max_captions, len(named))).long()
        apart = self._generate(self.setting.rows[every.numpy()], seeds=[max(self.seeds) + 1])
        top = top_k(apart[0], self.index, k=10)[1]
        targets = self.setting.task.targets[every]
        unwanted = choose_unwanted(top, targets, [named[i] for i in every.tolist()], attributes)
        return replace(unwanted, captions=every[unwanted.captions])

    def answers(self, unwanted: Unwanted, states: TextStates, methods: Mapping[str, Sequence]) -> dict[str, Answer]:
        """`plain` and each method at each of its strengths, named "method strength".

        states: the attributes' text states, one for each pair. Methods that need a joint space are left out of a pair
        that is not.
        """
        plain = self._generate(self._rows(unwanted))  # (S, P, D)
        found = {"plain": Answer(plain), "truth_filter": Answer(plain, unwanted.has)}
        for method, strengths in methods.items():
            if method in JOINT and self.setting.text.embeddings is None:
                continue
            for strength in strengths:
                name = " ".join([method, *(f"{number:g}" for number in numbers(strength))])
                found[name] = getattr(self, method)(unwanted, plain, states, *numbers(strength))
        return found

    def replace(self, unwanted: Unwanted, plain: Tensor, states: TextStates, scale: float) -> Answer:
        steer = Steer(states.hidden_states, states.mask, form="replace")
        return Answer(self._generate(self._rows(unwanted), steer, guidance_scale=scale))

    def compose(
        self, unwanted: Unwanted, plain: Tensor, states: TextStates, scale: float, weight: float, *interval: float
    ) -> Answer:
        steer = Steer(states.hidden_states, states.mask, weight)
        guidance = {"guidance_scale": scale} | ({"interval": interval} if interval else {})
        return Answer(self._generate(self._rows(unwanted), steer, **guidance))

    compose_within = compose  # the same with an interval, as a curve of its own

    def query_arithmetic(self, unwanted: Unwanted, plain: Tensor, states: TextStates, strength: float) -> Answer:
        return Answer(F.normalize(plain - strength * self.attribute_queries(states), dim=-1))

    def text_arithmetic(self, unwanted: Unwanted, plain: Tensor, states: TextStates, strength: float) -> Answer:
        return Answer(F.normalize(plain - strength * states.embedding, dim=-1))

    def teacher_arithmetic(self, unwanted: Unwanted, plain: Tensor, states: TextStates, strength: float) -> Answer:
        captions = self.setting.text.embeddings[self._rows(unwanted)]
        queries = F.normalize(captions - strength * states.embedding, dim=-1)
        return Answer(queries.expand(len(self.seeds), -1, -1))

    def teacher_filter(self, unwanted: Unwanted, plain: Tensor, states: TextStates, share: float) -> Answer:
        scores = states.embedding @ self.index.T  # (P, N)
        return Answer(plain, scores >= scores.quantile(1 - share, dim=1, keepdim=True))

    def attribute_queries(self, states: TextStates) -> Tensor:
        """A query (S, P, D) generated for each attribute alone, with the plain sampler."""
        setting, queries = self.setting, []
        for seed in self.seeds:
            generators = [sample_generator(seed, 1 << 20, i) for i in range(len(states.mask))]
            latents = setting.model.generate(
                setting.sampler, (states.hidden_states, states.mask), generators, setting.num_frames
            )
            queries.append(make_queries(latents.cpu().unsqueeze(1)))
        return torch.stack(queries)


def numbers(strength) -> list[float]:
    return [float(part) for part in (strength if isinstance(strength, Sequence) else [strength])]

"""Negative steering, compared: every method suppresses the same attribute values for the same captions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.control.measures import evaluate_control
from diffgar.evaluation.control.methods import METHODS, REFERENCES, SteeringMethod, Strength
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs, choose_pairs
from diffgar.evaluation.control.phrasings import Negatives, Phrasings
from diffgar.evaluation.control.systems import SteeringSystem, read_strength, written
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.queries import index_of
from diffgar.evaluation.systems import named_attributes
from diffgar.models.encoders.base import TextEncoder
from diffgar.values import listed, one_of, whole


@dataclass(frozen=True)
class NegativeSteering:
    """Compares ways to suppress an attribute that is over-represented in the unsteered top 10 and not in the caption.

    attributes: columns of the tracks' table, the ground truth (see `named_attributes`). phrasings: (attribute, value) →
    negative captions that say it, the plainest first; guidance steers away from that one, vectors are the mean of all.
    methods: name → strengths, such as {"compose": [{"guidance": 2, "negative": 0.5}]}; see `METHODS`.
    """

    name: str
    attributes: Sequence[str]
    phrasings: Phrasings | None
    methods: Mapping[str, Sequence[Strength]]
    max_captions: int = 300

    def __post_init__(self) -> None:
        list(self.systems(joint=True))  # refuses what is no method or no strength of it
        whole("control.max_captions", self.max_captions, least=1)

    def systems(self, joint: bool) -> Iterator[tuple[SteeringMethod, SteeringSystem]]:
        """The reference methods, then each method at each strength; without `joint` only those that do not need it."""
        for method in REFERENCES:
            yield method, SteeringSystem(method.name, {}, method.starts_from_plain)
        for name, strengths in self.methods.items():
            method = METHODS[one_of("a method of control.methods", name, tuple(METHODS))]
            where = f"control.methods.{name}"
            for found in listed(where, strengths, f"[{written(method.example)}]"):
                strength = read_strength(where, found, method.example)
                if joint or not method.needs_joint:
                    yield method, SteeringSystem(name, strength, method.starts_from_plain)

    def __call__(
        self, setting: Experiment, text_encoder: TextEncoder, seeds: Sequence[int], progress: Callable
    ) -> dict:
        """{"protocol", "rows", "extra"}: row → metric; in extra the method and strength of each row, and the pairs."""
        named, attributes = named_attributes(setting, self.attributes)
        index = index_of(setting.audio, setting.task, setting.model.centre)
        generate = Generator(setting, seeds, progress)
        pairs = choose(generate, index, named, attributes, self.max_captions)
        negatives = Negatives.of(pairs.values, self.phrasings, text_encoder)
        bench = PairBench(generate, index, pairs, negatives)
        systems = list(self.systems(setting.joint))
        answers = (
            (system.row, method.answer(bench, system.strength)) for method, system in systems
        )  # one at a time: their penalties are large
        vectors = (bench.teacher()[0], negatives.embeddings) if setting.joint else None
        targets = setting.task.targets[pairs.caption_index]
        listing = setting.task.captions.iloc[pairs.caption_index.tolist()][["caption_id", "caption"]]
        listing = listing.assign(negative=[negatives.captions[first] for first in negatives.first()])
        return {
            "protocol": {"num_pairs": len(pairs.values), "seeds": len(seeds), "right_track": "lacks the value"},
            "rows": evaluate_control(answers, index, targets, pairs, vectors),
            "extra": {
                "systems": {system.row: system.describe() for _, system in systems},
                "pairs": listing.to_dict("records"),
            },
        }


def choose(
    generate: Generator, index: Tensor, named: Sequence[set[str]], attributes: pd.DataFrame, max_captions: int
) -> Pairs:
    """Pairs of `max_captions` captions, evenly spread; captions where no value is over-represented have none.

    Pairs are selected with a separate sampling seed, so no method (`plain` included) is scored on the samples that
    selected its pairs.
    """
    setting = generate.setting
    every = torch.linspace(0, len(named) - 1, min(max_captions, len(named))).long()
    apart = generate(setting.rows[every.numpy()], seeds=[max(generate.seeds) + 1])
    top = top_k(apart[0], index, k=10)[1]
    pairs = choose_pairs(top, setting.task.targets[every], [named[i] for i in every.tolist()], attributes)
    return replace(pairs, caption_index=every[pairs.caption_index])

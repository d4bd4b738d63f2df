"""Negative steering, compared: every method suppresses the same attribute values for the same captions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.control.measures import evaluate_control
from diffgar.evaluation.control.methods import METHODS, REFERENCES, SteeringMethod, Strength
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs, choose_pairs
from diffgar.evaluation.control.phrasings import Negatives, Phrasings
from diffgar.evaluation.control.strengths import read_strength, written
from diffgar.evaluation.control.tally import Tally
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.queries import Progress, no_progress
from diffgar.evaluation.report import Report, System
from diffgar.evaluation.systems import named_attributes
from diffgar.evaluation.track_means import index_of
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

    def systems(self, joint: bool) -> Iterator[tuple[SteeringMethod, System]]:
        """The reference methods, then each method at each strength; without `joint` only those that do not need it."""
        for reference in REFERENCES:
            yield reference, System(reference.name)
        for name, strengths in self.methods.items():
            method = METHODS[one_of("a method of control.methods", name, tuple(METHODS))]
            where = f"control.methods.{name}"
            for found in listed(where, strengths, f"[{written(method.example)}]"):
                strength = read_strength(where, found, method.example)
                if joint or not method.needs_joint:
                    yield method, System(name, strength=strength)

    def size(self, experiment: Experiment) -> tuple[int, int]:
        """The most captions that are steered, and in how many ways the queries of each are generated."""
        tally = Tally(self.systems(experiment.joint))
        return min(self.max_captions, len(experiment.task.captions)), len(tally.ways)

    def __call__(
        self,
        experiment: Experiment,
        text_encoder: TextEncoder,
        seeds: Sequence[int],
        progress: Progress = no_progress,
        expect: Progress = no_progress,
    ) -> Report:
        """Evaluate every method at every strength; `extra` has the pairs, and the methods whose curves begin at plain.

        expect: called with how many more captions `progress` will be told of. Raises InputError where no pair of a
        caption and an over-represented value is found.
        """
        named, attributes = named_attributes(experiment, self.attributes)
        index = index_of(experiment.audio, experiment.task, experiment.generator("steering").centre)
        generate = Generator(experiment, seeds, progress)
        expect(min(self.max_captions, len(named)))
        pairs = choose(generate, index, named, attributes, self.max_captions)
        negatives = Negatives.of(pairs.values, self.phrasings, text_encoder)
        systems, bench = list(self.systems(experiment.joint)), PairBench(generate, index, pairs, negatives)
        expect(Tally(systems).num_queries(len(pairs.values), len(negatives.captions), len(seeds)))
        answers = ((system, method.answer(bench, system.strength)) for method, system in systems)  # one at a time
        vectors = (bench.teacher()[0], negatives.embeddings) if experiment.joint else None
        targets = experiment.task.targets[pairs.caption_index]
        listing = experiment.task.captions.iloc[pairs.caption_index.tolist()][["caption_id", "caption"]]
        listing = listing.assign(negative=[negatives.captions[first] for first in negatives.first()])
        from_plain = dict.fromkeys(method.name for method, _ in systems if method.starts_from_plain)
        return Report(
            {"num_pairs": len(pairs.values), "seeds": len(seeds), "right_track": "lacks the value"},
            evaluate_control(answers, index, targets, pairs, vectors),
            extra={"from_plain": list(from_plain), "pairs": listing.to_dict("records")},
        )


def choose(
    generate: Generator, index: Tensor, named: Sequence[set[str]], attributes: pd.DataFrame, max_captions: int
) -> Pairs:
    """Pairs for `max_captions` captions, evenly spread; a caption where no value is over-represented has no pair.

    Pairs are selected with a separate sampling seed, so no method (`plain` included) is scored on the samples that
    selected its pairs.
    """
    experiment = generate.experiment
    every = torch.linspace(0, len(named) - 1, min(max_captions, len(named))).long()
    apart = generate(experiment.caption_positions[every.numpy()], seeds=[max(generate.seeds) + 1])
    top = top_k(apart[0], index, k=10)[1]
    pairs = choose_pairs(top, experiment.task.targets[every], [named[i] for i in every.tolist()], attributes)
    return replace(pairs, caption_index=every[pairs.caption_index])

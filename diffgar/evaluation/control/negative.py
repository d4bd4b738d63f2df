"""Negative steering, compared: every method suppresses the same attribute values for the same captions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import pandas as pd
import torch
from torch import Tensor

from diffgar.evaluation.control.heads import FOR_HEADS, answers_of_heads, projectors
from diffgar.evaluation.control.measures import evaluate_control
from diffgar.evaluation.control.methods import METHODS, REFERENCES, SteeringMethod, Strength
from diffgar.evaluation.control.pair_bench import Generator, PairBench
from diffgar.evaluation.control.pairs import Pairs, choose_pairs
from diffgar.evaluation.control.phrasings import Negatives, Phrasings
from diffgar.evaluation.control.strengths import read_strength, written
from diffgar.evaluation.control.tally import Tally
from diffgar.evaluation.control.wording import Saying
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.queries import Progress, no_progress
from diffgar.evaluation.report import Report, System
from diffgar.evaluation.systems import named_attributes
from diffgar.evaluation.track_means import index_of
from diffgar.models.encoders.base import TextEncoder
from diffgar.negation import Negations
from diffgar.values import listed, one_of, whole


@dataclass(frozen=True)
class NegativeSteering:
    """Compares ways to suppress an attribute that is over-represented in the unsteered top 10 and not in the caption.

    attributes: columns of the tracks' table, the ground truth (see `named_attributes`). phrasings: (attribute, value) →
    negative captions that say it, the plainest first; guidance steers away from that one, vectors are the mean of all.
    methods: name → strengths, such as {"compose": [{"guidance": 2, "negative": 0.5}]}; see `METHODS`. negations:
    (attribute, value) → the words that say its absence at the end of a caption, for the methods named `said`.
    heads: as `methods`, for the models of `evaluation.baselines`, which project captions; see `FOR_HEADS`.
    """

    name: str
    attributes: Sequence[str]
    phrasings: Phrasings | None
    methods: Mapping[str, Sequence[Strength]]
    max_captions: int = 300
    negations: Negations | None = None
    heads: Mapping[str, Sequence[Strength]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        list(self.systems())  # refuses what is no method or no strength of it
        list(self.systems_of_heads("heads"))
        whole("control.max_captions", self.max_captions, least=1)

    def systems(self, joint: bool = True, learning: bool = True) -> Iterator[tuple[SteeringMethod, System]]:
        """The reference methods, then each method at each strength.

        Without `joint` only those that do not need it, without `learning` only those that learn from no train split.
        """
        for reference in REFERENCES:
            yield reference, System(reference.name)
        for method, strength in read_methods("control.methods", self.methods, tuple(METHODS)):
            if (joint or not method.needs_joint) and (learning or not method.learns):
                yield method, System(method.name, strength=strength)

    def systems_of_heads(self, row: str) -> Iterator[tuple[SteeringMethod, System]]:
        """The queries of a model that projects captions, plain and steered; row: the name of its kind."""
        yield REFERENCES[0], System(row)
        for method, strength in read_methods("control.heads", self.heads, FOR_HEADS):
            yield method, System(f"{row} {method.name}", strength=strength)

    def systems_of(self, experiment: Experiment) -> list[tuple[SteeringMethod, System]]:
        """The systems that an experiment's pair and dataset allow."""
        return list(self.systems(experiment.joint, bool((experiment.audio.rows["split"] == "train").any())))

    def size(self, experiment: Experiment) -> tuple[int, int]:
        """The most captions that are steered, and in how many ways the queries of each are generated."""
        tally = Tally(self.systems_of(experiment))
        return min(self.max_captions, len(experiment.task.captions)), len(tally.ways)

    def __call__(
        self,
        experiment: Experiment,
        text_encoder: TextEncoder,
        seeds: Sequence[int],
        progress: Progress = no_progress,
        expect: Progress = no_progress,
        rivals: Sequence[Experiment] = (),
    ) -> Report:
        """Evaluate every method at every strength; `extra` has the pairs, and the methods whose curves begin at plain.

        expect: called with how many more captions `progress` will be told of. rivals: further models, of the same pair,
        that project captions. Raises InputError where no pair of a caption and an over-represented value is found.
        """
        heads, systems = projectors(rivals, experiment), self.systems_of(experiment)
        bench = self.bench(Generator(experiment, seeds, progress), text_encoder, expect)
        pairs, negatives = bench.pairs, bench.negatives
        num_pairs, num_phrasings = len(pairs.values), len(negatives.captions)
        expect(Tally(systems).num_queries(num_pairs, num_phrasings, len(seeds), len(set(pairs.values))))
        answers = ((system, method.answer(bench, system.strength)) for method, system in systems)  # one at a time
        further = [answers_of_heads(self.systems_of_heads(row), each, bench) for row, each in heads.items()]
        vectors = (bench.teacher()[0], negatives.embeddings) if experiment.joint else None
        targets = experiment.task.targets[pairs.caption_index]
        rows = evaluate_control(chain(answers, *further), bench.index, targets, pairs, vectors)
        listing = experiment.task.captions.iloc[pairs.caption_index.tolist()][["caption_id", "caption"]]
        listing = listing.assign(negative=[negatives.captions[first] for first in negatives.first()])
        from_plain = dict.fromkeys(method.name for method, _ in systems if method.starts_from_plain)
        return Report(
            {"num_pairs": num_pairs, "seeds": len(seeds), "right_track": "lacks the value"},
            rows,
            extra={"from_plain": list(from_plain), "pairs": listing.to_dict("records")},
        )

    def bench(self, generate: Generator, text_encoder: TextEncoder, expect: Progress) -> PairBench:
        """The pairs of a caption and a value, chosen by the model's own queries, and the values' phrasings."""
        experiment = generate.experiment
        named, attributes = named_attributes(experiment, self.attributes)
        index = index_of(experiment.audio, experiment.task, experiment.generator("steering").centre)
        expect(min(self.max_captions, len(named)))
        pairs = choose(generate, index, named, attributes, self.max_captions)
        negatives = Negatives.of(pairs.values, self.phrasings, text_encoder)
        captions = list(experiment.task.captions["caption"].iloc[pairs.caption_index.tolist()])
        positions = experiment.caption_positions[pairs.caption_index.numpy()]
        saying = Saying(captions, pairs.values, positions, text_encoder, self.negations)
        return PairBench(generate, index, pairs, negatives, saying)


def read_methods(
    where: str, asked: Mapping[str, Sequence[Strength]], known: Sequence[str]
) -> Iterator[tuple[SteeringMethod, Strength]]:
    """Each method that a config asks for, at each strength. Raises InputError for one that is not known."""
    for name, strengths in asked.items():
        method = METHODS[one_of(f"a method of {where}", name, known)]
        for found in listed(f"{where}.{name}", strengths, f"[{written(method.example)}]"):
            yield method, read_strength(f"{where}.{name}", found, method.example)


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

"""Steering, measured: the same (caption, attribute) pairs for every way to be rid of an attribute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from diffgar.errors import InputError
from diffgar.evaluation.control.measures import Unwanted, choose_unwanted, evaluate_control
from diffgar.evaluation.control.methods import GENERATED, JOINT, Bench, Methods
from diffgar.evaluation.control.phrasings import Negatives, Phrasings
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.queries import index_of
from diffgar.evaluation.systems import named_attributes
from diffgar.models.encoders.base import TextEncoder
from diffgar.values import listed, number, whole


@dataclass(frozen=True)
class NegativeControl:
    """Evaluates methods of being rid of an attribute that the plain top 10 has and the caption did not ask for.

    attributes: columns of the tracks' table, the ground truth (see `named_attributes`). phrasings: (attribute, value) →
    negative captions that say it, the plainest first; guidance steers away from that one, vectors are the mean of all.
    methods: name → strengths.
    """

    name: str
    attributes: Sequence[str]
    phrasings: Phrasings | None
    methods: Mapping[str, Sequence]
    max_captions: int = 300

    def __post_init__(self):
        unknown = sorted(set(self.methods) - {*GENERATED, *JOINT})
        if unknown:
            raise InputError(f"no method {unknown[0]!r}; choose of {', '.join([*GENERATED, *JOINT])}")
        for method, strengths in self.methods.items():
            for strength in listed(f"control.methods.{method}", strengths, "[0.5,1]"):
                for each in strength if isinstance(strength, Sequence) else [strength]:
                    number(f"control.methods.{method}", each)
        whole("control.max_captions", self.max_captions, least=1)

    def __call__(
        self, setting: Experiment, text_encoder: TextEncoder, seeds: Sequence[int], progress: Callable
    ) -> dict:
        """{"protocol", "rows", "extra"}: method → metric, and the table of pairs."""
        named, attributes = named_attributes(setting, self.attributes)
        index = index_of(setting.audio, setting.task, setting.model.centre)
        bench = Bench(setting, index, seeds, progress)
        unwanted = choose(bench, named, attributes, self.max_captions)
        negatives = Negatives.of(unwanted.values, self.phrasings, text_encoder)
        methods = Methods(bench, unwanted, negatives)
        vectors = (methods.teacher[0], methods.avoided_text) if methods.joint else None
        answers = methods.answers(self.methods)
        targets = setting.task.targets[unwanted.captions]
        pairs = setting.task.captions.iloc[unwanted.captions.tolist()][["caption_id", "caption"]]
        pairs = pairs.assign(negative=[negatives.captions[first] for first in negatives.plainest()])
        return {
            "protocol": {"num_pairs": len(unwanted.values), "seeds": len(seeds), "right_track": "lacks the value"},
            "rows": evaluate_control(answers, index, targets, unwanted, vectors),
            "extra": {"pairs": pairs.to_dict("records")},
        }


def choose(bench: Bench, named: Sequence[set[str]], attributes, max_captions: int) -> Unwanted:
    """The pairs, of `max_captions` captions, evenly spread: some may have no value that stands out.

    Chosen by the plain top 10 of a seed of their own, so that no method, plain among them, is measured on the draw
    that they were chosen by.
    """
    setting = bench.setting
    every = torch.linspace(0, len(named) - 1, min(max_captions, len(named))).long()
    apart = bench.generate(setting.rows[every.numpy()], seeds=[max(bench.seeds) + 1])
    top = top_k(apart[0], bench.index, k=10)[1]
    unwanted = choose_unwanted(top, setting.task.targets[every], [named[i] for i in every.tolist()], attributes)
    return replace(unwanted, captions=every[unwanted.captions])

"""Models that project captions, as rows of a steering table: the same pairs, in a space of their own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from diffgar.errors import InputError
from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.methods import SteeringMethod
from diffgar.evaluation.control.pair_bench import PairBench, Projector
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.models import CaptionProjector
from diffgar.evaluation.projected import projected_index
from diffgar.evaluation.report import System

FOR_HEADS = ("query_arithmetic", "query_penalty", "deo", "sae", "said")  # they need neither sampling nor teacher


def projectors(rivals: Sequence[Experiment], beside: Experiment) -> dict[str, Projector]:
    """The name of its row → the rival, for each; the second of a kind has its own name.

    Raises InputError for a model that projects no captions, and for one of another encoder pair than `beside`.
    """
    found: dict[str, Projector] = {}
    for rival in rivals:
        if not isinstance(rival.model, CaptionProjector):
            raise InputError(
                f"evaluation.baselines names {rival.name} ({rival.model.row}): beside a model that is steered stand "
                f"models that project captions; evaluate this one by itself: model_name={rival.name}"
            )
        if rival.pair != beside.pair:
            raise InputError(
                f"{rival.name} is of the pair {rival.pair}, {beside.name} of {beside.pair}: the negatives are encoded "
                "once; name models of one pair"
            )
        row = rival.model.row if rival.model.row not in found else rival.name
        found[row] = Projector(rival, rival.model)
    return found


def answers_of_heads(
    systems: Iterable[tuple[SteeringMethod, System]], projector: Projector, beside: PairBench
) -> Iterator[tuple[System, Answer]]:
    """The answers of a model that projects captions to the pairs of another bench, with the tracks in its own space."""
    experiment = projector.experiment
    index = projected_index(projector.model, experiment.audio, experiment.task)
    bench = PairBench(projector, index, beside.pairs, beside.negatives, beside.saying)
    for method, system in systems:
        if method.learns and not (experiment.audio.rows["split"] == "train").any():
            continue
        yield system, replace(method.answer(bench, system.strength), index=index)

"""What the job asks of an evaluator of config/control/, such as `NegativeSteering` and `InversionEditing`."""

from collections.abc import Sequence
from typing import Protocol

from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import Progress
from diffgar.evaluation.report import Report
from diffgar.models.encoders.base import TextEncoder


class ControlEvaluator(Protocol):
    """Steers or edits the queries of an experiment, and measures what that does."""

    def size(self, experiment: Experiment) -> tuple[int, int]:
        """The most captions or tracks that are steered or edited, and in how many ways each is generated."""

    def __call__(
        self,
        experiment: Experiment,
        text_encoder: TextEncoder,
        seeds: Sequence[int],
        progress: Progress,
        expect: Progress,
        rivals: Sequence[Experiment] = (),
    ) -> Report:
        """The report. expect: called with how many more captions `progress` will be told of, once that is known.

        rivals: the models of `evaluation.baselines`. Raises InputError for those that this evaluation has no rows for.
        """


def refuse_rivals(rivals: Sequence[Experiment], control: str) -> None:
    """Raises InputError where models stand beside the one whose queries are edited."""
    if rivals:
        raise InputError(f"control={control} edits the queries of one model; leave out evaluation.baselines")

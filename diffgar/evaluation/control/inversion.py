"""Editing by DDIM inversion, "the same but with drums", compared with prompting anew and interpolation.

A track's latents, or those generated for its caption, are inverted under a caption of what the track is and generated
again under a caption in which a single attribute differs; `inversion_away` is also guided away from the old value.
gained@10 is the share of the top 10 that has the new value, kept@10 the share that has the other values that the
caption names. The track itself is not in the pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.editor import Editor
from diffgar.evaluation.control.edits import choose_edits, edit_metrics
from diffgar.evaluation.control.evaluator import refuse_rivals
from diffgar.evaluation.control.phrasings import Phrasings, as_written
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import Progress, no_progress
from diffgar.evaluation.report import PLAIN, Report, System
from diffgar.evaluation.systems import named_attributes
from diffgar.evaluation.track_means import index_of
from diffgar.models.encoders.base import TextEncoder
from diffgar.text_states import TextStates
from diffgar.values import listed, number, one_of, whole

STARTS = ("track", "query")
WAYS = ("inversion", "inversion_away")


@dataclass(frozen=True)
class InversionEditing:
    """Evaluates edits of `max_pairs` tracks of the task.

    attributes, phrasings: as for `NegativeSteering`; the first phrasing is used. start: what is edited, the `track` or
    a `query` generated for the words of its caption. shares: which shares of the sampling steps are inverted. weights:
    the weights of the new prompt's query in the interpolation. away: the old value's weight as a negative.
    num_iterations: iterations per step of the exact inversion (1 is plain DDIM).
    """

    name: str
    attributes: Sequence[str]
    phrasings: Phrasings | None
    start: str = "track"
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)
    weights: Sequence[float] = (0.25, 0.5, 0.75)
    away: float = 0.5
    num_steps: int = 50
    num_iterations: int = 5
    max_pairs: int = 200

    def __post_init__(self) -> None:
        one_of("control.start", self.start, STARTS)
        for name in ("num_steps", "num_iterations", "max_pairs"):
            whole(f"control.{name}", getattr(self, name), least=1)
        for share in listed("control.shares", self.shares, "[0.4,0.6]"):
            number("control.shares", share, 0, 1)
        for weight in listed("control.weights", self.weights, "[0.5]"):
            number("control.weights", weight)
        number("control.away", self.away)

    def size(self, experiment: Experiment) -> tuple[int, int]:
        """The most tracks that are edited, and in how many ways each is: at every share, with guidance away or not."""
        return min(self.max_pairs, len(experiment.task.captions)), len(WAYS) * len(self.shares)

    def __call__(
        self,
        experiment: Experiment,
        text_encoder: TextEncoder,
        seeds: Sequence[int],
        progress: Progress = no_progress,
        expect: Progress = no_progress,
        rivals: Sequence[Experiment] = (),
    ) -> Report:
        """Evaluate every way to edit at every strength; `extra` has the round trips and the captions of the edits.

        expect: called with how many more captions `progress` will be told of. Raises InputError where no edit can be
        asked for, for a model that is no diffusion model, and for rivals, which edit nothing.
        """
        refuse_rivals(rivals, self.name)
        named, attributes = named_attributes(experiment, self.attributes)
        edits = choose_edits(named, experiment.task.targets, attributes, self.max_pairs)
        expect(len(self.shares) * len(edits.tracks))
        captions = [self.captions_of(side) for side in (edits.source, edits.target, edits.replaced())]
        with torch.inference_mode():
            source, target, replaced = (text_encoder.encode(side) for side in captions)
        editor = Editor.of_tracks(experiment, replace(experiment.sampler, num_steps=self.num_steps), edits.tracks)
        if self.start == "query":
            editor = editor.of_queries(source, max(seeds) + 1)  # not the noise of the new prompt's queries
        index = index_of(experiment.audio, experiment.task, editor.model.centre)
        answers = self.references(editor, target, seeds) | self.edited(editor, source, target, replaced, progress)
        start = answers[PLAIN][0]  # (P, D)
        rows = {system: edit_metrics(queries, start, index, edits, attributes) for system, queries in answers.items()}
        trips = {f"guidance {w:g}": editor.round_trips(source, w, self.num_iterations) for w in (1.0, 3.0)}
        table = pd.DataFrame({"track": [experiment.task.track_ids[i] for i in edits.tracks], "source": captions[0]})
        return Report(
            {"num_pairs": len(edits.tracks), "start": self.start, "num_steps": self.num_steps, "seeds": len(seeds)},
            rows,
            extra={
                "from_plain": ["interpolation", *WAYS],
                "round_trips": trips,
                "pairs": table.assign(target=captions[1]).to_dict("records"),
            },
        )

    def captions_of(self, sides: Sequence[Mapping[str, str]]) -> list[str]:
        """A caption for each {attribute: value}: the first phrasing of every value, joined by commas."""
        say = self.phrasings or as_written
        return [", ".join(say(*item)[0] for item in words.items()) for words in sides]

    def references(self, editor: Editor, target: TextStates, seeds: Sequence[int]) -> dict[System, Tensor]:
        """Queries (S, P, D) that need no inversion: unedited, generated for the new prompt, and mixtures of the two."""
        plain = editor.pooled()
        prompt = torch.stack([editor.prompted(target, seed) for seed in seeds])
        found = {PLAIN: plain[None], System("reprompt"): prompt}
        for weight in self.weights:
            mixed = F.normalize((1 - weight) * plain + weight * prompt, dim=-1)
            found[System("interpolation", strength={"weight": float(weight)})] = mixed
        return found

    def edited(
        self, editor: Editor, source: TextStates, target: TextStates, replaced: TextStates, progress: Progress
    ) -> dict[System, Tensor]:
        """Queries (1, P, D) edited by inversion through each share of the steps, with and without guidance away."""
        inverted = editor.denoiser(source, 1.0)
        ways = [editor.denoiser(target), editor.denoiser(target, negatives=[(replaced, self.away)])]
        found = {}
        for share in self.shares:
            count = max(1, round(share * self.num_steps))
            edited = editor.edit(inverted, ways, count, self.num_iterations)
            for name, queries in zip(WAYS, edited, strict=True):
                found[System(name, strength={"share": float(share)})] = queries[None]
            progress(len(editor.latents))
        return found

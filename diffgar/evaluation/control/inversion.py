"""Editing by DDIM inversion, "the same but with drums", compared with prompting anew and interpolation.

A track's latents, or those generated for its caption, are inverted under a caption of what the track is and generated
again under a caption in which a single attribute differs; `inversion_away` is also guided away from the old value.
gained@10 is the share of the top 10 that has the new value, kept@10 the share that has the other values that the
caption names. The track itself is not in the pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.edits import choose_edits, edit_metrics
from diffgar.evaluation.control.phrasings import Phrasings, as_written
from diffgar.evaluation.control.systems import SteeringSystem
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import index_of, sample_generator
from diffgar.evaluation.systems import named_attributes
from diffgar.models.diffusion.formulas import Denoise
from diffgar.models.diffusion.guidance import Negative
from diffgar.models.diffusion.inversion import edit, invert, inverted_timesteps
from diffgar.models.diffusion.sampling import sample
from diffgar.models.encoders.base import TextEncoder, pool
from diffgar.text_states import TextStates
from diffgar.values import listed, number, one_of, whole

STARTS = ("track", "query")


@dataclass(frozen=True)
class InversionEditing:
    """Evaluates edits of `max_pairs` tracks of the task.

    attributes, phrasings: as for `NegativeSteering`; the first phrasing is used. start: what is edited, the `track` or
    a `query` generated for the words of its caption. shares: of the sampling steps, how many are inverted. weights: of
    the new prompt's query in the interpolation. away: the old value's weight as a negative. num_iterations: of the
    exact inversion (1 is plain DDIM).
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

    def __call__(
        self, setting: Experiment, text_encoder: TextEncoder, seeds: Sequence[int], progress: Callable
    ) -> dict:
        """{"protocol", "rows", "extra"}: row → metric; method and strength of each row, round trips and the edits."""
        named, attributes = named_attributes(setting, self.attributes)
        edits = choose_edits(named, setting.task.targets, attributes, self.max_pairs)
        say = self.phrasings or as_written
        captions = [
            [", ".join(say(*item)[0] for item in words.items()) for words in side]
            for side in (edits.source, edits.target, edits.replaced())
        ]
        with torch.inference_mode():
            states = [text_encoder.encode(side) for side in captions]
        editor = Editor.of_tracks(setting, replace(setting.sampler, num_steps=self.num_steps), edits.tracks)
        if self.start == "query":
            editor = editor.of_queries(states[0], max(seeds) + 1)  # not the noise of the new prompt's queries
        index = index_of(setting.audio, setting.task, setting.model.centre)
        answers = self._answers(editor, states, seeds, progress)
        start = answers[0][1][0]  # (P, D) of the plain one
        rows = {system.row: edit_metrics(queries, start, index, edits, attributes) for system, queries in answers}
        trips = {f"guidance {w:g}": editor.round_trips(states[0], w, self.num_iterations) for w in (1.0, 3.0)}
        table = pd.DataFrame({"track": [setting.task.track_ids[i] for i in edits.tracks], "source": captions[0]})
        return {
            "protocol": {
                "num_pairs": len(edits.tracks),
                "start": self.start,
                "num_steps": self.num_steps,
                "seeds": len(seeds),
            },
            "rows": rows,
            "extra": {
                "systems": {system.row: system.describe() for system, _ in answers},
                "round_trips": trips,
                "pairs": table.assign(target=captions[1]).to_dict("records"),
            },
        }

    def _answers(self, editor: "Editor", states, seeds, progress: Callable) -> list[tuple[SteeringSystem, Tensor]]:
        """Every method at every strength, the plain one first, and its queries (S, P, D)."""
        source, target, replaced = states
        plain = pool(editor.latents, editor.mask, editor.model.centre)  # (P, D)
        prompts = [pool(editor.generate(target, seed), centre=editor.model.centre) for seed in seeds]
        prompt = torch.stack(prompts)  # (S, P, D)
        found = [
            (SteeringSystem("plain", starts_from_plain=False), plain[None]),
            (SteeringSystem("reprompt", starts_from_plain=False), prompt),
        ]
        for weight in self.weights:
            mixed = F.normalize((1 - weight) * plain + weight * prompt, dim=-1)
            found.append((SteeringSystem("interpolation", {"weight": float(weight)}), mixed))
        inverted = editor.denoiser(source, 1.0)
        ways = {
            "inversion": editor.denoiser(target),
            "inversion_away": editor.denoiser(target, negatives=[(replaced, self.away)]),
        }
        for share in self.shares:
            count = max(1, round(share * self.num_steps))
            edited = editor.edit(inverted, list(ways.values()), count, self.num_iterations)
            strength = {"share": float(share)}
            found += [(SteeringSystem(name, strength), q[None]) for name, q in zip(ways, edited, strict=True)]
            progress(len(plain))
        return found


class Editor:
    """A model with latents (P, T, D) on it, in the encoder's scale, and their mask (P, T), to invert and to edit."""

    def __init__(self, setting: Experiment, sampler, latents: Tensor, mask: Tensor):
        self.setting, self.model, self.sampler = setting, setting.model, sampler
        self.latents, self.mask, self.valid = latents, mask, mask.to(self.model.device)
        self.solver = sampler.start(self.model.noise_scheduler)

    @classmethod
    def of_tracks(cls, setting: Experiment, sampler, tracks: np.ndarray) -> "Editor":
        """The beginnings of real tracks."""
        rows = setting.track_rows[tracks]
        crops, mask = setting.audio.gather(rows, np.zeros_like(rows), setting.model.num_frames)
        return cls(setting, sampler, crops.float(), mask)

    def of_queries(self, states, seed: int) -> "Editor":
        """The same editor on generated latents."""
        latents = self.generate(states, seed)
        return Editor(self.setting, self.sampler, latents, torch.ones(latents.shape[:2], dtype=torch.bool))

    def denoiser(self, states: TextStates, scale: float | None = None, negatives: Sequence[Negative] = ()) -> Denoise:
        """The denoiser for text states, at guidance `scale` or the sampler's."""
        sampler = self.sampler if scale is None else replace(self.sampler, guidance_scale=scale)
        caption, null = self.model.on_device(states), self.model.null_states(len(self.latents))
        avoided = [(self.model.on_device(negative), weight) for negative, weight in negatives]
        parts = self.model.backbone, self.model.noise_scheduler, caption, null
        return sampler.denoiser(*parts, negatives=avoided, mask=self.valid)

    def clean(self) -> Tensor:
        """The latents (P, T, D) in the model's scale, zero at padding."""
        return self.model.normalise(self.latents.to(self.model.device)) * self.valid.unsqueeze(-1)

    @torch.no_grad()
    def edit(self, source: Denoise, targets: list[Denoise], num_inverted: int, num_iterations: int) -> list[Tensor]:
        """For each target the edited latents, pooled to unit queries (P, D)."""
        edited = edit(source, targets, self.solver, self.clean(), num_inverted, num_iterations, self.valid)
        latents = [self.model.denormalise(latents).cpu() for latents in edited]
        return [pool(each, self.mask, self.model.centre) for each in latents]

    def generate(self, states, seed: int) -> Tensor:
        """Latents (P, T, D) from noise."""
        generators = [sample_generator("edit", seed, i) for i in range(len(self.latents))]
        return self.model.generate(self.sampler, states, generators, self.setting.model.num_frames).cpu()

    @torch.no_grad()
    def round_trips(self, states, scale: float, num_iterations: int) -> dict[str, float]:
        """Relative error of inverting and generating again under the same caption, plain DDIM's and the exact one's."""
        denoise, clean, errors = self.denoiser(states, scale), self.clean(), {}
        for name, iterations in (("plain", 1), ("exact", num_iterations)):
            noisy = invert(denoise, self.solver, clean, None, iterations, self.valid)
            again = sample(denoise, self.solver, noisy, inverted_timesteps(self.solver, None))
            errors[name] = float((again - clean)[self.valid].norm() / clean[self.valid].norm())
        return errors

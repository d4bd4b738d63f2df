"""Editing, measured: "the same but with drums" by DDIM inversion, against prompting anew and interpolation.

A real track's latents are inverted under a caption of what it is and generated again under one in which a single
attribute differs. What was gained is the share of the top 10 that has the new value, what was kept the share that has
the track's other values; the track itself is not in the pool.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.captionwise import mean_with_interval
from diffgar.evaluation.control import K
from diffgar.evaluation.queries import index_of, sample_generator
from diffgar.evaluation.rows import named_attributes
from diffgar.evaluation.setting import Evaluation
from diffgar.models.encoders.base import TextEncoder, pool
from diffgar.models.inversion import edit, invert, inverted_timesteps
from diffgar.models.sampling import sample


@dataclass(frozen=True)
class InversionControl:
    """Evaluates edits of `max_pairs` tracks of the task.

    attributes, phrase: as for `NegativeControl`. shares: of the sampling steps that are inverted; weights: of the new
    prompt's query in the interpolation. num_iterations: of the exact inversion (1 is plain DDIM).
    """

    name: str
    attributes: Sequence[str]
    phrase: Callable[[str, str], str]
    shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)
    weights: Sequence[float] = (0.25, 0.5, 0.75)
    num_steps: int = 50
    num_iterations: int = 5
    max_pairs: int = 200

    def __call__(
        self, setting: Evaluation, text_encoder: TextEncoder, seeds: Sequence[int], progress: Callable
    ) -> dict:
        """{"protocol", "rows", "extra"}: method → metric, the round trips, and the table of edits."""
        named, attributes = named_attributes(setting, self.attributes)
        edits = choose_edits(named, setting.task.targets, attributes, self.max_pairs)
        captions = [
            [", ".join(self.phrase(*item) for item in words.items()) for words in side]
            for side in (edits.source, edits.target)
        ]
        with torch.inference_mode():
            source, target = (text_encoder.encode(side) for side in captions)
        states = [(side.hidden_states, side.mask) for side in (source, target)]
        bench = Bench(setting, replace(setting.sampler, num_steps=self.num_steps), edits.tracks)
        index = index_of(setting.audio, setting.task)
        answers = self._answers(bench, states, seeds, progress)
        rows = {name: edit_metrics(queries, index, edits, attributes) for name, queries in answers.items()}
        trips = {f"guidance {w:g}": bench.round_trips(states[0], w, self.num_iterations) for w in (1.0, 3.0)}
        table = pd.DataFrame({"track": [setting.task.track_ids[i] for i in edits.tracks], "source": captions[0]})
        return {
            "protocol": {"num_pairs": len(edits.tracks), "num_steps": self.num_steps, "seeds": len(seeds)},
            "rows": rows,
            "extra": {"round_trips": trips, "pairs": table.assign(target=captions[1]).to_dict("records")},
        }

    def _answers(self, bench: "Bench", states, seeds, progress: Callable) -> dict[str, Tensor]:
        """Method and strength → queries (S, P, D)."""
        source, target = states
        plain = F.normalize(pool(bench.latents, bench.mask), dim=-1)  # (P, D)
        prompt = torch.stack([bench.generate(target, seed) for seed in seeds])  # (S, P, D)
        found = {"plain": plain[None], "reprompt": prompt}
        for weight in self.weights:
            found[f"interpolation {weight:g}"] = F.normalize((1 - weight) * plain + weight * prompt, dim=-1)
        for share in self.shares:
            count = max(1, round(share * self.num_steps))
            found[f"inversion {share:g}"] = bench.edit(source, target, count, self.num_iterations)[None]
            progress(len(plain))
        return found


@dataclass(frozen=True)
class Edits:
    """tracks (P,): rows of the index. source, target: {attribute: value} of both captions; one, `changed`, differs."""

    tracks: np.ndarray
    source: list[dict[str, str]]
    target: list[dict[str, str]]
    changed: list[str]


def choose_edits(
    named: Sequence[set[str]], targets: Tensor, attributes: pd.DataFrame, max_pairs: int, seed: int = 0
) -> Edits:
    """An edit for each of the first captions of `max_pairs` tracks: one attribute it names gets another value."""
    random, tracks, source, target, changed = np.random.default_rng(seed), [], [], [], []
    seen = set()
    for caption, track in enumerate(targets.tolist()):
        if track in seen or not named[caption] or len(tracks) == max_pairs:
            continue
        seen.add(track)
        words = {name: attributes[name].iloc[track] for name in sorted(named[caption])}
        name = str(random.choice(list(words)))
        others = sorted(set(attributes[name]) - {words[name], "none"})
        if others:
            tracks.append(track)
            source.append(words)
            target.append(words | {name: str(random.choice(others))})
            changed.append(name)
    return Edits(np.array(tracks), source, target, changed)


def edit_metrics(queries: Tensor, index: Tensor, edits: Edits, attributes: pd.DataFrame) -> dict[str, dict]:
    """gained@10, kept@10 and the cosine to the track itself, of queries (S, P, D); per cent."""
    own = torch.from_numpy(edits.tracks)
    index = F.normalize(index, dim=-1)
    values = {"gained@10": [], "kept@10": [], "cos_track": []}
    for sample_ in queries:
        similarity = F.normalize(sample_, dim=-1) @ index.T  # (P, N)
        values["cos_track"].append(100 * similarity.gather(1, own[:, None]).squeeze(1).double())
        top = similarity.scatter(1, own[:, None], -torch.inf).topk(K, dim=1).indices
        shares = [share_of(attributes.iloc[places], edits, pair) for pair, places in enumerate(top.tolist())]
        gained, kept = torch.tensor(shares, dtype=torch.float64).T
        values["gained@10"].append(100 * gained)
        values["kept@10"].append(100 * kept)
    return {metric: mean_with_interval(torch.stack(found), own, 1000, 0) for metric, found in values.items()}


def share_of(found: pd.DataFrame, edits: Edits, pair: int) -> tuple[float, float]:
    """Of the tracks found, the share with the new value, and of the other named values the share they kept."""
    changed, source, target = edits.changed[pair], edits.source[pair], edits.target[pair]
    rest = [name for name in source if name != changed]
    kept = np.mean([(found[name] == source[name]).mean() for name in rest]) if rest else 1.0
    return float((found[changed] == target[changed]).mean()), float(kept)


class Bench:
    """A model with real latents (P, T, D) on it, normalised, to invert and to generate from."""

    def __init__(self, setting: Evaluation, sampler, tracks: np.ndarray):
        self.setting, self.model, self.sampler = setting, setting.model, sampler
        rows = setting.track_rows[tracks]
        crops, self.mask = setting.audio.gather(rows, np.zeros_like(rows), setting.num_frames)
        self.latents = crops.float()  # (P, T, D), in the encoder's scale
        self.solver = sampler.start(self.model.noise_scheduler)

    def denoiser(self, states, scale: float | None = None):
        sampler = self.sampler if scale is None else replace(self.sampler, guidance_scale=scale)
        caption, null = self.model.on_device(states), self.model.null_states(len(self.latents))
        mask = self.mask.to(self.model.device)
        return sampler.denoiser(self.model.backbone, self.model.noise_scheduler, caption, null, mask=mask)

    def clean(self) -> Tensor:
        return self.model.normalise(self.latents.to(self.model.device)) * self.mask.unsqueeze(-1).to(self.model.device)

    @torch.no_grad()
    def edit(self, source, target, num_inverted: int, num_iterations: int) -> Tensor:
        denoisers = self.denoiser(source, 1.0), self.denoiser(target)
        mask = self.mask.to(self.model.device)
        latents = edit(*denoisers, self.solver, self.clean(), num_inverted, num_iterations, mask)
        return F.normalize(pool(self.model.denormalise(latents).cpu(), self.mask), dim=-1)

    def generate(self, states, seed: int) -> Tensor:
        generators = [sample_generator(seed, 1 << 21, i) for i in range(len(self.latents))]
        latents = self.model.generate(self.sampler, states, generators, self.setting.num_frames)
        return F.normalize(pool(latents.cpu()), dim=-1)

    @torch.no_grad()
    def round_trips(self, states, scale: float, num_iterations: int) -> dict[str, float]:
        """Relative error of inverting and generating again under the same caption, plain DDIM's and the exact one's."""
        denoise, clean, errors = self.denoiser(states, scale), self.clean(), {}
        for name, iterations in (("plain", 1), ("exact", num_iterations)):
            valid = self.mask.to(clean.device)
            noisy = invert(denoise, self.solver, clean, None, iterations, valid)
            again = sample(denoise, self.solver, noisy, inverted_timesteps(self.solver, None))
            errors[name] = float((again - clean)[valid].norm() / clean[valid].norm())
        return errors

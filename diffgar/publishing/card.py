"""The model card of a published model, by the hub's own card classes: `model_card.md` filled with facts and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffgar.evaluation.report import System
from diffgar.evaluation.reports.results import Result
from diffgar.evaluation.reports.table_styles import render
from diffgar.evaluation.reports.tables import retrieval_table
from diffgar.publishing.encoders import PACKAGED, Encoder

TEMPLATE = Path(__file__).with_name("model_card.md")
PLACE = "USER/MODEL"  # stands in a card for the hub's name, which is known when it is uploaded
KINDS = {
    "gdr": "A latent diffusion model",
    "tuned": "A latent diffusion model, tuned to rank,",
    "student": "A few-step student of a latent diffusion model",
    "regression": "A regression, a baseline without diffusion,",
    "contrastive": "A pair of contrastive projection heads, a baseline without diffusion,",
}
METRICS = {"R@1": "recall_at_1", "R@10": "recall_at_10", "MRR": "mean_reciprocal_rank"}


@dataclass(frozen=True)
class Facts:
    """What a model card says.

    kind: the model's `row`. dataset, num_captions: what it was trained on, None where that is not here to be counted.
    num_frames: the most that it generates, each `hop_seconds` apart, or None. sampler: as `Sampler.describe` has it.
    audio, text: its encoders. packages: the publisher's own, which a reader must allow.
    """

    name: str
    step: int
    kind: str
    dataset: str
    num_captions: int | None
    num_parameters: int
    num_frames: int
    hop_seconds: float | None
    joint: bool
    sampled: bool
    sampler: Mapping[str, Any]
    audio: Encoder
    text: Encoder
    license: str
    packages: Sequence[str]
    versions: Mapping[str, str | None]

    @property
    def seconds(self) -> float | None:
        """The length of the music that a query describes; None where it is not known, or no music is generated."""
        if self.kind == "contrastive" or self.hop_seconds is None:
            return None
        return self.num_frames * self.hop_seconds

    @property
    def is_packaged(self) -> bool:
        """Whether both encoders are in the package, so that a reader needs no weights beside the model."""
        return self.audio.whence == self.text.whence == PACKAGED


def card_of(facts: Facts, results: Sequence[Result]) -> str:
    """The card as Markdown with the hub's YAML header; `PLACE` stands where the hub's name belongs."""
    from huggingface_hub import ModelCard, ModelCardData

    data = ModelCardData(
        language="en" if facts.text.english else None,
        license=facts.license,
        library_name="diffgar",
        datasets=[facts.dataset],
        tags=["music", "text-to-music-retrieval", "music-information-retrieval", "arxiv:2506.17886"],
        model_name=facts.name,
        eval_results=[each for result in results for each in eval_results(result, facts.kind)] or None,
    )
    tables = [render(retrieval_table([result]), "markdown").strip() for result in results]
    kind = KINDS.get(facts.kind, f"A model of the kind `{facts.kind}`")
    return str(ModelCard.from_template(data, str(TEMPLATE), facts=facts, kind=kind, place=PLACE, tables=tables))


def eval_results(result: Result, row: str) -> list[Any]:
    """What the hub lists of a result: the model's own row, in per cent."""
    from huggingface_hub import EvalResult

    found = result.rows.get(System(row), {})
    return [
        EvalResult(
            task_type=f"{result.protocol.get('direction', 'text_to_audio').replace('_', '-')}-retrieval",
            dataset_type=str(result.protocol.get("dataset", result.task)),
            dataset_name=result.task,
            dataset_split=result.protocol.get("split"),
            metric_type=METRICS[name],
            metric_name=f"{name} (%)",
            metric_value=round(found[name].mean, 2),
            metric_config=str(result.protocol["name"]),
        )
        for name in METRICS
        if name in found
    ]

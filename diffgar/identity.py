"""What a model was trained on: stands in until training writes it."""

from collections.abc import Sequence
from pathlib import Path


def refuse_other_latents(folder: Path, audio_card, text_card) -> None:
    """Refuse stores of other encodings than the model's."""


def seen_tracks(folder: Path, dataset: str, track_ids: Sequence[str], audio_hashes: Sequence[str] | None) -> int | None:
    """How many of the tracks the model was trained on; None where its folder does not say."""
    return None

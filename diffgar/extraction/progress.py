"""The outcome of each track of an extraction, and the progress bar."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from diffgar.dataloading.datasets.tracks import Track
from diffgar.errors import InputError

log = logging.getLogger(__name__)


class ExtractionError(InputError):
    """Extraction stopped: what failed, and how to resume."""


@dataclass
class Encoded:
    """Outcome of a track: its latents, seconds of audio and a hash of it, or the error for which it is left out."""

    track: Track
    seconds: float = 0.0
    error: str | None = None
    digest: str | None = None
    parts: list[np.ndarray] = field(default_factory=list)  # (T_i, D) float32, one per batch

    @property
    def latents(self) -> np.ndarray:
        """(T, D) float32."""
        return np.concatenate(self.parts)


class Progress:
    """The progress bar: tracks, time left, hours of audio and failures; stops when too many fail.

    failures: those of earlier runs, which count too. A context manager; leaving it closes the bar.
    """

    def __init__(self, num_tracks: int, max_failures: int, failures: Sequence[str] = (), name: str = "extracting"):
        self.bar = tqdm(total=num_tracks, unit="track", desc=name, mininterval=0.5, disable=num_tracks == 0)
        self.max_failures, self.failures, self.hours = max_failures, list(failures), 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def done(self, result: Encoded) -> None:
        """Count a finished track. Raises ExtractionError when it has failed and is one failure too many."""
        if result.error:
            self.fail(result)
        self.hours += result.seconds / 3600
        self.bar.set_postfix_str(f"{self.hours:.2f} h of audio, {len(self.failures)} failed", refresh=False)
        self.bar.update()

    def fail(self, result: Encoded) -> None:
        """Count a failed track and log it. Raises ExtractionError when it is one failure too many."""
        self.failures.append(f"{result.track.path}: {result.error}")
        log.warning("left out: %s", self.failures[-1])
        if len(self.failures) > self.max_failures:
            first = "; ".join(self.failures[:3])
            raise ExtractionError(
                f"{len(self.failures)} tracks failed, max_failures is {self.max_failures} ({first}); mend "
                f"them, leave them out of the table, or raise extraction.max_failures; what is done is kept"
            )

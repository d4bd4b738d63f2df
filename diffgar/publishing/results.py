"""The results that a model card shows: those of retrieval of this very model at this very step."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffgar.errors import InputError
from diffgar.evaluation.reports.results import Result, other_model, read_result

log = logging.getLogger(__name__)


def results_of(folder: Path, name: str, step: int, config: dict[str, Any]) -> list[Result]:
    """The retrieval results of a model in a results folder, as it was trained by `config`; [] where there are none."""
    found = []
    for path in sorted((folder / name).rglob("retrieval-*.json")):
        try:
            result = read_result(path)
        except InputError as error:
            log.warning("left out of the model card: %s", error)
            continue
        if result.step == step and not other_model(result, replace(result, config=config)):
            found.append(result)
    return found

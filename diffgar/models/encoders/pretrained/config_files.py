"""Files of settings, published beside weights or without them."""

import json
from pathlib import Path
from typing import Any

from diffgar.models.encoders.pretrained.hub import cached_model, is_hub_name, open_model
from diffgar.models.encoders.pretrained.tensor_files import WeightsError

CONFIG = "config.json"


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a JSON file, by name. Raises WeightsError if it is damaged or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{path} is no JSON ({error}); download it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not settings by name; download it again")
    return content


def find_config(name: str, remedy: str) -> dict[str, Any]:
    """The `config.json` of a local folder or of a hub's model, of which nothing else is fetched.

    remedy: a sentence on how to get it, for the message of the WeightsError that is raised if there is none.
    """
    path, bare = Path(name).expanduser(), name.rstrip("/")
    if path.is_dir():
        if not (path / CONFIG).is_file():
            raise WeightsError(f"no {CONFIG} in the folder {path}. {cached_model(path) or remedy}")
        return read_settings(path / CONFIG)
    if path.exists() or not is_hub_name(bare):
        raise WeightsError(f"no {CONFIG} at {name}: there is no such folder. {remedy}")
    model = open_model(bare)
    found = model.fetch(CONFIG)
    if found is None:
        raise WeightsError(
            f"no {CONFIG} of {name}: no folder here, and {model.failure or 'the hub has none'}. {remedy}"
        )
    return read_settings(found)

"""A trained model's config without what belongs to its training or to the machine that trained it."""

import os
import re
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from diffgar.checkpoints import CheckpointError
from diffgar.jobs.trusted import leaves

NEEDED = ("data.name", "datamodule.frames", "encoder_pair", "module", "sampler")
TRAINING = ("optimizer", "lr_scheduler", "teacher")  # of a module: a trained one is built without
READERS = ("paths", "oc")  # what the reader has: the paths, and the environment by oc.env
FOLLOWED = re.compile(r"\$\{([A-Za-z_][\w.]*)")
ABSOLUTE = re.compile(r"(?:^|,\s*)(?:/|~|[A-Za-z]:[\\/]|\\\\)")  # at the start, or as the default of an interpolation


def portable(config: DictConfig) -> DictConfig:
    """The config that a reader needs to build a trained model and its encoders, unresolved: `${paths.weights}` stays.

    A path of this machine becomes that of a file of the same name in the reader's `paths.weights`. Raises
    CheckpointError for one that stands within an interpolation.
    """
    written: Any = OmegaConf.to_container(config, resolve=False)
    written["module"] |= dict.fromkeys(set(TRAINING) & set(written["module"]))
    kept: dict[str, Any] = {}
    wanted = list(NEEDED)
    while wanted:
        key = wanted.pop(0)
        if key.split(".")[0] in READERS or (found := value_at(written, key)) == value_at(kept, key):
            continue
        put(kept, key, found)
        wanted += [name for _, value in leaves(found) if isinstance(value, str) for name in FOLLOWED.findall(value)]
    return OmegaConf.create(without_places(kept))


def value_at(node: Any, key: str) -> Any:
    """The value at a dotted key of nested dicts and lists, None where there is none."""
    for part in key.split("."):
        if isinstance(node, list):
            node = dict(enumerate(node)).get(int(part)) if part.isdigit() else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def put(node: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key of nested dicts."""
    *above, last = key.split(".")
    for part in above:
        node = node.setdefault(part, {})
    node[last] = value


def without_places(value: Any, key: str = "") -> Any:
    """A value, or nested ones, in which paths of this machine are those of the reader's folder for weights."""
    if isinstance(value, dict):
        return {name: without_places(each, f"{key}.{name}") for name, each in value.items()}
    if isinstance(value, list):
        return [without_places(each, f"{key}.{position}") for position, each in enumerate(value)]
    if not isinstance(value, str) or not is_place(value):
        return value
    if "${" in value:
        raise CheckpointError(
            f"{key[1:]} is {value!r}, a path of this machine, which is not published; let it name a file of "
            "paths.weights"
        )
    return "${paths.weights}/" + value.replace("\\", "/").rstrip("/").rpartition("/")[2]


def is_place(value: str) -> bool:
    """Whether a value is a path that other machines have not: an absolute one, or one that leads somewhere here."""
    if ABSOLUTE.search(value):
        return True
    return ("/" in value or os.sep in value) and "${" not in value and Path(value).exists()

"""The files of a published model: JSON and safetensors, read and checked; no pickle among them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from diffgar.checkpoints import CheckpointError

AGAIN = "copy or download the model again"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError for a file that is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not there or damaged ({error}); {AGAIN}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not values by name; {AGAIN}")
    return content


def read_counts(path: Path) -> dict[str, int]:
    """A JSON object of whole numbers. Raises CheckpointError for any other."""
    content = read_json(path)
    for name, count in content.items():
        if not isinstance(count, int):
            raise CheckpointError(f"{path}: {name!r} is {count!r}, not a number of times; {AGAIN}")
    return content


def as_json(content: object) -> bytes:
    """A value as the bytes of a JSON file."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def read_tensors(path: Path, expected: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file whose SHA-256 is the `expected`. Raises CheckpointError where it is not.

    Costs about a second per GB.
    """
    try:
        content = path.read_bytes()
        if (found := sha256(content)) != expected:
            other = f"SHA-256 {found[:12]}…, config.json has {str(expected)[:12]}…"
            raise CheckpointError(f"{path} is damaged or of another model ({other}); {AGAIN}")
        return safetensors.torch.load(content)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {AGAIN}") from error


def as_safetensors(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    return safetensors.torch.save({name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()})


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()

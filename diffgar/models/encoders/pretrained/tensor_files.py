"""Files of tensors: hashes of them, and a reader that runs no code that they name."""

import hashlib
import pickle
import zipfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from diffgar.errors import InputError

TENSOR_PARTS = {  # the classes that a table of tensors needs; any other class in a pickle becomes an `_Inert`
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
}

UNREADABLE = (  # errors of torch, pickle and safetensors for files that are cut off, empty or of another kind
    pickle.UnpicklingError,
    SafetensorError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)


class WeightsError(InputError):
    """Weights or a tokenizer are absent, unreadable, or another network's."""


@lru_cache(maxsize=16)
def digest(files: tuple[Path, ...], stats: tuple[tuple[int, int], ...]) -> str:
    """SHA-256 of the files in hexadecimal. stats: their sizes and times, so that a changed file is read again."""
    sha256 = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha256.update(block)
    return sha256.hexdigest()


class _Inert:
    """Replaces an object that is no tensor, such as the settings of a training script, an optimiser or a callback."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def ignore(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    __setstate__ = __setitem__ = __call__ = append = extend = add = ignore


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors and plain containers; no code that a checkpoint names is run.

    torch's own safe loading will not do: users report that it refuses the published CLAP files, which hold numpy
    scalars under pickle protocol 4.
    """

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of this name, if tensors need it; else `_Inert`."""
        return super().find_class(module, name) if (module, name) in TENSOR_PARTS else _Inert


_READER = SimpleNamespace(
    __name__="tensors",
    Unpickler=_TensorUnpickler,
    load=lambda file, **options: _TensorUnpickler(file, **options).load(),
)


def read_tensors(path: Path) -> object:
    """The content of a file of safetensors or of `torch.save`, on the CPU. Raises WeightsError if it is damaged."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        mmap = zipfile.is_zipfile(path)  # the optimiser's moments, twice the weights, are never read
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER, mmap=mmap)
    except UNREADABLE as error:
        raise WeightsError(f"{path} cannot be read ({error}); is it whole? Download it again") from error

"""Files of tensors: read without running any code that they name, and hashed."""

import hashlib
import pickle
import zipfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from diffgar.errors import InputError

TENSOR_PARTS = {  # what a table of tensors is built of; any other class in a pickle becomes an `_Inert`
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor_v2"),
}


UNREADABLE = (  # of torch, pickle and safetensors, for files that are cut off, empty or of another kind
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
def digest(files: tuple[Path, ...], stats: tuple) -> str:
    """SHA-256 of the files in hexadecimal. stats: sizes and times, so that a changed file is read again."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


class _Inert:
    """Stands for an object of a class that is not built: a training script's settings, an optimiser's, a callback's."""

    def __init__(self, *args, **kwargs):
        pass

    def ignore(self, *args, **kwargs) -> None:
        pass

    __setstate__ = __setitem__ = __call__ = append = extend = add = ignore


class _TensorUnpickler(pickle.Unpickler):
    """Builds tensors and plain containers; no code that a checkpoint names is run.

    torch's own safe loading is no choice: users report that it refuses the published CLAP files, which hold numpy
    scalars under pickle protocol 4.
    """

    def find_class(self, module: str, name: str):
        return super().find_class(module, name) if (module, name) in TENSOR_PARTS else _Inert


_READER = SimpleNamespace(
    __name__="tensors",
    Unpickler=_TensorUnpickler,
    load=lambda file, **options: _TensorUnpickler(file, **options).load(),
)


def read_tensors(path: Path):
    """What a file of safetensors or of `torch.save` holds, on the CPU. Raises WeightsError if it is damaged."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        mmap = zipfile.is_zipfile(path)  # the optimiser's moments, twice the weights, are never read
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=_READER, mmap=mmap)
    except UNREADABLE as error:
        raise WeightsError(f"{path} cannot be read ({error}); is it whole? Download it again") from error

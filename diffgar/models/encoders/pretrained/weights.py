"""Pretrained weights: finding a checkpoint, and loading a network from it, every tensor or none."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diffgar.models.encoders.pretrained.config_files import read_settings
from diffgar.models.encoders.pretrained.hub import FILE_SUFFIXES, cached_model, is_hub_name, open_model
from diffgar.models.encoders.pretrained.tensor_files import WeightsError, digest, read_tensors

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)
RANDOM = "random"  # as `weights`: freshly initialised, the same on every machine and in every job
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
TABLES = ("state_dict", "model")  # where a training checkpoint has its table of tensors
WRAPPERS = {"module", "_orig_mod"}  # parts of names that torch's DataParallel and torch.compile add


@dataclass(frozen=True)
class Checkpoint:
    """The file, or the shards, with a network's weights. repo: the hub name by which they were found, or None."""

    files: tuple[Path, ...]
    repo: str | None = None

    def __str__(self) -> str:
        return str(self.files[0])

    @property
    def folder(self) -> Path:
        """The folder of the weights."""
        return self.files[0].parent

    @property
    def origin(self) -> str:
        """The hub name, or the folder, that has what was published with the weights, such as a tokenizer."""
        return self.repo or str(self.folder)

    @property
    def hash(self) -> str:
        """SHA-256 of the files' bytes, in hexadecimal."""
        stats = [path.stat() for path in self.files]
        return digest(self.files, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))

    def config(self) -> dict[str, Any]:
        """The `config.json` beside the weights. Raises WeightsError if it is missing or no JSON."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise WeightsError(f"{path} is missing: it has the network's sizes; download it with the weights")
        return read_settings(path)

    def state(self) -> dict[str, Tensor]:
        """Every tensor on the CPU, by name without the `WRAPPERS`; a training checkpoint's are in one of its `TABLES`.

        Raises WeightsError for a file that is damaged or no table of tensors.
        """
        state: dict[str, Tensor] = {}
        for path in self.files:
            content = read_tensors(path)
            if isinstance(content, Mapping):
                content = next((content[key] for key in TABLES if isinstance(content.get(key), Mapping)), content)
            if not isinstance(content, Mapping) or not all(isinstance(x, Tensor) for x in content.values()):
                raise WeightsError(
                    f"{path} holds no table of tensors: not a checkpoint of one of the layouts read here"
                )
            for name, tensor in content.items():
                bare = ".".join(part for part in name.split(".") if part not in WRAPPERS)
                if bare in state:
                    raise WeightsError(f"{path} holds {bare} twice, once as {name}: not one network's checkpoint")
                state[bare] = tensor
        return state


def find_checkpoint(weights: str | Path, remedy: str) -> Checkpoint | None:
    """The checkpoint at a local file or folder, or of a hub name; None, with a warning, for "random".

    remedy: a sentence on how to get it, for the message of the WeightsError that is raised if there is none.
    """
    if str(weights) == RANDOM:
        log.warning("weights: random. These latents mean nothing; they serve to try the pipeline")
        return None
    if not weights or not str(weights).strip():
        raise WeightsError(f"weights is {weights!r}: it must name a file, a folder or a hub's model. {remedy}")
    path, name = Path(weights).expanduser(), str(weights).rstrip("/")
    if path.is_file():
        if path.suffix == ".json":
            raise WeightsError(f"{path} holds names or settings, no weights: name the folder, {path.parent}")
        return Checkpoint((path,))
    if path.is_dir():
        found = _checkpoint(lambda file: path / file if (path / file).is_file() else None, None, remedy)
        if found is None:
            raise WeightsError(_without_weights(path, remedy))
        return found
    if not is_hub_name(name):
        raise WeightsError(f"no weights at {path}: there is no such file or folder. {remedy}")
    model = open_model(name)
    found = _checkpoint(model.fetch, name, remedy)
    if found is None:
        why = model.failure or f"the hub's {name} has neither {FILES[0]} nor {FILES[2]}"
        raise WeightsError(f"no weights at {weights}: no file or folder here, and {why}. {remedy}")
    return found


def build(
    make: Callable[[], Network], checkpoint: Checkpoint | None, state: Mapping[str, Tensor], **allowed: Iterable[str]
) -> Network:
    """The network that `make` makes, with a checkpoint's `state`, or without one the same random weights every time.

    allowed: `may_miss` and `may_remain` of `load_strict`, which loads the state.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make()
    if checkpoint is not None:
        load_strict(network, state, str(checkpoint), **allowed)
    return network


def load_strict(
    network: nn.Module,
    state: Mapping[str, Tensor],
    source: str,
    may_miss: Iterable[str] = (),
    may_remain: Iterable[str] = (),
) -> None:
    """Load every tensor of a network. Raises WeightsError naming the missing, unknown, reshaped and non-finite ones.

    may_miss: patterns (`*` for any text) of the network's names that the checkpoint may lack. may_remain: patterns of
    the checkpoint's names that the network may lack.
    """
    own = network.state_dict()
    taken = {name: tensor for name, tensor in state.items() if name in own}
    faults = [f"{name} is missing" for name in own if name not in taken and not _matches(name, may_miss)]
    faults += [f"{name} is unknown" for name in state if name not in own and not _matches(name, may_remain)]
    for name, tensor in taken.items():
        if tensor.shape != own[name].shape:
            faults.append(f"{name} has shape {tuple(tensor.shape)}, not {tuple(own[name].shape)}")
        elif tensor.is_floating_point() and not tensor.isfinite().all():
            faults.append(f"{name} is not finite")
    if faults:
        more = f"; and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise WeightsError(f"{source} does not fit {type(network).__name__}: {'; '.join(faults[:8])}{more}")
    network.load_state_dict(taken, strict=False)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _checkpoint(fetch: Callable[[str], Path | None], repo: str | None, remedy: str) -> Checkpoint | None:
    """The first of `FILES` that exists; fetches its shards and the config.json as well."""
    found = next((file for file in map(fetch, FILES) if file), None)
    if found is None:
        return None
    fetch("config.json")
    if found.suffix != ".json":
        return Checkpoint((found,), repo)
    shards = sorted(set(read_settings(found).get("weight_map", {}).values()))
    files = {shard: fetch(shard) for shard in shards}
    missing = next((shard for shard, file in files.items() if file is None), None)
    if missing or not files:
        what = f"names the shard {missing}, which is missing" if missing else "names no weights"
        raise WeightsError(f"{found} {what}. {remedy}")
    return Checkpoint(tuple(file for file in files.values() if file), repo)


def _without_weights(folder: Path, remedy: str) -> str:
    """The message for a folder without weights: what it holds instead, and the remedy."""
    advice = cached_model(folder)
    files = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in FILE_SUFFIXES)
    if not advice and files:
        advice = f"it holds {', '.join(files[:3])}: set the weights to {folder / files[0]}, where that is meant"
    return f"no weights at {folder}: no {FILES[0]} or {FILES[2]} in this folder. {advice or remedy}"

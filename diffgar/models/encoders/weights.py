"""Pretrained weights: find a checkpoint, and load every tensor of a network from it or refuse by name."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch
from torch import Tensor, nn

from diffgar.models.encoders.tensor_files import WeightsError, digest, read_tensors

log = logging.getLogger(__name__)

RANDOM = "random"  # as `weights`: freshly initialised, the same on every machine and in every job
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """The file, or the shards, that hold a network's weights."""

    files: tuple[Path, ...]

    def __str__(self) -> str:
        return str(self.files[0])

    @property
    def folder(self) -> Path:
        return self.files[0].parent

    @property
    def hash(self) -> str:
        """SHA-256 of the files' bytes, in hexadecimal."""
        stats = [path.stat() for path in self.files]
        return digest(self.files, tuple((stat.st_size, stat.st_mtime_ns) for stat in stats))

    def config(self) -> dict:
        """The `config.json` beside the weights."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise WeightsError(f"{path} is missing: it tells the network's sizes; download it with the weights")
        return json.loads(path.read_text(encoding="utf-8"))

    def state(self) -> dict[str, Tensor]:
        """Every tensor by name, on the CPU. Of a training checkpoint, what its "state_dict" holds."""
        state = {}
        for path in self.files:
            content = read_tensors(path)
            content = content.get("state_dict", content) if isinstance(content, Mapping) else content
            if not isinstance(content, Mapping) or not all(isinstance(x, Tensor) for x in content.values()):
                raise WeightsError(
                    f"{path} holds no table of tensors: not a checkpoint of one of the layouts read here"
                )
            state |= content
        return state


def find_checkpoint(weights: str | Path, remedy: str) -> Checkpoint | None:
    """The checkpoint at a local file or folder, or of a model hub's name; None, with a warning, for "random".

    remedy: the download to make, `{folder}` standing for where to put it. Raises WeightsError that quotes it.
    """
    if str(weights) == RANDOM:
        log.warning("weights: random. These latents mean nothing; they serve to try the pipeline")
        return None
    path = Path(weights).expanduser()
    if path.is_file():
        return Checkpoint((path,))
    try:
        fetch = _in_folder(path) if path.is_dir() else _in_hub(str(weights))
        found = next((file for file in map(fetch, FILES) if file), None)
    except ValueError as error:  # not a name that the hub can have
        raise WeightsError(_absent(weights, remedy)) from error
    if found is None:
        raise WeightsError(_absent(weights, remedy))
    fetch("config.json")
    if found.suffix != ".json":
        return Checkpoint((found,))
    shards = sorted(set(json.loads(found.read_text(encoding="utf-8"))["weight_map"].values()))
    files = tuple(fetch(shard) for shard in shards)
    if None in files:
        raise WeightsError(f"{found} names the shard {shards[files.index(None)]}, which is missing; download it again")
    return Checkpoint(files)


def build(make: Callable[[], nn.Module], checkpoint: Checkpoint | None, state: Mapping[str, Tensor], **allowed):
    """`make()`, loaded with `state` as `load_strict` does, or with the same random weights every time if None."""
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

    may_miss, may_remain: patterns (`*` for any text) of names that the checkpoint may lack, or have beside these.
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


def _absent(weights: str | Path, remedy: str) -> str:
    path = Path(weights)
    folder = path.parent if path.suffix else path
    return (
        f"no weights at {weights}: neither a file, nor a folder with {FILES[0]} or {FILES[2]}, nor a hub name that "
        f"could be fetched. {remedy.format(folder=folder)}"
    )


def _in_folder(folder: Path) -> Callable[[str], Path | None]:
    return lambda name: folder / name if (folder / name).is_file() else None


def _in_hub(repo: str) -> Callable[[str], Path | None]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

    def fetch(name: str) -> Path | None:
        try:
            return Path(hf_hub_download(repo, name))
        except (EntryNotFoundError, RepositoryNotFoundError):
            return None

    return fetch

"""One vector per text, as sentence-transformers' models publish it: pooled token states, and the layers after it.

modules.json           the modules in order: [{"type": "….Transformer", "path": ""}, {"type": "….Pooling", …}, …]
1_Pooling/config.json  {"pooling_mode": "mean"}, or in older models {"pooling_mode_mean_tokens": true, …}
2_Dense/config.json    {"in_features": …, "out_features": …, "bias": …, "activation_function": …}, beside its weights
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from diffgar.models.encoders.pretrained.config_files import read_settings
from diffgar.models.encoders.pretrained.hub import open_model
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import FILES, Checkpoint, load_strict

MODULES = "modules.json"
POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}  # today's names, and the older
ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}

Fetch = Callable[[str], Path | None]  # the local path of one of a model's files; None if it has none of that name


class Normalize(nn.Module):
    """Vectors (B, P) to unit length."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors (B, P) to the same, of unit length."""
        return F.normalize(vectors, dim=-1)


class SentenceHead(nn.Module):
    """Token states to one vector per text.

    pooling: "mean" over a text's tokens, or "cls", its first token. layers: applied to the pooled vector, in order.
    files: the layers' weights. dim: the width of what comes out.
    """

    def __init__(self, pooling: str, layers: Iterable[nn.Module], files: tuple[Path, ...], dim: int):
        super().__init__()
        self.pooling, self.layers, self.files, self.dim = pooling, nn.Sequential(*layers), files, dim

    def forward(self, hidden_states: Tensor, mask: Tensor) -> Tensor:
        """Token states (B, L, C), zero at padding, which is on the right, and their mask (B, L) to vectors (B, P)."""
        first = self.pooling == "cls"
        pooled = hidden_states[:, 0] if first else hidden_states.sum(dim=1) / mask.sum(dim=1, keepdim=True)  # (B, C)
        return self.layers(pooled)  # (B, P)


def open_head(checkpoint: Checkpoint, width: int) -> SentenceHead | None:
    """The head that was published with a checkpoint whose states have `width` dimensions; None without modules.json.

    Raises WeightsError for a head with modules other than Pooling, Dense and Normalize, with another pooling than mean
    or the first token, or whose files are missing or damaged.
    """
    fetch = _fetch(checkpoint)
    path = fetch(MODULES)
    if path is None:
        return None
    modules = [(entry["type"].rpartition(".")[2], entry["path"]) for entry in _entries(path)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or modules[0][1] or set(kinds[2:]) - {"Dense", "Normalize"}:
        raise WeightsError(
            f"{path} lists {', '.join(kinds) or 'nothing'}; read here are a Transformer in the folder itself, a "
            "Pooling, and then any of Dense and Normalize"
        )
    pooling = _pooling(*_settings(fetch, modules[1][1], path))
    layers: list[nn.Module] = []
    files: list[Path] = []
    for kind, folder in modules[2:]:
        if kind == "Dense":
            linear, activation, weights = _dense(fetch, folder, width, path)
            layers, files, width = [*layers, linear, activation], [*files, weights], linear.out_features
        else:
            layers.append(Normalize())
    return SentenceHead(pooling, layers, tuple(files), width)


def lowers_case(checkpoint: Checkpoint) -> bool:
    """Whether a model's captions are written in small letters before they become tokens."""
    path = _fetch(checkpoint)("sentence_bert_config.json")
    return path is not None and bool(read_settings(path).get("do_lower_case"))


def _fetch(checkpoint: Checkpoint) -> Fetch:
    """Where the files beside a checkpoint come from: its folder, or the hub."""
    if checkpoint.repo is not None:
        return open_model(checkpoint.repo).fetch
    return lambda name: path if (path := checkpoint.folder / name).is_file() else None


def _entries(path: Path) -> list[dict[str, str]]:
    """The modules that a modules.json lists; raises WeightsError if it is damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [{"type": str(entry["type"]), "path": str(entry["path"])} for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is no list of modules ({error!r}); download it again") from error


def _settings(fetch: Fetch, folder: str, modules: Path) -> tuple[dict[str, Any], Path]:
    """The settings of a module, and their file."""
    path = fetch(f"{folder}/config.json")
    if path is None:
        raise WeightsError(f"{modules} names {folder}, but {folder}/config.json is missing; download it as well")
    return read_settings(path), path


def _pooling(settings: Mapping[str, Any], path: Path) -> str:
    """The pooling that a Pooling's settings name; raises WeightsError for one that is not read here."""
    asked = settings.get("pooling_mode") or [
        next((ours for ours, older in POOLINGS.items() if older == name), name.removeprefix("pooling_mode_"))
        for name, chosen in settings.items()
        if name.startswith("pooling_mode_") and chosen
    ]
    modes = [asked] if isinstance(asked, str) else list(asked)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise WeightsError(f"{path} pools by {', '.join(modes) or 'nothing'}; read here are {' and '.join(POOLINGS)}")
    return modes[0]


def _dense(fetch: Fetch, folder: str, width: int, modules: Path) -> tuple[nn.Linear, nn.Module, Path]:
    """A Dense of `width` inputs: its linear map, its activation, and the file of its weights."""
    settings, path = _settings(fetch, folder, modules)
    activation = str(settings.get("activation_function", "Tanh")).rpartition(".")[2]
    if settings.get("in_features") != width or activation not in ACTIVATIONS or settings.get("use_residual"):
        raise WeightsError(
            f"{path} describes a Dense that is not read here: {settings}; expected are {width} in_features, one of "
            f"{', '.join(ACTIVATIONS)}, and no residual"
        )
    weights = fetch(f"{folder}/{FILES[0]}") or fetch(f"{folder}/{FILES[2]}")
    if weights is None:
        raise WeightsError(f"{modules} names {folder}, but {folder}/{FILES[0]} is missing; download it as well")
    linear = nn.Linear(width, settings["out_features"], bias=settings.get("bias", True))
    state = Checkpoint((weights,)).state()
    load_strict(linear, {name.removeprefix("linear."): x for name, x in state.items()}, str(weights))
    return linear, ACTIVATIONS[activation](), weights

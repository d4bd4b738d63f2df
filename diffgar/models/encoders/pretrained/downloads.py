"""The commands that download weights or a tokenizer, for the messages about absent ones."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffgar.models.encoders.pretrained.hub import FILE_SUFFIXES, is_hub_name

TOKENIZER = ("*token*", "vocab*", "merges*", "spiece*", "config.json")  # the tokenizer files of any layout
WEIGHTS = ("config.json", "model*.safetensors*", "pytorch_model*.bin*")  # of a model that is not known here
ELSEWHERE = "(without network here: where there is some, with --local-dir FOLDER; bring the folder and set {key} to it)"


@dataclass(frozen=True)
class Published:
    """Weights on the hub.

    files: their names, or patterns. A single file without a config is loaded by its path, others as a folder.
    """

    repo: str
    files: tuple[str, ...]

    def into(self, place: Path, key: str) -> str:
        """The command that downloads them to `place`, and the setting to change if they have to lie elsewhere."""
        is_file = place.suffix.lower() in FILE_SUFFIXES
        folder = place.parent if is_file else place
        if "config.json" in self.files:
            folder = target = folder / self.repo.split("/")[-1] if is_file else folder
        else:
            target = folder / self.files[0]
        then = "" if target == place else f" and set {shlex.quote(f'{key}={target}')}"
        return command(self.repo, self.files, folder) + then


def command(repo: str, files: Iterable[str], folder: Path | None = None) -> str:
    """The shell command that downloads some of a model's files, to a folder or to the hub's cache."""
    words = ["hf", "download", repo]
    for file in files if any("*" in file for file in files) else ():
        words += ["--include", file]  # which takes one pattern
    words += files if "--include" not in words else ()
    return shlex.join([*words, *(("--local-dir", str(folder)) if folder is not None else ())])


def remedy(weights: str | Path, *ways: Published, key: str = "encoder_pair.weights") -> str:
    """A sentence on how to get absent weights, in each of the ways. key: the config's key that names them."""
    name = str(weights or "").strip().rstrip("/")
    place = Path(name or "weights").expanduser()
    if place.exists() or not is_hub_name(name):
        return "Download them: " + ", or ".join(way.into(place, key) for way in ways)
    patterns = tuple(file for way in ways for file in way.files if "*" in file)
    files = next((way.files for way in ways if way.repo == name), WEIGHTS + patterns)
    return f"Download them: {command(name, files)} {ELSEWHERE.format(key=key)}"


def tokenizer_remedy(name: str, repo: str) -> str:
    """A sentence on how to get an absent tokenizer: to its folder, or to the hub's cache if `name` is a hub name."""
    folder = Path(name).expanduser()
    if folder.exists() or not is_hub_name(name.rstrip("/")):
        return f"Download it: {command(repo, TOKENIZER, folder)}"
    words = command(name.rstrip("/"), TOKENIZER)
    return f"Download it: {words} {ELSEWHERE.format(key='encoder_pair.tokenizer')}"

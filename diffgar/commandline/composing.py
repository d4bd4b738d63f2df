"""Composes a config beside the run's own, to look up its groups and the values before a change."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.utils import setup_globals
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from diffgar.commandline import CONFIG_ROOT
from diffgar.commandline.words import Line

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where it was built
NULL = re.compile(r"\w[^=]*=(?i:null)")


def compose(config_name: str, overrides: Sequence[str], places: Sequence[Path] = ()) -> DictConfig:
    """The config of a script, with the `hydra` part; a sweep's values are not applied. Raises what Hydra raises."""
    setup_globals()
    search_path = create_config_search_path(str(CONFIG_ROOT))
    for place in places:
        search_path.prepend("command-line", f"file://{place}", SearchPathQuery(provider="schema"))
    loader = ConfigLoaderImpl(search_path)
    return loader.load_configuration(config_name, list(overrides), RunMode.MULTIRUN, validate_sweep_overrides=False)


def compose_line(line: Line, config_name: str) -> DictConfig:
    """The config that a command line asks for."""
    return compose(line.name or config_name, line.overrides, [Path(line.folder)] if line.folder else ())


def is_group(key: str, places: Sequence[Path] = ()) -> bool:
    """Whether a key of the command line chooses a file: config/<key>/ is a folder."""
    name = key.lstrip("+~").partition("@")[0]
    return bool(name) and any((place / name).is_dir() for place in (CONFIG_ROOT, *places))


def without_nulls(line: Line, config_name: str) -> tuple[Line, list[str]]:
    """`group=null` becomes Hydra's `~group`, or nothing where nothing is chosen.

    Also returns the keys that are no choice of this config but written out in it (a saved config.yaml): Hydra can
    leave none of these out, so that `leave_out` has to.
    """
    nulls = [word for word in line.overrides if NULL.fullmatch(word) and is_group(word[:-5], line.places)]
    if not nulls:
        return line, []
    others = replace(line, overrides=[word for word in line.overrides if word not in nulls])
    try:
        cfg = compose_line(others, config_name)
    except Exception:  # another word is at fault: Hydra says which
        return line, []
    keys, choices = [word[:-5] for word in nulls], cfg.hydra.runtime.choices
    taken_out = [f"~{key}" for key in keys if choices.get(key) is not None]
    return replace(others, overrides=others.overrides + taken_out), [key for key in keys if key not in choices]


def leave_out(cfg: DictConfig, keys: Sequence[str]) -> None:
    """Set these keys to null where the config has a value for them."""
    for key in keys:
        if OmegaConf.select(cfg, key, throw_on_resolution_failure=False) is not None:
            OmegaConf.update(cfg, key, None, merge=False)


def register_tasks(places: Sequence[Path] = ()) -> None:
    """Make a task of each dataset that has none: its own test split, under the dataset's file name."""
    roots = [CONFIG_ROOT, *places]
    tasks = {path.stem for root in roots for path in root.glob("task/*.yaml")}
    for file in (path for root in roots for path in sorted(root.glob("data/*.yaml"))):
        if file.stem not in tasks:
            task = {"defaults": ["dataset", "_self_"], "name": file.stem, "dataset": name_in(file)}
            ConfigStore.instance().store(file.stem, OmegaConf.create(task), group="task", provider="data")


def name_in(file: Path, seen: tuple[Path, ...] = ()) -> str:
    """The `name` that a dataset's file gives it, itself or by the first file of its defaults; else the file's own."""
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), LOADER)
    except (OSError, ValueError, yaml.YAMLError):  # said when it is used
        return file.stem
    content = content if isinstance(content, dict) else {}
    if name := content.get("name"):
        return str(name) if "${" not in str(name) else file.stem
    listed = content.get("defaults")
    bases = (
        [file.with_name(f"{base}.yaml") for base in listed if isinstance(base, str)] if isinstance(listed, list) else []
    )
    base = next((path for path in bases if path.is_file() and path not in (file, *seen)), None)
    return name_in(base, (file, *seen)) if base else file.stem

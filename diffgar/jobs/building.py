"""From configs to objects and plain values: what is built or called holds no config."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffgar.checkpoints import CheckpointError
from diffgar.commandline import CONFIG_ROOT


def composed(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config that a script would run with, without its command line: `composed("eval_retrieval", ["task=demo"])`.

    name: a file in config/. overrides: in Hydra's words. For programs other than the scripts, such as benchmarks.
    """
    with initialize_config_dir(str(CONFIG_ROOT), version_base="1.3"):
        return compose(name, list(overrides))


def read_config(path: Path) -> DictConfig:
    """The config of a trained model. Raises CheckpointError where it is missing, empty or damaged."""
    config, reason = None, "it has no module"
    try:
        config = OmegaConf.load(path)
    except (OSError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
    if not isinstance(config, DictConfig) or "module" not in config:
        raise CheckpointError(f"{path} cannot be read ({reason}); copy the model's folder again, or delete it")
    return config


def build(config: Any, **options: Any) -> Any:
    """The object that a config's `_target_` makes, with these options beside its own: `build(cfg.sampler)`.

    Without a `_target_`, the objects of its parts in a plain dict or list. Mappings and lists arrive as dict and list.
    """
    return instantiate(config, **options, _convert_="all")


def plain(config: Any) -> Any:
    """A part of a config as dicts, lists and values, its interpolations resolved; what is no config stays as it is.

    Raises MissingMandatoryValue where a value is not given yet.
    """
    if not OmegaConf.is_config(config):
        return config
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def as_it_resolves(config: Any) -> Any:
    """As `plain`, for the record: what has no value here, as of a variable of another machine, is as it is written."""
    if OmegaConf.is_dict(config):
        return {name: as_it_resolves(_value(config, name)) for name in config}
    if OmegaConf.is_list(config):
        return [as_it_resolves(_value(config, position)) for position in range(len(config))]
    return config


def _value(node: DictConfig | ListConfig, name: Any) -> Any:
    try:
        return node[name]
    except OmegaConfBaseException:
        written: Any = OmegaConf.to_container(node, resolve=False)
        return written[name]

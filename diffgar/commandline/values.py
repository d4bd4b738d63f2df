"""Whether the values of a command line are of the kind that the config has there."""

import numbers
from collections.abc import Mapping
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from diffgar.commandline import CommandError, ConfigError
from diffgar.commandline.composing import compose, is_group

WORDS_FOR_NUMBERS = ("auto",)
VARIABLES = {"paths.data": "GDR_DATA", "paths.weights": "GDR_WEIGHTS"}  # as in config/paths/default.yaml
NAMES = ("data.name", "encoder_pair.audio_name", "encoder_pair.text_name")  # of the folders in paths.latents


def check_values(cfg: DictConfig, hydra: HydraConf) -> None:
    """Raise CommandError for a value of another kind than the one it replaces, with its key and what was expected.

    Raises ConfigError for a chosen file without keys, and for a folder without a name.
    A number that is written as 1e3 becomes whole where a whole one is expected. `hydra` is Hydra's own config.
    """
    check_choices(cfg, hydra.runtime.choices)
    check_folders(cfg)
    places = [Path(source.path) for source in hydra.runtime.config_sources if source.provider == "command-line"]
    parsed = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    parsed = list({(item.key_or_group, item.is_delete()): item for item in parsed}.values())  # the last of each
    values = [item for item in parsed if not item.is_delete() and not item.is_add() and not item.is_force_add()]
    values = [item for item in values if isinstance(item.value(), dict) or not is_group(item.key_or_group, places)]
    if not values:
        return
    kept = [str(item.input_line) for item in parsed if item not in values]
    before = compose(str(hydra.job.config_name), [*hydra.overrides.hydra, *kept], places)
    for item in values:
        check(cfg, before, item.key_or_group, str(item.input_line))


def check_choices(cfg: DictConfig, choices: Mapping[str, object]) -> None:
    """Raise ConfigError for a file chosen for a group that has no `key: value` in it."""
    for group, choice in choices.items():
        chosen = None if choice is None else OmegaConf.select(cfg, str(group), throw_on_resolution_failure=False)
        if isinstance(chosen, ListConfig) or (isinstance(chosen, DictConfig) and not len(chosen)):
            found = "is a list" if isinstance(chosen, ListConfig) else "is empty"
            file = f"{group!s}/{choice}.yaml"
            raise ConfigError(f"{file} {found}; it needs lines of key: value, as the others there have")


def check_folders(cfg: DictConfig) -> None:
    """Raise ConfigError for a folder without a name, wherever that was said: `${paths.data}/demo` would be `/demo`."""
    folders = {f"paths.{name!s}": value for name, value in (cfg.get("paths") or {}).items()}
    folders |= {key: OmegaConf.select(cfg, key, default="absent", throw_on_resolution_failure=False) for key in NAMES}
    for key, value in folders.items():
        if value is None or is_blank(value):
            variable = f" or the environment variable {VARIABLES[key]}" if key in VARIABLES else ""
            raise ConfigError(
                f"{key} is {value!r}, and has to name a folder: give one with {key}=FOLDER{variable}; "
                "the default is used where none is given"
            )


def check(cfg: DictConfig, before: DictConfig, key: str, typed: str) -> None:
    """Check one key, and all below it."""
    default, value = (OmegaConf.select(config, key, throw_on_resolution_failure=False) for config in (before, cfg))
    if isinstance(default, DictConfig) and isinstance(value, DictConfig):
        for name in value:
            check(cfg, before, f"{key}.{name!s}", typed)
    elif expected := expectation(default, value):
        shown = OmegaConf.to_container(default) if OmegaConf.is_config(default) else default
        raise CommandError(f"{typed}: {expected} is expected for {key} (the config has {shown}), not {value!r}")
    elif is_whole(default) and isinstance(value, float) and value.is_integer() and abs(value) >= 1:
        OmegaConf.update(cfg, key, int(value))


def expectation(default: object, value: object) -> str | None:
    """What is expected in place of a value that cannot replace the default; None where it can."""
    word = isinstance(value, str) and (any(map(str.isalpha, value)) or is_blank(value))
    word = word and value not in WORDS_FOR_NUMBERS
    if word and isinstance(default, bool):
        return "true or false"
    if word and isinstance(default, numbers.Number):
        return "a number"
    if isinstance(value, bool) and is_number(default):
        return "a number"
    number = is_number(value)
    if number and isinstance(default, ListConfig):
        return "a list, [a,b],"
    if number and isinstance(default, DictConfig):
        return "a mapping, {name:value},"
    return None


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, numbers.Number) and not isinstance(value, bool)


def is_blank(value: object) -> bool:
    """Whether a value is a text without a letter in it, such as that of `key=`."""
    return isinstance(value, str) and not value.strip()


def is_whole(value: object) -> bool:
    """Whether a value is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)

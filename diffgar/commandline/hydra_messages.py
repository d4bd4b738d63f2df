"""Errors of Hydra, OmegaConf and YAML as sentences with the key, what there is, and what to type."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence

import yaml
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from diffgar.commandline import CONFIG_ROOT

Found = tuple[str, str] | None  # the error's name and its text


def config_sentence(error: BaseException, composed: Callable[[], DictConfig | None]) -> Found:
    """An error of Hydra or OmegaConf in our words. composed: as in `messages.sentence`."""
    if isinstance(error, MissingConfigException):
        return no_such_choice(error)
    if isinstance(error, OverrideParseException):
        return (
            "CommandError",
            f"{error.override!r} cannot be read as key=value; its key may have letters, digits, _ and .",
        )
    if isinstance(error, ConfigCompositionException):
        return not_composed(error, composed)
    if isinstance(error, InstantiationException):
        return not_made(error)
    if isinstance(error, OmegaConfBaseException):
        return no_value(error, composed)
    if isinstance(error, HydraException):
        return "CommandError", str(error)
    return None


def no_such_choice(error: MissingConfigException) -> Found:
    """A file that is not there: a group's choice, or the config itself."""
    path, asking = error.missing_cfg_file or "", re.match(r"In '([^']+)'", str(error))
    if not error.options:
        whose = f", which {asking[1]} asks for," if asking else ""
        return "ConfigError", f"no config {path!r}{whose} in {CONFIG_ROOT} or in what --config-dir names"
    group, _, choice = path.rpartition("/")
    files = [name for name in error.options if (CONFIG_ROOT / group / f"{name}.yaml").is_file()]
    others = [name for name in error.options if name not in files]
    files = [name for name in files if (group, name) != ("task", "dataset")]  # the form of the others
    text = f"no {group} {choice!r}; {meant(choice, error.options)}there is {', '.join(files) or 'none in config/'}"
    if group == "task":
        text += f"; and, by their own test split, the datasets {', '.join(others)}"
    elif others:
        text += f"; and {', '.join(others)}"
    return "CommandError", text


def not_composed(error: ConfigCompositionException, composed: Callable) -> Found:
    """Overrides that Hydra could not apply: an unknown key, a comma without `-m`, a value of another type."""
    text, cause = str(error), error.__cause__
    if match := re.search(r"Could not override '([^']+)'", text):
        key = max(match[1], getattr(cause, "full_key", None) or "", key=len)  # within a mapping that was given
        return "CommandError", unknown_key(key, composed())
    if match := re.search(r"Ambiguous value for argument '([^=]+)=(.*)'", text):
        key, value = match.groups()
        ways = f"-m for one run each, {key}=[{value}] for a list, \"{key}='{value}'\" for one text"
        return "CommandError", f"{key}={value} has a comma: say {ways}"
    if isinstance(cause, OmegaConfBaseException):
        about = text.removeprefix("Error merging override ") if text else ""
        return ("CommandError", f"{about}: {first_line(cause)}") if about else no_value(cause, composed)
    return "CommandError", text


def unknown_key(key: str, cfg: DictConfig | None) -> str:
    """A key of the command line that the config has not."""
    if (CONFIG_ROOT / key).is_dir() and cfg is not None:
        groups = [name for name in cfg.hydra.runtime.choices if "/" not in name and "@" not in name]
        return f"this script's config has no {key} to choose; it has {', '.join(sorted(groups))}"
    known = list(keys_of(cfg)) if cfg is not None else []
    return f"the config has no key {key}; {meant(key, known)}+{key}=… adds it, --cfg job prints what there is"


def keys_of(cfg: DictConfig, above: str = "") -> Iterator[str]:
    """All keys of a config but Hydra's own, in dots."""
    for name in cfg:
        if above or name != "hydra":
            yield (full := above + str(name))
            if isinstance(node := cfg._get_node(name), DictConfig) and not node._is_none() and not node._is_missing():
                yield from keys_of(node, f"{full}.") if not node._is_interpolation() else ()


def no_value(error: OmegaConfBaseException, composed: Callable) -> Found:
    """A key that has no value, or whose value refers to what is not there."""
    key, text = error.full_key or "", first_line(error)
    where, say = (key, f"say {key}=…") if key else ("a value of the config", "or say another value")
    if isinstance(error, MissingMandatoryValue):
        return "ConfigError", f"{where} is not given yet; {say}"
    if match := re.search(r"Environment variable '([^']+)' not found", text):
        return "ConfigError", f"{where} asks for the environment variable {match[1]}, which is not set; set it, {say}"
    if isinstance(error, InterpolationKeyError) and (match := re.search(r"'([^']+)' not found", text)):
        known = list(keys_of(cfg)) if (cfg := composed()) is not None else []
        return "ConfigError", f"{where} refers to {match[1]}, which the config has not; {meant(match[1], known)}{say}"
    if isinstance(error, ConfigAttributeError | ConfigKeyError):
        if key and (CONFIG_ROOT / key).is_dir():
            there = sorted(path.stem for path in (CONFIG_ROOT / key).glob("*.yaml"))
            return "ConfigError", f"{key} is needed here, and was left out; say {key}= one of {', '.join(there)}"
        return "ConfigError", f"the config has no {key}, which this script needs; is --config one of another script's?"
    return "ConfigError", f"{key}: {text}" if key else text


def not_made(error: InstantiationException) -> Found:
    """A class or function that a config names with `_target_` and that cannot be had, or not with these values."""
    text = str(error)
    key = match[1] if (match := re.search(r"full_key: (\S+)", text)) else "the config"
    if match := re.search(r"Error locating target '([^']+)'", text):
        root = match[1].partition(".")[0]
        remedy = f"is the folder of {root} on the PYTHONPATH, and the name right?"
        return "ConfigError", f"{key}._target_ is {match[1]}, which cannot be imported ({cause_of(error)}); {remedy}"
    if isinstance(cause := error.__cause__, TypeError) and "argument" in str(cause) and is_hydras(cause):
        return "ConfigError", f"{key}: {cause}"
    called = re.search(r"Error in call to target '([^']+)'", text)
    refused = isinstance(cause, ValueError | TypeError) or type(cause).__name__ == "MisconfigurationException"
    if called and refused and not called[1].startswith("diffgar."):  # of ours a traceback is wanted
        return "ConfigError", f"{key}: {first_line(cause or error)}"
    return None


def is_hydras(error: BaseException) -> bool:
    """Whether the call itself failed, which Hydra made: nothing of what was called had run."""
    traceback = error.__traceback__
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith("hydra.")


def cause_of(error: BaseException) -> str:
    """The first line of the error that another was raised from."""
    found = error.__cause__ or error.__context__
    return first_line(found) if found else "no reason is told"


def yaml_sentence(error: yaml.MarkedYAMLError | UnicodeDecodeError) -> str | None:
    """A file that is no YAML: its path, the line, and what is wrong there."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return (
            f"{mark.name}, line {mark.line + 1}: {error.problem or error.context}; mend the YAML there"
            if mark
            else None
        )
    traceback = error.__traceback__
    while traceback:
        if path := traceback.tb_frame.f_locals.get("full_path"):  # Hydra's reader
            return f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        traceback = traceback.tb_next
    return None


def circle_sentence(error: RecursionError) -> str | None:
    """Defaults that lead back to where they began: one file of the circle."""
    traceback, last = error.__traceback__, None
    while traceback:
        tree = traceback.tb_frame.f_locals.get("root")
        here = traceback.tb_frame.f_code.co_name == "_create_defaults_tree_impl"
        if here and tree is not None and tree.parent and tree.parent.parent:
            last = tree.node.get_config_path()
        traceback = traceback.tb_next
    return f"the defaults of {last}.yaml lead back to itself; take that out" if last else None


def meant(word: str, known: Sequence[str]) -> str:
    """A question, if something of a similar name is known; of keys in dots also by their last part."""
    known = [name for name in known if not word.startswith(f"{name}.")]  # what it would lie in
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    near = near or [name for name in known if name.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f"did you mean {near[0]}? " if near else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text that is not blank; its class where there is none."""
    return next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)

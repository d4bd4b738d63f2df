"""The command line: `--config FILE` and `--key value` beside Hydra's own words."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

import hydra

CONFIG_ROOT = Path(__file__).resolve().parents[1] / "config"


def to_hydra(argv: list[str], flags: tuple[str, ...] = ()) -> list[str]:
    """Rewrite `--config` and the named flags into Hydra's words, flags before overrides.

    Rewriting twice changes nothing, because Lightning runs `sys.argv` again in each DDP process.
    """
    options, overrides, args = [], [], iter(argv)
    for arg in args:
        name, _, value = arg.removeprefix("--").partition("=")
        if arg.startswith("--") and name in ("config", *flags):
            value = value or next(args, None)
            if value is None:
                raise SystemExit(f"--{name} needs a value")
            if name == "config":
                options += config_options(value)
            else:
                overrides.append(f"{name}={value}")
        elif arg.startswith("~") or ("=" in arg and not arg.startswith("-")):
            overrides.append(arg)
        else:
            options.append(arg)
    return options + overrides


def config_options(file: str) -> list[str]:
    """Name a config file the way Hydra does: a path inside config/, or a folder plus a name."""
    path = Path(file).resolve()
    if not path.is_file():
        raise SystemExit(f"no config file at {file}")
    if path.is_relative_to(CONFIG_ROOT):
        return ["--config-name", path.relative_to(CONFIG_ROOT).with_suffix("").as_posix()]
    return ["--config-dir", str(path.parent), "--config-name", path.stem]


def main(config_name: str, flags: tuple[str, ...] = ()) -> Callable:
    """Decorate a script's entry point, as `hydra.main` does; `flags` may be given as `--flag value`."""

    def decorate(run: Callable) -> Callable:
        @functools.wraps(run)
        def entry():
            sys.argv[1:] = to_hydra(sys.argv[1:], flags)
            hydra.main(version_base="1.3", config_path=str(CONFIG_ROOT), config_name=config_name)(run)()

        return entry

    return decorate

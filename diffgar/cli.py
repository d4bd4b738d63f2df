"""The command line of the scripts: Hydra's, with flags, with any characters, and with errors as sentences."""

import contextlib
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from diffgar import threads
from diffgar.commandline import CONFIG_ROOT
from diffgar.commandline.composing import compose, is_group, leave_out, register_tasks, without_nulls
from diffgar.commandline.messages import sentence
from diffgar.commandline.usage import usage
from diffgar.commandline.values import check_values
from diffgar.commandline.words import read, to_hydra
from diffgar.interrupts import INTERRUPTED

__all__ = ["main", "to_hydra"]

FULL = "HYDRA_FULL_ERROR"  # 1: errors with all of their traceback, also Hydra's part
STOPPED = 130  # the exit code of Ctrl-C


Check = Callable[[DictConfig], None]


def main(config_name: str, flags: tuple[str, ...] = (), check: Check | None = None) -> Callable:
    """Decorate a script's entry point, as `hydra.main` does; `flags` may be given as `--flag value`.

    check: refuses (InputError) what the job could not do with a config, before torch is imported.
    """

    def decorate(run: Callable) -> Callable:
        @functools.wraps(run)
        def entry() -> None:
            if {"--help", "-h"} & set(sys.argv[1:]):
                print(usage(sys.modules[run.__module__].__doc__ or "", flags, config_name))
                return
            forgive_letters()
            asked, known = os.environ.get(FULL), functools.partial(known_config, config_name)
            with errors_as_sentences(asked, known):
                typed = read(sys.argv[1:], flags)
                register_tasks(typed.places)
                line, nulls = without_nulls(typed, config_name)
                sys.argv[1:] = line.words
                script = hydra.main(version_base="1.3", config_path=str(CONFIG_ROOT), config_name=config_name)

                @functools.wraps(run)
                def job(cfg: DictConfig) -> object:
                    sys.argv[1:] = typed.words  # what Lightning starts its further processes with
                    leave_out(cfg, nulls)
                    return checked(run, cfg, check, asked, known)

                with variable(FULL, "1"):  # Hydra hands its errors on, instead of printing them
                    script(job)()

        return entry

    return decorate


def forgive_letters() -> None:
    """Let a terminal without ± cost a letter, not the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def checked(
    run: Callable,
    cfg: DictConfig,
    check: Check | None,
    asked: str | None,
    known: Callable[[], DictConfig | None],
) -> object:
    """Run a job on checked values. A sweep's errors stay errors: the launcher and a cluster have to see them."""
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with variable(FULL, asked), contextlib.nullcontext() if sweep else errors_as_sentences(asked, known):
        check_values(cfg, HydraConfig.get())
        if check:
            check(cfg)
        threads.limit()
        return run(cfg)


@contextlib.contextmanager
def errors_as_sentences(asked: str | None, known: Callable[[], DictConfig | None]) -> Iterator[None]:
    """End the program: with a line for what a user can mend and for Ctrl-C, with a traceback for what is our fault.

    asked: FULL's value. known: makes the config of this command line without what was refused, where there is one.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and not is_interruption(stop):
            raise
        print(f"\n{INTERRUPTED}", file=sys.stderr)
        raise SystemExit(STOPPED) from None
    except Exception as error:
        if asked == "1":
            raise
        text = sentence(error, known)
        behind = error.__traceback__ and error.__traceback__.tb_next  # without this function
        told = traceback.format_exception(type(error), error, behind)
        print(text or "".join(told).rstrip(), file=sys.stderr)
        raise SystemExit(1) from None


def is_interruption(stop: SystemExit) -> bool:
    """Whether Ctrl-C ended the program: Lightning makes it an exit. What was told already is not told again."""
    return stop.code != STOPPED and isinstance(stop.__context__, KeyboardInterrupt)


def known_config(config_name: str) -> DictConfig | None:
    """The config of this command line without its values, or without its choices too, where there is one."""
    with contextlib.suppress(Exception):
        line = read(sys.argv[1:])
        groups = [word for word in line.overrides if is_group(word.partition("=")[0], line.places)]
        for words in (groups, []):
            with contextlib.suppress(Exception):
                return compose(line.name or config_name, words, line.places)
    return None


@contextlib.contextmanager
def variable(name: str, value: str | None) -> Iterator[None]:
    """Set an environment variable for a while, or take it away (None)."""
    before = os.environ.get(name)
    _set(name, value)
    try:
        yield
    finally:
        _set(name, before)


def _set(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value

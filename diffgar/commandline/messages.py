"""Errors that a user can mend, as one sentence: ours, the system's, and Hydra's in our words."""

import dis
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from diffgar.commandline import CONFIG_ROOT, PACKAGE
from diffgar.commandline.hydra_messages import circle_sentence, config_sentence, yaml_sentence
from diffgar.errors import InputError

OURS = (ValueError, FileNotFoundError, ImportError, NotImplementedError, RuntimeError)  # where our own code raises them
FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def sentence(error: BaseException, composed: Callable[[], DictConfig | None]) -> str | None:
    """`ClassName: message` on one line, if a user can mend it; None for a fault of the program.

    composed: makes the config without the words that were refused, to tell the keys that there are.
    """
    for cause in causes(error):
        if isinstance(cause, InputError) or (isinstance(cause, OURS) and raised_in(cause.__traceback__, is_ours)):
            return line(type(cause).__name__, str(cause))
        if isinstance(cause, ValueError) and raised_in(cause.__traceback__, is_hydras):
            return line("CommandError", str(cause))
        if text := system_sentence(cause):
            return line(type(cause).__name__, text)
        if isinstance(cause, yaml.MarkedYAMLError | UnicodeDecodeError) and (text := yaml_sentence(cause)):
            return line("ConfigError", text)
    if isinstance(error, RecursionError) and (text := circle_sentence(error)):
        return line("ConfigError", text)
    chain = list(causes(error))
    if any(isinstance(cause, HydraException | OmegaConfBaseException) for cause in chain):
        return next((line(*found) for cause in chain if (found := config_sentence(cause, composed))), None)
    return None


def line(name: str, text: str) -> str:
    """An error on one line: its class, and its text without line breaks."""
    return f"{name}: {' '.join(part.strip() for part in text.splitlines() if part.strip())}"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was raised from; also what Hydra was handling when it raised it."""
    while error is not None:
        yield error
        wrapped = isinstance(error, HydraException)
        error = error.__cause__ or (error.__context__ if wrapped else None)


def raised_in(traceback: TracebackType | None, belongs: Callable[[Path], bool]) -> bool:
    """Whether a `raise` of some files is where an error began, and not, say, a look-up that failed there."""
    if traceback is None:
        return False
    while traceback.tb_next:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    raises = code.co_code[traceback.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raises and belongs(Path(code.co_filename))


def is_ours(path: Path) -> bool:
    """Whether a source file is one of this package, or a script."""
    return path.is_relative_to(PACKAGE) or path.parent == CONFIG_ROOT.parent  # the scripts lie beside the configs


def is_hydras(path: Path) -> bool:
    """Whether a source file is one of Hydra."""
    return path.is_relative_to(Path(hydra.__file__).parent)


def system_sentence(error: BaseException) -> str | None:
    """A full disk, a file that may not be read or written, too little memory."""
    if type(error).__name__ == "OutOfMemoryError":
        return "the GPU's memory is full; lower batch_size (extraction.batch_size, sampler.batch_size)"
    if isinstance(error, MemoryError):
        return f"memory is full ({error}); lower batch_size or the number of workers"
    if not isinstance(error, OSError):
        return None
    if error.errno in FULL:
        return (
            f"no space is left on the disk of {error.filename or 'what is being written'}; free some, or choose "
            "another place (paths.data, paths.checkpoints, paths.results, paths.logs); the same command goes on where "
            "it stopped"
        )
    if error.errno in FORBIDDEN and error.filename:
        other = "choose another place (paths.…, or GDR_LIBRARIES for libraries)"
        return f"{error.filename}: {error.strerror}; change its permissions, or {other}"
    return None

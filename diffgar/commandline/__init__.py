"""The command line beside Hydra: what is typed is rewritten into Hydra's words, and an error becomes a sentence."""

from pathlib import Path

from diffgar.errors import InputError

PACKAGE = Path(__file__).resolve().parents[1]
INSTALLED = PACKAGE / "config"  # a wheel has the configs inside the package, the repository has them beside it
CONFIG_ROOT = INSTALLED if INSTALLED.is_dir() else PACKAGE.parent / "config"


class CommandError(InputError):
    """A word of the command line that is not understood. The message has the word and what can be typed instead."""


class ConfigError(InputError):
    """A config that cannot be read, or in which a value is missing or can be of no use.

    The message names the file or the key, and what to do about it.
    """

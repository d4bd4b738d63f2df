"""What the command line does beside Hydra: words become Hydra's, and what goes wrong becomes a sentence."""

from pathlib import Path

from diffgar.errors import InputError

CONFIG_ROOT = Path(__file__).resolve().parents[2] / "config"


class CommandError(InputError):
    """A word of the command line that says nothing we know. The message has the word and what there is instead."""


class ConfigError(InputError):
    """A config file that cannot be read, or a value in it that is missing. The message has the file or the key."""

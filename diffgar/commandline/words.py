"""`--config FILE`, `--key value` and values of any characters become Hydra's words."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from diffgar.commandline import CONFIG_ROOT, CommandError
from diffgar.commandline.quoting import quote, quoted

SWITCHES = {"--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"} | {
    *("--shell-completion", "-sc")
}
CHOICES: dict[str, tuple[str, ...] | None] = {  # Hydra's options that take a value, and which
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
    **dict.fromkeys(("--package", "-p", "--config-path", "-cp", "--config-name", "-cn"), None),
    **dict.fromkeys(("--config-dir", "-cd", "--experimental-rerun"), None),
}
SEARCHPATH = "hydra.searchpath="


@dataclass
class Line:
    """A command line in Hydra's words: a folder of configs, the config's name, other options, then overrides."""

    folder: str | None = None
    name: str | None = None
    options: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The command line as Hydra takes it: options first, then overrides."""
        place = ["--config-dir", self.folder] if self.folder else []
        place += ["--config-name", self.name] if self.name else []
        return place + self.options + self.overrides

    @property
    def places(self) -> list[Path]:
        """The folders of configs beside config/."""
        listed = [self.folder] if self.folder else []
        return [Path(path) for path in listed + [path.removeprefix("file://") for path in searched(self.overrides)]]


def to_hydra(argv: Sequence[str], flags: Sequence[str] = ()) -> list[str]:
    """Rewrite `--config` and the named flags into Hydra's words, options before overrides.

    Rewriting twice changes nothing, because Lightning runs `sys.argv` again in each DDP process.
    """
    return read(argv, flags).words


def read(argv: Sequence[str], flags: Sequence[str] = ()) -> Line:
    """A command line as it was typed, or rewritten before; values that Hydra's grammar cannot read are quoted.

    Raises CommandError for a flag that there is not, one without its value, and a word that is neither a flag nor
    key=value.
    """
    line = Line()
    folders: list[str] = []
    own: list[str] = []  # the folder of --config FILE
    sweeps, left = bool({"-m", "--multirun"} & set(argv)), list(argv)
    while left:
        word = left.pop(0)
        name = word.partition("=")[0]
        if not word.startswith("-"):
            line.overrides.append(override(word, sweeps))
        elif word in SWITCHES:
            line.options.append(word)
        elif name in ("--config", "--config-name", "-cn"):
            if line.name:
                raise CommandError("the config is named twice (--config, --config-name); one run has one")
            value = value_of(word, left)
            own, line.name = config_place(value) if name == "--config" else ([], value)
        elif name in ("--config-dir", "-cd"):
            folders.append(value_of(word, left))
        elif name in ("--info", "-i"):  # its value may be left out: argparse would take the next word for it
            value = value_of(word, left) if word != name or left[:1] and left[0] in (CHOICES[name] or ()) else "all"
            line.options.append(f"{name}={known(value, CHOICES[name], name)}")
        elif name in CHOICES:
            line.options += [name, known(value_of(word, left), CHOICES[name], name)]
        elif name.startswith("--") and name[2:] in flags:
            line.overrides.append(override(f"{name[2:]}={value_of(word, left)}", sweeps))
        else:
            raise CommandError(no_such_flag(name, flags))
    places = [*own, *folders]
    line.folder = places[0] if places else None
    line.overrides = with_places(line.overrides, places[1:])
    return line


def value_of(word: str, left: list[str]) -> str:
    """The value of a flag: behind its "=", else the next word, which is taken from those left."""
    name, equals, value = word.partition("=")
    if equals:
        return value
    if not left or left[0].startswith("--"):
        raise CommandError(f"{name} needs a value: {name} VALUE")
    return left.pop(0)


def known(value: str, choices: tuple[str, ...] | None, name: str) -> str:
    """The value of one of Hydra's options. Raises CommandError where it is none of those that the option takes."""
    if choices and value not in choices:
        raise CommandError(f"{name} {value}: there is {', '.join(choices)}")
    return value


def override(word: str, sweeps: bool) -> str:
    """A word that changes the config, quoted where that is needed."""
    if word.startswith("=") or ("=" not in word and not word.startswith("~")):
        remedy = f"--config {word}" if word.endswith((".yaml", ".yml")) else "key=value or --flag value"
        raise CommandError(f"{word!r} is neither a flag nor key=value; say {remedy} (--help lists the flags)")
    return quoted(word, sweeps)


def no_such_flag(name: str, flags: Sequence[str]) -> str:
    """The message about an unknown flag: the nearest known one, and those of this script."""
    ours = [f"--{flag}" for flag in ("config", *flags)]
    near = difflib.get_close_matches(name.lower().replace("-", "_").replace("__", "--", 1), ours, n=1)
    near = near or difflib.get_close_matches(name, [*SWITCHES, *CHOICES], n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no flag {name}; {meant}This script has {', '.join(ours)}; every other option is key=value (--help)"


def config_place(file: str) -> tuple[list[str], str]:
    """A config file as Hydra names it: the folder to add, if it lies outside config/, and its name."""
    path = Path(file).expanduser().resolve()
    if path.is_dir():
        raise CommandError(f"--config {file}: is a folder; name a .yaml file in it")
    if not path.is_file():
        raise CommandError(f"no config file at {file}")
    if path.suffix != ".yaml":
        raise CommandError(f"--config {file}: the name of a config ends in .yaml")
    if path.is_relative_to(CONFIG_ROOT):
        return [], path.relative_to(CONFIG_ROOT).with_suffix("").as_posix()
    return [str(path.parent)], path.stem


def with_places(overrides: list[str], folders: list[str]) -> list[str]:
    """Further folders of configs join Hydra's search path, which takes one on the command line itself."""
    if not folders:
        return overrides
    paths = searched(overrides) + [f"file://{Path(folder).expanduser().resolve()}" for folder in folders]
    others = [word for word in overrides if not word.startswith(SEARCHPATH)]
    return [*others, f"{SEARCHPATH}[{','.join(map(quote, paths))}]"]


def searched(overrides: list[str]) -> list[str]:
    """The folders that `hydra.searchpath=[…]` names, as it does."""
    words = [word for word in overrides if word.startswith(SEARCHPATH)]
    values = [OverridesParser.create().parse_override(word).value() for word in words]
    return [path for value in values if isinstance(value, list) for path in value]

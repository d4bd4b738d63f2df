"""`--help`: what a script does, its flags, and where its options live."""

import textwrap
from collections.abc import Sequence

from diffgar.commandline.composing import compose

WIDTH = 100  # columns
FLAGS = {
    "config": ("FILE", "a leaf of config/, or a config anywhere, such as checkpoints/<model_name>/config.yaml"),
    "task": ("NAME", "a file of config/task/, or a dataset of config/data/ by its own test split"),
    "model_name": ("NAME", "a model's folder in checkpoints/"),
    "model_step": ("STEP", "a number, best, last or all"),
}


def usage(docstring: str, flags: Sequence[str], config_name: str) -> str:
    """The text of `--help`, below 40 lines: what the script does, five commands, its flags, and then the options."""
    choices = compose(config_name, []).hydra.runtime.choices
    groups = sorted(name for name in choices if "/" not in name and name != "paths")
    own = [(f"--{flag} {FLAGS[flag][0]}", FLAGS[flag][1]) for flag in ("config", *flags)]
    options = [
        ("key=value", "changes an option, such as batch_size=64 or task.split=validation; +key=value adds one"),
        ("group=name", f"chooses a file of config/<group>/; the groups are {', '.join(groups)}"),
        ("group=null", "leaves a group out"),
        ("-m", "runs once for each value: seed=0,1,2"),
        ("--cfg job", "prints all options with their values, and does nothing else"),
        ("--config-dir PLACE", "adds a folder of your own configs, with folders such as data and encoder_pair"),
        ("--hydra-help", "prints Hydra's own options"),
    ]
    lines = [docstring.strip(), ""]
    for title, items in {"Flags": own, "Options are those of the YAML files in config/": options}.items():
        lines += [title, *(listed(*item) for item in items), ""]
    return "\n".join([*lines, "HYDRA_FULL_ERROR=1 shows where in the code an error was raised."])


def listed(name: str, text: str) -> str:
    """A name and what it does, in two columns."""
    indent = " " * 23
    return textwrap.fill(text, WIDTH, initial_indent=f"  {name:20} ", subsequent_indent=indent, break_on_hyphens=False)

"""`--help`: what a script does, its flags, and where its options live."""

from collections.abc import Sequence

from diffgar.commandline.composing import compose

FLAGS = {
    "config": ("FILE", "a leaf of config/, or a config anywhere, such as checkpoints/<model_name>/config.yaml"),
    "task": ("NAME", "a file of config/task/, or a dataset of config/data/ by its own test split"),
    "model_name": ("NAME", "a model's folder in checkpoints/"),
    "model_step": ("STEP", "a number, best or last"),
}


def usage(docstring: str, flags: Sequence[str], config_name: str) -> str:
    """The text of `--help`, below 40 lines."""
    choices = compose(config_name, []).hydra.runtime.choices
    groups = [name for name in choices if "/" not in name and name != "paths"]
    told = [(f"--{flag} {FLAGS[flag][0]}", FLAGS[flag][1]) for flag in ("config", *flags)]
    rest = [
        ("key=value", "changes an option, such as batch_size=64 or task.split=validation; +key=value adds one"),
        ("group=name", f"chooses a file of config/<group>/; the groups are {', '.join(sorted(groups))}"),
        ("group=null", "leaves a group out"),
        ("-m", "runs once for each value: seed=0,1,2"),
        ("--cfg job", "prints all options with their values, and does nothing else"),
        ("--config-dir PLACE", "adds a folder of configs of your own, with folders such as data and encoder_pair"),
        ("--hydra-help", "tells Hydra's own options"),
    ]
    parts = {"Flags": told, "Options are those of the YAML files in config/": rest}
    lines = [docstring.strip(), ""]
    for title, items in parts.items():
        lines += [title, *(f"  {name:20} {text}" for name, text in items), ""]
    return "\n".join([*lines, "HYDRA_FULL_ERROR=1 shows where in the code an error was raised."])

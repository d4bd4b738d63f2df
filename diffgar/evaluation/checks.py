"""Values of the configs, checked where they are read: one sentence with what was found and what to write instead."""

import math
from collections.abc import Sequence

from omegaconf import DictConfig

from diffgar.errors import InputError

LONGEST_VARIANT = 60  # letters: it is part of a file's name
SAMPLES = ("mean", "set")
POOLINGS = ("mean", "best_frame")


def whole(name: str, value, least: int = 0) -> int:
    """A whole number of at least `least`, or InputError naming the value."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{name} is {value!r}; give it a whole number of at least {least}, such as {name}={least}")
    return value


def number(name: str, value, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number between two bounds, or InputError naming the value."""
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value) or not least <= value <= most:
        bounds = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise InputError(f"{name} is {value!r}; give it a number" + (f" of {' and '.join(bounds)}" if bounds else ""))
    return value


def listed(name: str, value, example: str) -> list:
    """A list, or InputError with an example: a word is no list of its letters, nor a number of its one."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"{name} is {value!r}; give it a list, such as {name}={example}")
    return list(value)


def switch(name: str, value) -> bool:
    """true or false, or InputError naming the value."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; give it true or false")
    return value


def one_of(name: str, value, choices: Sequence[str]) -> str:
    """One of some words, or InputError naming them all."""
    if value not in choices:
        raise InputError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
    return value


def check_evaluation(cfg: DictConfig) -> None:
    """Refuse (InputError) what a config says of an evaluation and no evaluation can do, before anything is opened."""
    asked = cfg.evaluation
    seeds = listed("evaluation.seeds", asked.seeds, "[0,1,2]")
    for seed in seeds:
        whole("evaluation.seeds", seed)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"evaluation.seeds is {seeds}; give it one seed or more, each once: evaluation.seeds=[0,1,2]")
    one_of("evaluation.samples", asked.samples, SAMPLES)
    one_of("evaluation.pooling", asked.pooling, POOLINGS)
    switch("evaluation.allow_missing", asked.allow_missing)
    if not isinstance(asked.variant, str | int | float | None) or len(str(asked.variant)) > LONGEST_VARIANT:
        raise InputError(f"evaluation.variant is {asked.variant!r}; give it a word, shorter than this, or null")
    for scale in listed("evaluation.guidance", asked.guidance, "[1,2,3,5]"):
        number("evaluation.guidance", scale)
    models = [str(cfg.model_name), *listed("evaluation.baselines", asked.baselines, "[demo_regression]")]
    twice = [name for place, name in enumerate(models) if name in models[:place]]
    if twice:
        raise InputError(f"evaluation.baselines names {twice[0]!r} twice, or the model itself; name each model once")
    if cfg.get("with_fidelity") is not None:
        switch("with_fidelity", cfg.with_fidelity)

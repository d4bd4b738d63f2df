"""Checks of values that a person sets: each names the value, what was found, and what it may be."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from diffgar.errors import InputError


def is_number(value: object) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def whole(name: str, value: object, least: int = 0) -> int:
    """A whole number of at least `least`. Raises InputError naming the value."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise InputError(f"{name} is {value!r}; give it a whole number of at least {least}, such as {name}={least}")
    return int(value)


def number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number between two bounds. Raises InputError naming the value."""
    if not is_number(value) or not least <= value <= most:
        bounds = [f"at least {least:g}"] * (least > -math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise InputError(f"{name} is {value!r}; give it a number" + (f" of {' and '.join(bounds)}" if bounds else ""))
    return value


def listed(name: str, value: object, example: str) -> list:
    """A list; a text or a single number is refused. Raises InputError with an example."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"{name} is {value!r}; give it a list, such as {name}={example}")
    return list(value)


def switch(name: str, value: object) -> bool:
    """True or False. Raises InputError naming the value."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r}; give it true or false")
    return value


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of some words. Raises InputError naming them all."""
    if value not in choices:
        raise InputError(f"{name} is {value!r}; choose one of {', '.join(choices)}")
    return value

"""Checks of single values that a person sets: each names the value, what it may be, and so the remedy."""

import math
from numbers import Integral, Real

from diffgar.errors import InputError


def is_number(value) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_number(name: str, value, low: float = -math.inf, high: float = math.inf) -> None:
    """Raises InputError where it is no number from `low` to `high`."""
    if not is_number(value) or not low <= value <= high:
        span = f" from {low:g} to {high:g}" if math.isfinite(high) else f" from {low:g} on" if low > -math.inf else ""
        raise InputError(f"{name} is {value!r}, which is no number{span}; set {name} to one")


def check_count(name: str, value) -> None:
    """Raises InputError where it is no whole number from 1 on."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} is {value!r}, which is no whole number from 1 on; set {name} to one")

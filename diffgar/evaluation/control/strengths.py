"""Strengths of steering methods: read from the config, written as the config takes them, and labels along a curve."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffgar.errors import InputError
from diffgar.evaluation.report import Numbers, in_words
from diffgar.values import listed, number


def read_strength(where: str, found: Any, example: Mapping[str, Any]) -> dict[str, Numbers]:
    """A strength of the config as numbers; it must have the example's names, and lists as long as the example's.

    where: what messages call it. Raises InputError for other names, other lengths, and what is no number.
    """
    if not isinstance(found, Mapping) or set(found) != set(example):
        raise InputError(f"{where} is {found!r}; give each strength by its names, such as {where}=[{written(example)}]")
    return {name: _read_numbers(f"{where}.{name}", found[name], usual) for name, usual in example.items()}


def _read_numbers(where: str, found: Any, example: Any) -> Numbers:
    """A number, or a list of as many numbers as the example has."""
    if not isinstance(example, Sequence):
        return float(number(where, found))
    if len(listed(where, found, str(example))) != len(example):
        raise InputError(f"{where} is {found!r}; give it {len(example)} numbers, such as {example}")
    return [float(number(where, each)) for each in found]


def written(strength: Mapping[str, Any]) -> str:
    """A strength as YAML and the command line take it: {guidance: 2, negative: 0.5}."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in strength.items())}}}"


def labels_along(strengths: Sequence[Mapping[str, Numbers]]) -> list[str]:
    """A label for each point of a method's curve: the numbers that differ along it.

    [{guidance: 3, negative: 1}, {guidance: 3, negative: 2}] gives ["1", "2"]; where nothing differs, all numbers.
    """
    words = [{name: in_words(value) for name, value in strength.items()} for strength in strengths]
    differing = [name for name in words[0] if len({each[name] for each in words}) > 1]
    return [" ".join(each[name] for name in differing or each) for each in words]

"""Checks that an encoder keeps its contract, before hours of audio go through it."""

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeGuard

from diffgar.errors import InputError
from diffgar.values import is_number

if TYPE_CHECKING:
    from diffgar.models.encoders.base import AudioEncoder, TextEncoder

GIVEN = "given"  # the `layer` of latents that were computed elsewhere
PADDINGS = ("repeat", "wrap", "zeros", "reflect")


class PairError(InputError):
    """An encoder pair that cannot be used: an encoder breaks its contract, or the pair's YAML disagrees with it."""


def _text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _version(value: object) -> TypeGuard[Integral]:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _count(value: object) -> bool:
    return _version(value) and int(value) > 0


def _duration(value: object) -> bool:
    return isinstance(value, Real) and is_number(value) and float(value) > 0


def _folder(value: object) -> bool:
    return _text(value) and "/" not in value and "\\" not in value and value not in (".", "..")


Expected = Mapping[str, tuple[Callable[[object], bool], str]]  # by attribute: whether a value is right, and the rule

COMMON: Expected = {
    "name": (_folder, "a text that names the store's folder, without slashes"),
    "checkpoint_hash": (_text, "a text that tells its weights from others, or 'none'"),
    "frontend_version": (_version, "a whole number"),
    "dim": (_count, "a whole number above 0, the width of its output"),
}
AUDIO: Expected = {
    **COMMON,
    "layer": (_text, "a text"),
    "sample_rate": (_count, "a whole number above 0, in Hz"),
    "window_seconds": (_duration, "a number above 0"),
    "short_padding": (lambda value: value in PADDINGS, f"one of {', '.join(PADDINGS)}"),
}
TEXT: Expected = {
    **COMMON,
    "layer": (_text, "a text"),
    "embedding_dim": (lambda value: value is None or _count(value), "a whole number above 0, or None"),
    "max_tokens": (_count, "a whole number above 0"),
}


def check_audio(encoder: object, base: "type[AudioEncoder]") -> None:
    """Raises PairError unless `encoder` is an audio encoder as `base` describes, or stands for given latents."""
    if getattr(encoder, "layer", None) == GIVEN and not isinstance(encoder, base):
        _check_attributes(encoder, COMMON)
    else:
        _check_class(encoder, base)
        _check_attributes(encoder, AUDIO)


def check_text(encoder: object, base: "type[TextEncoder]") -> None:
    """Raises PairError unless `encoder` is a text encoder as `base` describes."""
    _check_class(encoder, base)
    _check_attributes(encoder, TEXT)


def _check_class(encoder: object, base: "type[AudioEncoder] | type[TextEncoder]") -> None:
    if not isinstance(encoder, base):
        raise PairError(
            f"{kind_of(encoder)} is no {base.__name__}: derive it from {base.__module__}.{base.__name__}, or name one "
            f"that is in the pair's YAML, under {'audio_encoder' if 'Audio' in base.__name__ else 'text_encoder'}"
        )
    if type(encoder).encode is base.encode:
        raise PairError(f"{kind_of(encoder)} has no encode of its own; define it as {base.__name__}.encode describes")


def _check_attributes(encoder: object, expected: Expected) -> None:
    absent = object()
    for name, (is_right, words) in expected.items():
        value = getattr(encoder, name, absent)
        if value is absent:
            raise PairError(f"{kind_of(encoder)} has no {name}; set it to {words}, as docs/your_encoder.md shows")
        if not is_right(value):
            raise PairError(f"{name} of {kind_of(encoder)} is {value!r}; it must be {words}")


def kind_of(encoder: object) -> str:
    """The encoder's class, with its module."""
    return f"{type(encoder).__module__}.{type(encoder).__name__}"

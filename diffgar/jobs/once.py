"""What the experiments of a run have in common, made once for all its models and steps."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Keeps what was made under a key, for as long as it lives: `once("task", open_it)` opens it at the first call."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returned when it was first called under this key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

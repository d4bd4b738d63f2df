"""What a steering method is, and the registry by which the config knows one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from diffgar.evaluation.control.answers import Answer
from diffgar.evaluation.control.bench import Bench

Strength = Mapping[str, Any]


class SteeringMethod(ABC):
    """One way to suppress an attribute value in the top 10.

    name: in the YAML, in tables and in results. example: one valid strength, such as {"guidance": 2, "negative": 0.5};
    every strength of the method has the same keys and, where the example has a list, one of the same length.
    needs_joint: whether it uses embeddings of the joint space; it is left out where the encoder pair is not joint.
    learns: whether it learns from the train split's tracks; it is left out where the dataset has none.
    starts_from_plain: whether it changes the plain query, so that its curve over strengths begins there.
    """

    name: ClassVar[str]
    example: ClassVar[Strength] = {}
    needs_joint: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    starts_from_plain: ClassVar[bool] = True

    @abstractmethod
    def answer(self, bench: Bench, strength: Strength) -> Answer:
        """The queries (S, P, D) for the bench's captions at one strength, and the penalties on tracks."""


METHODS: dict[str, SteeringMethod] = {}


def registered(method: type[SteeringMethod]) -> type[SteeringMethod]:
    """Make a method known to the config by its name."""
    METHODS[method.name] = method()
    return method

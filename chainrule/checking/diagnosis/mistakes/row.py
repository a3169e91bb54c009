"""What a row of the table of mistakes is, and the categories that codes begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from ...problem import Array, Problem
from ..algorithm import Changes

CATEGORIES = MappingProxyType(
    {
        "mean": "the mean over the examples",
        "sign": "a sign",
        "factor": "a constant factor",
        "penalty": "regularisation",
        "output": "the delta of the output layer",
        "slope": "the factor g'(z), in every layer",
        "hidden": "the deltas of the hidden layers",
        "forward": "the forward pass",
        "sum": "the product of delta and activations",
        "bias": "the gradient of the biases",
        "update": "a step of gradient descent inside the function",
        "examples": "which examples and targets are used",
        "layout": "the order of the entries",
        "number": "how the numbers are kept",
        "cost": "the cost that comes with the gradient",
        "call": "how the function behaves when called",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for; a hint of level "category" says this much."""


class Solves(Enum):
    """Ways in which the number of a mistake is found: a learning rate, a factor."""

    LINEAR = "every entry is a linear function of it"
    BELOW_THE_OUTPUT = "the layer below the output is linear in it, and the others are not"
    CURVE = "nothing is known but that the gradient is smooth in it"


Tries: TypeAlias = Callable[[Problem, Sequence[Array]], Iterable[float]]
"""tries(problem, gradients) are the numbers that may have led to *gradients*."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake: its name, what it breaks, how to mend it, how to make it."""

    code: str
    rule: str
    """The formula of the notes that is broken."""
    says: str
    fix: str
    ways: tuple[Changes, ...] = ()
    """How people make it; empty where no gradient shows it."""
    applies: Callable[[Problem], bool] = lambda problem: True
    solves: Solves | Tries | None = None
    """How the number is found that the replay has; None if it has none."""
    alone: bool = False
    """Whether it is too rare to be looked for together with another."""
    with_number: str = ""
    """The sentence with the number in it, at {number}; "" if *says* is all."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]

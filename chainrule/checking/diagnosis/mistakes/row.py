"""What a row of the table of mistakes is, and the categories that codes begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from ...problem import Problem
from ..algorithm import Changes

CATEGORIES = MappingProxyType(
    {
        "mean": "the mean over the examples",
        "sign": "a sign",
        "factor": "a constant factor",
        "penalty": "regularisation",
        "output": "the delta of the output layer",
        "hidden": "the deltas of the hidden layers",
        "forward": "the forward pass",
        "sum": "the product of delta and activations",
        "bias": "the gradient of the biases",
        "update": "a step of gradient descent inside the function",
        "examples": "which examples and targets are used",
        "layout": "the order of the entries",
        "call": "how the function behaves when called",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for; a hint of level "category" says this much."""


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
    solves_rate: bool = False
    """Whether the replay has a learning rate that must be found first."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]

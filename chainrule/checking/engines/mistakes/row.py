"""What a row of the table of mistakes is."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from ..replay import Changes

CATEGORIES = MappingProxyType(
    {
        "value": "the value of an operation",
        "slope": "the derivative of an operation",
        "upstream": "what an operation does with the gradient that comes from above",
        "accumulate": "how gradients are added up",
        "operands": "which operand gets which gradient",
        "sweep": "the order of the backward pass, or where it begins",
        "twice": "what is left from one backward pass to the next",
        "zero": "setting gradients back to zero",
        "nodes": "how nodes are made and told apart",
        "limit": "how far the engine goes",
        "call": "how the class behaves when it is used",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for; a hint of level "category" says this much."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake: its name, what is wrong, how to mend it, how to make it.

    ``{method}`` in a text stands for the method that it is made in, ``{rule}`` for the derivative
    as it should be, ``{operand}`` for the operand.
    """

    code: str
    says: str
    fix: str
    ways: tuple[Changes, ...] = ()
    """How it is made in the engine as a whole."""
    local: tuple[tuple[str, Changes], ...] = ()
    """How it is made in an operation: its name, or "*" for each, "2" for each of two operands."""
    ordered: bool = False
    places: bool = False
    """Whether it may be made in one of two operands alone."""
    apart: frozenset[str] = frozenset()
    """Operations in which it is the same as another row's mistake."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]

"""Ways in which a mistake is made, as changes of the reference engine's steps."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..operations import OPERATIONS
from ..replay import Changes


def slope(place: int, function: Callable[..., float]) -> Changes:
    """Return the change of one partial; *function* is called with the operands and the result."""
    return {
        "partial": lambda usual, at, numbers, y: function(*numbers, y) if at == place else usual()
    }


def each_slope(function: Callable[[float], float]) -> Changes:
    """Return the change of all partials; *function* is called with the right one."""
    return {"partial": lambda usual, place, numbers, y: function(usual())}


def other_value(function: Callable[..., float]) -> Changes:
    """Return the change of the value; *function* is called with the operands."""
    return {"value": lambda usual, *numbers: function(*numbers)}


def value_with(
    name: str, value: Callable[..., float], *partials: Callable[..., float]
) -> tuple[tuple[str, Changes], ...]:
    """Return two ways: another value alone, and another value with its own derivative."""
    other: Changes = {"partial": lambda usual, place, numbers, y: partials[place](*numbers, y)}
    return (name, other_value(value)), (name, {**other_value(value), **other})


def instead(name: str, other: str) -> tuple[tuple[str, Changes], ...]:
    """Return the same two ways with value and derivative of an *other* operation."""
    return value_with(name, OPERATIONS[other].value, *OPERATIONS[other].partials)


def sigmoid(x: float) -> float:
    """Return the sigmoid of *x*, which is not large here."""
    return 1.0 / (1.0 + math.exp(-x))


TWICE = frozenset({"add", "sub", "neg"})
"""Their derivatives are 1 and -1 everywhere: some mistakes are one mistake there."""

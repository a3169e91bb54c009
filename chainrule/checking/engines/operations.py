"""The operations that an engine may have: value, derivatives, and how each is written.

The derivatives here are written out a second time, as a course would, because a replay must be able
to get one of them wrong; a test holds them to the engine's own table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

Function: TypeAlias = Callable[..., float]


@dataclass(frozen=True, eq=False)
class Operation:
    """What an operation computes, and its derivative by each operand.

    A partial is called with the operands and the result.
    """

    name: str
    value: Function
    partials: tuple[Function, ...]
    rules: tuple[str, ...]
    """The derivatives as text, of ``y = ...``."""
    points: tuple[tuple[float, ...], ...]
    """Where it is tried: off every kink, so that no two derivatives look alike."""
    text: str
    """How a program writes it."""
    extreme: float | None = None
    """A number at which a careless formula overflows; None if there is none."""


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


_ALL = (
    Operation(
        "add",
        lambda a, b: a + b,
        (lambda a, b, y: 1.0, lambda a, b, y: 1.0),
        ("dy/da = 1", "dy/db = 1"),
        ((1.3, -0.7), (-2.1, 0.4)),
        "{0} + {1}",
    ),
    Operation(
        "sub",
        lambda a, b: a - b,
        (lambda a, b, y: 1.0, lambda a, b, y: -1.0),
        ("dy/da = 1", "dy/db = -1"),
        ((1.3, -0.7), (-2.1, 0.4)),
        "{0} - {1}",
    ),
    Operation(
        "mul",
        lambda a, b: a * b,
        (lambda a, b, y: b, lambda a, b, y: a),
        ("dy/da = b", "dy/db = a"),
        ((1.3, -0.7), (-2.1, 0.4)),
        "{0} * {1}",
    ),
    Operation(
        "div",
        lambda a, b: a / b,
        (lambda a, b, y: 1.0 / b, lambda a, b, y: -a / b**2),
        ("dy/da = 1/b", "dy/db = -a/b^2"),
        ((1.3, -0.7), (-2.1, 0.4)),
        "{0} / {1}",
    ),
    Operation(
        "pow",
        lambda a, b: a**b,
        (lambda a, b, y: b * a ** (b - 1), lambda a, b, y: a**b * math.log(a)),
        ("dy/da = b a^(b-1)", "dy/db = a^b log(a)"),
        ((1.3, 3.0), (0.7, -2.0), (2.1, 0.5)),
        "{0} ** {1}",
    ),
    Operation(
        "neg", lambda x: -x, (lambda x, y: -1.0,), ("dy/dx = -1",), ((1.3,), (-0.7,)), "-{0}"
    ),
    Operation(
        "abs",
        abs,
        (lambda x, y: math.copysign(1.0, x),),
        ("dy/dx = 1 where x > 0, -1 where x < 0",),
        ((1.3,), (-0.7,)),
        "abs({0})",
    ),
    Operation(
        "relu",
        lambda x: max(x, 0.0),
        (lambda x, y: float(x > 0),),
        ("dy/dx = 1 where x > 0, else 0",),
        ((1.3,), (-0.7,), (0.2,)),
        "{0}.relu()",
    ),
    Operation(
        "tanh",
        math.tanh,
        (lambda x, y: 1.0 - y * y,),
        ("dy/dx = 1 - y^2, of y = tanh(x)",),
        ((0.6,), (-0.9,)),
        "{0}.tanh()",
        800.0,
    ),
    Operation(
        "sigmoid",
        _sigmoid,
        (lambda x, y: y * (1.0 - y),),
        ("dy/dx = y (1 - y), of y = sigmoid(x)",),
        ((0.6,), (-0.9,)),
        "{0}.sigmoid()",
        -800.0,
    ),
    Operation(
        "exp", math.exp, (lambda x, y: y,), ("dy/dx = exp(x) = y",), ((0.6,), (-0.9,)), "{0}.exp()"
    ),
    Operation(
        "log", math.log, (lambda x, y: 1.0 / x,), ("dy/dx = 1/x",), ((0.6,), (2.3,)), "{0}.log()"
    ),
    Operation(
        "sqrt",
        math.sqrt,
        (lambda x, y: 0.5 / y,),
        ("dy/dx = 1/(2 sqrt(x))",),
        ((0.6,), (2.3,)),
        "{0}.sqrt()",
    ),
    Operation(
        "sin", math.sin, (lambda x, y: math.cos(x),), ("dy/dx = cos(x)",), ((0.6,), (-0.9,)),
        "{0}.sin()",
    ),
    Operation(
        "cos", math.cos, (lambda x, y: -math.sin(x),), ("dy/dx = -sin(x)",), ((0.6,), (-0.9,)),
        "{0}.cos()",
    ),
    Operation(
        "square", lambda x: x * x, (lambda x, y: 2.0 * x,), ("dy/dx = 2x",), ((0.6,), (-0.9,)),
        "{0}.square()",
    ),
    Operation(
        "softplus",
        lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
        (lambda x, y: _sigmoid(x),),
        ("dy/dx = sigmoid(x)",),
        ((0.6,), (-0.9,)),
        "{0}.softplus()",
        800.0,
    ),
)  # fmt: skip

OPERATIONS = MappingProxyType({operation.name: operation for operation in _ALL})
"""The operations by name."""


def written(form: str, operands: Sequence[str]) -> str:
    """Return the operation of *form* as a program writes it.

    >>> written("div:NV", ["2.0", "b"]), written("relu:V", ["x"])
    ('2.0 / b', 'x.relu()')
    """
    return OPERATIONS[form.partition(":")[0]].text.format(*operands)

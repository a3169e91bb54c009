"""Wrong derivatives of operations."""

from __future__ import annotations

import math

from ..operations import OPERATIONS
from .makers import TWICE, each_slope, sigmoid, slope
from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "slope.sign",
        "{method} has the wrong sign in the derivative by {operand}.",
        "Check the sign: {rule}.",
        local=(("*", each_slope(lambda slope: -slope)),),
        places=True,
    ),
    Mistake(
        "slope.missing",
        "{method} passes on the gradient from above without the derivative by {operand}.",
        "Multiply by the derivative: {rule}.",
        local=(("*", each_slope(lambda slope: 1.0)),),
        places=True,
        apart=frozenset({*TWICE, "relu", "abs"}),
    ),
    Mistake(
        "slope.doubled",
        "The derivative of {method} by {operand} is twice what it should be.",
        "Look for a factor 2, or a line that runs twice: {rule}.",
        local=(("*", each_slope(lambda slope: 2.0 * slope)),),
        places=True,
    ),
    Mistake(
        "slope.halved",
        "The derivative of {method} by {operand} is half of what it should be.",
        "Look for a factor 1/2: {rule}.",
        local=(("*", each_slope(lambda slope: 0.5 * slope)),),
        places=True,
    ),
    Mistake(
        "slope.of-product",
        "{method} has the derivative of a product.",
        "The derivative of a sum by each of its terms is 1, of a difference 1 and -1.",
        local=(
            ("add", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
            ("sub", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
            ("div", {"partial": lambda usual, place, numbers, y: numbers[1 - place]}),
        ),
        places=True,
    ),
    Mistake(
        "slope.is-result",
        "{method} takes its result for its derivative by {operand}.",
        "It is {rule}.",
        local=(("*", {"partial": lambda usual, place, numbers, y: y}),),
        places=True,
        apart=frozenset({"exp"}),
    ),
    Mistake(
        "slope.is-operand",
        "{method} takes its operand for its derivative.",
        "It is {rule}.",
        local=tuple(
            (name, slope(0, lambda x, y: x))
            for name in OPERATIONS
            if name not in ("add", "sub", "mul", "div", "pow", "relu")
        ),
    ),
    Mistake(
        "slope.at-operand",
        "{method} puts its operand where its result belongs, or the other way round: the formula "
        "of the derivative is right for the other one.",
        "Mind which one the formula is for: {rule}.",
        local=(
            ("tanh", slope(0, lambda x, y: 1.0 - x * x)),
            ("tanh", slope(0, lambda x, y: 1.0 - math.tanh(y) ** 2)),
            ("sigmoid", slope(0, lambda x, y: x * (1.0 - x))),
            ("sigmoid", slope(0, lambda x, y: sigmoid(y) * (1.0 - sigmoid(y)))),
            ("exp", slope(0, lambda x, y: math.exp(y))),
            ("log", slope(0, lambda x, y: 1.0 / y)),
            ("sqrt", slope(0, lambda x, y: 0.5 / x)),
            ("sqrt", slope(0, lambda x, y: 0.5 / math.sqrt(y))),
            ("sin", slope(0, lambda x, y: math.cos(y))),
            ("cos", slope(0, lambda x, y: -math.sin(y))),
            ("square", slope(0, lambda x, y: 2.0 * y)),
            ("softplus", slope(0, lambda x, y: sigmoid(y))),
        ),
    ),
    Mistake(
        "slope.not-squared",
        "{method} misses the square in its derivative.",
        "Square it: {rule}.",
        local=(
            ("tanh", slope(0, lambda x, y: 1.0 - y)),
            ("div", slope(1, lambda a, b, y: -a / b)),
        ),
    ),
    Mistake(
        "slope.plus-square",
        "{method} adds the square in its derivative.",
        "Subtract it: {rule}.",
        local=(("tanh", slope(0, lambda x, y: 1.0 + y * y)),),
    ),
    Mistake(
        "slope.of-other-activation",
        "{method} has the derivative of another activation.",
        "It is {rule}.",
        local=(
            ("tanh", slope(0, lambda x, y: y * (1.0 - y))),
            ("sigmoid", slope(0, lambda x, y: 1.0 - y * y)),
            ("softplus", slope(0, lambda x, y: float(x > 0))),
            ("softplus", slope(0, lambda x, y: math.tanh(x))),
        ),
    ),
    Mistake(
        "slope.half-of-it",
        "{method} has one factor of its derivative and misses the other.",
        "Both factors belong there: {rule}.",
        local=(
            ("sigmoid", slope(0, lambda x, y: 1.0 - y)),
            ("pow", slope(0, lambda a, b, y: b)),
            ("pow", slope(0, lambda a, b, y: a ** (b - 1))),
            ("pow", slope(1, lambda a, b, y: math.log(a))),
            ("div", slope(1, lambda a, b, y: -1.0 / b**2)),
            ("div", slope(1, lambda a, b, y: -a)),
            ("square", slope(0, lambda x, y: 2.0)),
        ),
        apart=frozenset(),
    ),
    Mistake(
        "slope.exponent-not-lowered",
        "{method} keeps the exponent as it is in the derivative.",
        "Lower it by one: {rule}.",
        local=(("pow", slope(0, lambda a, b, y: b * a**b)),),
    ),
    Mistake(
        "slope.factor-lowered",
        "{method} lowers the factor in front too, not the exponent alone.",
        "The factor is the exponent as it was: {rule}.",
        local=(("pow", slope(0, lambda a, b, y: (b - 1) * a ** (b - 1))),),
    ),
    Mistake(
        "slope.exponent-forgotten",
        "{method} has b * a for its derivative: right for squares alone.",
        "Raise the base to the exponent less one: {rule}.",
        local=(
            ("pow", slope(0, lambda a, b, y: b * a)),
            ("pow", slope(0, lambda a, b, y: 2.0 * a)),
        ),
    ),
    Mistake(
        "slope.power-rule",
        "{method} has the power rule where the exponent is what changes.",
        "It is {rule}.",
        local=(
            ("exp", slope(0, lambda x, y: x * math.exp(x - 1.0))),
            ("pow", slope(1, lambda a, b, y: b * a ** (b - 1))),
        ),
    ),
    Mistake(
        "slope.wrong-logarithm",
        "{method} takes the logarithm of the exponent, or one of another base.",
        "It is the natural logarithm of the base: {rule}.",
        local=(
            ("pow", slope(1, lambda a, b, y: y * math.log(b))),
            ("pow", slope(1, lambda a, b, y: y * math.log10(a))),
            ("log", slope(0, lambda x, y: 1.0 / (x * math.log(10.0)))),
        ),
    ),
    Mistake(
        "slope.of-the-value",
        "{method} has the derivative of its derivative, or its own value, where the derivative "
        "belongs.",
        "It is {rule}.",
        local=(
            ("log", slope(0, lambda x, y: 1.0 / x**2)),
            ("log", slope(0, lambda x, y: -1.0 / x**2)),
            ("cos", slope(0, lambda x, y: -math.cos(x))),
            ("sin", slope(0, lambda x, y: -math.sin(x))),
            ("sqrt", slope(0, lambda x, y: -0.25 * x**-1.5)),
        ),
    ),
    Mistake(
        "slope.root-in-numerator",
        "{method} multiplies by the root where it should divide by it.",
        "Divide: {rule}.",
        local=(("sqrt", slope(0, lambda x, y: 0.5 * x)),),
    ),
    Mistake(
        "slope.mask-missing",
        "{method} passes the gradient on whatever the sign of its operand is.",
        "It is {rule}.",
        local=(
            ("relu", slope(0, lambda x, y: 1.0)),
            ("abs", slope(0, lambda x, y: 1.0)),
        ),
    ),
    Mistake(
        "slope.mask-inverted",
        "{method} passes the gradient on where its operand is negative.",
        "The other way round: {rule}.",
        local=(("relu", slope(0, lambda x, y: float(x < 0))),),
    ),
    Mistake(
        "slope.mask-of-upstream",
        "{method} asks whether the gradient from above is positive, not its operand.",
        "Ask the operand, or the result: {rule}.",
        local=(
            ("relu", {"chain": lambda above, partial, y: max(above, 0.0)}),
            ("relu", {"chain": lambda above, partial, y: float(above > 0) * (y > 0)}),
        ),
    ),
    Mistake(
        "slope.leaks",
        "{method} passes a small part of the gradient on where its operand is negative.",
        "That is the leaky one; here {rule}.",
        local=(
            ("relu", slope(0, lambda x, y: 1.0 if x > 0 else 0.01)),
            ("relu", slope(0, lambda x, y: 1.0 if x > 0 else 0.1)),
        ),
    ),
)

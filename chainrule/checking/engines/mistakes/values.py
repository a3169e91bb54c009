"""Wrong values of operations."""

from __future__ import annotations

import math

from .makers import instead, other_value, value_with
from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    # --- values ---
    Mistake(
        "value.operands-exchanged",
        "{method} computes with its operands the wrong way round.",
        "The number stands on the left there: other comes first, then self.",
        local=(("2", {"exchange": True}),),
        apart=frozenset({"add", "mul"}),
    ),
    Mistake(
        "value.of-other-operation",
        "{method} computes another operation.",
        "Check the formula of its value.",
        local=(
            *instead("add", "mul"),
            *instead("add", "sub"),
            *instead("sub", "add"),
            *instead("mul", "add"),
            *instead("mul", "div"),
            *instead("div", "mul"),
            *instead("pow", "mul"),
            *instead("pow", "div"),
            *instead("sin", "cos"),
            *instead("cos", "sin"),
            *instead("sqrt", "square"),
            *instead("square", "sqrt"),
            *instead("abs", "neg"),
            *instead("abs", "relu"),
            *instead("tanh", "sigmoid"),
            *instead("sigmoid", "tanh"),
            *instead("softplus", "exp"),
            *instead("log", "exp"),
            *instead("exp", "log"),
            *value_with("neg", lambda x: x, lambda x, y: 1.0),
            *value_with("abs", lambda x: x, lambda x, y: 1.0),
            *value_with("neg", lambda x: 1.0 / x, lambda x, y: -y * y),
            *value_with("square", lambda x: 2.0 * x, lambda x, y: 2.0),
            ("div", other_value(lambda a, b: float(a // b))),
            ("sub", other_value(lambda a, b: b - a)),
            ("div", other_value(lambda a, b: b / a)),
            ("pow", other_value(lambda a, b: b**a)),
        ),
    ),
    Mistake(
        "value.wrong-base",
        "{method} has another base than e.",
        "Use math.exp and math.log.",
        local=(
            ("log", other_value(math.log10)),
            ("log", other_value(math.log2)),
            ("exp", other_value(lambda x: 2.0**x)),
            ("exp", other_value(lambda x: 10.0**x)),
        ),
    ),
    Mistake(
        "value.sign-of-exponent",
        "{method} has the wrong sign in its exponent.",
        "sigmoid(x) = 1 / (1 + exp(-x)); exp(x) = e to the x.",
        local=(
            ("sigmoid", other_value(lambda x: 1.0 / (1.0 + math.exp(x)))),
            ("exp", other_value(lambda x: math.exp(-x))),
            ("softplus", other_value(lambda x: math.log1p(math.exp(-x)))),
        ),
    ),
    Mistake(
        "value.two-missing",
        "{method} has exp(x) where exp(2x) belongs.",
        "tanh(x) = (exp(2x) - 1) / (exp(2x) + 1).",
        local=(("tanh", other_value(lambda x: math.tanh(0.5 * x))),),
    ),
    Mistake(
        "value.cut-off-wrong",
        "{method} keeps what it should cut off.",
        "relu(x) is x where x > 0, else 0.",
        local=(
            *value_with("relu", lambda x: min(x, 0.0), lambda x, y: float(y > 0)),
            *value_with("relu", lambda x: min(x, 0.0), lambda x, y: float(x < 0)),
            *value_with("relu", abs, lambda x, y: float(y > 0)),
            *value_with("relu", lambda x: x, lambda x, y: 1.0),
            *value_with(
                "relu", lambda x: x if x > 0 else 0.01 * x, lambda x, y: 1.0 if x > 0 else 0.01
            ),
            *value_with(
                "relu", lambda x: x if x > 0 else 0.1 * x, lambda x, y: 1.0 if x > 0 else 0.1
            ),
            *value_with("relu", lambda x: min(max(x, 0.0), 1.0), lambda x, y: float(0 < x < 1)),
            *value_with("relu", lambda x: float(x > 0), lambda x, y: 0.0),
        ),
    ),
    Mistake(
        "value.with-epsilon",
        "{method} adds a small number before it takes the logarithm.",
        "Take the logarithm of the number itself.",
        local=(
            ("log", other_value(lambda x: math.log(x + 1e-6))),
            ("log", other_value(lambda x: math.log(x + 1e-5))),
            ("log", other_value(lambda x: math.log(x + 1e-3))),
        ),
    ),
)

"""Signs and constant factors."""

from __future__ import annotations

from .makers import scaled, scaled_ways
from .row import Mistake, Solves

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "sign.error",
        "B8",
        "The error has the wrong sign: y - a instead of a - y.",
        "Start from delta = a - y (for squared errors times g'(z)); or subtract in the update.",
        ({"output_delta": scaled(lambda run: -1)}, {"data": scaled(lambda run: -1)}),
    ),
    Mistake(
        "sign.everything",
        "A1",
        "Every entry is negated: this is the direction of descent, not the gradient.",
        "Return the gradient, and subtract it in the update.",
        ({"gradient": scaled(lambda run: -1)},),
    ),
    Mistake(
        "factor.two",
        "B8",
        "There is an extra factor of 2.",
        "Compare the cost with its derivative: 2 comes from a square without 1/2, and belongs to "
        "no other loss.",
        scaled_ways(lambda run: 2),
    ),
    Mistake(
        "factor.half",
        "B8",
        "There is an extra factor of 1/2.",
        "The 1/2 of a half squared error cancels when it is differentiated; no other loss has one.",
        scaled_ways(lambda run: 0.5),
    ),
    Mistake(
        "factor.other",
        "B10",
        "The part that comes from the examples has a constant factor; the penalty is right.",
        "Compare each factor with D = (1/m) Delta + (lambda/m) Theta.",
        ({"data": scaled(lambda run: run.rate)},),
        lambda problem: problem.lam > 0,
        solves=Solves.LINEAR,
        with_number="The part that comes from the examples is {number} times the right one; the "
        "penalty is right.",
    ),
    Mistake(
        "factor.of-one-block",
        "B10",
        "A block of the gradient, a layer's weights or its biases, has a constant factor.",
        "Compare the line that computes this block with those of the others.",
    ),
)

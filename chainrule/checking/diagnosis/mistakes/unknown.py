"""What is said if no other row explains the numbers."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "unknown.scaled",
        "B10",
        "The gradient is made of the right terms, with wrong factors before them.",
        "Compare each factor with D = (1/m) Delta + (lambda/m) Theta.",
    ),
    Mistake(
        "unknown.products",
        "B10",
        "The deltas are right; no mistake in the list explains how they are used.",
        "Look at the product delta a^T, at the column of the biases, and at the penalty.",
    ),
    Mistake(
        "unknown.own-cost",
        "B9",
        "The gradient is not that of the cost that comes with it.",
        "Differentiate the cost as it is written, term by term; compare with its differences.",
    ),
    Mistake(
        "unknown.deltas",
        "B5",
        "No mistake in the list explains this gradient: there are several at once, or a new one.",
        "Mend the first wrong layer, counted from the output; the layers before it depend on it.",
    ),
)

"""What is said where no row of the others explains the numbers."""

from __future__ import annotations

from .row import Mistake

ROWS: tuple[Mistake, ...] = (
    Mistake(
        "unknown.scaled",
        "B10",
        "The data gradient and the weights are all there, with wrong factors before them.",
        "Compare each factor with D = (1/m) Delta + (lambda/m) Theta.",
    ),
    Mistake(
        "unknown.products",
        "B10",
        "The deltas are right; no mistake in the list explains what is made of them.",
        "Look at the product delta a^T, at the column of the biases, and at the penalty.",
    ),
    Mistake(
        "unknown.deltas",
        "B5",
        "No mistake in the list explains this gradient: several at once, or a new one.",
        "Mend the first wrong layer, counted from the output; what lies behind it depends on it.",
    ),
)

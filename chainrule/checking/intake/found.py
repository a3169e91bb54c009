"""What trials found out about a program, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from .manner import Manner
from .one_call import Answer


@dataclass
class Found:
    """What trials found out."""

    answers: list[tuple[Manner, list[Answer]]] = field(default_factory=list)
    """Manners in which a gradient came, each with the answers of three calls."""
    failure: Exception | SystemExit | None = None
    """What the likeliest manner raised, if none gave a gradient."""
    loose: list[tuple[Manner, list[Answer]]] = field(default_factory=list)
    """Manners in which arrays came of which a gradient may be read in another layout."""
    near: list[tuple[Manner, list[Answer]]] = field(default_factory=list)
    """Manners in which the gradients of the weights came, and biases' that have other shapes."""
    other: tuple[Manner, list[Answer]] | None = None
    """A manner in which the call gave something else."""
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    """Sizes of a network that the program has of its own."""
    deeper: Exception | None = None
    """What it raised on every network with hidden layers, if it gave a gradient without any."""
    cut: bool = False
    """Whether there was no time for all manners."""
    asked: str = ""
    """What has to be stated, as a question; "" if nothing is missing."""

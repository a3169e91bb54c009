"""The rules that data must keep, such as the targets of a loss: tested before anything is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..engine import modes
from .batches import Array


class Tested(Protocol):
    """A program that computes numbers."""

    def forward(self, batch: Sequence[Array]) -> Array:
        """Return the numbers, a row each, with a column for each example."""


@dataclass
class Rules:
    """Rules, and the program that computes the numbers to which they apply."""

    rules: list[tuple[modes.Rule, int]]
    """Each with how many of the numbers it applies to: those of the first one come first."""
    program: Tested

    def test(self, batch: Sequence[Array]) -> None:
        """Raise the error of the first rule that an example of *batch* breaks."""
        if not len(batch[0]):
            return
        table = self.program.forward(batch)
        at = 0
        with np.errstate(invalid="ignore"):
            for rule, count in self.rules:
                numbers, at = table[at : at + count], at + count
                kept = rule.holds(numbers)
                if not kept.all():
                    first = int(np.reshape(kept, (-1, table.shape[1])).all(axis=0).argmin())
                    error = rule.error(numbers[:, first].tolist())
                    raise type(error)(f"example {first}: {error}")


def rules_for(demands: modes.Demands, program: Callable[[list[Any]], Tested]) -> Rules | None:
    """Return the rules that *demands* are; *program* makes the program of some numbers."""
    if not demands:
        return None
    values = [x for some in demands.values() for x in some]
    return Rules([(rule, len(some)) for rule, some in demands.items()], program(values))

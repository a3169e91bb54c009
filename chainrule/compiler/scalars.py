"""Programs of scalars: a graph without width runs step by step, a block of examples at a time.

An array program wins where many nodes are alike.  A chain of single nodes has nothing to gain from
it: its operations go as they are to the machine, which does each on a whole block of examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.backend import Value
from . import flat
from .batches import Array
from .plan import Plan
from .ready import Hands, Ready
from .tape import Tape, depths, distinct

_FEW = 25  # groups: up to this number, an array program is always made
WIDTH = 8  # nodes per group, below which no array program is made...
LUMP = 4  # ...and a group of nodes that are not alike counts as so many groups


def least_groups(tape: Tape) -> int:
    """Return a lower bound on the number of groups, without making them.

    Nodes of different depths or different operations are never in one group.
    """
    codes = tape.codes[tape.computed].astype(np.int64)
    codes[np.diff(tape.term_starts)[tape.computed] > 0] = -1  # all sums are one operation
    return len(distinct(depths(tape)[tape.computed] * (len(tape.rows) + 1) + codes))


def narrow(nodes: int, groups: int) -> bool:
    """Return whether a graph has too little width for an array program."""
    return groups > _FEW and nodes < WIDTH * groups


@dataclass
class ScalarProgram:
    """The operations of a tape in order, to be called; plans are made when they are needed."""

    tape: Tape
    arguments: list[list[int]]
    """The numbers of the leaves of every argument."""
    parameters: list[int]
    """The numbers of all leaves that are read, in their order in every call."""
    wanted: list[int]
    """The numbers to differentiate by, -1 for a leaf that the tape does not have."""
    _ready: dict[Any, Ready] = field(default_factory=dict, repr=False)

    def forward(self, leaves: Sequence[Value], batch: Sequence[Array], hands: Hands = 1) -> Array:
        """Return the outputs, a row each, with a column for each example, or one of a graph."""
        ready = self._prepared("forward", self._forward_plan)
        return ready.run(tuple(leaves), batch, hands)  # type: ignore[no-any-return]

    def gradient(
        self, leaves: Sequence[Value], batch: Sequence[Array], hands: Hands = 1
    ) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        ready = self._prepared("gradient", self._gradient_plan)
        return ready.run(tuple(leaves), batch, hands)  # type: ignore[no-any-return]

    def jacobian(
        self,
        leaves: Sequence[Value],
        batch: Sequence[Array],
        wanted: Sequence[int],
        hands: Hands = 1,
    ) -> Array:
        """Return the derivatives of the outputs by the numbers *wanted*: a column for each.

        Those of the first output come first; there is a row for each example, or one of a graph.
        """
        key = "jacobian", tuple(wanted)
        ready = self._prepared(key, lambda: flat.jacobian(*self._places, wanted))
        return ready.run(tuple(leaves), batch, hands)  # type: ignore[no-any-return]

    def jacobian_by(
        self,
        leaves: Sequence[Value],
        batch: Sequence[Array],
        which: tuple[int, ...],
        hands: Hands = 1,
    ) -> Array:
        """Return the derivatives of the outputs by the numbers in the arguments *which*."""

        def plan() -> Plan:
            wanted = [n for i in which for n in self.arguments[i]]
            return flat.jacobian(*self._places, wanted)

        return self._prepared(("arguments", which), plan).run(  # type: ignore[no-any-return]
            tuple(leaves), batch, hands
        )

    def machine(self, function: str) -> Any:
        """Return the machine of *function*, forward or gradient, which ran before."""
        return self._ready[function].machine

    def plans(self) -> dict[str, Plan]:
        """Return the plan of each function."""
        found = {"forward": self._forward_plan()}
        if len(self.tape.outputs) == 1:
            found["gradient"] = self._gradient_plan()
        return found

    def _forward_plan(self) -> Plan:
        return flat.forward(*self._places)

    def _gradient_plan(self) -> Plan:
        return flat.gradient(*self._places, self.wanted)

    @property
    def _places(self) -> tuple[Tape, list[list[int]], list[int]]:
        return self.tape, self.arguments, self.parameters

    def _prepared(self, key: Any, plan: Callable[[], Plan]) -> Ready:
        if key not in self._ready:
            self._ready[key] = Ready(plan(), plan)
        return self._ready[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": {}}

"""Running an array program: its plans, made when they are first needed, on the machine at hand."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.backend import Value
from .batches import Array
from .by_inputs import by_inputs
from .lowering import lower
from .plan import Plan
from .printers.numpy import write
from .program import Program
from .ready import Hands, Ready


@dataclass
class ArrayProgram:
    """A program with its parameters, to be called."""

    program: Program
    parameters: tuple[Value, ...]
    """The leaves that are read, in the order in which the program holds them."""
    wanted: Sequence[int]
    """For each entry of the gradient, the number of its parameter, or -1 if it is none."""
    size: int
    """The number of outputs."""
    count: int
    """The number of operations that compute the outputs; those of the gradient follow."""
    _jacobians: dict[tuple[int, ...], Ready] = field(default_factory=dict, repr=False)

    def forward(self, batch: Sequence[Array], hands: Hands = 1) -> Array:
        """Return the outputs, a row each, with a column for each example, or one of a graph."""
        return self._forward.run(self.parameters, batch, hands)  # type: ignore[no-any-return]

    def gradient(self, batch: Sequence[Array], hands: Hands = 1) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        return self._gradient.run(self.parameters, batch, hands)  # type: ignore[no-any-return]

    def jacobian(
        self,
        batch: Sequence[Array],
        which: tuple[int, ...],
        lengths: tuple[int, ...],
        hands: Hands = 1,
    ) -> Array:
        """Return the derivatives of all outputs by the arguments *which*, a row for each example.

        An example of each has as many numbers as *lengths* says.  Derivatives of the first output
        come first.
        """
        if which not in self._jacobians:
            program = by_inputs(self.program, self.count, self.size, which, lengths)
            size = self.size * sum(lengths)

            def plan() -> Plan:
                made = lower(program, len(self.parameters), size=size)
                made.turned = True
                return made

            self._jacobians[which] = Ready(plan(), plan)
        ready = self._jacobians[which]
        return ready.run(self.parameters, batch, hands)  # type: ignore[no-any-return]

    def machine(self, function: str) -> Any:
        """Return the machine of *function*, forward or gradient."""
        return (self._forward if function == "forward" else self._gradient).machine

    def plans(self) -> dict[str, Plan]:
        """Return the plan of each function."""
        found = {"forward": self._forward_plan()}
        if self.program.cost is not None:
            found["gradient"] = self._gradient_plan()
        return found

    def _forward_plan(self) -> Plan:
        return lower(self.program, len(self.parameters), size=self.size)

    def _gradient_plan(self) -> Plan:
        return lower(self.program, len(self.parameters), self.wanted)

    @functools.cached_property
    def source(self) -> str:
        """The program as a NumPy module, which runs by itself."""
        return write(self.program)

    @functools.cached_property
    def _forward(self) -> Ready:
        return Ready(self._forward_plan(), self._forward_plan)

    @functools.cached_property
    def _gradient(self) -> Ready:
        return Ready(self._gradient_plan(), self._gradient_plan)

    def __getstate__(self) -> dict[str, Any]:
        made_again = ("_forward", "_gradient")
        kept = {key: x for key, x in self.__dict__.items() if key not in made_again}
        return {**kept, "_jacobians": {}}

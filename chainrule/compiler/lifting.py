"""The passes in a row: from a recorded graph to an array program that can be called.

A :class:`Lifted` is what becomes of one recording.  It runs its program in a workspace, and tests
first what the recorded code demanded of its data.
"""

from __future__ import annotations

import functools
import gc
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import modes, primitives
from ..engine.backend import Value
from . import explanation, numpy_source
from .adjoint import differentiate
from .groups import group
from .layout import lay_out
from .program import Program, Symbol
from .structures import Array, count
from .tape import flatten, normalise
from .workspace import Runner, Workspace

Shapes = tuple[tuple[int, ...], ...]

_PART = 250_000  # numbers in the largest array of a part: 2 MB, and as much for every other step


@dataclass
class Lifted:
    """One recording of a function, for examples of certain shapes, lifted to an array program."""

    program: Program
    parameters: tuple[Value, ...]
    shapes: Shapes
    """The shape of one example of every argument."""
    result: Any
    """The structure of the result, with the number of an output for every leaf."""
    source: str
    stats: dict[str, Any]
    passes: list[tuple[str, str]]
    """What every pass found, in words."""
    widest: int
    """How many numbers the largest array holds for one example."""
    rules: Sequence[tuple[modes.Rule, slice]] = ()
    """What the data must be: each rule, and the results of *tested* that it is about."""
    tested: Lifted | None = None
    """The program of the numbers that the rules are about."""
    _runner: Runner | None = field(default=None, repr=False)

    def forward(self, batch: Sequence[Array]) -> Array:
        """Return the outputs, a row per example; of a graph, the one row."""
        size = count(self.result)
        found = np.empty((len(batch[0]), size) if batch else (1, size))
        stop = 0
        with self._running() as workspace:
            for rows, _ in self._shares(batch):
                start, stop = stop, stop + (len(rows[0]) if batch else 1)
                found[start:stop] = workspace.run("forward", rows)
        return found if batch else found[0]

    def gradient(self, batch: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean of the one output over the examples, and its gradient."""
        mean, gradient = 0.0, np.zeros(len(self.parameters))
        places = [gradient[at].reshape(shape) for at, shape in self._places]
        with self._running() as workspace:
            for rows, share in self._shares(batch):
                cost, derivatives = workspace.run("gradient", rows)
                mean += share * np.asarray(cost).item()
                for place, derivative in zip(places, derivatives, strict=True):
                    place += derivative if share == 1.0 else share * derivative
        return mean, gradient

    def test(self, batch: Sequence[Array]) -> None:
        """Raise the error of the first rule that an example of *batch* does not keep."""
        if self.tested is None or not len(batch[0]):
            return
        table = self.tested.forward(batch)
        with np.errstate(invalid="ignore"):
            for rule, at in self.rules:
                numbers = table[:, at].T
                kept = rule.holds(numbers)
                if not kept.all():
                    first = int(np.reshape(kept, (-1, len(table))).all(axis=0).argmin())
                    error = rule.error(numbers[:, first].tolist())
                    raise type(error)(f"example {first}: {error}")

    def report(self) -> str:
        """Return what every pass found, and the program."""
        parts = [f"{title}\n{text}" for title, text in self.passes]
        return "\n\n".join([*parts, "7. NumPy\n" + self.source])

    @functools.cached_property
    def _places(self) -> list[tuple[slice, tuple[int, ...]]]:
        """Where in the gradient each derivative goes, and its shape."""
        found = [self.program.operations[n] for n, _ in self.program.gradients]
        return [(slice(*operation.detail), operation.shape) for operation in found]

    def _shares(self, batch: Sequence[Array]) -> Iterator[tuple[Sequence[Array], float]]:
        """Yield the batch in parts, each with its share of the mean.

        Without parts, large batches would make arrays that are too large: the workspace keeps one
        for every step, where plain NumPy would free most of them.
        """
        total = len(batch[0]) if batch else 1
        rows = max(64, _PART // self.widest)
        if total <= rows:
            yield batch, 1.0
            return
        parts = -(-total // rows)
        edges = [total * i // parts for i in range(parts + 1)]
        for start, stop in itertools.pairwise(edges):
            yield [x[start:stop] for x in batch], (stop - start) / total

    @contextmanager
    def _running(self) -> Iterator[Workspace]:
        """Give a workspace for runs with the present data of the parameters."""
        if self._runner is None:
            self._runner = Runner(self.program, self.source)
        workspace = self._runner.workspace(self.parameters)
        try:
            yield workspace
        finally:
            self._runner.release(workspace)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runner": None}  # made again from the source


def lift(
    outputs: Sequence[Any],
    arguments: Sequence[Sequence[Value]],
    names: Sequence[str],
    shapes: Shapes,
    result: Any,
    demands: modes.Demands | None = None,
) -> Lifted:
    """Return the graph of *outputs* as an array program over batches of *arguments*.

    *names* are those of the arguments and *shapes* how one example of each is shaped, *result* is
    the structure of the outputs, and *demands* what the data must be.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples and no cycles: the collector would look at them over and over
    try:
        tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
        members = tape.arguments(arguments)
        normalise(tape)
        grouping = group(tape, members)
        layout = lay_out(tape, grouping, members, shapes)
        program = layout.program
        program.inputs = list(names)
        program.outputs = [_operand(layout.outputs)]
        if len(outputs) == 1:
            _add_gradient(layout, bool(arguments))
        source = numpy_source.write(program)
        lifted = Lifted(
            program,
            tuple(tape.leaves[n] for n in layout.parameters),
            shapes,
            result,
            source,
            explanation.stats(tape, program),
            explanation.passes(tape, grouping, layout),
            max((math.prod(x.shape) for x in program.operations if x.batched), default=1),
        )
    finally:
        if collecting:
            gc.enable()
    if demands:
        ends = [0, *itertools.accumulate(map(len, demands.values()))]
        slices = [slice(*edges) for edges in itertools.pairwise(ends)]
        lifted.rules = list(zip(demands, slices, strict=True))
        values = [x for tested in demands.values() for x in tested]
        lifted.tested = lift(values, arguments, names, shapes, list(range(len(values))))
    return lifted


def _add_gradient(layout: Any, batched: bool) -> None:
    """Add the backward program, and the mean over the examples."""
    program, builder, output = layout.program, layout.builder, layout.outputs
    found = differentiate(builder, output)
    # A result that no input reaches is its own mean.
    if batched and isinstance(output, Symbol) and output.batched:
        count = builder.emit("count", (1.0,), (1,), False)
        output = primitives.divide(builder.total_batch(output), count)
        found = [(n, primitives.divide(x, count)) for n, x in found]
    program.cost = _operand(output)
    for n, x in found:
        block = builder.broadcast(x, program.operations[n].shape, False)
        program.names.setdefault(block.number, _gradient_name(program.names.get(n, "theta")))
        program.gradients.append((n, block.number))


def _operand(x: Any) -> int | float:
    return x.number if isinstance(x, Symbol) else x


def _gradient_name(name: str) -> str:
    return name.replace("Theta", "D") if name.startswith("Theta") else f"d{name}"

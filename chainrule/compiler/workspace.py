"""How an array program is run: with arrays that are kept from one run to the next.

The arrays that one run keeps are its :class:`Workspace`.  Simultaneous runs, in threads or one
inside another, have one each.
"""

from __future__ import annotations

import ast
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.backend import Value
from ..engine.vectors import read_data
from .batches import Array
from .program import Program
from .rewriting import rewritten

_PART = 250_000  # numbers in the largest array of a part: 2 MB, and at most that for each step
_SIZES = 4  # batch sizes for which arrays are kept: those of the parts, and some more


class Runner:
    """The rewritten functions of a printed program, and the workspaces that are free."""

    def __init__(self, program: Program, source: str):
        self.program = program
        # The source cannot contain the array functions of a user's own primitives.
        forms = (row.on_arrays for row in program.rows)
        namespace: dict[str, Any] = {"rows": dict(zip(program.row_names(), forms, strict=True))}
        exec(source, namespace)
        self.functions = {
            node.name: rewritten(node, program.inputs, namespace)
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name in program.arguments
        }
        self._free: list[Workspace] = []

    def workspace(self, values: Sequence[Value]) -> Workspace:
        """Return a free workspace, with the present data of the parameters *values*.

        Give it back with :meth:`release`.
        """
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = Workspace(self, len(values))
        read_data(values, workspace.vector)
        return workspace

    def release(self, workspace: Workspace) -> None:
        """Make *workspace* available to the next run."""
        self._free.append(workspace)


class Workspace:
    """The parameters as one vector, and the arrays that the steps of each function write into."""

    def __init__(self, runner: Runner, size: int):
        self.functions = runner.functions
        self.vector = np.empty(size)
        self.thetas = {
            name: [
                self.vector[slice(*operation.detail)].reshape(operation.shape)
                for operation in runner.program.parameters(name)
            ]
            for name in runner.functions
        }
        self.slots: dict[tuple[str, int], list[Any]] = {}

    def run(self, name: str, rows: Sequence[Array]) -> Any:
        """Return what function *name* returns for the examples in *rows*.

        Its arrays belong to the workspace: copy what you want to keep.
        """
        rewritten = self.functions[name]
        key = (name, len(rows[0]) if rows else 1)
        slots = self.slots.get(key)
        if slots is None:
            while len(self.slots) >= _SIZES:
                del self.slots[next(iter(self.slots))]
            slots = self.slots[key] = [None] * rewritten.slots
        return rewritten.function(slots, *self.thetas[name], *rows)


@dataclass
class ArrayProgram:
    """A program with its source and its parameters, to be called."""

    program: Program
    source: str
    parameters: tuple[Value, ...]
    text: str
    """What is run: the source, or a text of the same steps that keeps more digits."""
    _runner: Runner | None = field(default=None, repr=False)

    def forward(self, batch: Sequence[Array], size: int) -> Array:
        """Return the *size* outputs, one row per example; a graph has one row."""
        found = np.empty((len(batch[0]), size) if batch else (1, size))
        stop = 0
        with self._running() as workspace:
            for rows, _ in self._shares(batch):
                start, stop = stop, stop + (len(rows[0]) if batch else 1)
                found[start:stop] = workspace.run("forward", rows)
        return found if batch else found[0]

    def gradient(self, batch: Sequence[Array]) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        mean, gradient = 0.0, np.zeros(len(self.parameters))
        places = [gradient[at].reshape(shape) for at, shape in self._places]
        with self._running() as workspace:
            for rows, share in self._shares(batch):
                cost, derivatives = workspace.run("gradient", rows)
                mean += share * np.asarray(cost).item()
                for place, derivative in zip(places, derivatives, strict=True):
                    place += derivative if share == 1.0 else share * derivative
        return mean, gradient

    @functools.cached_property
    def _places(self) -> list[tuple[slice, tuple[int, ...]]]:
        """The place of each derivative in the gradient, and its shape."""
        found = [self.program.operations[n] for n, _ in self.program.gradients]
        return [(slice(*operation.detail), operation.shape) for operation in found]

    @functools.cached_property
    def _widest(self) -> int:
        """The size of the largest array for one example."""
        return max((math.prod(x.shape) for x in self.program.operations if x.batched), default=1)

    def _shares(self, batch: Sequence[Array]) -> Iterator[tuple[Sequence[Array], float]]:
        """Yield the batch in parts, each with its share of the mean.

        Without parts, large batches would need too much memory: the workspace keeps an array for
        every step, where plain NumPy would free most of them.
        """
        total = len(batch[0]) if batch else 1
        rows = max(64, _PART // self._widest)
        if total <= rows:
            yield batch, 1.0
            return
        parts = -(-total // rows)
        edges = [total * i // parts for i in range(parts + 1)]
        for start, stop in itertools.pairwise(edges):
            yield [x[start:stop] for x in batch], (stop - start) / total

    @contextmanager
    def _running(self) -> Iterator[Workspace]:
        """Yield a workspace for runs with the present data of the parameters."""
        if self._runner is None:
            self._runner = Runner(self.program, self.text)
        workspace = self._runner.workspace(self.parameters)
        try:
            yield workspace
        finally:
            self._runner.release(workspace)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_runner": None}  # made again from the source

"""How a printed program is run: with arrays that are kept from one run to the next.

All that is kept for one run is a :class:`Workspace`.  Runs at the same time, in threads or one
inside another, have one each.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import primitives
from ..engine.backend import Value
from ..engine.vectors import read_data
from .program import Program
from .rewriting import rewritten

Array = np.ndarray[Any, np.dtype[np.float64]]

_SIZES = 4  # of a batch, for which arrays are kept: those of its parts, and some more


class Runner:
    """The functions of a printed program, rewritten, and the workspaces that nobody uses."""

    def __init__(self, program: Program, source: str):
        self.program = program
        # The array functions of a user's own primitives are what the source cannot spell out.
        names = {operation.detail for operation in program.operations if operation.kind == "apply"}
        namespace: dict[str, Any] = {"rows": {n: primitives.named(n).array for n in names}}
        exec(source, namespace)
        self.functions = {
            node.name: rewritten(node, program.inputs, namespace)
            for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name in program.arguments
        }
        self._free: list[Workspace] = []

    def workspace(self, values: Sequence[Value]) -> Workspace:
        """Return a workspace that nobody uses, with the present data of the parameters *values*.

        Give it back with :meth:`release`.
        """
        try:
            workspace = self._free.pop()
        except IndexError:
            workspace = Workspace(self, len(values))
        read_data(values, workspace.vector)
        return workspace

    def release(self, workspace: Workspace) -> None:
        """Let the next run have *workspace*."""
        self._free.append(workspace)


class Workspace:
    """The parameters as one vector, and what the steps of each function wrote at the last run."""

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

        The arrays in it are those of the workspace: copy what is to stay.
        """
        rewritten = self.functions[name]
        key = (name, len(rows[0]) if rows else 1)
        slots = self.slots.get(key)
        if slots is None:
            while len(self.slots) >= _SIZES:
                del self.slots[next(iter(self.slots))]
            slots = self.slots[key] = [None] * rewritten.slots
        return rewritten.function(slots, *self.thetas[name], *rows)

"""What a compiled function says of its derivatives, held to the engine's ``gradients``.

``jacobian`` by the arguments and by the parameters, reverse, forward and sparse, ``jvp``, calls
with Values and what is pulled back through them, and for a result of one number ``hessian``, dense
and sparse, and ``hvp``.  The engine has a graph for each example, in which what is differentiated
by are Values; its derivatives are ``cr.gradients`` of that, taken once and twice.

A derivative that is not finite hangs on the order in which the paths are added up.  So there it is
one of those that the engine has: back or forward, and where equal nodes are one.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.engine import sweep_calls

from . import worlds
from .language import Call, leaves

FEW = 2  # examples that are looked at
SPARSE = importlib.util.find_spec("scipy") is not None  # its matrices are SciPy's
MOST = 12  # numbers in an example, or of a result: beyond that it takes too long

Table = list[list[float]]


class UnansweredError(Exception):
    """The engine has no derivatives of this function of Values."""


class Graph:
    """The engine's graph of one example: its outputs, and what it is differentiated by."""

    def __init__(self, outputs: Sequence[Any], inputs: Sequence[Any]):
        self.outputs, self.inputs = list(outputs), list(inputs)

    def jacobian(self) -> Table:
        return [self._slopes(x) for x in self.outputs]

    def _slopes(self, x: Any) -> list[float]:
        linked = isinstance(x, cr.Value) and self.inputs
        return cr.gradients(x, self.inputs) if linked else [0.0] * len(self.inputs)

    def gradient(self) -> Graph:
        """Return the graph of the derivatives of the only output."""
        (x,) = self.outputs
        if not isinstance(x, cr.Value):
            return Graph([0.0] * len(self.inputs), self.inputs)
        return Graph(cr.gradients(x, self.inputs, create_graph=True), self.inputs)

    def forward(self) -> Table:
        return sweep_calls.sweep_rows(self.outputs, self.inputs, None, forward=True).tolist()

    def merged(self) -> Graph:
        """Return the graph in which equal nodes are one, as in a compiled program."""
        graphs = worlds.Merged()
        made = [graphs.of(x) if isinstance(x, cr.Value) else x for x in self.outputs]
        return Graph(made, self.inputs)

    def jacobians(self) -> Iterator[Table]:
        """Yield the derivatives as the engine has them, in every order of adding up."""
        for graph in (self, self.merged()):
            yield graph.jacobian()
            yield graph.forward()

    def hessians(self) -> Iterator[Table]:
        for graph in (self, self.merged()):
            yield from graph.gradient().jacobians()


def of_arguments(engine: worlds.World, call: Call, n: int) -> Graph:
    """Return the graph of an example by the numbers of the arguments."""
    inputs: list[Any] = []
    result = engine.function(call.function)(*held(call.example(n), inputs))
    return Graph([x for _, x in leaves(result)], inputs)


def of_parameters(engine: worlds.World, call: Call, n: int, wrt: Sequence[Any]) -> Graph:
    """Return the graph of an example by the parameters, to which all else is a number."""
    outputs = of_arguments(engine, call, n).outputs
    made = [worlds.of_parameters(x, list(wrt)) if isinstance(x, cr.Value) else x for x in outputs]
    return Graph(made, wrt)


def held(structure: Any, inputs: list[Any]) -> Any:
    """Return the numbers of *structure* as Values, which are *inputs* from then on."""
    if isinstance(structure, list):
        return [held(x, inputs) for x in structure]
    inputs.append(cr.Value(structure))
    return inputs[-1]


def direction(count: int) -> list[float]:
    return list(itertools.islice(itertools.cycle([1.0, -0.5, 2.0, 0.75]), count))


class Questions:
    """What is asked of a compiled function about one call."""

    def __init__(self, run: Any, where: str, call: Call, compiled: Any):
        self.run, self.where, self.call, self.compiled = run, where, call, compiled
        self.batch = [np.array(x[:FEW], dtype=float) for x in call.batch]
        self.n = len(self.batch[0])
        self.count = sum(int(np.prod(x.shape[1:], dtype=int)) for x in self.batch)
        self.wrt = list(run.engine.parameters.values())
        self.own = list(run.library.parameters.values())

    def ask(self, numbers: np.ndarray) -> None:
        """Ask all of it; *numbers* are the results as the engine has them, a row per example."""
        if not self.count or max(self.count, numbers.shape[1]) > MOST:
            return
        try:
            self.graphs = [of_arguments(self.run.engine, self.call, n) for n in range(self.n)]
        except Exception as error:
            raise UnansweredError(f"{type(error).__name__}: {error}") from error
        plain = [[_number(x) for x in graph.outputs] for graph in self.graphs]
        # A transform that ties with an input has another result where that is a Value.
        if not np.array_equal(plain, numbers[: self.n], equal_nan=True):
            return
        shape = self._shape()
        if shape is not None:
            self._jacobians(numbers.shape[1])
        self._tangents()
        self._values()
        if numbers.shape[1] == 1 and shape == ():
            self._second()

    def _shape(self) -> tuple[int, ...] | None:
        """Return the shape of the result, None if it is not a nested list of numbers."""
        result = self.compiled.record(*self.batch)._latest.result
        if isinstance(result, dict):
            return None
        try:
            shape = np.shape(result)
        except ValueError:
            return None
        return shape if int(np.prod(shape, dtype=int)) == len(self.graphs[0].outputs) else None

    # --- first derivatives -----------------------------------------------------------------------

    def _jacobians(self, size: int) -> None:
        compiled, batch = self.compiled, self.batch
        for mode in ("reverse", "forward"):
            found = self._tried(f"jacobian {mode}", compiled.jacobian, *batch, mode=mode)
            parts = found if isinstance(found, tuple) else (found,)
            table = np.concatenate([x.reshape(self.n, size, -1) for x in parts], axis=2)
            self._compare(f"jacobian {mode}", table, "jacobian")
            if not SPARSE:
                continue
            found = self._tried(
                f"sparse jacobian {mode}", compiled.jacobian, *batch, mode=mode, sparse=True
            )
            table = np.array([x.toarray() for x in found])
            self._compare(f"sparse jacobian {mode}", table, "jacobian")
        if not self.own:
            return
        graphs = [of_parameters(self.run.engine, self.call, n, self.wrt) for n in range(self.n)]
        for mode in ("reverse", "forward"):
            name = f"jacobian {mode} wrt"
            found = self._tried(name, compiled.jacobian, *batch, mode=mode, wrt=self.own)
            table = found.reshape(self.n, size, -1)
            self._compare(name, table, "by parameters", graphs)

    def _tangents(self) -> None:
        moving = direction(self.count)
        parts = self._parts(moving)
        found = self._tried(
            "jvp", self.compiled.jvp, *self.batch, tangents=parts[0] if len(parts) == 1 else parts
        )[1]
        rows = np.array([x for _, x in _columns(found, self.n)]).T.reshape(self.n, -1)

        def pushed(graph: Graph) -> Iterator[list[float]]:
            for table in graph.jacobians():
                yield [_weighed(row, moving) for row in table]

        self._compare_rows("jvp", rows, "jvp", pushed, moving)

    def _values(self) -> None:
        """Call the compiled function with Values, and pull back."""
        weights: list[float] = []
        inputs: list[list[Any]] = [[] for _ in range(self.n)]
        examples = [held(self.call.example(n), inputs[n]) for n in range(self.n)]
        arguments = [list(column) for column in zip(*examples, strict=True)]
        result = self._tried("called with Values", self.compiled, *arguments)
        outputs = [x for _, x in _columns(result, self.n)]
        weights = direction(len(outputs))
        total = cr.sum([w * x for w, column in zip(weights, outputs, strict=True) for x in column])
        flat = [x for some in inputs for x in some]
        slopes = (
            self._tried("gradients of Values", cr.gradients, total, flat)
            if isinstance(total, cr.Value)
            else [0.0] * len(flat)
        )

        def pulled(graph: Graph) -> Iterator[list[float]]:
            for table in graph.jacobians():
                yield [_weighed(column, weights) for column in zip(*table, strict=True)]

        rows = np.array(slopes).reshape(self.n, -1)
        self._compare_rows("pulled back", rows, "vjp", pulled, weights)

    # --- second derivatives ----------------------------------------------------------------------

    def _second(self) -> None:
        compiled, batch = self.compiled, self.batch
        self.second = [graph.gradient() for graph in self.graphs]
        found = self._tried("hessian", compiled.hessian, *batch)
        blocks = found if isinstance(found, tuple) else ((found,),)
        sizes = [int(np.prod(x.shape[1:], dtype=int)) for x in batch]
        table = np.concatenate(
            [
                np.concatenate(
                    [block.reshape(self.n, a, b) for block, b in zip(row, sizes, strict=True)],
                    axis=2,
                )
                for row, a in zip(blocks, sizes, strict=True)
            ],
            axis=1,
        )
        self._compare("hessian", table, "hessian")
        if SPARSE:
            found = self._tried("sparse hessian", compiled.hessian, *batch, sparse=True)
            self._compare("sparse hessian", np.array([x.toarray() for x in found]), "hessian")
        moving = direction(self.count)
        parts = self._parts(moving)
        found = self._tried(
            "hvp", compiled.hvp, *batch, vector=parts[0] if len(parts) == 1 else parts
        )
        several = found if isinstance(found, tuple) else (found,)
        rows = np.concatenate([x.reshape(self.n, -1) for x in several], axis=1)

        def pushed(graph: Graph) -> Iterator[list[float]]:
            for table in graph.hessians():
                yield [_weighed(row, moving) for row in table]

        self._compare_rows("hvp", rows, "hvp", pushed, moving)

    # --- what is compared ------------------------------------------------------------------------

    def _parts(self, numbers: list[float]) -> tuple[np.ndarray, ...]:
        """Return a vector of the inputs as arrays shaped like one example of each argument."""
        found, start = [], 0
        for x in self.batch:
            size = int(np.prod(x.shape[1:], dtype=int))
            found.append(np.array(numbers[start : start + size]).reshape(x.shape[1:]))
            start += size
        return tuple(found)

    def _tried(self, name: str, function: Any, *args: Any, **options: Any) -> Any:
        return self.run.tried(f"{self.where}, {name}", lambda: function(*args, **options))

    def _compare(
        self, name: str, table: Any, kind: str, graphs: Sequence[Graph] | None = None
    ) -> None:
        """Compare a table of derivatives per example with the engine's."""
        for n, graph in enumerate(self.graphs if graphs is None else graphs):
            answers = Answers(graph.hessians() if kind == "hessian" else graph.jacobians())
            for i, row in enumerate(answers.first):
                for j, expected in enumerate(row):
                    where = f"{self.where}, {name}, example {n}, entry {i}, {j}"
                    others = functools.partial(answers.of, i, j)
                    self.run.same(where, expected, table[n][i][j], (kind, n, (i, j)), others)

    def _compare_rows(
        self,
        name: str,
        rows: Any,
        kind: str,
        engine: Callable[[Graph], Iterator[list[float]]],
        weights: list[float],
    ) -> None:
        for n, graph in enumerate(self.graphs):
            answers = Answers(engine(graph))
            for i, expected in enumerate(answers.first):
                where = f"{self.where}, {name}, example {n}, entry {i}"
                key = kind, n, (i, tuple(weights))
                others = functools.partial(answers.of, i)
                self.run.same(where, expected, rows[n][i], key, others)


class Answers:
    """The engine's answers to one question: the first, and the others if somebody asks."""

    def __init__(self, answers: Iterator[Any]):
        self.first = next(answers)
        self._others, self._known = answers, [self.first]

    def of(self, *at: int) -> list[float]:
        """Return one entry of each of them."""
        self._known += self._others
        return [functools.reduce(operator.getitem, at, x) for x in self._known]


def _weighed(numbers: Sequence[float], weights: Sequence[float]) -> float:
    with np.errstate(all="ignore"):
        return float(sum(float(x) * w for x, w in zip(numbers, weights, strict=True)))


def _number(x: Any) -> float:
    return x.data if isinstance(x, cr.Value) else float(x)


def _columns(structure: Any, n: int) -> Iterator[tuple[str, Any]]:
    """Yield the column of *n* examples of every number of a result."""
    if isinstance(structure, dict):
        for part in structure.values():
            yield from _columns(part, n)
    elif isinstance(structure, (list, tuple)) or (
        isinstance(structure, np.ndarray) and structure.ndim > 1
    ):
        for part in structure:
            yield from _columns(part, n)
    else:
        yield "", structure

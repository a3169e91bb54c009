"""``compile``: a scalar function of one example, or a graph, as an array program over a batch."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine import modes, primitives
from ..engine.backend import Value
from ..engine.vectors import read_data, read_grads
from . import numpy_source
from .adjoint import differentiate
from .groups import Grouping, group
from .layout import lay_out
from .program import Program
from .tape import flatten, normalise

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass
class Lifted:
    """One recording of a function, for inputs of certain shapes, lifted to an array program."""

    program: Program
    parameters: list[Value]
    shapes: tuple[tuple[int, ...], ...]
    """The shape of one example of every argument."""
    result: Any
    """The structure of the result, with the number of an output for every leaf."""
    source: str
    stats: dict[str, Any] = field(default_factory=dict)
    _functions: dict[str, Any] = field(default_factory=dict)

    def function(self, name: str) -> Callable[..., Any]:
        """Return ``forward`` or ``gradient`` of the printed source."""
        if not self._functions:
            namespace: dict[str, Any] = {"rows": _user_rows(self.program)}
            exec(self.source, namespace)
            self._functions = namespace
        return self._functions[name]  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_functions": {}}


def _user_rows(program: Program) -> dict[str, Any]:
    return {
        operation.detail: primitives.named(operation.detail).array
        for operation in program.operations
        if operation.kind == "apply"
    }


def _lift(outputs: Sequence[Any], arguments: Sequence[Sequence[Value]], names: Sequence[str],
          shapes: Any, result: Any) -> Lifted:
    """Return the graph of *outputs* as an array program over batches of *arguments*."""
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples and no cycles: the collector would look at them over and over
    try:
        return _lifted(outputs, arguments, names, shapes, result)
    finally:
        if collecting:
            gc.enable()


def _lifted(outputs: Sequence[Any], arguments: Sequence[Sequence[Value]], names: Sequence[str],
            shapes: Any, result: Any) -> Lifted:
    tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
    number = {leaf: n for n, leaf in tape.leaves.items()}
    inputs: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for i, leaves in enumerate(arguments):
        members[i] = []
        for leaf in leaves:
            n = number.get(leaf)
            if n is None:  # the function ignores this input, but it has its place in the array
                n = len(tape.rows)
                tape.rows.append(None)
                tape.operands.append(())
                tape.leaves[n] = leaf
            inputs[n] = i
            members[i].append(n)
    normalise(tape)
    grouping = group(tape, inputs)
    layout = lay_out(tape, grouping, {i: m for i, m in members.items() if m})
    program, builder = layout.program, layout.builder
    program.inputs = list(names)
    program.outputs = [layout.outputs.number if not isinstance(layout.outputs, float) else layout.outputs]
    if len(outputs) == 1:
        output = layout.outputs
        found = differentiate(builder, output)
        if arguments:
            count = builder.emit("count", (1.0,), (1,), False)
            found = [(n, primitives.divide(x, count)) for n, x in found]
            output = primitives.divide(builder.total_batch(output), count)
        for n, x in found:
            x = builder.broadcast(x, program.operations[n].shape, False)
            program.names.setdefault(x.number, _gradient_name(program.names.get(n, "")))
            program.gradients.append((n, x.number))
        program.cost = output if isinstance(output, float) else output.number
    source = numpy_source.write(program)
    stats = {"nodes": tape.recorded, "operations": len(program.operations)}
    return Lifted(program, [tape.leaves[n] for n in layout.parameters], shapes, result, source, stats)


def _gradient_name(name: str) -> str:
    return name.replace("Theta", "D") if name.startswith("Theta") else f"d{name or 'theta'}"


class Compiled:
    """A compiled function; see :func:`compile`."""

    def __init__(self, function: Callable[..., Any] | None, root: Any = None):
        self._function = function
        self._lifted: dict[Any, Lifted] = {}
        self._latest: Lifted | None = None
        if function is None:
            outputs: list[Any] = []
            result = _numbered(root, outputs)
            self._latest = self._lifted[()] = _lift(outputs, [], [], (), result)

    def __call__(self, *arrays: Any) -> Any:
        lifted, batch = self._prepared(arrays)
        thetas = self._thetas(lifted)
        found = lifted.function("forward")(*thetas, *batch)
        count = len(batch[0]) if batch else None
        size = _count(lifted.result)
        shape = (size,) if count is None else (count, size)
        found = np.broadcast_to(found, shape)
        return _structured(lifted.result, found, count is None)

    def value_and_grad(self, *arrays: Any) -> tuple[float, Array]:
        lifted, batch = self._prepared(arrays)
        return self._value_and_grad(lifted, batch)

    def _value_and_grad(self, lifted: Lifted, batch: list[Array]) -> tuple[float, Array]:
        program = lifted.program
        if program.cost is None:
            raise TypeError(
                f"value_and_grad needs a function with one output, not {_count(lifted.result)}"
            )
        if batch and not len(batch[0]):
            raise ValueError("value_and_grad of an empty batch: the mean of nothing is undefined")
        cost, gradients = lifted.function("gradient")(*self._thetas(lifted, "gradient"), *batch)
        vector = np.zeros(len(lifted.parameters))
        for (n, _), D in zip(program.gradients, gradients, strict=True):
            start, stop = program.operations[n].detail
            vector[start:stop] += D.ravel()
        return float(np.asarray(cost).reshape(())), vector

    def backward(self, *arrays: Any) -> float:
        lifted, batch = self._prepared(arrays)
        cost, vector = self._value_and_grad(lifted, batch)
        for value, g in zip(lifted.parameters, vector.tolist(), strict=True):
            value.grad = value.grad + g
        return cost

    def _thetas(self, lifted: Lifted, which: str = "forward") -> list[Array]:
        vector = read_data(lifted.parameters)
        return [
            vector[slice(*operation.detail)].reshape(operation.shape)
            for operation in lifted.program.parameters(which)
        ]

    def _prepared(self, arrays: Sequence[Any]) -> tuple[Lifted, list[Array]]:
        if self._function is None and () in self._lifted:
            if arrays:
                raise TypeError("a compiled graph takes no arguments: write to its leaves instead")
            return self._lifted[()], []
        batch = [np.asarray(x, dtype=float) for x in arrays]
        shapes = tuple(x.shape[1:] for x in batch)
        lifted = self._lifted.get(shapes)
        if lifted is None:
            lifted = self._record(batch, shapes)
        self._latest = lifted
        return lifted, batch

    def _record(self, batch: list[Array], shapes: Any) -> Lifted:
        assert self._function is not None
        with modes.tracing():
            examples = [_values(x[0] if len(x) else np.zeros(x.shape[1:])) for x in batch]
            result = self._function(*examples)
        outputs: list[Any] = []
        structure = _numbered(result, outputs)
        arguments = [_leaves(example) for example in examples]
        names = _names(self._function, len(batch))
        lifted = self._lifted[shapes] = _lift(outputs, arguments, names, shapes, structure)
        return lifted

    @property
    def source(self) -> str:
        assert self._latest is not None
        return self._latest.source


def _values(example: Any) -> Any:
    example = example.tolist()

    def wrapped(x: Any) -> Any:
        return [wrapped(part) for part in x] if isinstance(x, list) else Value(x)

    return wrapped(example)


def _leaves(structure: Any) -> list[Any]:
    if isinstance(structure, list):
        return [leaf for part in structure for leaf in _leaves(part)]
    return [structure]


def _numbered(structure: Any, outputs: list[Any]) -> Any:
    if isinstance(structure, (list, tuple)):
        return type(structure)(_numbered(part, outputs) for part in structure)
    outputs.append(structure)
    return len(outputs) - 1


def _count(structure: Any) -> int:
    return sum(map(_count, structure)) if isinstance(structure, (list, tuple)) else 1


def _structured(structure: Any, found: Array, single: bool) -> Any:
    if isinstance(structure, (list, tuple)):
        return type(structure)(_structured(part, found, single) for part in structure)
    return float(found[structure]) if single else found[:, structure].copy()


def _names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        names = [p.name for p in inspect.signature(function).parameters.values()][:count]
    except (TypeError, ValueError):
        names = []
    names = [name.upper() if len(name) == 1 else name for name in names]
    return names + [f"X{i}" for i in range(len(names), count)]


def compile(function: Any) -> Compiled:  # noqa: A001
    return Compiled(function) if callable(function) else Compiled(None, function)

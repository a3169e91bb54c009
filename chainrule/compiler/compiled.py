"""``compile``: a scalar function of one example, or a graph, becomes an array program over a batch.

This module is the face of the room: it records a function, runs the passes one after the other, and
calls the program they end in.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes, primitives
from ..engine.backend import Value
from ..engine.vectors import read_data
from . import explanation, numpy_source
from .adjoint import differentiate
from .groups import group
from .layout import lay_out
from .program import Program, Symbol
from .replay import LUMP, Replay, endurance, largest_batch, least_groups, narrow
from .tape import Tape, flatten, normalise

Array = np.ndarray[Any, np.dtype[np.float64]]
Shapes = tuple[tuple[int, ...], ...]

_PART = 15_000  # numbers in the largest array of a part: below the 128 kB from which malloc maps


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
    replay: Replay | None = None
    """The other way to run it, where arrays are not always the faster one."""
    _functions: dict[str, Any] = field(default_factory=dict, repr=False)

    def report(self) -> str:
        """Return what every pass found, and the program."""
        parts = [f"{title}\n{text}" for title, text in self.passes]
        parts.append("7. NumPy\n" + self.source)
        if self.replay is not None:
            parts.append(f"8. Replay\n  {self.stats['replay']}")
        return "\n\n".join(parts)

    def function(self, name: str) -> Callable[..., Any]:
        """Return ``forward`` or ``gradient``, made from the printed source and nothing else."""
        if not self._functions:
            namespace: dict[str, Any] = {"rows": _without_source(self.program)}
            exec(self.source, namespace)
            self._functions = namespace
        function: Callable[..., Any] = self._functions[name]
        return function

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_functions": {}}  # made again from the source


class Recording(NamedTuple):
    """A function that was run once: its graph, up to pass 2, and what is told of it."""

    tape: Tape
    members: list[list[int]]
    """The numbers of the leaves of every argument."""
    names: Sequence[str]
    shapes: Shapes
    result: Any


class Narrow(Lifted):
    """A recording without width: replayed, and lifted when somebody asks for the program."""

    def __init__(self, recording: Recording, order: list[int], replay: Replay, groups: int):
        self.recording, self.order = recording, order
        self.replay: Replay = replay
        self.shapes, self.result = recording.shapes, recording.result
        self.parameters = tuple(recording.tape.leaves[n] for n in order)
        self.stats = explanation.replay_stats(recording.tape, groups)

    @functools.cached_property
    def whole(self) -> Lifted:
        """The array program after all, with the parameters in the same order."""
        lifted = _lifted(self.recording, self.order)
        most = largest_batch(self.stats["nodes"], _operations(lifted.stats))
        self.replay = dataclasses.replace(self.replay, largest=most, patience=0.0)
        self.stats = {**lifted.stats, "replay": explanation.replayed_up_to(most)}
        return lifted

    @functools.cached_property
    def program(self) -> Program:  # type: ignore[override]  # no less writeable than a field
        return self.whole.program

    @functools.cached_property
    def source(self) -> str:  # type: ignore[override]
        return self.whole.source

    @functools.cached_property
    def widest(self) -> int:  # type: ignore[override]
        return self.whole.widest

    def function(self, name: str) -> Callable[..., Any]:
        return self.whole.function(name)

    def report(self) -> str:
        parts = explanation.tape_passes(self.recording.tape)
        parts.append(("8. Replay", f"  {self.stats['replay']}"))
        return "\n\n".join(f"{title}\n{text}" for title, text in parts)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


def _without_source(program: Program) -> dict[str, Any]:
    """Return the array functions of a user's own primitives, which the source cannot spell out."""
    names = {operation.detail for operation in program.operations if operation.kind == "apply"}
    return {name: primitives.named(name).array for name in names}


class Compiled:
    """A compiled function of batches; :func:`compile` makes it and describes it."""

    def __init__(self, function: Callable[..., Any] | None, root: Any = None):
        self._function = function
        self._name = getattr(function, "__name__", "a compiled graph")
        self._lifted: dict[Shapes, Lifted] = {}
        self._latest: Lifted | None = None
        self._names = _parameter_names(function)
        if function is None:
            outputs: list[Any] = []
            structure = _numbered(root, outputs, "compile")
            self._latest = self._lifted[()] = _lift(outputs, [], [], (), structure)

    def __call__(self, *arrays: Any) -> Any:
        """Return the result for every example, in the structure that the function returned.

        Each number of it becomes an array of shape (m,); for a compiled graph, a float.
        """
        lifted, batch = self._prepared(arrays)
        if lifted.replay is not None and lifted.replay.suits(batch):
            found: Any = lifted.replay.forward(read_data(lifted.parameters), batch)
        else:
            found = lifted.function("forward")(*_thetas(lifted, "forward"), *batch)
        size = _count(lifted.result)
        if not batch:
            return _filled(lifted.result, np.broadcast_to(found, (size,)).tolist())
        table = np.array(np.broadcast_to(found, (len(batch[0]), size)).T)
        return _filled(lifted.result, list(table))

    def value_and_grad(self, *arrays: Any) -> tuple[float, Array]:
        """Return the mean of the result over the examples, and its gradient.

        The gradient is a vector with an entry for each of :attr:`parameters`.  TypeError if the
        function returns more than one number, ValueError if there are no examples.
        """
        lifted, batch = self._prepared(arrays)
        if _count(lifted.result) != 1:
            raise TypeError(
                f"the gradient of {self._name} needs one number as its result, not "
                f"{_count(lifted.result)}"
            )
        if batch and not len(batch[0]):
            raise ValueError(f"{self._name}: the mean over an empty batch is undefined")
        if lifted.replay is not None and lifted.replay.suits(batch):
            return lifted.replay.gradient(read_data(lifted.parameters), batch)
        program = lifted.program
        function, thetas = lifted.function("gradient"), _thetas(lifted, "gradient")
        places = [slice(*program.operations[number].detail) for number, _ in program.gradients]
        mean, gradient = 0.0, np.zeros(len(lifted.parameters))
        for rows, share in _shares(lifted, batch):
            cost, derivatives = function(*thetas, *rows)
            mean += share * float(np.ravel(cost)[0])
            for place, derivative in zip(places, derivatives, strict=True):
                gradient[place] += np.ravel(derivative if share == 1.0 else share * derivative)
        return mean, gradient

    def backward(self, *arrays: Any) -> float:
        """Add the gradient of the mean over the examples into the parameters' ``grad``.

        Return the mean.  No parameter is touched if anything is wrong.
        """
        cost, gradient = self.value_and_grad(*arrays)
        for value, g in zip(self.parameters, gradient.tolist(), strict=True):
            value.grad += g
        return cost

    def record(self, *arrays: Any) -> Compiled:
        """Record the function for examples shaped as those in *arrays*; return the function itself.

        Calling it does so by itself when it meets new shapes.
        """
        self._prepared(arrays)
        return self

    # --- what was found ------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The leaves that the function captured, in the order of the gradient."""
        return self._recorded().parameters

    @property
    def program(self) -> Program:
        """The array program of the latest recording, as plain data."""
        return self._recorded().program

    @property
    def source(self) -> str:
        """The program as a NumPy module: what is run, and runs anywhere."""
        return self._recorded().source

    @property
    def stats(self) -> dict[str, Any]:
        """What was lifted: nodes in, array operations out, products, and gathers left, and why."""
        return dict(self._recorded().stats)

    def explain(self) -> str:
        """Return what every pass of the compiler found, and the program it ended in."""
        return self._recorded().report()

    def __repr__(self) -> str:
        return f"<compiled {self._name}, recorded for {len(self._lifted)} shapes of example>"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_function": None}  # a lambda would not travel, the programs do

    # --- recording -----------------------------------------------------------------------------

    def _recorded(self) -> Lifted:
        if self._latest is None:
            raise RuntimeError(
                f"{self._name} is not recorded yet: call it on a batch, or record(X, ...)"
            )
        return self._latest

    def _prepared(self, arrays: Sequence[Any]) -> tuple[Lifted, list[Array]]:
        """Return the recording for *arrays*, and them as a row of numbers per example."""
        if () in self._lifted:
            if arrays:
                raise TypeError(
                    "a compiled graph takes no arguments: write to the data of its leaves instead"
                )
            return self._lifted[()], []
        batch = self._batch(arrays)
        shapes = tuple(x.shape[1:] for x in batch)
        lifted = self._lifted.get(shapes)
        if lifted is None:
            lifted = self._lifted[shapes] = self._record(batch, shapes)
        self._latest = lifted
        return lifted, [x if x.ndim > 1 else x[:, None] for x in batch]

    def _batch(self, arrays: Sequence[Any]) -> list[Array]:
        if not arrays:
            raise TypeError(
                f"{self._name}: expected an array with a row per example for each argument"
            )
        names = self._argument_names(len(arrays))
        batch = []
        for name, given in zip(names, arrays, strict=True):
            try:
                array = np.asarray(given)
            except ValueError as error:
                raise ValueError(
                    f"{self._name}: argument {name} is ragged; examples must have one shape: "
                    "pad them, or compile the graph of each length"
                ) from error
            if array.dtype.kind not in "fiub":
                raise TypeError(
                    f"{self._name}: argument {name} is an array of {array.dtype}; expected numbers"
                )
            if not array.ndim:
                raise ValueError(
                    f"{self._name}: argument {name} is a single number; expected a batch, whose "
                    "first axis counts the examples"
                )
            batch.append(array.astype(float, copy=False))
        for name, array in zip(names, batch, strict=True):
            if len(array) != len(batch[0]):
                raise ValueError(
                    f"{self._name}: argument {names[0]} has shape {batch[0].shape} and {name} "
                    f"{array.shape}; expected as many examples in each"
                )
        return batch

    def _argument_names(self, count: int) -> list[str]:
        names = self._names[:count]
        return names + [f"x{i}" for i in range(len(names), count)]

    def _record(self, batch: list[Array], shapes: Shapes) -> Lifted:
        if self._function is None:
            names = self._argument_names(len(batch))
            known = " or ".join(map(str, self._lifted))
            raise ValueError(
                f"{self._name}: arguments {', '.join(names)} have examples of shapes {shapes}, but "
                f"this program was recorded for {known}; a loaded program cannot record new ones"
            )
        examples = [_example(x) for x in batch]
        with modes.tracing():
            result = self._function(*examples)
        outputs: list[Any] = []
        structure = _numbered(result, outputs, self._name)
        names = [_capital(name) for name in self._argument_names(len(batch))]
        return _lift(outputs, [_leaves(x) for x in examples], names, shapes, structure)


def compile(function: Any) -> Compiled:
    """Return *function*, written for one example in scalars, as a program on arrays of examples.

    The function is run once, its graph is lifted to matrix products and whole-array operations, and
    the result is called with an array per argument, whose first axis counts the examples:

    >>> import chainrule as cr
    >>> w, b = [cr.Value(2.0), cr.Value(-1.0)], cr.Value(0.5)
    >>> @cr.compile
    ... def loss(x, y):
    ...     return cr.square(cr.dot(w, x, b) - y)
    >>> X, Y = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0.5, 1.5, 2.5]
    >>> loss(X, Y).tolist()
    [0.0, 1.0, 4.0]
    >>> loss.value_and_grad(X, Y)
    (1.6666666666666667, array([ 2.        ,  8.66666667, 10.66666667]))
    >>> loss.backward(X, Y)
    1.6666666666666667
    >>> w[1].grad
    10.666666666666666

    An argument is a number, a list or a nested list of numbers, as the shape of its array says.
    Leaves that the function captured are parameters: their data is read anew at every call.
    ``source`` is the program, which runs with NumPy alone; ``stats`` and ``explain()`` say what was
    found.  Instead of a function a root Value may be given, or a list of them: its graph is
    compiled as it is, ``loss()`` computes it again from the present data of its leaves, and all
    these are parameters.

    The function is recorded once for every shape of example.  Comparing Values or testing them
    raises TraceError, since the outcome would be fixed for all examples: choose with ``cr.where``.
    What it does with plain numbers, ``v.data`` included, is recorded as it went.
    """
    if isinstance(function, (Value, list, tuple)):
        return Compiled(None, function)
    if not callable(function):
        raise TypeError(
            f"compile: expected a function of one example or a Value, not {type(function).__name__}"
        )
    return Compiled(function)


# --- the passes in a row -------------------------------------------------------------------------


def _lift(
    outputs: Sequence[Any],
    arguments: Sequence[Sequence[Value]],
    names: Sequence[str],
    shapes: Shapes,
    structure: Any,
) -> Lifted:
    """Return the graph of *outputs* as an array program over batches of *arguments*."""
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples and no cycles: the collector would look at them over and over
    try:
        tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
        members = tape.arguments(arguments)
        normalise(tape)
        recording = Recording(tape, members, names, shapes, structure)
        return _narrow(recording, least_groups(tape)) or _lifted(recording)
    finally:
        if collecting:
            gc.enable()


def _narrow(recording: Recording, groups: int) -> Narrow | None:
    """Return the recording to be replayed if its nodes make that many groups, and if it can be."""
    tape, members = recording.tape, recording.members
    if not narrow(tape.recorded, groups):
        return None
    inputs = {n for argument in members for n in argument}
    order = [n for n in tape.leaves if n not in inputs]
    replay = Replay.of(tape, members, order, *endurance(tape.recorded, groups))
    return None if replay is None else Narrow(recording, order, replay, groups)


def _lifted(recording: Recording, order: list[int] | None = None) -> Lifted:
    """Return a recording as an array program; with an *order* of the parameters, in any case."""
    tape, members, names, shapes, structure = recording
    grouping = group(tape, members)
    groups = sum(LUMP if part.lump else 1 for part in grouping.groups)
    if order is None and (found := _narrow(recording, groups)):
        return found
    layout = lay_out(tape, grouping, members, shapes, order or ())
    program = layout.program
    program.inputs = list(names)
    program.outputs = [_operand(layout.outputs)]
    if len(tape.outputs) == 1:
        _add_gradient(layout, bool(members))
    source = numpy_source.write(program)
    stats = explanation.stats(tape, program)
    lifted = Lifted(
        program,
        tuple(tape.leaves[n] for n in layout.parameters),
        shapes,
        structure,
        source,
        stats,
        explanation.passes(tape, grouping, layout),
        max((math.prod(x.shape) for x in program.operations if x.batched), default=1),
    )
    most = largest_batch(tape.recorded, _operations(stats))
    if most and order is None:
        lifted.replay = Replay.of(tape, members, layout.parameters, most)
    if lifted.replay is not None:
        stats["replay"] = explanation.replayed_up_to(most)
    return lifted


def _operations(stats: dict[str, Any]) -> int:
    """Return how many array operations a run takes."""
    count: int = stats.get("gradient", stats["forward"])
    return count


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


def _thetas(lifted: Lifted, function: str) -> list[Array]:
    vector = read_data(lifted.parameters)
    return [
        vector[slice(*operation.detail)].reshape(operation.shape)
        for operation in lifted.program.parameters(function)
    ]


def _shares(lifted: Lifted, batch: list[Array]) -> Iterator[tuple[list[Array], float]]:
    """Yield the batch in parts, each with its share of the mean.

    The arrays of a part stay so small that they are neither mapped anew by the operating system at
    every run nor pushed out of the cache: for 1,797 digits that halves the time.
    """
    count = len(batch[0]) if batch else 1
    rows = max(64, _PART // lifted.widest)
    if count <= rows:
        yield batch, 1.0
        return
    parts = -(-count // rows)
    edges = [count * i // parts for i in range(parts + 1)]
    for start, stop in itertools.pairwise(edges):
        yield [x[start:stop] for x in batch], (stop - start) / count


# --- structures of arguments and results ---------------------------------------------------------


def _example(batch: Array) -> Any:
    """Return the first example of *batch* with Values for its numbers; zeros if there is none."""
    first = batch[0] if len(batch) else np.zeros(batch.shape[1:])

    def wrapped(x: Any) -> Any:
        return [wrapped(part) for part in x] if isinstance(x, list) else Value(x)

    return wrapped(first.tolist())


def _leaves(structure: Any) -> list[Value]:
    if isinstance(structure, list):
        return [leaf for part in structure for leaf in _leaves(part)]
    return [structure]


def _numbered(structure: Any, outputs: list[Any], name: str) -> Any:
    """Return *structure* with numbers counted from 0 for its leaves, which go into *outputs*."""
    if isinstance(structure, np.ndarray):
        structure = structure.tolist()
    if isinstance(structure, dict):
        return {key: _numbered(part, outputs, name) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        parts = [_numbered(part, outputs, name) for part in structure]
        return parts if isinstance(structure, list) else tuple(parts)
    if not isinstance(structure, Value):
        structure = primitives.as_float(structure, f"result of {name}")
    outputs.append(structure)
    return len(outputs) - 1


def _filled(structure: Any, found: Sequence[Any]) -> Any:
    if isinstance(structure, dict):
        return {key: _filled(part, found) for key, part in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)(_filled(part, found) for part in structure)
    return found[structure]


def _count(structure: Any) -> int:
    if isinstance(structure, dict):
        return sum(map(_count, structure.values()))
    return sum(map(_count, structure)) if isinstance(structure, (list, tuple)) else 1


def _parameter_names(function: Callable[..., Any] | None) -> list[str]:
    """Return the names of the positional parameters of *function*, as far as it tells them."""
    try:
        parameters = inspect.signature(function).parameters.values() if function else ()
    except (TypeError, ValueError):
        return []
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [x.name for x in parameters if x.kind in plain]


def _capital(name: str) -> str:
    """Return the name of the array whose rows are called *name*: X for x."""
    return name.upper() if len(name.rstrip("0123456789")) == 1 else name

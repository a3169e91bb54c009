"""A compiled function with its pullback, for those who differentiate a model of which it is a part.

The numbers of the parameters are given at every call, as one vector, and not read from the Values.
What the derivatives of a model need are two more functions, compiled in their turn: the derivatives
of the results times weights by the arguments, and their sum over the examples by the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine.backend import Value
from ...engine.vectors import read_data, write_data
from .. import derivatives
from ..batches import Array
from ..compiled import Compiled
from ..derivatives import Source
from ..recorded_function import Recorded
from .compiled import CompiledForLibrary

Shape = tuple[int, ...]


class Part:
    """A compiled function and what differentiates it; its arrays are those of a subclass.

    TypeError for a compiled graph or a loaded program, of which there is no function.
    """

    def __init__(self, compiled: Compiled):
        if compiled.function is None:
            raise TypeError(
                f"{compiled!r} cannot be a part of a model: compile a function of one example; a "
                "graph, or a loaded program, has none"
            )
        self.compiled = compiled
        self._derived: dict[Any, Compiled] = {}

    def recorded(self, shapes: Sequence[Shape]) -> Recorded:
        """Return the recording for batches of those *shapes*."""
        return self.compiled.recording_of([tuple(shape[1:]) for shape in shapes])

    def parameters(self) -> Array:
        """Return the numbers that the parameters have now."""
        return read_data(self.compiled.parameters)

    def result_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the result for one example; TypeError if it has none."""
        return self.compiled.result_shape(self.recorded(shapes))

    def pullback(self, kind: Callable[[Source], Any], by: tuple[int, ...]) -> Compiled:
        """Return a function of :mod:`.derivatives` of this one, compiled in its turn."""
        key = kind, by
        if key not in self._derived:
            function: Any = self.compiled.function
            name = function.__name__ if hasattr(function, "__name__") else type(function).__name__
            made = kind(Source(function, name, by))
            self._derived[key] = self._compile(made, self.compiled.parameters)
        return self._derived[key]

    def _compile(self, function: Any, leaves: Sequence[Value]) -> Compiled:
        raise NotImplementedError


class NativePart(Part):
    """On the machine, with NumPy arrays in float64."""

    def __init__(self, compiled: Compiled):
        super().__init__(compiled)
        self._ready: set[Any] = set()

    def _compile(self, function: Any, leaves: Sequence[Value]) -> Compiled:
        return Compiled(function, wrt=leaves)

    def forward(self, theta: Array, arrays: Sequence[Array]) -> Array:
        """Return the results, (m, result...)."""
        shape = self.result_shape([x.shape for x in arrays])
        table = self._run(self.compiled, "forward", theta, arrays)
        return np.ascontiguousarray(table.T).reshape(len(arrays[0]), *shape)

    def pull(
        self, theta: Array, arrays: Sequence[Array], weights: Array, by: tuple[int, ...]
    ) -> list[Array]:
        """Return the derivatives by the arguments *by*, shaped as these."""
        rows = weights.reshape(len(weights), -1)
        pullback = self.pullback(derivatives.pulled, by)
        table = self._run(pullback, "forward", theta, [*arrays, rows])
        return derivatives.split(table, [arrays[i] for i in by])

    def slope(self, theta: Array, arrays: Sequence[Array], weights: Array) -> Array:
        """Return the derivatives by the parameters, added up over the examples."""
        count = len(weights)
        if not count or not len(theta):
            return np.zeros(len(theta))
        rows = weights.reshape(count, -1)
        weighted = self.pullback(derivatives.weighted, ())
        _, gradient = self._run(weighted, "gradient", theta, [*arrays, rows])
        return count * gradient  # type: ignore[no-any-return]

    def _run(self, compiled: Compiled, function: str, theta: Array, arrays: Sequence[Array]) -> Any:
        recorded, batch = compiled.prepared(arrays)
        key = id(compiled), function, recorded.shapes
        if key not in self._ready:  # which makes the machine
            recorded.forward(batch) if function == "forward" else recorded.gradient(batch)
            self._ready.add(key)
        machine, leaves = recorded.machine(function)
        own = self.compiled.parameters
        stand_ins = [Value(0.0) for _ in own]
        write_data(stand_ins, theta)
        place = dict(zip(own, stand_ins, strict=True))
        return machine.run(tuple([place.get(leaf, leaf) for leaf in leaves]), tuple(batch), 1)


class LibraryPart(Part):
    """By printed programs, on arrays of the library, which may trace what it computes with them."""

    compiled: CompiledForLibrary

    def _compile(self, function: Any, leaves: Sequence[Value]) -> Compiled:
        return CompiledForLibrary(function, wrt=leaves, library=self.compiled.library)

    def forward(self, theta: Any, arrays: Sequence[Any]) -> Any:
        """Return the results, (m, result...)."""
        shape = self.result_shape([tuple(x.shape) for x in arrays])
        table = self._traced(self.compiled, "forward", theta, arrays)
        return self.compiled.library.xp.reshape(table.T, (arrays[0].shape[0], *shape))

    def pull(
        self, theta: Any, arrays: Sequence[Any], weights: Any, by: tuple[int, ...]
    ) -> list[Any]:
        """Return the derivatives by the arguments *by*, shaped as these."""
        xp, m = self.compiled.library.xp, arrays[0].shape[0]
        rows = xp.reshape(weights, (m, math.prod(weights.shape[1:])))
        pullback = self.pullback(derivatives.pulled, by)
        table = self._traced(pullback, "forward", theta, [*arrays, rows])
        found, start = [], 0
        for i in by:
            size = math.prod(arrays[i].shape[1:])
            found.append(xp.reshape(table[start : start + size, ...].T, arrays[i].shape))
            start += size
        return found

    def slope(self, theta: Any, arrays: Sequence[Any], weights: Any) -> Any:
        """Return the derivatives by the parameters, added up over the examples."""
        xp, m = self.compiled.library.xp, arrays[0].shape[0]
        if not m or not theta.shape[0]:
            return 0.0 * theta
        rows = xp.reshape(weights, (m, math.prod(weights.shape[1:])))
        weighted = self.pullback(derivatives.weighted, ())
        _, gradient = self._traced(weighted, "gradient", theta, [*arrays, rows])
        return m * gradient

    def _traced(self, compiled: Any, function: str, theta: Any, arrays: Sequence[Any]) -> Any:
        """Return a function's answer; it is not tested whether the data keep its rules."""
        recorded = compiled.recording_of([tuple(x.shape[1:]) for x in arrays])
        batch = [x if x.ndim > 1 else x[:, None] for x in arrays]
        return compiled.traced(recorded, function, theta, batch)

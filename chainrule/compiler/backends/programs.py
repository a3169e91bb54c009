"""One recording on an array library: its functions printed, loaded, and run."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine.backend import Value
from ..addresses import AnyArray
from ..lifting import Lifted
from ..loops import Looped
from ..printers.arrays.file import names_in, write, write_steps
from ..printers.names import free_names
from ..program import Program
from .library import Library


class LibraryProgram:
    """A recording, to be called with a vector of numbers of *leaves*, and the batch as arrays."""

    def __init__(
        self, recorded: Lifted | Looped, leaves: Sequence[Value], library: Library
    ) -> None:
        self.recorded, self.library = recorded, library
        self.size = recorded.size
        if isinstance(recorded, Looped) and recorded.size == 1 and not recorded.has_gradient:
            recorded = recorded.written_out
        order = self._print_steps(recorded)
        self.steps = order is not None
        if order is None:  # there is some width, or a loop of another kind
            arrays = recorded.written_out.arrays
            self.program: Program = arrays.program
            order = arrays.parameters
            own = {leaf: i for i, leaf in enumerate(order)}
            # By what the recording has: a loop that was written out may read less.
            self.wanted = [own.get(leaf, -1) for leaf in self.recorded.parameters]
            self.printed = write(self.program, *self._settings())
            names = self.program.row_names()
            self._rows = dict(zip(names, self.program.rows, strict=True))
        place = {leaf: i for i, leaf in enumerate(leaves)}
        self.order = np.array([place[x] for x in order], dtype=np.int64)
        self.count = len(leaves)

    def _settings(self) -> tuple[Any, ...]:
        library = self.library
        device = None if library.device is None else str(library.device)
        return library.spelling, library.module, library.precision, device

    def _print_steps(self, recorded: Lifted | Looped) -> tuple[Value, ...] | None:
        """Print a recording step by step, and return the order of its leaves; None if it has width.

        So it is for a loop that the printer does not know: then all is written out.
        """
        if not (isinstance(recorded, Looped) or recorded.narrow):
            return None
        plans = recorded.plans(False) if isinstance(recorded, Looped) else recorded.plans()
        names = free_names([f"X{i}" for i in range(len(recorded.shapes))])
        try:
            self.printed = write_steps(plans, names, *self._settings())
        except LookupError:
            return None
        self._rows = {name: row for row, name in names_in(plans).items()}
        return recorded.captured

    @functools.cached_property
    def _space(self) -> dict[str, Any]:
        rows = {name: self.library.row(row) for name, row in self._rows.items()}
        with self.library.concrete():
            return self.printed.loaded(rows=rows)

    @functools.cached_property
    def _indices(self) -> dict[str, Any]:
        with self.library.concrete():
            indices = self.library.words["indices"]
            return {key: indices(x) for key, x in self._places().items()}

    # --- functions -------------------------------------------------------------------------------

    @functools.cached_property
    def forward(self) -> Callable[..., Any]:
        """The function of the outputs: a row each, with a column for each example."""
        return self.library.quick(self.traced_forward)

    @functools.cached_property
    def gradient(self) -> Callable[..., Any]:
        """The function of the mean of the only output, and its gradient."""
        return self.library.quick(self.traced_gradient)

    @property
    def traced_forward(self) -> Callable[..., Any]:
        """The function of the outputs as it is, for a caller who traces or compiles it."""
        function = self._space["forward"]
        wrapped = self._stepwise if self.steps else self._forward
        return functools.partial(wrapped, function)

    @property
    def traced_gradient(self) -> Callable[..., Any]:
        """The function of the mean and its gradient as it is."""
        function = self._space["gradient"]
        wrapped = self._stepwise if self.steps else self._gradient
        return functools.partial(wrapped, function)

    def _places(self) -> dict[str, AnyArray]:
        """Return where the parameters of the program are in the vector, and the gradient's numbers.

        What would be all of them in their order is left out.
        """
        found = {"parameters": (self.order, self.count)}
        if not self.steps and self.program.cost is not None:
            for key, members in enumerate(self._layers):
                place, at = np.full(len(self.order) + 1, -1), 0
                for k in members:
                    start, stop = self._extent(k)
                    place[start:stop] = at + np.arange(stop - start)
                    at += stop - start
                some = place[np.asarray(self.wanted, dtype=np.int64)]
                found[f"gradient {key}"] = np.where(some < 0, at, some), at
        return {
            key: x
            for key, (x, count) in found.items()
            if len(x) != count or (x != np.arange(count)).any()
        }

    def _extent(self, k: int) -> tuple[int, int]:
        """Return from which to which parameter the derivatives number *k* are."""
        start, stop = self.program.operations[self.program.gradients[k][0]].detail
        return int(start), int(stop)

    @functools.cached_property
    def _layers(self) -> list[list[int]]:
        """The derivatives in lists: in each of them, no parameter has two."""
        layers: list[list[int]] = []
        for k in range(len(self.program.gradients)):
            start, stop = self._extent(k)
            for layer in layers:
                if all(stop <= a or b <= start for a, b in map(self._extent, layer)):
                    layer.append(k)
                    break
            else:
                layers.append([k])
        return layers

    def _chosen(self, key: str, vector: Any) -> Any:
        places = self._indices.get(key)
        return vector if places is None else self.library.words["take"](vector, places)

    def _thetas(self, vector: Any, function: str) -> list[Any]:
        vector = self._chosen("parameters", vector)
        return [
            self.library.xp.reshape(vector[slice(*operation.detail)], operation.shape)
            for operation in self.program.parameters(function)
        ]

    def _stepwise(self, function: Callable[..., Any], vector: Any, *batch: Any) -> Any:
        return function(self._chosen("parameters", vector), *batch)

    def _forward(self, function: Callable[..., Any], vector: Any, *batch: Any) -> Any:
        xp, words = self.library.xp, self.library.words
        m = batch[0].shape[0] if batch else 1
        found = function(*self._thetas(vector, "forward"), *batch)
        (output,) = self.program.outputs
        if type(output) is not int:
            return words["full"]((self.size, m), output)
        operation = self.program.operations[output]
        count = int(np.prod(operation.shape))
        if not operation.batched:
            column = xp.reshape(found, (count, 1))
            return xp.broadcast_to(column, (self.size, m))
        return xp.broadcast_to(xp.reshape(found, (m, count)).T, (self.size, m))

    def _gradient(self, function: Callable[..., Any], vector: Any, *batch: Any) -> Any:
        xp, words = self.library.xp, self.library.words
        cost, slopes = function(*self._thetas(vector, "gradient"), *batch)
        cost = xp.reshape(cost, ()) if type(self.program.cost) is int else words["full"]((), cost)
        if not len(self.wanted):
            return cost, words["full"]((0,), 0.0)
        found: Any = None
        for key, layer in enumerate(self._layers):
            flat = [xp.reshape(slopes[k], (-1,)) for k in layer]
            if f"gradient {key}" in self._indices:  # and a 0 for what has no derivative here
                joined = words["concat"]([*flat, words["full"]((1,), 0.0)], 0)
                some = self._chosen(f"gradient {key}", joined)
            else:
                some = flat[0] if len(flat) == 1 else words["concat"](flat, 0)
            found = some if found is None else found + some
        return cost, words["full"]((len(self.wanted),), 0.0) if found is None else found

"""A compiled function that runs on an array library, with its parameters where that computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine import modes
from ...engine.backend import Value
from ...engine.structures import mapped
from ...engine.vectors import add_grads, read_data
from .. import derivatives
from ..batches import floats
from ..compiled import Compiled
from ..lifting import Shapes
from ..nodes import holds_values, inlined
from ..recorded_function import Recorded
from .device import OnDevice
from .library import Library
from .programs import LibraryProgram


class CompiledForLibrary(Compiled):
    """A compiled function of batches on JAX, PyTorch, CuPy or another array library.

    It is called as any compiled function is.  Batches may be arrays of the library, which stay
    where they are; results are arrays of the library.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        root: Any = None,
        wrt: Sequence[Value] | None = None,
        *,
        library: Library,
    ):
        self._library = library
        self._programs: dict[Any, LibraryProgram] = {}
        self._stores: dict[tuple[Value, ...], OnDevice | None] = {}
        self._current: OnDevice | None = None
        super().__init__(function, root, wrt)

    # --- calls -----------------------------------------------------------------------------------

    def __call__(self, *arrays: Any) -> Any:
        """Return the result for every example, in the structure that the function returned.

        Each number in it becomes an array of the library, of shape (m,); of a compiled graph, one
        of shape ().
        """
        if modes.current().tracing and holds_values(arrays) and self._function is not None:
            return inlined(self._function, arrays)
        self._refuse_values(arrays)
        lifted, batch = self._prepared(arrays)
        with self._library.running():
            table = self._program(lifted).forward(self._vector(lifted), *batch)
            result = lifted.result
            if isinstance(result, np.ndarray) and result.ndim:
                shape = (*result.shape, *tuple(table.shape)[1:]) if arrays else result.shape
                return self._library.xp.reshape(table, shape)
            rows = [table[i, ...] if arrays else table[i, 0] for i in range(lifted.size)]
        return rows[0] if type(result) is int else mapped(result, rows.__getitem__)

    def value_and_grad(self, *arrays: Any) -> tuple[Any, Any]:
        """Return the mean of the result over the examples, and its gradient, as arrays.

        The gradient is a vector with an entry for each of :attr:`parameters`; the mean has shape
        ().  Errors are those of any compiled function.
        """
        return self._library_gradient(arrays)[1:]

    def backward(self, *arrays: Any) -> float:
        """Add the gradient of the mean over the examples to the parameters' ``grad``.

        Return the mean, as a float.  Both come from the device for that.
        """
        lifted, cost, gradient = self._library_gradient(arrays)
        found = float(self._library.numpy(cost))
        add_grads(lifted.parameters, self._library.numpy(gradient))
        return found

    def jacobian(
        self,
        *arrays: Any,
        argnums: Any = None,
        wrt: Any = None,
        mode: str | None = None,
        sparse: bool = False,
    ) -> Any:
        """Return what :meth:`.Compiled.jacobian` does, as arrays of the library.

        The sweeps are part of a program that is printed for the library too.  Sparse arrays are
        SciPy's.
        """
        self._refuse_values(arrays)
        given = self._on_host(arrays)
        recorded = self._prepared(arrays)[0]
        lifted, result = recorded.written_out, self._result_shape(recorded)
        if sparse:
            return self._sparse_jacobian(given, argnums, wrt, lifted, mode)
        if wrt is not None and argnums is not None:
            raise TypeError(f"the Jacobian of {self._name}: give either argnums or wrt")
        inputs = self._input_count(given, argnums, wrt)
        if self._forward(mode, lifted.size, inputs):
            return self._own(self._forward_jacobian(given, argnums, wrt, result))
        return self._own(self._reverse_jacobian(given, argnums, wrt, result))

    def _reverse_jacobian(
        self, arrays: Sequence[Any], argnums: Any, wrt: Any, shape: tuple[int, ...]
    ) -> Any:
        source, given = self._source("jacobian", arrays, argnums, wrt)
        if source is None:
            leaves = self._leaves(wrt)
            table = np.array(self._graph(derivatives.rows, leaves)(), dtype=float)
            return table.reshape(*shape, len(leaves))
        count = len(arrays[0])
        if self._input_count(arrays, argnums, wrt):
            made = self._derived(("rows", source), lambda: derivatives.rows(source))
            table = np.asarray(made(*arrays)).swapaxes(0, 1)  # (inputs, outputs, examples)
        else:
            table = np.zeros((0, math.prod(shape), count))
        if source.leaves is not None:
            return np.moveaxis(table, 0, -1).swapaxes(0, 1).reshape(count, *shape, len(table))
        parts = [
            part.reshape(len(x), *shape, *x.shape[1:])
            for part, x in zip(derivatives.split(table, given), given, strict=True)
        ]
        return parts[0] if self._single(source, argnums) else tuple(parts)

    def jvp(self, *arrays: Any, tangents: Any, argnums: Any = None, wrt: Any = None) -> Any:
        """Return what :meth:`.Compiled.jvp` does, as arrays of the library."""
        given, along = self._on_host(arrays), self._host(tangents)
        return self._own(super().jvp(*given, tangents=along, argnums=argnums, wrt=wrt))

    def hvp(
        self,
        *arrays: Any,
        vector: Any,
        argnums: Any = None,
        wrt: Any = None,
        with_gradient: bool = False,
    ) -> Any:
        """Return what :meth:`.Compiled.hvp` does, as arrays of the library."""
        given, along = self._on_host(arrays), self._host(vector)
        found = super().hvp(
            *given, vector=along, argnums=argnums, wrt=wrt, with_gradient=with_gradient
        )
        return self._own(found)

    def hessian(
        self, *arrays: Any, argnums: Any = None, wrt: Any = None, sparse: bool = False
    ) -> Any:
        """Return what :meth:`.Compiled.hessian` does, as arrays of the library."""
        found = super().hessian(*self._on_host(arrays), argnums=argnums, wrt=wrt, sparse=sparse)
        return found if sparse else self._own(found)

    # --- parameters ------------------------------------------------------------------------------

    @property
    def parameters_on_device(self) -> Any:
        """The numbers of :attr:`parameters` as one array of the library, where it computes.

        They are sent when they are first needed; afterwards only what was written into the Values
        is sent again.  Assign an array to train on the device: calls use it from then on, and the
        Values keep their numbers until :meth:`pull`.

        >>> import chainrule as cr
        >>> w = cr.Value(1.0)
        >>> f = cr.compile(lambda x: cr.square(w * x), backend="numpy").record([1.0])
        >>> _, slope = f.value_and_grad([1.0, 2.0])
        >>> f.parameters_on_device = f.parameters_on_device - 0.1 * slope
        >>> before = w.data
        >>> f.pull()
        >>> before, w.data
        (1.0, 0.5)
        """
        store = self._store(self._recorded())
        with self._library.running():
            return store.vector()[: len(self.parameters)]

    @parameters_on_device.setter
    def parameters_on_device(self, vector: Any) -> None:
        store, count = self._store(self._recorded()), len(self.parameters)
        library = self._library
        given = str(getattr(vector, "dtype", ""))
        if library.precision == "float64" and given.endswith(("float32", "float16")):
            raise TypeError(
                f"{self._name}: parameters_on_device is given an array of {given}, and the "
                "function is compiled for float64; compute it in float64, which JAX does within "
                "jax.enable_x64(True) only, or compile the function with dtype='float32'"
            )
        new = library.cast(vector) if library.is_own(vector) else library.array(vector)
        if tuple(new.shape) != (count,):
            raise ValueError(
                f"{self._name}: parameters_on_device has shape {tuple(new.shape)}; expected "
                f"({count},), a number for each of its parameters"
            )
        with library.running():
            store.replace(library.words["concat"]([new, store.vector()[count:]], 0))

    def pull(self) -> None:
        """Write the numbers of the parameters on the device into the Values."""
        self._store(self._recorded()).pull()

    def _order(self, lifted: Recorded) -> tuple[Value, ...]:
        """Return the leaves in the order of the device: the parameters, and then all others."""
        first = dict.fromkeys(self.parameters if self._wrt is None else self._wrt)
        return tuple(first | dict.fromkeys(lifted.captured))

    def _store(self, lifted: Recorded) -> OnDevice:
        leaves = self._order(lifted)
        store = self._stores.setdefault(leaves, None) or OnDevice(self._library, leaves)
        if self._current is not store:
            if self._current is not None:
                self._current.settle()  # what was trained for other shapes of example
            self._current = self._stores[leaves] = store
        return store

    def _vector(self, lifted: Recorded) -> Any:
        return self._store(lifted).vector()

    @property
    def library(self) -> Library:
        """The library that it is compiled for."""
        return self._library

    def traced(self, lifted: Recorded, function: str, theta: Any, batch: Sequence[Any]) -> Any:
        """Return "forward" or "gradient" for parameters *theta*, as the library may trace it."""
        program, count = self._program(lifted), len(self.parameters)
        others = self._order(lifted)[count:]
        vector = theta
        if others:
            rest = self._library.array(read_data(others))
            vector = self._library.words["concat"]([theta, rest], 0)
        run = program.traced_forward if function == "forward" else program.traced_gradient
        return run(vector, *batch)

    # --- programs --------------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The program as the text of a module of pure functions, which needs the library alone."""
        return self._program(self._recorded()).printed.source()

    def _program(self, lifted: Recorded) -> LibraryProgram:
        found = self._programs.get(lifted.shapes)
        if found is None or found.recorded is not lifted:
            found = LibraryProgram(lifted, self._order(lifted), self._library)
            known = {shapes: x for shapes, x in self._programs.items() if shapes in self._lifted}
            self._programs = {**known, lifted.shapes: found}
        return found

    def _library_gradient(self, arrays: tuple[Any, ...]) -> tuple[Recorded, Any, Any]:
        """Return the recording for *arrays*, the mean of its result and its gradient."""
        self._refuse_values(arrays)
        lifted, batch = self._prepared(arrays)
        self._check_differentiable(lifted, batch)
        with self._library.running():
            return lifted, *self._program(lifted).gradient(self._vector(lifted), *batch)

    def _again(self, function: Callable[..., Any] | None, root: Any = None) -> Any:
        return _Derived(function, root, library=self._library)

    # --- arrays ----------------------------------------------------------------------------------

    def _batch(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return *arrays* as arrays of the library, all with the same number of examples."""
        self._arguments.check_count(arrays)
        library, told = self._library, self._arguments.told(len(arrays))
        arrays = tuple(
            x if library.is_own(x) and x.ndim else floats(self._host(x), name)
            for name, x in zip(told, arrays, strict=True)
        )
        for name, x in zip(told, arrays, strict=True):
            if "complex" in str(x.dtype):
                raise TypeError(f"{name} is an array of {x.dtype}; expected numbers")
        self._arguments.check_examples(arrays)
        with library.running():
            return tuple(
                [library.cast(x) if library.is_own(x) else library.array(x) for x in arrays]
            )

    def _record(self, batch: Sequence[Any], shapes: Shapes, *how: Any, **more: Any) -> Recorded:
        """Record the function on the first example, which is brought here for that."""
        first = [np.broadcast_to(self._host(x)[:1], tuple(x.shape)) for x in batch]
        return super()._record(first, shapes, *how, **more)

    def _test(self, lifted: Recorded, batch: Sequence[Any]) -> None:
        """Test the data that the function has a rule for, which are brought here for that."""
        if lifted.rules is not None:
            lifted.rules.test([self._library.numpy(x) for x in batch])

    def _refuse_values(self, arrays: tuple[Any, ...]) -> None:
        if any(not self._library.is_own(x) and holds_values((x,)) for x in arrays):
            raise TypeError(
                f"{self._name} is compiled for {self._library.module}, and an argument holds "
                "Values; compile it without backend to call it with Values"
            )

    def _host(self, x: Any) -> Any:
        return _each(x, lambda x: self._library.numpy(x) if self._library.is_own(x) else x)

    def _on_host(self, arrays: Sequence[Any]) -> list[Any]:
        return [self._host(x) for x in arrays]

    def _own(self, found: Any) -> Any:
        """Return arrays of NumPy as arrays of the library."""
        return _each(found, self._library.array)

    def __getstate__(self) -> dict[str, Any]:
        gone: dict[str, Any] = {"_programs": {}, "_stores": {}, "_current": None}
        return {**super().__getstate__(), **gone}


class _Derived(CompiledForLibrary):
    """A derivative of a function that is compiled for a library, whose arrays are put together.

    Its results are NumPy arrays.
    """

    def __call__(self, *arrays: Any) -> Any:
        return self._host(super().__call__(*arrays))

    def jacobian(self, *arrays: Any, **options: Any) -> Any:
        return self._host(super().jacobian(*arrays, **options))


def _each(structure: Any, change: Callable[[Any], Any]) -> Any:
    """Return a structure with every array in it changed."""
    if isinstance(structure, dict):
        return {key: _each(x, change) for key, x in structure.items()}
    if isinstance(structure, (list, tuple)):
        make: Any = getattr(type(structure), "_make", type(structure))  # of a named tuple
        return make([_each(x, change) for x in structure])
    return change(structure)

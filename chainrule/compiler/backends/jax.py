"""JAX: functions run under ``jax.jit``, in float64 without a change of the user's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...engine.table import Primitive
from ..addresses import AnyArray
from ..printers.arrays.spelling import JAX
from .library import Library, imported, on_host


class JAXLibrary(Library):
    """JAX, on its default device or on one that is given."""

    name, title, install, spelling = "jax", "JAX", "'chainrule[jax]'", JAX

    def __init__(self, precision: str = "float64", device: Any = None):
        self.jax = imported("jax", ("jax", "jax.numpy"), self.title, self.install)
        super().__init__(self.jax.numpy, precision, device)

    def check_device(self) -> None:
        if isinstance(self.device, str):
            try:
                self.device = self.jax.devices(self.device)[0]
            except RuntimeError as error:
                raise ValueError(f"compile: device={self.device!r}: {error}") from None

    @property
    def module(self) -> str:
        return "jax.numpy"

    def is_own(self, x: Any) -> bool:
        return isinstance(x, self.jax.Array)

    def array(self, x: Any) -> Any:
        with self.concrete():
            return self.jax.device_put(np.asarray(x, dtype=self.precision), self.device)

    def cast(self, x: Any) -> Any:
        with self.running():
            found = x if x.dtype == self.dtype else x.astype(self.dtype)
            return found if self.device is None else self.jax.device_put(found, self.device)

    def numpy(self, x: Any) -> AnyArray:
        return np.asarray(x).astype(float)

    def running(self) -> contextlib.AbstractContextManager[Any]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        if hasattr(self.jax, "enable_x64"):
            return self.jax.enable_x64(True)  # type: ignore[no-any-return]
        old = imported("jax", ("jax.experimental",), self.title, self.install)  # before 0.8
        return old.enable_x64()  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def concrete(self) -> Iterator[None]:
        with self.running(), self.jax.ensure_compile_time_eval():
            yield

    def quick(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return self.jax.jit(function)  # type: ignore[no-any-return]

    def row(self, row: Primitive) -> Callable[..., Any]:
        """Return a user's own operation: its array form if JAX can trace it, else by the host."""

        def there(*args: Any) -> AnyArray:
            return on_host(row, [np.asarray(x) for x in args]).astype(self.precision)

        def applied(*args: Any) -> Any:
            shape = np.broadcast_shapes(*(x.shape for x in args))
            try:
                found = row.array(*args)
                if isinstance(found, self.jax.Array) and found.shape == shape:
                    return found.astype(self.dtype)
            except Exception:  # NumPy's functions, branches, other libraries: whatever it says
                pass
            like = self.jax.ShapeDtypeStruct(shape, self.dtype)
            return self.jax.pure_callback(there, like, *args, vmap_method="expand_dims")

        return applied

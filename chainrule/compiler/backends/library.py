"""What is asked of an array library: to take arrays and give them back, and to run functions."""

from __future__ import annotations

import contextlib
import functools
import importlib
import types
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ...engine.table import Primitive
from ..addresses import AnyArray
from ..printers.arrays.file import head, printed_words
from ..printers.arrays.spelling import NUMPY, STANDARD, Spelling

PRECISIONS = ("float64", "float32")


class Library:
    """An array library; this class itself serves any module that follows the array API standard."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    install: ClassVar[str] = ""
    spelling: ClassVar[Spelling] = STANDARD

    def __init__(self, xp: Any, precision: str = "float64", device: Any = None):
        self.xp, self.precision, self.device = xp, precision, device
        if device is not None:
            self.check_device()
        self.dtype: Any = getattr(xp, precision)

    def check_device(self) -> None:
        """Raise ValueError if the library has no such device."""
        raise ValueError(
            f"compile: device={self.device!r}; {self.xp.__name__} is run where it puts its arrays "
            "by itself: leave device out"
        )

    @property
    def module(self) -> str:
        """The name of the module, as it is imported."""
        return str(self.xp.__name__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self).__module__, self.name, self.module, self.precision,
                        None if self.device is None else str(self.device))  # fmt: skip

    # --- arrays ----------------------------------------------------------------------------------

    def is_own(self, x: Any) -> bool:
        """Return whether *x* is an array of the library."""
        return isinstance(x, type(self.array(np.zeros(1))))

    def array(self, x: Any) -> Any:
        """Return numbers as an array of the library, of its precision and on its device."""
        return self.xp.asarray(x, dtype=self.dtype)

    def cast(self, x: Any) -> Any:
        """Return an array of the library in its precision and on its device."""
        return x if x.dtype == self.dtype else self.xp.astype(x, self.dtype)

    def numpy(self, x: Any) -> AnyArray:
        """Return an array of the library as one of NumPy, in float64."""
        return np.asarray(x).astype(float)

    @functools.cached_property
    def words(self) -> dict[str, Any]:
        """The words of printed programs, as functions."""
        device = None if self.device is None else str(self.device)
        text = head(self.spelling, self.module, self.precision, device)
        return printed_words(self.spelling, text).loaded()

    # --- running ---------------------------------------------------------------------------------

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which functions of the library are called."""
        return np.errstate(all="ignore")  # if it is made of NumPy, as some are

    def concrete(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which constants are made, even while the library traces."""
        return self.running()

    def quick(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* as the library runs it best."""
        return function

    def row(self, row: Primitive) -> Callable[..., Any]:
        """Return a user's own operation on arrays of the library: by NumPy, on the host."""
        return lambda *args: self.array(on_host(row, [self.numpy(x) for x in args]))


class NumPyLibrary(Library):
    """NumPy."""

    name, title, install, spelling = "numpy", "NumPy", "numpy", NUMPY

    def is_own(self, x: Any) -> bool:
        return type(x) is np.ndarray and x.dtype.kind == "f"

    def cast(self, x: Any) -> Any:
        return x.astype(self.dtype, copy=False)


def on_host(row: Primitive, args: Sequence[AnyArray]) -> AnyArray:
    """Return a user's own operation on NumPy arrays, in the shape to which these broadcast."""
    shape = np.broadcast_shapes(*(x.shape for x in args))
    given = [np.array(np.broadcast_to(x, shape or (1,)), dtype=float) for x in args]
    with np.errstate(all="ignore"):
        return row.on_arrays(*given).reshape(shape)  # type: ignore[no-any-return]


def imported(backend: str, modules: tuple[str, ...], title: str, install: str) -> Any:
    """Import *modules*, of which the first is returned; ImportError that says what to install."""
    try:
        found = [importlib.import_module(name) for name in modules]
        return found.pop(0)
    except ImportError as error:
        raise ImportError(
            f"compile: backend={backend!r} needs {title}, which cannot be imported ({error}); "
            f"install it: pip install {install}"
        ) from error


def of_module(module: types.ModuleType, precision: str, device: Any) -> Library:
    """Return a module that follows the array API standard; TypeError if it does not say so."""
    if not hasattr(module, "__array_api_version__"):
        raise TypeError(
            f"compile: backend is the module {module.__name__}; expected one that follows the "
            "array API standard and has __array_api_version__, or a name such as 'jax'"
        )
    return Library(module, precision, device)


def _again(home: str, name: str, module: str, precision: str, device: str | None) -> Library:
    """Return a library that was pickled."""
    kinds = vars(importlib.import_module(home)).values()
    kind: Any = next(x for x in kinds if isinstance(x, type) and getattr(x, "name", None) == name)
    if name in ("", "numpy"):
        found: Library = kind(importlib.import_module(module), precision, device)
        return found
    made: Library = kind(precision, device)
    return made

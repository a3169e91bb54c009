"""``compile``: what it may be given, and what it makes of that."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from types import ModuleType
from typing import Any

import numpy as np

from ..engine.backend import Value
from .compiled import Compiled
from .differentiable import leaves_of
from .ready import Hands
from .workers import Workers


def compile(
    function: Callable[..., Any] | Value | list[Any] | tuple[Any, ...] | dict[Any, Any],
    wrt: Any = None,
    threads: int = 1,
    executor: Executor | None = None,
    timeout: float | None = None,
    backend: str | ModuleType = "native",
    dtype: Any = "float64",
    device: Any = None,
) -> Compiled:
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
    (1.6666666666666667, array([ 8.66666667, 10.66666667,  2.        ]))
    >>> loss.backward(X, Y)
    1.6666666666666667
    >>> w[1].grad
    10.666666666666666

    Each argument of the function is a number, a list or a nested list of numbers, according to the
    shape of its array.  Leaves that the function captured are parameters: every call reads their
    data.  ``source`` is the program, which runs with NumPy alone; ``stats`` and ``explain()`` say
    what the compiler found.  Instead of a function you may give a root Value, or a list of them:
    then its graph is compiled as it is, ``loss()`` computes it again from the present data of its
    leaves, and all of those are parameters.

    The gradient has an entry for every parameter, in the order in which they were made.  If you
    give *wrt*, leaves, it has an entry for each of those, in that order; the other leaves are read
    as before, and a leaf in *wrt* that the function does not use has derivative 0.

    >>> cr.compile(lambda x: cr.dot(w, x, b), wrt=[b, w[0]]).value_and_grad(X)
    (2.5, array([1., 3.]))

    With *threads*, so many threads share the examples of a large batch; the results are the same
    to the bit.  With an *executor*, any of ``concurrent.futures``, its workers share them: threads,
    processes, those of Dask (``client.get_executor()``) or of MPI (``MPIPoolExecutor``).  The
    results are the same to the bit too, however many workers there are.  ShardError says which part
    of a batch is missing if a worker dies, meets an error, or does not answer within *timeout*
    seconds; then no gradient is changed.  A compiled function may be given again, with an executor:
    the result has its recordings, and uses the executor.

    With *backend* "jax", "torch", "cupy" or "numpy", or a module that follows the array API
    standard, the program is printed as pure functions of that library, which runs it, in *dtype*
    "float64" or "float32", on its own or a given *device*; docs/array-libraries.md says more.

    The function is recorded once for every shape of example.  Comparing Values or testing their
    truth raises TraceError, since the outcome would be fixed for all examples: choose with
    ``cr.where``.  What the function does with plain numbers, ``v.data`` included, is frozen as it
    was recorded.
    """
    leaves = None if wrt is None else leaves_of(wrt)
    if type(threads) is not int or threads < 1:
        raise ValueError(f"compile: threads={threads!r}; expected a whole number, at least 1")
    if backend == "native" and (dtype != "float64" or device is not None):
        raise ValueError(
            f"compile: dtype={dtype!r} and device={device!r} are for an array library; give its "
            "backend too, such as backend='jax'"
        )
    if backend != "native" and not isinstance(function, Compiled):
        for name, given in (("threads", threads != 1 and threads), ("executor", executor)):
            if given:
                raise ValueError(
                    f"compile: {name}={given!r:.80} with backend={backend!r:.80}; the library "
                    f"shares the work by itself: leave {name} out"
                )
        return _for_library(function, leaves, backend, dtype, device)
    hands: Hands = threads if executor is None else _workers(executor, timeout, threads)
    if executor is None and timeout is not None:
        raise TypeError("compile: timeout is for an executor's workers; give an executor with it")
    if isinstance(function, Compiled):
        if leaves is not None or threads != 1 or backend != "native":
            raise TypeError(
                "compile: already a compiled function; give wrt and threads, or backend, dtype and "
                "device, with the original one"
            )
        return function if executor is None else function.over(hands)
    if isinstance(function, (Value, list, tuple, dict, np.ndarray)):
        return Compiled(None, function, leaves, hands)
    _check_callable(function)
    return Compiled(function, wrt=leaves, hands=hands)


def _for_library(function: Any, leaves: Any, backend: Any, dtype: Any, device: Any) -> Compiled:
    """Return *function* compiled for an array library."""
    # Only now: those who never ask for a library need not load what prints for it.
    from .backends.compiled import CompiledForLibrary
    from .backends.named import library

    found = library(backend, dtype, device)
    if isinstance(function, (Value, list, tuple, dict, np.ndarray)):
        return CompiledForLibrary(None, function, leaves, library=found)
    _check_callable(function)
    return CompiledForLibrary(function, wrt=leaves, library=found)


def _check_callable(function: Any) -> None:
    if not callable(function):
        raise TypeError(
            f"compile: expected a function of one example or a Value, not {type(function).__name__}"
        )


def _workers(executor: Any, timeout: Any, threads: int) -> Workers:
    """Return the workers of *executor*; raise if they cannot be asked."""
    if not callable(getattr(executor, "submit", None)):
        raise TypeError(
            f"compile: executor={executor!r:.80}; expected one of concurrent.futures, such as "
            "ProcessPoolExecutor(), or Dask's client.get_executor()"
        )
    if threads != 1:
        raise TypeError("compile: give either threads or an executor")
    if timeout is not None and not (isinstance(timeout, (int, float)) and timeout > 0):
        raise ValueError(f"compile: timeout={timeout!r}; expected a number of seconds above 0")
    return Workers(executor, timeout)

"""Modes, which change how a block of code builds its graph: ``no_grad`` and ``detect_anomaly``.

A mode belongs to the thread (or asynchronous task) that entered it.  ``active`` has an entry for
each mode entered anywhere, and ``observing`` one for each of those that look at new nodes, so while
none does, a new node costs only one test of an empty list.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from .native import core

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Rule(Protocol):
    """A condition on certain numbers, such as the targets of a loss."""

    def holds(self, numbers: Any, /) -> Any:
        """Return whether the rule holds for *numbers*: an array with a row for each of them."""

    def error(self, numbers: Sequence[float], /) -> Exception:
        """Return the exception to raise for *numbers* that break the rule."""


Demands = dict[Rule, list[Any]]
"""The Values whose data must keep a rule, whatever data their graph is run on."""


@dataclass(frozen=True, slots=True)
class Mode:
    """The switches that are read when a node is made, and the mode to return to."""

    linking: bool = True
    watching: bool = False
    demands: Demands | None = None
    """What the data must be, for a graph that is to run on other data too; else None."""
    inputs: frozenset[Any] = frozenset()
    """The inputs of such a graph: Values in place of the numbers that a plain call would have."""
    loops: list[Any] | None = None
    """Where the loops are noted whose body is recorded once; None if all are written out."""
    least_work: int = 0
    """Nodes in all steps together, from which on a loop is noted."""
    count: Callable[[int], object] | None = None
    """What is told the serial number of each node that is made."""
    outer: Mode | None = None

    @property
    def tracing(self) -> bool:
        """Whether the graph under construction is to run on other data too."""
        return self.demands is not None


_OFF = Mode()
_mode: ContextVar[Mode] = ContextVar("chainrule_mode", default=_OFF)
active: list[int] = [] if core is None else core.entered_modes
"""The threads inside a mode, once for each mode that they entered and have not left.

Each entry is added and removed in one step, without a lock: the holder of a lock could be
interrupted by a signal handler or a finalizer that enters a mode too, or be gone after a fork.
"""
observing: list[int] = [] if core is None else core.observing_modes
"""The same, of the modes in which somebody looks at each node that is made."""


def current() -> Mode:
    """Return the mode of this thread or task."""
    return _mode.get()


def _forget_one(threads: list[int]) -> None:
    try:
        threads.remove(threading.get_ident())
    except ValueError:  # entered in another thread
        with contextlib.suppress(IndexError):  # a fork left none behind
            threads.pop()


def _forget_other_threads() -> None:
    this = threading.get_ident()
    for threads in (active, observing):
        threads[:] = [thread for thread in threads if thread == this]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


class _Switched(contextlib.ContextDecorator):
    """A context manager and decorator: its block, or its function, runs in another mode."""

    def __init__(self, **switches: Any) -> None:
        self._switches = switches
        looks = not switches.get("linking", True) or switches.get("watching") or "count" in switches
        self._entered = [active, observing] if looks else [active]

    def __enter__(self) -> None:
        if not self._switches.get("linking", True):
            refuse_while_tracing(
                "no_grad() in a compiled function would fix the numbers of one example for all: "
                "leave it out, derivatives are computed only when you ask for them"
            )
        outer = _mode.get()
        for threads in self._entered:
            threads.append(threading.get_ident())
        _mode.set(replace(outer, outer=outer, **self._switches))

    def __exit__(self, *_: object) -> None:
        _mode.set(_mode.get().outer or _OFF)
        for threads in self._entered:
            _forget_one(threads)

    def __call__(self, function: _Function) -> _Function:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} is a generator or coroutine: its body runs after the call, "
                "where a decorator cannot reach it; write the with statement inside it"
            )
        return super().__call__(function)


def recording() -> contextlib.AbstractContextManager[None]:
    """Record a graph in this block even inside ``no_grad``, as a transform needs to."""
    return contextlib.nullcontext() if current().linking else _Switched(linking=True)


def suspended() -> contextlib.AbstractContextManager[None]:
    """Switch all modes off in this block, as copying needs: nodes get exactly their contents."""
    if current() is _OFF:
        return contextlib.nullcontext()
    return _Switched(linking=True, watching=False)


def apart() -> contextlib.AbstractContextManager[None]:
    """Compute plain numbers in this block, whatever is recorded around it."""
    if current() is _OFF:
        return contextlib.nullcontext()
    return _Switched(linking=True, watching=False, demands=None, inputs=frozenset(), loops=None)


def counting(count: Callable[[int], object]) -> contextlib.AbstractContextManager[None]:
    """Call *count* with the serial number of every node that is made in this block."""
    return _Switched(count=count)


def tracing(
    demands: Demands,
    inputs: Iterable[Any] = (),
    loops: list[Any] | None = None,
    least_work: int = 0,
) -> _Switched:
    """Record a graph that is to run on other data too: choosing by data raises TraceError.

    Whatever depends on a property of the data adds it to *demands*.  The other data will take the
    place of the Values *inputs*.  With *loops*, the body of a scan is recorded once, and noted, if
    there are *least_work* nodes in all its steps together.
    """
    return _Switched(
        linking=True,
        demands=demands,
        inputs=frozenset(inputs),
        loops=loops,
        least_work=least_work,
    )


def without_loops() -> _Switched:
    """Write out all loops in this block."""
    return _Switched(loops=None)


def within(demands: Demands) -> _Switched:
    """Record what is a part of one operation: with its loops written out, and its own *demands*.

    Such a part ends in that operation, so the graph around it cannot run what it leaves behind.
    """
    return _Switched(demands=demands, loops=None)


def demand(rule: Rule, values: Sequence[Any]) -> None:
    """Have *rule* tested on the data of *values* whenever the graph under construction is run.

    This does something only while :func:`tracing` is on; otherwise the numbers are known, and the
    caller tests them.  The values of equal rules are tested together.
    """
    demands = current().demands
    assert demands is not None
    demands.setdefault(rule, []).extend(values)


def refuse_to_choose(doing: str) -> None:
    """Raise TraceError if the graph under construction must serve for any data."""
    refuse_while_tracing(
        f"{doing} while a function is compiled would fix the choice for all examples: write "
        "cr.where(cr.less(a, b), x, y) for 'x if a < b else y', cr.equal for ==, and cr.maximum "
        "for max"
    )


def refuse_while_tracing(message: str) -> None:
    """Raise TraceError with *message* if the graph under construction must serve for any data."""
    if current().tracing:
        raise TraceError(message)


def no_grad() -> _Switched:
    """Make operations compute values without recording a graph; also usable as a decorator.

    >>> import chainrule as cr
    >>> x = cr.Value(3.0)
    >>> with cr.no_grad():
    ...     y = x * x
    >>> y.data, y.parents
    (9.0, ())

    ``grad`` and its relatives still return the right derivative inside, but without a graph of its
    own.

    As with every ``with`` statement in Python, Ctrl-C in the very moment of entering or leaving may
    leave the mode on for this thread.  If you go on after a KeyboardInterrupt, in a notebook say, a
    result without parents is the sign of it: start the program anew.
    """
    return _Switched(linking=False)


def detect_anomaly() -> _Switched:
    """Raise AnomalyError as soon as a value or a gradient is infinite or nan.

    The message names the operation, its operands and the source line that made the node.  This is
    slower, because every node notes where it was made.

    >>> import chainrule as cr
    >>> with cr.detect_anomaly():
    ...     cr.log(cr.Value(0.0))
    Traceback (most recent call last):
        ...
    chainrule.AnomalyError: log(0.0) = -inf, made at ...
    """
    return _Switched(watching=True)


class AnomalyError(FloatingPointError):
    """A value or a gradient came out infinite or nan inside :func:`detect_anomaly`."""

    __module__ = "chainrule"


class TraceError(TypeError):
    """A function that is being compiled chose by the data of a Value, so it cannot be compiled."""

    __module__ = "chainrule"


class WriteOut(BaseException):
    """The function has to be recorded anew, with its loops written out; the message says why.

    The step of a loop was called, and may remember it: so what was recorded so far is of no use.
    """

    def __init__(self, message: str, faster: bool = False) -> None:
        super().__init__(message)
        self.faster = faster
        """Whether the loop is written out only because that is faster."""

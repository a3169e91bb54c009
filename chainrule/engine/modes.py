"""What is switched on around the code that builds a graph: ``no_grad`` and ``detect_anomaly``.

A mode belongs to the thread (or asynchronous task) that entered it.  ``active`` has an entry for
each mode entered anywhere, so that building a node costs one test of a list while it is empty.
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

from ._extension import native

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Rule(Protocol):
    """What certain numbers must be, such as the targets of a loss."""

    def holds(self, numbers: Any, /) -> Any:
        """Return whether the rule holds of *numbers*: an array with a row for each of them."""

    def error(self, numbers: Sequence[float], /) -> Exception:
        """Return what to raise for *numbers* of which it does not hold."""


Demands = dict[Rule, list[Any]]
"""The Values whose data must keep a rule, for whatever their graph is run on."""


@dataclass(frozen=True, slots=True)
class Mode:
    """The switches that a node looks at while it is made, and the mode to return to."""

    linking: bool = True
    watching: bool = False
    demands: Demands | None = None
    """Of a graph that shall serve for other data as well: what the data must be."""
    inputs: frozenset[Any] = frozenset()
    """Of such a graph, the Values that stand for what it is given: numbers, if it were called."""
    outer: Mode | None = None

    @property
    def tracing(self) -> bool:
        """Whether the graph under construction shall serve for other data as well."""
        return self.demands is not None


_OFF = Mode()
_mode: ContextVar[Mode] = ContextVar("chainrule_mode", default=_OFF)
active: list[int] = [] if native is None else native.entered_modes
"""The threads that entered a mode and have not left it, as often as that holds.

Entries come and go in one step each, without a lock: the holder of one could be interrupted by a
signal handler or a finalizer that enters a mode as well, or be missing in a forked process.
"""


def current() -> Mode:
    """Return the mode of this thread or task."""
    return _mode.get()


def _forget_one() -> None:
    try:
        active.remove(threading.get_ident())
    except ValueError:  # entered in another thread
        with contextlib.suppress(IndexError):  # which a fork left behind
            active.pop()


def _forget_other_threads() -> None:
    this = threading.get_ident()
    active[:] = [thread for thread in active if thread == this]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


class _Switched(contextlib.ContextDecorator):
    """The block, or every call of the function, that it is put around runs in another mode."""

    def __init__(self, **switches: Any) -> None:
        self._switches = switches

    def __enter__(self) -> None:
        if not self._switches.get("linking", True):
            refuse_while_tracing(
                "no_grad() in a function that is compiled would fix the numbers of one example for "
                "all: leave it out, derivatives are computed only when they are asked for"
            )
        outer = _mode.get()
        active.append(threading.get_ident())
        _mode.set(replace(outer, outer=outer, **self._switches))

    def __exit__(self, *_: object) -> None:
        _mode.set(_mode.get().outer or _OFF)
        _forget_one()

    def __call__(self, function: _Function) -> _Function:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} is a generator or coroutine: its body runs after the call, "
                "out of a decorator's reach; write the with statement inside it"
            )
        return super().__call__(function)


def recording() -> contextlib.AbstractContextManager[None]:
    """Record a graph in this block, also inside ``no_grad``: what a transform does for itself."""
    return contextlib.nullcontext() if current().linking else _Switched(linking=True)


def suspended() -> contextlib.AbstractContextManager[None]:
    """Make nodes in this block exactly as they are told to be made: what copying does."""
    if current() is _OFF:
        return contextlib.nullcontext()
    return _Switched(linking=True, watching=False)


def tracing(demands: Demands, inputs: Iterable[Any] = ()) -> _Switched:
    """Record a graph that stands for other data as well: choosing by data raises TraceError.

    What the data must be is added to *demands* by whatever depends on it; *inputs* are the Values
    in whose place the other data come.
    """
    return _Switched(linking=True, demands=demands, inputs=frozenset(inputs))


def demand(rule: Rule, values: Sequence[Any]) -> None:
    """Have *rule* tested, wherever the graph under construction is run, on the data of *values*.

    Only where :func:`tracing` is on; else the numbers are at hand, and the caller tests them.  Of
    rules that are equal, all values are tested together.
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

    A derivative that is asked for inside, by ``grad`` and its relatives, is still right; it comes
    without a graph of its own.

    As with every ``with`` statement in Python, Ctrl-C in the very moment of entering or leaving may
    leave the mode on for this thread: whoever goes on after a KeyboardInterrupt, in a notebook say,
    sees it by a result without parents, and starts the program anew.
    """
    return _Switched(linking=False)


def detect_anomaly() -> _Switched:
    """Raise AnomalyError as soon as a value or a gradient is infinite or nan.

    The message names the operation, its operands and the source line that made the node.  Slower:
    every node notes where it was made.

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

"""What is switched on around the code that builds a graph: ``no_grad`` and ``detect_anomaly``.

A mode belongs to the thread (or asynchronous task) that entered it.  ``active`` counts the modes
entered anywhere, so that building a node costs one test of an integer while there are none.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Mode:
    """The switches that a node looks at while it is made."""

    linking: bool = True
    watching: bool = False


_lock = threading.Lock()
_OFF = Mode()
_mode: ContextVar[Mode] = ContextVar("chainrule_mode", default=_OFF)
active = 0


def current() -> Mode:
    """Return the mode of this thread or task."""
    return _mode.get()


@contextlib.contextmanager
def _entered(**switches: bool) -> Iterator[None]:
    global active
    token = _mode.set(replace(_mode.get(), **switches))
    with _lock:
        active += 1
    try:
        yield
    finally:
        with _lock:
            active -= 1
        _mode.reset(token)


def no_grad() -> contextlib._GeneratorContextManager[None]:
    """Make operations compute values without recording a graph; also usable as a decorator.

    >>> import chainrule as cr
    >>> x = cr.Value(3.0)
    >>> with cr.no_grad():
    ...     y = x * x
    >>> y.data, y.parents
    (9.0, ())
    """
    return _entered(linking=False)


def detect_anomaly() -> contextlib._GeneratorContextManager[None]:
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
    return _entered(watching=True)


class AnomalyError(FloatingPointError):
    """A value or a gradient came out infinite or nan inside :func:`detect_anomaly`."""

    __module__ = "chainrule"

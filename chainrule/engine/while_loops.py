# Of plain numbers they give numbers, and of anything wider more: the signatures overlap.
# mypy: disable-error-code="overload-overlap"
"""``while_loop``: a loop that ends by its data.

It is plain Python too.  In a compiled function all examples go through as many steps, as many as it
may take at most; what is finished stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np

from . import modes
from . import table as primitives
from .arguments import count
from .backend import Value
from .loops import check_numbers, not_finite, scan
from .structures import described, difference, leaves, like

Carry = TypeVar("Carry")
Carried = TypeVar("Carried")
_LIMIT = 1_000_000
"""The limit of passes of those who give none."""


@overload
def while_loop(
    condition: Callable[[Carry], Any],
    body: Callable[[Carry], Carry],
    carry: Carry,
    limit: int | None = ...,
) -> Carry: ...
@overload
def while_loop(
    condition: Callable[[Carry], Any],
    body: Callable[[Carry], Carried],
    carry: Carry,
    limit: int | None = ...,
) -> Carry | Carried: ...
def while_loop(
    condition: Callable[[Any], Any],
    body: Callable[[Any], Any],
    carry: Any,
    limit: int | None = _LIMIT,
) -> Any:
    """Replace *carry* by *body(carry)* as long as *condition(carry)* holds, and return the last.

    >>> import chainrule as cr
    >>> def halved(x):
    ...     return cr.while_loop(lambda x: x > 1.0, lambda x: x / 2.0, x)
    >>> cr.value_and_grad(halved)(5.0)
    (0.625, 0.125)

    The carry is as in :func:`scan`.  The derivative is that of the steps that were taken: how many
    there are is a whole number, which has none.  RuntimeError after *limit* steps, ValueError if
    *body* changes the structure of the carry.  A comparison with nan is false, so a loop written
    with ``<`` ends there.

    In a compiled function *limit* has to be given, and the condition is a Value, as of
    :func:`less`: every example goes through so many steps, and keeps what it has once its condition
    fails.  RuntimeError, with the number of the example, if it still holds then.
    """
    for function, role in ((condition, "condition"), (body, "body")):
        if not callable(function):
            raise TypeError(f"while_loop: {role} must be a function, not {described(function)}")
    check_numbers(carry, "while_loop: the carry")
    most = math.inf if limit is None else count("while_loop: limit", limit, least=0)
    may_be_steps = modes.current().tracing and most < _LIMIT
    k = 0
    while True:
        found = _asked(condition, carry)
        if may_be_steps and isinstance(found, Value):  # at first, or once it needs the inputs
            return _in_steps(condition, body, carry, k, int(most))
        if not _holds(found):
            return carry
        if k >= most:
            raise RuntimeError(_endless(carry, k))
        after = body(carry)
        if (words := difference(after, carry, "carry")) is not None:
            raise ValueError(_changed(k, words))
        carry = after
        k += 1


def _holds(found: Any) -> bool:
    """Return whether a condition that gave *found* holds; a Value does unless it is 0.0."""
    if isinstance(found, Value):
        if modes.current().tracing:
            raise modes.TraceError(_FIXED)
        return found.data != 0.0
    if isinstance(found, np.ndarray) and found.ndim:
        raise TypeError(
            f"while_loop: condition gave {described(found)}: expected True or False; write "
            "(...).all() or (...).any()"
        )
    return bool(found)


_FIXED = (
    "while_loop: how often it runs would be fixed for all examples while a function is compiled: "
    "give a limit= of steps that is enough for all, and a condition that is a Value, such as "
    "cr.less(a, b)"
)


def _asked(condition: Callable[[Any], Any], carry: Any) -> Any:
    try:
        return condition(carry)
    except modes.TraceError as error:
        raise modes.TraceError(_FIXED) from error


def _in_steps(
    condition: Callable[[Any], Any], body: Callable[[Any], Any], carry: Any, done: int, limit: int
) -> Any:
    """Return the carry after *limit* steps, of which those that are not to be done keep it.

    It is that after the steps that are *done*.
    """

    def step(now: Any, _: Any) -> tuple[Any, None]:
        going, after = condition(now), body(now)
        if (words := difference(after, now, "carry")) is not None:
            raise ValueError(_changed(done, words))
        both = zip(leaves(after), leaves(now), strict=True)
        kept = [new if new is None else primitives.where(going, new, old) for new, old in both]
        return like(now, iter(kept)), None

    last = scan(step, carry, length=limit - done)[0] if limit > done else carry
    modes.demand(_Ends(limit), [condition(last), *(x for x in leaves(last) if x is not None)])
    return last


@dataclass(frozen=True, eq=False)
class _Ends:
    """The rule that a condition fails at last: its value, and then the numbers of the carry."""

    limit: int

    def holds(self, numbers: Any) -> Any:
        return numbers[0] == 0.0

    def error(self, numbers: Sequence[float]) -> Exception:
        return RuntimeError(_endless(list(numbers[1:]), self.limit))


def _changed(k: int, words: str) -> str:
    return (
        f"while_loop: pass {k} (counted from 0) changed the structure of the carry: "
        f"{words} as before; return a carry like the one given"
    )


def _endless(carry: Any, k: int) -> str:
    numbers = [x.data if isinstance(x, Value) else x for x in leaves(carry)]
    strange = next((f"; {path} is {number}" for path, number in not_finite(carry)), "")
    shown = numbers[0] if len(numbers) == 1 else numbers
    return (
        f"while_loop: the condition still holds after {k} passes, with {shown!r:.200}{strange}; "
        "if that is as it should be, give limit= a higher number, or None"
    )

# Of plain numbers they give numbers, and of anything wider more: the signatures overlap.
# mypy: disable-error-code="overload-overlap"
"""``scan``: a loop that runs a known number of steps.

It is plain Python: each step is a call, and what it computes is part of the graph like anything
else, so all derivatives go through.  What it adds to a ``for`` is a form that can be read by people
and programs (what goes from step to step, what comes in, what comes out), and errors that say in
which step something became different.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import bodies, modes
from .arguments import count
from .backend import Value
from .runs import enclosing
from .segments import checkpointed
from .structures import array_of, described, difference, leaves, paths
from .table import as_float

Carry = TypeVar("Carry")
Carried = TypeVar("Carried")
X = TypeVar("X")
Y = TypeVar("Y", bound="Value | float")


@overload
def scan(
    step: Callable[[Carry, X], tuple[Carried, None]],
    carry: Carry,
    xs: list[X] | range,
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Carried, None]: ...
@overload
def scan(
    step: Callable[[Carry, X], tuple[Carried, Y]],
    carry: Carry,
    xs: list[X] | range,
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Carried, list[Y]]: ...
@overload
def scan(
    step: Callable[[Carry, None], tuple[Carried, None]],
    carry: Carry,
    xs: None = None,
    *,
    length: int,
    checkpoint: int | None = None,
) -> tuple[Carried, None]: ...
@overload
def scan(
    step: Callable[[Carry, None], tuple[Carried, Y]],
    carry: Carry,
    xs: None = None,
    *,
    length: int,
    checkpoint: int | None = None,
) -> tuple[Carried, list[Y]]: ...
@overload
def scan(
    step: Callable[[Carry, Any], tuple[Carried, None]],
    carry: Carry,
    xs: NDArray[Any],
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Carried, None]: ...
@overload
def scan(
    step: Callable[[Carry, Any], tuple[Carried, Y]],
    carry: Carry,
    xs: NDArray[Any],
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Carried, list[Y]]: ...
@overload
def scan(
    step: Callable[[Carry, Any], tuple[Carried, Any]],
    carry: Carry,
    xs: Any = None,
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Carried, Any]: ...
def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    carry: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    checkpoint: int | None = None,
) -> tuple[Any, Any]:
    """Carry a state through a number of steps, and return the last state and what each step gave.

    *step* is called with the state and with what comes in at this step, and returns a pair: the
    next state, and what goes out.  The result is the pair (last state, all that went out).

    >>> import chainrule as cr
    >>> def balance(saved, deposit):
    ...     saved = 1.1 * saved + deposit
    ...     return saved, saved
    >>> last, each = cr.scan(balance, 100.0, [0.0, 50.0, 50.0])
    >>> round(last, 2), [round(x, 2) for x in each]
    (238.1, [110.0, 171.0, 238.1])

    Derivatives go through, of any order, with respect to everything that *step* computes with:

    >>> cr.grad(lambda rate: cr.scan(lambda x, _: (x * rate, None), 1.0, length=10)[0])(1.0)
    10.0

    The state may be a number or a Value, or lists, tuples, dicts and arrays of them, nested; it
    keeps its structure from step to step.  A list, an array or a range *xs* has an entry for every
    step.  A tuple, a named tuple or a dict holds several such sequences side by side, and a step
    gets a tuple, a named tuple or a dict of their entries.  What goes out is put together by the
    same rule: of numbers or lists comes a list, of arrays an array with one more axis in front, of
    tuples and dicts a tuple or a dict of those, and of None, None.

    Without *xs*, *length* says how many steps there are, and what comes in is None.  ValueError if
    there are no steps, if the sequences differ in length, or if the state or what goes out
    changes its structure; nan and infinities are numbers like others.

    With *checkpoint* = k, the memory for the way back grows with the number of segments of k steps,
    and not with what is computed in each step.  The graph has a node for each number of the state
    after a segment, and one for each number that goes out of a step, with a derivative by each
    number that the segment reads.  A compiled loop keeps every k-th state only, and computes the
    others again: of N steps, N/k + k states.

    >>> def power(rate):
    ...     return cr.scan(lambda x, _: (x * rate, None), 1.0, length=100, checkpoint=10)[0]
    >>> cr.grad(power)(1.0)
    100.0
    """
    if not callable(step):
        raise TypeError(f"scan: step must be a function of (carry, x), not {described(step)}")
    entries = _entries(xs, length)
    check_numbers(carry, "scan: the carry")
    every = _every(checkpoint)
    mode = modes.current()
    if mode.loops is not None and enclosing.get() is None:
        recorded = bodies.recorded(step, carry, entries, every)
        if recorded is not None:
            return recorded[0], _together(recorded[1])
    run = _Steps(step)
    if every is None or every == 1 or mode.tracing or mode.watching or not mode.linking:
        last, went_out = run(carry, entries)
    else:
        last, went_out = checkpointed(run, carry, entries, every)
    check_numbers(went_out[0], "scan: y, what a step gives out,")
    return last, _together(went_out)


def _every(checkpoint: Any) -> int | None:
    """Return *checkpoint* as a number of steps."""
    if checkpoint is None:
        return None
    try:
        every = operator.index(checkpoint)
    except TypeError:
        every = 0
    if every < 1:
        raise ValueError(
            f"scan: checkpoint={checkpoint!r:.80}; expected how many steps make a segment, a whole "
            "number of 1 or more, or None to keep everything"
        )
    return every


class _Steps:
    """Does steps one after another; what goes out is like what went out of the first."""

    def __init__(self, step: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        self.step = step
        self.pattern: list[Any] = []

    def __call__(self, carry: Any, entries: Sequence[Any], first: int = 0) -> tuple[Any, list[Any]]:
        """Return the state after steps from number *first* on, and what went out of each."""
        watching = modes.current().watching
        went_out: list[Any] = []
        for k, x in enumerate(entries, first):
            try:
                found = self.step(carry, x)
            except modes.AnomalyError as error:
                raise modes.AnomalyError(f"{error}; in step {k} of a scan") from error
            if type(found) not in (tuple, list) or len(found) != 2:
                raise TypeError(
                    "scan: step must return a pair, the next carry and what goes out (None if "
                    f"nothing does), not {described(found)}"
                )
            after, out = found
            if (words := difference(after, carry, "carry")) is not None:
                raise ValueError(
                    f"scan: step {k} (counted from 0) changed the structure of the carry: {words} "
                    "as before; return a carry like the one given"
                )
            if not self.pattern:
                self.pattern = [out]
            elif (words := difference(out, self.pattern[0], "y")) is not None:
                raise ValueError(
                    f"scan: step {k} (counted from 0) gave out something other than the steps "
                    f"before: {words}"
                )
            if watching:
                _watch(after, f"scan: step {k} (counted from 0) made")
            carry = after
            went_out.append(out)
        return carry, went_out


def _entries(xs: Any, length: int | None) -> Sequence[Any]:
    """Return what comes in at each step."""
    columns = dict(_columns(xs, "xs"))
    lengths = {name: len(column) for name, column in columns.items()}
    if length is not None:
        lengths["length"] = count("scan: length", length, least=None)
    if not lengths:
        raise TypeError(
            "scan: how many steps? Give xs, with an entry for every step, or length: "
            "scan(step, carry, length=10)"
        )
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(f"scan: the lengths differ: {listed}; there is an entry for every step")
    name, n = next(iter(lengths.items()))
    if n < 1:
        what = f"length is {n}" if name == "length" else f"{name} has no entries"
        raise ValueError(
            f"scan: {what}, so step would never be called and what goes out is not known; "
            "expected at least one step: treat this case before the call"
        )
    return [None] * n if xs is None else _rows(xs, columns, "xs", n)


def _columns(xs: Any, name: str) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield the sequences in *xs*, each with its name."""
    if xs is None:
        return
    if isinstance(xs, dict):
        for key, part in xs.items():
            yield from _columns(part, f"{name}[{key!r}]")
    elif isinstance(xs, tuple):
        for i, part in enumerate(xs):
            yield from _columns(part, f"{name}[{i}]")
    elif isinstance(xs, np.ndarray) and xs.ndim:
        yield name, xs.tolist() if xs.ndim == 1 else list(xs)
    elif isinstance(xs, (list, range)):
        yield name, xs
    else:
        raise TypeError(
            f"scan: {name} is {described(xs)}; expected a list or an array with an entry for every "
            "step (a tuple or a dict holds several of those side by side)"
        )


def _rows(xs: Any, columns: dict[str, Sequence[Any]], name: str, n: int) -> Sequence[Any]:
    """Return the *n* entries of *xs*, whose sequences are *columns*."""
    if xs is None:
        return [None] * n
    if isinstance(xs, dict):
        parts = [_rows(part, columns, f"{name}[{key!r}]", n) for key, part in xs.items()]
        return [dict(zip(xs, row, strict=True)) for row in zip(*parts, strict=True)]
    if isinstance(xs, tuple):
        parts = [_rows(part, columns, f"{name}[{i}]", n) for i, part in enumerate(xs)]
        make: Any = getattr(type(xs), "_make", type(xs))
        return [make(row) for row in zip(*parts, strict=True)]
    return columns[name]


def _together(outs: list[Any]) -> Any:
    """Return what went out of all steps, as one structure."""
    first = outs[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: _together([out[key] for out in outs]) for key in first}
    if isinstance(first, tuple):
        make: Any = getattr(type(first), "_make", type(first))
        return make([_together(list(column)) for column in zip(*outs, strict=True)])
    if isinstance(first, np.ndarray) and first.ndim:
        return array_of(outs, (len(outs),))
    return outs


def check_numbers(structure: Any, name: str) -> None:
    """Raise TypeError unless *structure* is made of numbers, Values and None."""
    for path, leaf in zip(paths(structure, ""), leaves(structure), strict=True):
        if leaf is not None and described(leaf) != "a number":
            raise TypeError(
                f"{name} holds {described(leaf)}{' at ' + path if path else ''}: expected numbers "
                "or Values, in lists, tuples, dicts or arrays"
            )


def _watch(carry: Any, doing: str) -> None:
    """Raise AnomalyError if a number in *carry* is infinite or nan."""
    for path, number in not_finite(carry):
        raise modes.AnomalyError(f"{doing} {path} {number}")


def not_finite(carry: Any) -> Iterator[tuple[str, float]]:
    """Yield where numbers of *carry* are infinite or nan, and those."""
    for path, leaf in zip(paths(carry, "carry"), leaves(carry), strict=True):
        number = leaf.data if isinstance(leaf, Value) else leaf
        if number is not None and not math.isfinite(as_float(number, path)):
            yield path, number

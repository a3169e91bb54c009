"""Segments of a loop as nodes: ``scan(..., checkpoint=k)``, for graphs too large for the memory.

Local derivatives are fixed when a node is made, and so they are here: k steps are run on leaves of
their own, the derivatives of all that they give by all that they read are found, and the graph of
the steps is dropped.  What is left is a node for each number of the state after the segment, and
for each number that goes out of a step.  To be differentiated again, a node runs its steps again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from . import modes
from .backend import Value, make_node
from .structures import leaves, like
from .sweeps import linked_partials, paths, pulled_apart, stored_partials
from .table import Primitive, identity, unlisted

Run = Callable[[Any, Sequence[Any], int], tuple[Any, list[Any]]]
"""Does steps from a state, with what comes in at each and the number of the first of them; returns
the state and what went out."""


class _Number(Primitive):
    """One number that a segment gives, as an operation on all that its steps read."""

    __slots__ = ()

    exact = False  # all that is given is a Value when the steps are run again

    def __reduce__(self) -> tuple[Any, ...]:
        return _lost(), ()


def _lost(_: str = "") -> Primitive:
    raise TypeError(
        "a node of a scan with checkpoint= knows its steps as a Python function, so it can be "
        "neither pickled nor loaded; leave checkpoint= out for a graph that is saved"
    )


class _Segment(NamedTuple):
    """Some steps, with the structures of what they are given."""

    run: Run
    carry: Any
    entries: Sequence[Any]
    first: int

    def given(self) -> list[Any]:
        """Return the numbers and Values that the steps are given."""
        return [x for x in leaves((self.carry, list(self.entries))) if x is not None]

    def of(self, given: Sequence[Any]) -> list[Any]:
        """Return the numbers that the steps give, if they are given others."""
        numbers = iter(given)
        fill = functools.partial(_filled, numbers)
        after, outs = self.run(fill(self.carry), [fill(x) for x in self.entries], self.first)
        return [x for x in leaves((after, outs)) if x is not None]


def _filled(numbers: Any, structure: Any) -> Any:
    return like(structure, (x if x is None else next(numbers) for x in leaves(structure)))


def checkpointed(run: Run, carry: Any, entries: Sequence[Any], every: int) -> tuple[Any, list[Any]]:
    """Return the last state and what went out of all steps, *every* so many steps as one."""
    went_out: list[Any] = []
    for at in range(0, len(entries), every):
        carry, outs = _as_nodes(_Segment(run, carry, entries[at : at + every], at))
        went_out += outs
    return carry, went_out


def _as_nodes(segment: _Segment) -> tuple[Any, list[Any]]:
    """Return what the steps give, with nodes in place of what they computed."""
    given = segment.given()
    own = [Value(x.data) if isinstance(x, Value) else x for x in given]
    numbers = iter(own)
    fill = functools.partial(_filled, numbers)
    since = Value(0.0).serial
    state = fill(segment.carry)
    entries = [fill(x) for x in segment.entries]
    after, outs = segment.run(state, entries, segment.first)
    results = [x for x in leaves((after, outs)) if x is not None]
    known = {leaf: x for leaf, x in zip(own, given, strict=True) if isinstance(leaf, Value)}
    captured = _captured([x for x in results if isinstance(x, Value)], since, set(known))
    found: list[Any] = []
    for i, x in enumerate(results):
        if not isinstance(x, Value) or (x.serial <= since and x not in known):
            found.append(x)
        elif x in known:
            found.append(known[x])  # it passed through
        else:
            found.append(_node(segment, i, x, own, given, captured))
    return _filled(iter(found), (after, outs))  # type: ignore[no-any-return]


def _captured(results: Sequence[Value], since: int, known: set[Value]) -> list[Value]:
    """Return the older Values that *results* were computed from, in the order of their making."""
    seen, waiting, found = set(results), list(results), set()
    while waiting:
        x = waiting.pop()
        if x.serial <= since and x not in known:
            found.add(x)
            continue
        for parent in x.parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return sorted(found, key=attrgetter("serial"))


def _node(
    segment: _Segment,
    number: int,
    result: Value,
    own: Sequence[Any],
    given: Sequence[Any],
    captured: Sequence[Value],
) -> Any:
    """Return *result* as one node, or as a number if it depends on nothing."""
    ends = [*(x for x in own if isinstance(x, Value)), *captured]
    adjoints = pulled_apart(result, ends, stored_partials)
    inputs = (*own, *captured)
    linked = [i for i, x in enumerate(inputs) if isinstance(x, Value) and x in adjoints]
    if not linked:
        return result.data
    operands: Any = tuple([(*given, *captured)[i] for i in linked])
    slopes = [adjoints[inputs[i]] for i in linked]
    row = _row(segment, number, linked, captured)
    return make_node(row, operands, operands, result.data, tuple(slopes))


def _row(
    segment: _Segment, number: int, linked: Sequence[int], captured: Sequence[Value]
) -> Primitive:
    """Return the operation that gives that *number* of what *segment* gives.

    Its operands are those that are *linked*, of what the segment is given and then of *captured*.
    """
    given = [x.data if isinstance(x, Value) else x for x in segment.given()]
    apart = [captured[i - len(given)] for i in linked if i >= len(given)]

    places = linked[: len(linked) - len(apart)]

    def run(numbers: Sequence[Any]) -> Any:
        full = list(given)
        for i, x in zip(places, numbers, strict=True):
            full[i] = x
        return segment.of(full)[number]

    def result(operands: Sequence[Any]) -> Any:
        return with_others(run, operands[: len(places)], apart, operands[len(places) :])

    def scalar(*operands: float) -> float:
        y = result(operands)
        return float(y.data if isinstance(y, Value) else y)

    def slopes(operands: Sequence[Any], y: Any, wanted: Sequence[int]) -> Sequence[Any]:
        return partials_again(result, operands, apart, wanted)

    return unlisted(_Number(), "scan", scalar, slopes, _lost)


def with_others(
    run: Callable[[Sequence[Any]], Any],
    given: Sequence[Any],
    captured: Sequence[Value],
    others: Sequence[Any],
) -> Any:
    """Return *run(given)*, a number, as it is with *others* in place of the Values it captured.

    A Python function cannot be called with them, so the graph that it makes is computed again.
    """
    if all(x is c or x == c.data for x, c in zip(others, captured, strict=True)):
        return run(given)
    own = [Value(x.data if isinstance(x, Value) else x) for x in given]
    with modes.recording():
        y = run(own)
    found = dict(zip((*own, *captured), (*given, *others), strict=True))
    for node in paths([*found], [y] if isinstance(y, Value) else []):
        if node not in found and node.primitive is not None:
            found[node] = node.primitive(*[_in_place(x, found) for x in node.operands])
    return _in_place(y, found)


def _in_place(x: Any, found: dict[Value, Any]) -> Any:
    return found.get(x, x) if isinstance(x, Value) else x


def partials_again(
    result: Callable[[Sequence[Any]], Any],
    operands: Sequence[Any],
    captured: Sequence[Value],
    wanted: Sequence[int],
) -> Sequence[Any]:
    """Return the partials of *result*, run again on *operands*, by those that are *wanted*.

    The last of the operands are what *result* captured.  All are apart from each other: a copy
    linked to an operand is varied, not the operand, which may occur twice; and what flows into the
    copy stays there, or it would reach a captured Value below it as well.
    """
    count = len(operands) - len(captured)
    copies: list[Any] = []
    for i, x in enumerate(operands[:count]):
        if isinstance(x, Value):
            copies.append(identity(x))
        else:  # one that is not wanted is a number, also on a tie
            copies.append(Value(x) if i in wanted else x)
    for x, leaf in zip(operands[count:], captured, strict=True):
        if x is leaf or x == leaf.data:
            copies.append(leaf)
        else:
            copies.append(identity(x) if isinstance(x, Value) else Value(x))
    with modes.recording():
        again = result(copies)
        if not isinstance(again, Value):
            return [0.0 for _ in wanted]
        ends = [x for x in copies if isinstance(x, Value)]
        adjoints = pulled_apart(again, ends, linked_partials)
    found = [adjoints.get(copies[i], 0.0) for i in wanted]
    if any(isinstance(x, Value) for x in operands):
        return found
    return [x.data if isinstance(x, Value) else x for x in found]

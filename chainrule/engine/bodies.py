"""A loop that is recorded once: what the compiler is told of a ``scan`` instead of all its steps.

While a function is recorded for other data too, its graph has to serve for any number of steps of
work, so a scan need not be written out.  Its step is called on fresh Values, and the graph that
comes of it is the *body*; the rest of the program sees leaves in place of what the loop gives.

The step is called twice, and only a step that does the same both times is a body: for one that
counts its calls, or whose numbers may not be Values, the whole function is recorded anew, with its
loops written out like any other code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from . import modes
from .backend import Value
from .structures import difference, leaves, mapped

FEWEST_STEPS = 8
LEAST_WORK = 20_000
"""Nodes in all steps together, from which on a loop is not written out.

Written out, a gradient takes a half to a third of the time: nothing is computed twice, and no
state is moved.  But compiling takes longer with every step, and 0.1 ms for each step of 20 nodes.
"""


@dataclass(frozen=True)
class Body:
    """What one step computes: leaves, the graph above them, and its results."""

    carry_in: list[Value]
    x_in: list[Value]
    carry_out: list[Any]
    """Values or floats."""
    y_out: list[Any]
    nodes: list[Value]
    """What was computed from what, operands first."""


@dataclass(frozen=True)
class Loop:
    """A body that is done *count* times."""

    count: int
    body: Body
    carry: list[Any]
    """The Values or floats with which it starts."""
    xs: list[list[Any]]
    """What comes in at each step."""
    last: list[Value]
    """Leaves that stand for the carry after the last step."""
    ys: list[list[Value]]
    """Leaves that stand for what goes out of each step."""
    every: int | None = None
    """One of so many carries is kept for the way back; None to leave that to the compiler."""


def recorded(
    step: Callable[[Any, Any], Any], carry: Any, entries: Sequence[Any], every: int | None = None
) -> tuple[Any, list[Any]] | None:
    """Return the last carry and what goes out of all steps; None if that is for the caller to do.

    modes.WriteOut if the step was called and is not one for a body.
    """
    loops, demands = modes.current().loops, modes.current().demands
    if loops is None or demands is None or len(entries) < FEWEST_STEPS:
        return None
    start, xs = _numbers(carry), [_numbers(x) for x in entries]
    plain = {type(x) for numbers in (start, *xs) for x in numbers} <= {int, float, Value}
    if not plain or any(difference(x, entries[0], "x") is not None for x in entries):
        return None
    try:
        with modes.without_loops():
            body, after, out, rules = _called(step, carry, entries[0])
            again, _, _, _ = _called(step, carry, entries[0])
    except Exception as error:  # the step says so again when it is written out
        raise modes.WriteOut(f"{type(error).__name__} of a step on Values: {error}") from error
    work = len(body.nodes) * len(entries)
    if work < modes.current().least_work:
        raise modes.WriteOut(f"it is short: {work} nodes in {len(entries)} steps", faster=True)
    if difference(after, carry, "carry") is not None:
        raise modes.WriteOut("the step changes the structure of the carry")
    if _written(body) != _written(again):
        raise modes.WriteOut("the step did something else when it was called again")
    last = [Value(0.0) for _ in start]
    ys = [[Value(0.0) for _ in body.y_out] for _ in entries]
    loops.append(Loop(len(entries), body, start, xs, last, ys, every))
    for rule, values in rules:
        place: dict[Value, Any] = {x: (0, j) for j, x in enumerate(body.x_in)}
        place.update((y, (1, j)) for j, y in enumerate(body.y_out) if isinstance(y, Value))
        at = [place.get(v) if isinstance(v, Value) else None for v in values]
        modes.demand(
            _InEachStep(rule, len(values)),
            [
                v if where is None else (x, y)[where[0]][where[1]]
                for x, y in zip(xs, ys, strict=True)
                for v, where in zip(values, at, strict=True)
            ],
        )
    return _like(carry, iter(last)), [_like(out, iter(row)) for row in ys]


def _numbers(structure: Any) -> list[Any]:
    return [x for x in leaves(structure) if x is not None]


def _like(structure: Any, numbers: Iterator[Any]) -> Any:
    return mapped(structure, lambda x: None if x is None else next(numbers))


@dataclass(frozen=True, eq=False)
class _InEachStep:
    """A rule for *width* numbers of each step of a loop."""

    rule: modes.Rule
    width: int

    def holds(self, numbers: Any) -> Any:
        """Return whether the rule holds, for every step and every example."""
        steps, examples = len(numbers) // self.width, numbers.shape[1]
        by_number = numbers.reshape(steps, self.width, examples).swapaxes(0, 1)
        return self.rule.holds(by_number.reshape(self.width, steps * examples))

    def error(self, numbers: Sequence[float]) -> Exception:
        """Return what the first step says whose numbers break the rule."""
        steps = [numbers[k : k + self.width] for k in range(0, len(numbers), self.width)]
        wrong = next(x for x in steps if not self.holds(np.array([x]).T).all())
        return self.rule.error(wrong)


def _called(
    step: Callable[[Any, Any], Any], carry: Any, x: Any
) -> tuple[Body, Any, Any, list[tuple[modes.Rule, list[Any]]]]:
    """Return the body of *step*, the structures that it returned, and its rules for the data.

    What a rule applies to goes out of the body, unless it came in.
    """
    since = Value(0.0).serial
    demands = modes.current().demands
    assert demands is not None
    before = {rule: len(values) for rule, values in demands.items()}

    def fresh(number: Any) -> Value:
        return Value(number.data if isinstance(number, Value) else number)

    carry_in, x_in = [fresh(v) for v in _numbers(carry)], [fresh(v) for v in _numbers(x)]
    found = step(_like(carry, iter(carry_in)), _like(x, iter(x_in)))
    after, out = found
    results = _numbers(after), _numbers(out)
    if type(found) not in (tuple, list) or not all(
        type(v) in (float, int, Value) for part in results for v in part
    ):
        raise TypeError("not a pair of numbers")
    carry_out, y_out = ([v if isinstance(v, Value) else float(v) for v in r] for r in results)
    rules = [(rule, values[before.get(rule, 0) :]) for rule, values in demands.items()]
    rules = [(rule, values) for rule, values in rules if values]
    for rule, _ in rules:
        del demands[rule][before.get(rule, 0) :]
        if rule not in before:
            del demands[rule]
    came = {*x_in}
    y_out += [
        v
        for _, values in rules
        for v in values
        if isinstance(v, Value) and v.serial > since and v not in came
    ]
    nodes = _made(since, [v for v in (*carry_out, *y_out) if isinstance(v, Value)])
    return Body(carry_in, x_in, carry_out, y_out, nodes), after, out, rules


def _made(since: int, results: Sequence[Value]) -> list[Value]:
    """Return the nodes from number *since* on that *results* were computed from, in order."""
    found = {v for v in results if v.serial > since}
    waiting = list(found)
    while waiting:
        for operand in waiting.pop().operands:
            if isinstance(operand, Value) and operand.serial > since and operand not in found:
                found.add(operand)
                waiting.append(operand)
    return sorted((v for v in found if v.primitive is not None), key=attrgetter("serial"))


def _written(body: Body) -> list[Any]:
    """Return *body* in a form that is equal for bodies that compute the same."""
    names: dict[Value, Any] = {v: i for i, v in enumerate((*body.carry_in, *body.x_in))}
    names.update((node, len(names) + i) for i, node in enumerate(body.nodes))
    oldest = min((v.serial for v in names), default=0)

    def name(x: Any) -> Any:
        if not isinstance(x, Value):
            return repr(x)
        if x in names:
            return (names[x],)
        # A leaf that the step makes is a constant; an older Value is captured.
        return x.serial if x.serial < oldest else repr(x.data)

    steps = [(node.primitive, *map(name, node.operands)) for node in body.nodes]
    return [*steps, [*map(name, body.carry_out)], [*map(name, body.y_out)]]

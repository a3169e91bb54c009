"""The two sweeps over a graph that will be run on other data too.

They differ from those of ``sweeps`` in one point: other data may choose other operands than the
data at hand did.  So the sweeps follow every operand that may be chosen, together with the
condition under which it is chosen: a derivative is ``where(condition, derivative, 0.0)``, so that a
branch that is not chosen contributes nothing, even if it is infinite.

A condition is None for "always", or a Value that is 0.0 where it does not hold.

What would be a plain number if the function were called with numbers matters on a tie alone: there
is no derivative on one with a number.  A transform inside the function has variables of its own,
copies of what it is given, and those of the transforms around it; these are Values.  The sweep that
differentiates the recorded function itself knows *since* when it runs: from that serial number on a
leaf is a constant, and a copy is what it is a copy of, because all transforms have come to an end.

A sweep takes any number of rows of cotangents, or of tangents, at once: what lies between outputs
and inputs is found once for all, and every row gets the same partials.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from . import modes
from .table import Primitive, equal, identity, position_of, take_entry, where

Node = Any
Condition = Any


def pullback(
    rows: Sequence[Mapping[Node, Any]], inputs: Collection[Node], since: float | None = None
) -> list[dict[Node, Any]]:
    """Return the adjoints of *inputs* that each of *rows* (output: cotangent) may reach."""
    sweep = _Sweep({node for row in rows for node in row}, inputs, inputs, since)
    arrived: dict[Node, dict[int, list[tuple[Condition, Any]]]] = {}
    for r, row in enumerate(rows):
        for node, cotangent in row.items():
            arrived.setdefault(node, {})[r] = [(None, cotangent)]
    wanted = set(inputs)
    found: list[dict[Node, Any]] = [{} for _ in rows]
    for node in reversed(sweep.order):
        if node not in arrived:
            continue
        adjoints = {
            r: terms[0] if len(terms) == 1 else sweep.total(terms)
            for r, terms in arrived.pop(node).items()
        }
        if node in wanted:
            for r, (reached, adjoint) in adjoints.items():
                found[r][node] = sweep.masked(reached, adjoint)
        for operand, condition, partial in sweep.edges(node):
            into = arrived.setdefault(operand, {})
            for r, (reached, adjoint) in adjoints.items():
                term = sweep.both(reached, condition), _times(partial, adjoint)
                into.setdefault(r, []).append(term)
    return found


def pushforward(
    outputs: Collection[Node],
    rows: Sequence[Mapping[Node, Any]],
    inputs: Collection[Node],
    since: float | None = None,
) -> list[dict[Node, Any]]:
    """Return, for each of *rows* (input: tangent), the tangents of those *outputs* it may reach.

    An input without a tangent in a row does not move there, but is an input all the same: on a tie
    with another the derivative is that of two variables.
    """
    tangents: dict[Node, dict[int, tuple[Condition, Any]]] = {}
    for r, row in enumerate(rows):
        for node, tangent in row.items():
            tangents.setdefault(node, {})[r] = None, tangent
    sweep = _Sweep(outputs, inputs, tangents.keys(), since)
    for node in sweep.order:
        if node in tangents:
            continue
        terms: dict[int, list[tuple[Condition, Any]]] = {}
        for operand, condition, partial in sweep.edges(node):
            for r, (reached, tangent) in tangents.get(operand, {}).items():
                term = sweep.both(reached, condition), _times(partial, tangent)
                terms.setdefault(r, []).append(term)
        if terms:
            tangents[node] = {
                r: found[0] if len(found) == 1 else sweep.total(found) for r, found in terms.items()
            }
    return [
        {v: sweep.masked(*tangents[v][r]) for v in outputs if r in tangents.get(v, {})}
        for r in range(len(rows))
    ]


def _times(partial: Any, x: Any) -> Any:
    if type(x) is float and x == 1.0:
        return partial
    return x if type(partial) is float and partial == 1.0 else partial * x


class _Sweep:
    """The part of a graph that lies between *outputs* and *inputs*, and its conditions."""

    def __init__(
        self,
        outputs: Iterable[Node],
        inputs: Iterable[Node],
        moving: Iterable[Node],
        since: float | None,
    ) -> None:
        """Find the nodes that *moving* reach, some of *inputs* or all."""
        self._inputs, self._since = frozenset(inputs), since
        moving = frozenset(moving)
        self._made: dict[Condition, tuple[Condition, Condition]] = {}
        self._opposite: dict[Condition, Condition] = {}
        self._numbers: dict[Node, bool] = {}
        first = min((v.serial for v in moving), default=0)
        below = _below(outputs, first)
        if loops := modes.current().loops:  # the graph ends at the leaves that stand for results
            results = {x for loop in loops for row in (loop.last, *loop.ys) for x in row}
            if not results.isdisjoint(below):
                raise modes.WriteOut("a derivative is taken across it")
        varying: set[Node] = set()
        self.order: list[Node] = []
        for node in sorted(below, key=attrgetter("serial")):
            if node in moving or not varying.isdisjoint(below[node]):
                varying.add(node)
                self.order.append(node)
        self._varying = varying

    def edges(self, node: Node) -> list[tuple[Node, Condition, Any]]:
        """Return the operands of *node* that vary, each with its condition and its partial."""
        row, operands, varying = node.primitive, node.operands, self._varying
        if row is None:
            return []
        places = [i for i, x in enumerate(operands) if type(x) is not float and x in varying]
        if row.selects is not None:
            return [
                (operands[i], condition, 1.0)
                for i, condition in self._chosen(row, operands)
                if i in places
            ]
        linked = places = row.linked(operands, places)
        if row.variadic is not None:
            linked = [
                i
                for i, x in enumerate(operands)
                if _is_value(x) and (x in varying or not self._is_number(x))
            ]
        try:
            values = row.partial_values(operands, node, linked)
        except modes.TraceError as error:
            raise modes.TraceError(f"in a partial of {row.name!r}: {error}") from error
        if linked is not places:
            partials = dict(zip(linked, values, strict=True))
            values = tuple([partials[i] for i in places])
        return [(operands[i], None, x) for i, x in zip(places, values, strict=True)]

    def _chosen(self, row: Primitive, operands: tuple[Any, ...]) -> list[tuple[int, Condition]]:
        """Return the operands that *row* may copy, each with its condition."""
        if row is where:
            condition = operands[0]
            if _is_value(condition):
                return [(1, condition), (2, self._unless(condition))]
        elif row is take_entry:
            index = operands[0]
            if _is_value(index):
                return [(i, equal(index, i - 1.0)) for i in range(1, len(operands))]
        else:
            position = position_of(row)(*operands)
            return [(i, equal(position, float(i))) for i in range(len(operands))]
        assert row.selects is not None
        return [(row.selects(*operands), None)]  # chosen by a plain number, so for all data

    def _is_number(self, node: Node) -> bool:
        """Return whether *node* would be a plain number if the function were called with numbers.

        On a tie with one, there is no derivative.
        """
        inputs, known, since = modes.current().inputs, self._numbers, self._since
        waiting = [node]
        while waiting:
            x = waiting[-1]
            if x in known:
                waiting.pop()
            elif x.primitive is None:
                made = since is not None and x.serial >= since
                known[x] = (made or x in inputs) and x not in self._inputs
            elif x.primitive is identity and since is None:  # a variable, of this one or another
                known[x] = False
            else:
                values = [v for v in x.operands if _is_value(v)]
                unknown = [v for v in values if v not in known]
                if unknown:
                    waiting += unknown
                else:
                    known[x] = all(known[v] for v in values)
        return known[node]

    # --- conditions --------------------------------------------------------------------------

    def _unless(self, condition: Condition) -> Condition:
        if condition not in self._opposite:
            opposite = where(condition, 0.0, 1.0)
            self._opposite[condition] = opposite
            self._opposite[opposite] = condition
        return self._opposite[condition]

    def both(self, a: Condition, b: Condition) -> Condition:
        """Return the condition that both *a* and *b* hold."""
        if a is None or a is b:
            return b
        if b is None:
            return a
        condition = where(a, b, 0.0)
        self._made[condition] = a, b
        return condition

    def _either(self, a: Condition, b: Condition) -> Condition:
        if a is None or b is None:
            return None
        if a is b:
            return a
        (outer, p), (also, q) = self._made.get(a, (None, a)), self._made.get(b, (None, b))
        if outer is also and self._opposite.get(p) is q:
            return outer
        return where(a, 1.0, b)

    def masked(self, condition: Condition, x: Any) -> Any:
        """Return *x* where *condition* holds, else 0.0."""
        return x if condition is None else where(condition, x, 0.0)

    def total(self, terms: list[tuple[Condition, Any]]) -> tuple[Condition, Any]:
        """Return the condition that any of *terms* is present, and the sum of those present."""
        reached = functools.reduce(self._either, [condition for condition, _ in terms])
        total = None
        for condition, term in terms:
            # Nothing needs a mask inside one branch: the branch as a whole is masked at its end.
            x = term if condition is reached else self.masked(condition, term)
            total = x if total is None else total + x
        return reached, total


def _is_value(x: Any) -> bool:
    return type(x) is not float  # an operand is one or the other


def _below(outputs: Iterable[Node], first: int) -> dict[Node, list[Node]]:
    """Return the nodes from number *first* on that *outputs* depend on, with their operands.

    Of those, only the ones with respect to which a node has a derivative.
    """
    found: dict[Node, list[Node]] = {}
    waiting = list(dict.fromkeys(outputs))
    seen = set(waiting)
    for node in waiting:  # grows while it is read
        found[node] = operands = _differentiable(node)
        for operand in operands:
            if operand not in seen and operand.serial >= first:
                seen.add(operand)
                waiting.append(operand)
    return found


def _differentiable(node: Node) -> list[Node]:
    """Return the operands with respect to which *node* has a derivative for some data."""
    row = node.primitive
    if row is None:
        return []
    if row.selects is None and None not in row.partials:
        return [x for x in node.operands if type(x) is not float]
    if row.selects is None:
        slots = zip(node.operands, row.partials, strict=True)
        return [x for x, partial in slots if partial is not None and _is_value(x)]
    first = 1 if row is where or row is take_entry else 0
    return [x for x in node.operands[first:] if _is_value(x)]

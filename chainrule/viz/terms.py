"""The terms of a dot product or a long sum, as rows inside its box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from ..engine.backend import Value
from ..engine.table import add_up, dot_product, logsumexp_of, mean_of
from .text import short, visible

MOST_ROWS = 8  # of a folded dot node; a longer one is shortened
_MOST_OPERANDS = 24  # listed in the box of a long sum


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a folded ``dot`` node: one of its terms, or its bias."""

    name: str
    data: str = ""
    grad: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """The rows of a node, and where its edges arrive."""

    rows: tuple[Row, ...]
    pins: list[int]
    """For each parent of the node, the row where its edge arrives, whether drawn or not."""


def listed_operands(members: Sequence[Value]) -> Set[Value]:
    """Return the leaves that are used only as operands of one long sum, mean or the like."""
    uses: dict[Value, list[Value]] = {}
    for node in members:
        for parent in node.parents:
            uses.setdefault(parent, []).append(node)
    return {
        leaf
        for leaf, (user, *others) in uses.items()
        if leaf.primitive is None and leaf in uses and not others and _is_long(user)
    } & set(members)


def _is_long(node: Value) -> bool:
    row = node.primitive
    return row in (add_up, mean_of, logsumexp_of) and len(node.parents) > MOST_ROWS


def terms_of(node: Value, folded: Set[Value], grads: Mapping[Value, str]) -> Terms | None:
    """Return the rows of a node that has operands to fold into it; None for others."""
    if folded.isdisjoint(node.parents):
        return None
    if node.primitive is not dot_product:
        sign = "+" if node.primitive in (add_up, mean_of) else "·"
        rows = [_factor(sign, x, folded, grads) for x in node.operands]
        pins = [i for i, x in enumerate(node.operands) if isinstance(x, Value)]
        return _shortened(rows, pins, most=_MOST_OPERANDS)
    operands = node.operands
    n = len(operands) // 2
    weights, inputs, bias = operands[:n], operands[n:-1], operands[-1]
    rows = [_term(w, x, folded, grads) for w, x in zip(weights, inputs, strict=True)]
    positions = [*range(n), *range(n), n]
    if isinstance(bias, Value) or bias != 0.0:
        rows.append(_factor("+", bias, folded, grads))
    pins = [p for p, x in zip(positions, operands, strict=True) if isinstance(x, Value)]
    return _shortened(rows, pins)


def _term(
    weight: Value | float, x: Value | float, folded: Set[Value], grads: Mapping[Value, str]
) -> Row:
    return _factor("×" if isinstance(x, Value) else f"{short(x)} ×", weight, folded, grads)


def _factor(
    sign: str, weight: Value | float, folded: Set[Value], grads: Mapping[Value, str]
) -> Row:
    if not isinstance(weight, Value):
        return Row(sign, short(weight))
    if weight not in folded:
        return Row(f"{sign} ·")
    return Row(f"{sign} {visible(weight.label, 12)}".rstrip(), short(weight.data), grads[weight])


def _shortened(rows: Sequence[Row], pins: list[int], most: int = MOST_ROWS) -> Terms:
    extra = len(rows) - most
    if extra <= 0:
        return Terms(tuple(rows), pins)
    first, last = most - 3, len(rows) - 2
    gap = Row(f"… {last - first} more")
    moved = [p if p < first else first if p < last else p - extra for p in pins]
    return Terms((*rows[:first], gap, *rows[last:]), moved)

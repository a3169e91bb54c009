"""Nodes and derivatives as a programmer would write them, for the sentences of the page.

>>> import chainrule as cr
>>> w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
>>> names([w, x, b, p := w * x, s := p + b, cr.tanh(s)])
['w', 'x', 'b', 'w*x', 'w*x + b', 'tanh(w*x + b)']
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...engine import table
from ...engine.backend import Value
from ...engine.table import Primitive
from ..symbols import Symbol, partials
from ..text import short, visible

LONGEST = 16
"""Characters of an expression that may stand for a node; a longer one gets a number instead."""

Written = tuple[str, int]
"""A text and how tightly it binds, as in the table: 1 a sum, 2 a product, 4 a power, 9 an atom."""

_FORMS: dict[Primitive, str] = {
    table.add: "{0} + {1}",
    table.subtract: "{0} - {1}",
    table.multiply: "{0}*{1}",
    table.damped: "{0}*{1}",
    table.divide: "{0}/{1}",
    table.negative: "-{0}",
    table.power: "{0}**{1}",
    table.square: "{0}**2",
    table.one_less_square: "1 - {0}**2",
}
_BINDS: dict[Primitive, tuple[int, ...]] = {table.divide: (2, 3), table.power: (5, 4)}
"""A quotient in a row needs other parentheses than a fraction."""


TEXTBOOK: dict[Primitive, str] = {
    table.tanh: "1 - tanh(x)**2",
    table.sigmoid: "sigmoid(x)*(1 - sigmoid(x))",
}
"""What a course writes where the table has the derivative in a form that keeps all digits."""

_OPERATORS = re.compile(r"[\s+*/^·-]")


def names(nodes: Sequence[Value]) -> list[str]:
    """Return what to call each of *nodes*: its label, a short expression, or v and its number.

    The last of them is the result.
    """
    called = _called(nodes)
    return [called[node][0] for node in nodes]


def terms(nodes: Sequence[Value]) -> list[str]:
    """Return the names of *nodes*, a sum or product in parentheses: ``(w*x).grad``.

    >>> import chainrule as cr
    >>> w, x = cr.Value(-3.0, "w"), cr.Value(2.0, "x")
    >>> terms([w, x, p := w * x, q := -2.0 * p, -q])
    ['w', 'x', '(w*x)', '(-2*w*x)', '(-(-2*w*x))']
    >>> p.label = "w0 x0"                   # a label may be an expression too
    >>> terms([w, x, p, 2.0 * p])[-2:]
    ['(w0 x0)', '(2*(w0 x0))']
    """
    called = _called(nodes)
    return [_closed(called[node], 9, False) for node in nodes]


def expressions(nodes: Sequence[Value]) -> list[str]:
    """Return for each of *nodes* what it computes from its operands, by their names."""
    called = _called(nodes)
    return [visible(expression(node, called)[0], 60) for node in nodes]


def _called(nodes: Sequence[Value]) -> dict[Value, Written]:
    called: dict[Value, Written] = {}
    numbered = False
    for k, node in enumerate(nodes):
        text, binds = expression(node, called)
        short_enough = 0 < len(text) <= LONGEST
        if node.label:
            called[node] = _labelled(node)
        elif k == len(nodes) - 1 and (numbered or not short_enough):
            called[node] = "result", 9
        else:
            called[node] = (text, binds) if short_enough else (f"v{k}", 9)
            numbered = numbered or not short_enough
    return called


def expression(node: Value, called: dict[Value, Written]) -> Written:
    """Return what *node* computes from its operands, which are *called* so; a leaf is its number.

    Operands without a name are left to their number.
    """
    if node.primitive is None:
        return _labelled(node) if node.label else ("", 9)
    args = [
        called.get(x) or ("·", 9) if isinstance(x, Value) else _number(x) for x in node.operands
    ]
    return _applied(node.primitive, args)


def _labelled(node: Value) -> Written:
    """Return the label of *node*, which binds like a sum if it is written like an expression."""
    label = visible(node.label)
    return label, 1 if _OPERATORS.search(label) else 9


def rule(row: Primitive, arity: int) -> dict[str, Any] | None:
    """Return *row* of named arguments and its partials as texts; None where there are no formulas.

    >>> rule(table.tanh, 1)["partials"]
    ['1 - tanh(x)**2 = 4*sigmoid(2*x)*sigmoid(-2*x)']
    >>> rule(table.multiply, 2)
    {'arguments': ['a', 'b'], 'value': 'a*b', 'partials': ['b', 'a']}
    """
    if row.arity is None or row.selects is not None or table.is_given(row):
        return None
    known = TEXTBOOK.get(row)
    arguments = ["x"] if arity == 1 else list("abcdefgh"[:arity])
    symbols = [Symbol(name) for name in arguments]
    try:
        found = partials(row, symbols)
    except TypeError:  # a user's row that is not written in the library's functions
        return None
    return {
        "arguments": arguments,
        "value": _applied(row, [(name, 9) for name in arguments])[0],
        "partials": [" = ".join(filter(None, [known, _written(x)[0]])) for x in found],
    }


def _written(x: Any) -> Written:
    if not isinstance(x, Symbol):
        return _number(x)
    if x.row is None:
        return x.name, 9
    return _applied(x.row, [_written(arg) for arg in x.args])


def _number(x: float) -> Written:
    text = short(x)
    return text, 3 if text.startswith("-") else 9


def _applied(row: Primitive, args: Sequence[Written]) -> Written:
    if row is table.add_up:
        return " + ".join(_closed(arg, 1, i > 0) for i, arg in enumerate(args)), 1
    if row is table.dot_product:
        n = len(args) // 2
        pairs = zip(args[:n], args[n:-1], strict=True)
        products = [_applied(table.multiply, pair)[0] for pair in pairs]
        return " + ".join(products + [_closed(args[-1], 1, True)] * (args[-1][0] != "0")), 1
    if row not in _FORMS:
        return f"{row.name}({', '.join(text for text, _ in args)})", 9
    binds = _BINDS.get(row, row.binds)
    texts = [_closed(arg, binds[i], i > 0 or row is table.negative) for i, arg in enumerate(args)]
    return _FORMS[row].format(*texts), row.precedence


def _closed(arg: Written, least: int, later: bool) -> str:
    text, binds = arg
    return f"({text})" if binds < least or (later and text.startswith("-")) else text

# Of plain numbers they give a number, and of anything wider a Value: the signatures overlap.  Of an
# array NumPy's types do not say which: Any.
# mypy: disable-error-code="overload-overlap"
"""Sums and normalisers of many numbers: each is a single node, however many terms it has.

They take any iterable of numbers or Values, or a NumPy array of either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import modes
from . import table as primitives
from .arguments import listed
from .native import core

if TYPE_CHECKING:
    from .value import Value

_F = TypeVar("_F", bound=Callable[..., Any])
_Row = TypeVar("_Row")


def _terms(values: Iterable[Any], name: str) -> list[Any]:
    if isinstance(values, np.ndarray):
        return values.ravel().tolist()  # type: ignore[no-any-return]
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(
            f"{name} takes an iterable of numbers or Values, not {type(values).__name__}: "
            f"{name}([a, b])"
        )
    return list(values)


def _published(signature: str) -> Callable[[_F], _F]:
    """Put the native core's entry in front of a function, which it calls when C cannot help."""

    def publish(function: _F) -> _F:
        if core is None:
            return function
        doc = f"{function.__name__}({signature})\n--\n\n{function.__doc__}"
        return core.published(function, doc)  # type: ignore[no-any-return]

    return publish


def _some_terms(values: Iterable[Any], name: str) -> list[Any]:
    terms = _terms(values, name)
    if not terms:
        raise ValueError(f"{name} of no values: expected at least one")
    return terms


@overload
def sum(values: NDArray[Any]) -> Any: ...
@overload
def sum(values: Iterable[SupportsFloat]) -> float: ...
@overload
def sum(values: Iterable[Value | SupportsFloat]) -> Value: ...
@_published("values")
def sum(values: Iterable[Any]) -> Any:
    """Return the sum of *values* as one node; 0.0 if there are none.

    >>> import chainrule as cr
    >>> total = cr.sum([cr.Value(1.0), cr.Value(2.0), 3])
    >>> total.data, len(total.parents)
    (6.0, 2)

    Terms are added from left to right, on every version of Python.
    """
    terms = _terms(values, "sum")
    return primitives.add_up(*terms) if terms else 0.0


@overload
def mean(values: NDArray[Any]) -> Any: ...
@overload
def mean(values: Iterable[SupportsFloat]) -> float: ...
@overload
def mean(values: Iterable[Value | SupportsFloat]) -> Value: ...
@_published("values")
def mean(values: Iterable[Any]) -> Any:
    """Return the arithmetic mean of *values* as one node; ValueError if there are none.

    >>> import chainrule as cr
    >>> cr.mean([cr.Value(1.0), cr.Value(2.0)]).partials
    (0.5, 0.5)
    """
    return primitives.mean_of(*_some_terms(values, "mean"))


@overload
def dot(weights: NDArray[Any], inputs: Iterable[Any], bias: Any = 0.0) -> Any: ...
@overload
def dot(weights: Iterable[Any], inputs: NDArray[Any], bias: Any = 0.0) -> Any: ...
@overload
def dot(
    weights: Iterable[SupportsFloat], inputs: Iterable[SupportsFloat], bias: SupportsFloat = 0.0
) -> float: ...
@overload
def dot(
    weights: Iterable[Value | SupportsFloat],
    inputs: Iterable[Value | SupportsFloat],
    bias: Value | SupportsFloat = 0.0,
) -> Value: ...
@_published("weights, inputs, bias=0.0")
def dot(weights: Iterable[Any], inputs: Iterable[Any], bias: Any = 0.0) -> Any:
    """Return bias + sum_i weights[i] * inputs[i] as one node: a neuron's z.

    ValueError if *weights* and *inputs* differ in length.

    >>> import chainrule as cr
    >>> w = [cr.Value(2.0), cr.Value(-3.0)]
    >>> z = cr.dot(w, [-1.0, -2.0], bias=cr.Value(-3.0))
    >>> z.data, z.partials
    (1.0, (-1.0, -2.0, 1.0))

    The parents are the Values among the weights, then among the inputs, then the bias.
    """
    weights, inputs = _terms(weights, "dot"), _terms(inputs, "dot")
    if len(weights) != len(inputs):
        raise ValueError(
            f"dot: {len(weights)} weights and {len(inputs)} inputs; expected as many of one as of "
            "the other"
        )
    return primitives.dot_product(*weights, *inputs, bias)


@overload
def softmax(values: NDArray[Any]) -> NDArray[Any]: ...
@overload
def softmax(values: Iterable[SupportsFloat]) -> list[float]: ...
@overload
def softmax(values: Iterable[Value | SupportsFloat]) -> list[Value]: ...
def softmax(values: Iterable[Any]) -> Any:
    """Return exp(v_k) / sum_j exp(v_j) for each k, one node each; ValueError if there are none.

    The result is a list, or an array if an array was given.  It is stable: adding a constant to all
    *values* changes nothing, however large it is.

    >>> import chainrule as cr
    >>> cr.softmax([1000.0, 1000.0])
    [0.5, 0.5]
    """
    terms = _some_terms(values, "softmax")
    numbers = all(not hasattr(type(term), "__chainrule__") for term in terms)
    if numbers:
        terms = [primitives.as_float(term, "softmax") for term in terms]
    entries = primitives.softmax_of(terms)
    if isinstance(values, np.ndarray):
        return np.array(entries, dtype=float if numbers else object).reshape(values.shape)
    return entries


@overload
def logsumexp(values: NDArray[Any]) -> Any: ...
@overload
def logsumexp(values: Iterable[SupportsFloat]) -> float: ...
@overload
def logsumexp(values: Iterable[Value | SupportsFloat]) -> Value: ...
@_published("values")
def logsumexp(values: Iterable[Any]) -> Any:
    """Return log(sum_k exp(v_k)) as one node, without overflow; ValueError if there are none.

    >>> import chainrule as cr
    >>> round(cr.logsumexp([1000.0, 1000.0]), 6)
    1000.693147
    """
    return primitives.logsumexp_of(*_some_terms(values, "logsumexp"))


@dataclass(frozen=True)
class _RowNumber:
    """The rule for an index into a table of *count* rows."""

    count: int

    def holds(self, index: Any) -> Any:
        return (index >= 0) & (index < self.count) & (index % 1 == 0)

    def error(self, index: Sequence[float]) -> Exception:
        wrong = next(i for i in index if not self.holds(i))
        return IndexError(f"take: there is no row {wrong:g} in a table of {self.count}")


@overload
def take(table: Sequence[_Row], index: SupportsFloat) -> _Row: ...
@overload
def take(table: Sequence[Value | SupportsFloat], index: Value) -> Value: ...
@overload
def take(table: Sequence[Sequence[Value | SupportsFloat]], index: Value) -> list[Value]: ...
def take(table: Sequence[Any], index: Any) -> Any:
    """Return ``table[index]``: one number of a sequence, one row of a sequence of rows, or deeper.

    If *index* is a whole number, it is exactly that, and makes no node.  Inside a compiled function
    the index may be one of the inputs: then each number of the row is a node, and the compiled
    program gathers the rows of a whole batch at once.

    >>> import chainrule as cr
    >>> embedding = [[cr.Value(0.1), cr.Value(0.2)], [cr.Value(0.3), cr.Value(0.4)]]
    >>> [v.data for v in take(embedding, 1)]
    [0.3, 0.4]

    IndexError if there is no such row; every index below 0 counts as missing.  TypeError if *table*
    is not a sequence.
    """
    rows = listed("take: the rows of the table", table, "numbers or rows")
    rule = _RowNumber(len(rows))
    symbolic = hasattr(type(index), "__chainrule__")
    position = primitives.as_float(index.data if symbolic else index, "take: the index")
    if not rule.holds(position):
        raise rule.error([position])
    if not symbolic:
        return rows[int(index)]
    if modes.current().tracing:
        modes.demand(rule, [index])
    return _taken(index, rows)


def _taken(index: Any, rows: Sequence[Any]) -> Any:
    """Return the row that a Value selects, one node for each of its numbers."""
    first = rows[0]
    if not isinstance(first, (list, tuple, np.ndarray)):
        return primitives.take_entry(index, *rows)
    parts = [_taken(index, column) for column in zip(*rows, strict=True)]
    if isinstance(first, np.ndarray):
        return np.array(parts, dtype=object)
    make: Any = getattr(type(first), "_make", type(first))  # of a named tuple
    return make(parts)

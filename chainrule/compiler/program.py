"""The array program: a list of array operations as plain data.

An :class:`Operation` is one step on whole arrays.  The only NumPy objects in a program are its
constants, so it can be pickled, and printed for any array library.

Arrays have a *shape* for one example, of at least one axis, and may be *batched*: then an axis for
the examples comes before all others.  A view addresses the elements of an example as one flat row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine.table import Primitive
from .addresses import AnyArray, Shape

KINDS = {
    "input": "the argument number *detail*",
    "parameter": "the parameters from *detail[0]* to *detail[1]*, in the shape of the operation",
    "constant": "the constant array number *detail*",
    "apply": "the primitive number *detail* of the rows, element by element, broadcasting",
    "view": "elements at offset and strides *detail*",
    "reshape": "the same elements in another shape",
    "take": "elements at the addresses in constant number *detail*",
    "pick": "rows of the second argument chosen by the first",
    "spread": "the transpose of pick: rows added up where the first argument says",
    "one_minus": "1 minus the first argument, the sigmoid of the second, to full relative accuracy",
    "one_minus_square": "1 minus the square of the first, the tanh of the second, likewise",
    "broadcast": "copies along axes of extent 1",
    "matmul": "matrix product, each argument's last two axes exchanged first if *detail* says so; "
    "all axes but the last are rows, unless *detail[2]* calls for a stack of products",
    "linked_matmul": "likewise, without the terms for which the third argument, the mask of the "
    "first, is 0: whatever the second is there, they count as 0",
    "sum": "sum over the axes *detail*, counted from the last, which keep extent 1",
    "sum_batch": "sum over the examples; over all else too if the result has fewer elements",
    "segment_sum": "sums of the stretches that start where constant number *detail* says",
    "maximum": "largest along the last axis, or of such stretches",
    "minimum": "smallest, likewise",
    "logsumexp": "log of the sum of exponentials along the last axis; or of stretches, *detail* "
    "being two constants: where they start, and which stretch an element is in",
    "softmax": "exponentials over their sum, likewise, in the shape of the argument",
    "logsumexp_slopes": "the softmax, but 0 where the logsumexp is -inf",
    "softmax_pullback": "the adjoint of the logits, from the softmax and its adjoint",
    "one_hot": "1 at the place that the argument says, 0 at the others, along the last axis",
    "softmax_rest": "1 minus the entry of the softmax in the first argument where the second has a "
    "1, as the sum of the others",
    "surprisals": "minus the logarithms of the softmax along the last axis",
    "cross_entropy": "of the logits in the first argument, along the last axis, with the shares "
    "in the second",
    "softmax_minus": "the softmax of the first argument minus the second, to full relative "
    "accuracy: the adjoint of the logits above",
    "count": "the number of examples, times the argument",
    "new": "an array filled with the number *detail*, or with nothing yet",
    "store": "write the second argument into the view *detail* of the first",
    "accumulate": "add the second argument to the view *detail* of the first",
}
"""The kinds of operation; ``store`` and ``accumulate`` change an array made by ``new``."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of an array program; *args* are numbers of earlier steps, or floats."""

    kind: str
    args: tuple[int | float, ...]
    shape: Shape
    batched: bool
    detail: Any = None


@dataclass
class Program:
    """A list of operations, the data they refer to, and the operations that are its results."""

    operations: list[Operation] = field(default_factory=list)
    constants: list[AnyArray] = field(default_factory=list)
    rows: list[Primitive] = field(default_factory=list)
    """The primitives that are applied: a name may be that of several."""
    names: dict[int, str] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[int | float] = field(default_factory=list)
    cost: int | float | None = None
    """The mean of the only output over the examples, if the program has a derivative."""
    gradients: list[tuple[int, int | float]] = field(default_factory=list)
    """The parameter operations and their derivatives."""
    pools: set[int] = field(default_factory=set)
    """The arrays made by ``new`` that are read before the last write to them."""
    arguments: dict[str, list[int]] = field(default_factory=dict)
    """The parameter operations that each function of the source takes."""

    def row(self, operation: Operation) -> Primitive | None:
        """Return the primitive that *operation* applies, or None if it is of another kind."""
        return self.rows[operation.detail] if operation.kind == "apply" else None

    def row_names(self) -> list[str]:
        """Return the names by which the source calls the rows: their own, if those are free."""
        return distinct_names(row.name for row in self.rows)

    def needed(self, results: Sequence[int | float]) -> set[int]:
        """Return the operations that *results* need, including writes into their arrays."""
        wanted = {x for x in results if type(x) is int}
        for n in range(len(self.operations) - 1, -1, -1):
            operation = self.operations[n]
            if operation.kind in ("store", "accumulate") and operation.args[0] in wanted:
                wanted.add(n)
            if n in wanted:
                wanted.update(x for x in operation.args if type(x) is int)
        return wanted

    def uses(self, wanted: Iterable[int], results: Iterable[int | float]) -> list[int]:
        """Return how often each operation is read by those *wanted*, and as a result."""
        found = [0] * len(self.operations)
        read = itertools.chain.from_iterable(self.operations[n].args for n in wanted)
        for x in itertools.chain(read, results):
            if type(x) is int:
                found[x] += 1
        return found

    def parameters(self, function: str) -> list[Operation]:
        """Return the parameter operations in the order in which *function* takes them."""
        return [self.operations[n] for n in self.arguments[function]]


def distinct_names(names: Iterable[str]) -> list[str]:
    """Return *names*, with a number behind each that occurred before."""
    found: list[str] = []
    for name in names:
        candidates = (name if i == 1 else f"{name} ({i})" for i in itertools.count(1))
        found.append(next(x for x in candidates if x not in found))
    return found

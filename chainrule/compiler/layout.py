"""Pass 5: where every node is kept, and the forward program that follows from it.

The members of a group are kept in one array, ordered so that operands are views rather than gathers
wherever possible: in the order of the rows and columns of a product, or in the order of their first
operand.  Parameters take the order that their first user needs, so a layer's weights become the
matrix Theta, with the bias in column 0.  An array that is multiplied by such a Theta gets a column
of ones in front: the bias unit a_0 = 1 of the notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine import table as primitives
from .addresses import Shape
from .builder import Builder
from .groups import Group, Grouping, find_products
from .likeness import OVER_CLASSES
from .program import Program
from .sums import Sums
from .symbolic import Operand, Symbol
from .tape import Tape, ranges

_ACTIVATIONS = (
    primitives.sigmoid,
    primitives.tanh,
    primitives.relu,
    primitives.leaky_relu,
    primitives.silu,
    primitives.gelu,
)


@dataclass
class Layout:
    """A program with its forward part, and what its arrays hold."""

    program: Program
    builder: Builder
    parameters: list[int]
    """The leaves in the order of the parameter vector."""
    rows: list[Operand]
    """The outputs, a number for each: in one row unless there are to be several."""

    @property
    def outputs(self) -> Operand:
        """The only row of outputs."""
        (row,) = self.rows
        return row


_SEGMENTED: dict[primitives.Primitive, str] = {
    primitives.maximum: "maximum",
    primitives.minimum: "minimum",
    primitives.logsumexp_of: "logsumexp",
    primitives.softmax_entry: "softmax",
}


class _Placer(Sums):
    """Computes groups of any kind, in their order."""

    def compute(self, part: Group) -> None:
        if part.row is None:
            self._sum(part)
        elif part.segments is not None:
            self._segmented(part)
        else:
            self._elementwise(part)

    def _elementwise(self, part: Group) -> None:
        if part.row is primitives.take_entry:
            self._take(part)
            return
        if part.row in OVER_CLASSES:
            self._over_classes(part)
            return
        order = self._order(part.operands)
        operands, shape = self.fetch_together([ids[order] for ids in part.operands])
        assert part.row is not None
        name = ""
        if isinstance(operands[0], Symbol):
            argument = self.builder.program.names.get(operands[0].number, "")
            if argument[:1] == "z" and part.row in _ACTIVATIONS:
                name = "a" + argument[1:]
        self.keep(part.members[order], self.builder.apply(part.row, *operands), shape, name)

    def _over_classes(self, part: Group) -> None:
        """Compute losses over the logits of every member, which become the last axis."""
        builder, row, columns = self.builder, part.row, part.operands
        classes = len(columns) // 2 if row is primitives.soft_cross_entropy else len(columns) - 1
        logits = np.stack(columns[-classes:], axis=1)
        order = self._order([logits[:, 0]])
        rows = len(order)
        shape: Shape = (classes,) if rows == 1 else (rows, classes)
        z = self._symbol(self.fetch(logits[order].reshape(shape)), shape)
        if row is primitives.soft_cross_entropy:
            shares = np.stack(columns[:classes], axis=1)
            y = self._symbol(self.fetch(shares[order].reshape(shape)), shape)
        else:
            which = self.fetch(columns[0][order].reshape(*shape[:-1], 1))
            y = builder.one_hot(which, shape)
        batched = z.batched or y.batched
        z = builder.broadcast(z, shape, batched)
        made = (*shape[:-1], 1)
        if row is primitives.softmax_rest:
            p = builder.emit("softmax", (z,), shape, batched)
            value = builder.emit("softmax_rest", (p, y), made, batched)
        else:
            value = builder.emit("cross_entropy", (z, y), made, batched)
        self.keep(part.members[order], builder.reshape(value, (rows,)), (rows,))

    def _take(self, part: Group) -> None:
        """Compute entries of tables: rows of a matrix if every index uses the same columns."""
        index, *entries = part.operands
        table = np.stack(entries, axis=1)
        products = find_products(index[:, None], table)
        builder = self.builder
        if len(products) == 1 and len(products[0].left) == 1:
            product = products[0]
            which = self._symbol(self.fetch(product.left[0, :, 0]), (len(product.left[0]),))
            values = self._symbol(self.fetch(product.right[0].T), product.right[0].T.shape)
            if not values.batched:
                shape = product.members.shape[1:]
                value = builder.emit("pick", (which, values), shape, which.batched)
                shape = tuple(n for n in shape if n > 1) or (1,)
                order = product.members.ravel()
                self.keep(part.members[order], builder.reshape(value, shape), shape)
                return
        operands, shape = self.fetch_together(part.operands)
        which, *choices = operands  # type: ignore[assignment]
        chosen: Operand = choices[-1]
        for k in range(len(choices) - 2, -1, -1):
            chosen = primitives.where(primitives.equal(which, float(k)), choices[k], chosen)
        self.keep(part.members, chosen, shape)

    def _segmented(self, part: Group) -> None:
        assert part.segments is not None
        assert part.counts is not None
        counts, segments = part.counts, part.segments
        softmax = part.row is primitives.softmax_entry
        starts = np.cumsum(counts) - counts
        self.locate(segments)
        order = self._order([segments[starts]])
        flat = segments[ranges(starts[order], counts[order])]
        entries = ranges(starts[order], counts[order]) if softmax else order
        members = part.members[entries]
        counts = counts[order]
        rows, length = len(counts), int(counts[0])
        builder = self.builder
        assert part.row is not None
        kind = _SEGMENTED[part.row]
        if (counts == length).all():
            shape: Shape = (length,) if rows == 1 else (rows, length)
            x = self._symbol(self.fetch(flat.reshape(shape)), shape)
            made = shape if softmax else (*shape[:-1], 1)
            value = builder.emit(kind, (x,), made, x.batched)
            shape = shape if softmax else (rows,)
            self.keep(members, builder.reshape(value, shape), shape)
        else:
            x = self._symbol(self.fetch(flat), flat.shape)
            shape = (len(members),)
            detail: Any = builder.stretches(counts)
            if kind in ("maximum", "minimum"):
                detail = detail[0]
            self.keep(members, builder.emit(kind, (x,), shape, x.batched, detail), shape)


def lay_out(
    tape: Tape,
    grouping: Grouping,
    arguments: Sequence[Sequence[int]],
    shapes: Sequence[Shape],
    parameters: Sequence[int] = (),
    rows: Sequence[int] = (),
) -> Layout:
    """Return the forward program.

    *arguments* lists the leaves of each argument, and *shapes* the shape of one example of it.  If
    *parameters* are given, they form one array, in that order.  The outputs are one row, or *rows*
    of so many, none of them empty.
    """
    placer = _Placer(tape, grouping, arguments, shapes, parameters)
    for part in grouping.groups:
        placer.compute(part)
    outputs = np.array(tape.outputs, dtype=np.int64)
    found = [placer.fetch(row) for row in np.split(outputs, np.cumsum(rows[:-1], dtype=np.int64))]
    return Layout(placer.builder.program, placer.builder, placer.placed, found)

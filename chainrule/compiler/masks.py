"""Masks: which numbers of an array have a part in the result, for each example.

A mask is 0 where nothing arrives in the backward program, and more where something does; or it is
the number 1.0 if something arrives everywhere.  It has as many axes as the array it is of, and
extent 1 along an axis where it is the same.  Masks add up as adjoints do, and what all branches of
a choice reach is reached as surely as the choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..engine import table as primitives
from .addresses import AnyArray, Shape
from .builder import Builder
from .program import Operation
from .symbolic import Operand, Symbol

Mask = Operand
_COMPARISONS = (primitives.less, primitives.less_equal, primitives.equal)


class Masks:
    """Makes the masks of one program, and remembers which are the branches of what choice."""

    def __init__(self, builder: Builder):
        self._builder = builder
        # For a mask that is a branch: the mask of the choice and its number, the number of the
        # operation that chooses, which of its operands this branch is, and of how many.
        self._branches: dict[int, list[tuple[int | None, Mask, int, int, int]]] = {}

    def fixed(self, reached: AnyArray) -> Mask:
        """Return a mask that is the same for all examples."""
        if reached.all():
            return 1.0
        number = self._builder.array(reached.astype(float))
        return self._builder.emit("constant", (), reached.shape, False, number)

    # --- choosing ----------------------------------------------------------------------------

    def branch(self, condition: Symbol, mask: Mask, choice: Symbol, position: int, of: int) -> Mask:
        """Return where *mask* and *condition* hold: operand *position* of *of* is chosen there."""
        found: Mask = condition
        if isinstance(mask, Symbol) or condition.row not in _COMPARISONS:
            found = primitives.where(condition, mask, 0.0)
        return self._noted(found, mask, choice, position, of)

    def other_branch(self, condition: Symbol, mask: Mask) -> Mask:
        """Return where *mask* holds and *condition* does not."""
        return self._noted(primitives.where(condition, 0.0, mask), mask, condition, 2, 2)

    def _noted(self, found: Mask, mask: Mask, choice: Symbol, position: int, of: int) -> Mask:
        if isinstance(found, Symbol):
            before = mask.number if isinstance(mask, Symbol) else None
            entry = before, mask, choice.number, position, of
            self._branches.setdefault(found.number, []).append(entry)
        return found

    def either(self, masks: Sequence[Mask]) -> Mask:
        """Return where any of *masks* holds."""
        found: dict[int, Symbol] = {}
        for mask in masks:
            if not isinstance(mask, Symbol):
                return 1.0
            found[mask.number] = mask
        while (joined := self._joined(found)) is not None:
            members, mask = joined
            for n in members:
                found.pop(n)
            if not isinstance(mask, Symbol):
                return 1.0
            found[mask.number] = mask
        total: Mask | None = None
        for mask in found.values():
            total = mask if total is None else primitives.add(total, mask)
        assert total is not None
        return total

    def _joined(self, masks: dict[int, Symbol]) -> tuple[list[int], Mask] | None:
        """Return the numbers of all branches of one choice, if all are there, and its mask."""
        choices: dict[tuple[int | None, int, int], dict[int, int]] = {}
        for n in masks:
            for before, mask, choice, position, of in self._branches.get(n, ()):
                positions = choices.setdefault((before, choice, of), {})
                positions[position] = n
                if len(positions) == of:
                    return list(set(positions.values())), mask
        return None

    # --- moving --------------------------------------------------------------------------------

    def any_along(self, mask: Mask, axes: Sequence[int]) -> Mask:
        """Return where *mask* holds anywhere along *axes*, which keep extent 1."""
        if not isinstance(mask, Symbol):
            return mask
        axes = [a for a in axes if mask.shape[a] != 1]
        return self._builder.total(mask, axes, mask.shape)

    def any_example(self, mask: Mask) -> Mask:
        """Return where *mask* holds for any of the examples."""
        if not isinstance(mask, Symbol) or not mask.batched:
            return mask
        return self.shaped(self._builder.total_batch(mask), mask.shape)

    def at(self, mask: Mask, operation: Operation, where: AnyArray) -> Mask:
        """Return the *mask* of *operation* at addresses *where* of its array."""
        if not isinstance(mask, Symbol):
            return mask
        if math.prod(mask.shape) == 1:
            return self._builder.reshape(mask, (1,) * where.ndim)
        return self._builder.at(self.filled(mask, operation.shape), where)

    def shaped(self, mask: Mask, shape: Shape) -> Mask:
        """Return a *mask* that is broadcast to the array as one that is broadcast to *shape*."""
        if not isinstance(mask, Symbol):
            return mask
        if math.prod(mask.shape) == 1:
            return self._builder.reshape(mask, (1,) * len(shape))
        return self._builder.reshape(mask, shape)

    def filled(self, mask: Symbol, shape: Shape) -> Symbol:
        """Return *mask* in the whole *shape* of its array."""
        return self._builder.broadcast(mask, shape, mask.batched)

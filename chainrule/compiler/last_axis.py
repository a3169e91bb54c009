"""The rules of operations along the last axis, or along stretches of it, on the way back.

Sums, largest and smallest, and the softmax with its kin.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine import table as primitives
from .arrivals import Arrivals
from .masks import Mask
from .program import Operation
from .symbolic import Operand, Symbol


class AlongLastAxis(Arrivals):
    """The rules by the names of the kinds: each gives its arguments their share of an adjoint."""

    def _sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        self.give(operation.args[0], adjoint, operation.batched)  # it is broadcast where used

    def _segment_sum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        mask = self._repeated_mask(operation)
        self.give(
            operation.args[0], self._repeated(operation, adjoint), operation.batched, mask=mask
        )

    def _repeated_mask(self, operation: Operation) -> Mask:
        if isinstance(self.mask, Symbol) and self.mask.shape[-1] == 1:
            return self.mask
        return self._repeated(operation, self.mask)

    def _repeated(self, operation: Operation, x: Operand) -> Operand:
        """Return *x*, one number per stretch, repeated for every member of its stretch."""
        if not isinstance(x, Symbol) or operation.detail is None:
            return x
        detail = operation.detail
        starts = self.program.constants[detail[0] if isinstance(detail, tuple) else detail]
        length = self.program.operations[operation.args[0]].shape[-1]  # type: ignore[index]
        owner = np.repeat(np.arange(len(starts)), np.diff([*starts.tolist(), length]))
        if x.shape != operation.shape:
            x = self.filled(x, operation.shape)
        return self.builder.at(x, owner)

    def _maximum(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Divide the adjoint among tied arguments, as the row does."""
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        ties = primitives.equal(x, self._repeated(operation, builder.symbol(number)))
        if operation.detail is None:
            count = builder.total(ties, (-1,), x.shape)
        else:
            count = builder.emit(
                "segment_sum", (ties,), operation.shape, x.batched, operation.detail
            )
        share: Operand = primitives.divide(adjoint, count)
        if isinstance(self.mask, Symbol):  # nothing equals a nan maximum, and 0 / 0 ties is nan
            share = primitives.where(self.mask, share, 0.0)
        depends = self.depends[x.number]
        if not depends.all():  # on a tie with a constant, no argument gets a share
            constant = primitives.multiply(ties, builder.constant(~depends))
            if operation.detail is None:
                found = builder.total(constant, (-1,), x.shape)
            else:
                found = builder.emit(
                    "segment_sum", (constant,), operation.shape, x.batched, operation.detail
                )
            share = primitives.multiply(share, primitives.equal(found, 0.0))
        share = self._repeated(operation, share)
        mask = self._repeated_mask(operation)
        self.give(x.number, primitives.multiply(ties, share), operation.batched, mask=mask)

    _minimum = _maximum

    def _logsumexp(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        x = builder.symbol(int(operation.args[0]))
        shares = builder.emit("logsumexp_slopes", (x,), x.shape, x.batched, operation.detail)
        mask = self._repeated_mask(operation)
        term = self.times(shares, self._repeated(operation, adjoint), mask)
        self.give(x.number, term, operation.batched, mask=mask)

    def _cross_entropy(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        z, y = (builder.symbol(int(n)) for n in operation.args)
        slopes = builder.emit("softmax_minus", (z, y), z.shape, z.batched)
        partials: list[tuple[Symbol, Any]] = [(z, slopes)]
        if self.active[y.number]:
            s = builder.emit("surprisals", (z,), z.shape, z.batched)
            unlikely = primitives.multiply(primitives.equal(y, 0.0), primitives.equal(s, math.inf))
            partials.append((y, primitives.where(unlikely, 0.0, s)))
        for x, partial in partials:
            self.give(x.number, self.times(partial, adjoint, self.mask), operation.batched)

    def _one_hot(self, number: int, operation: Operation, adjoint: Operand) -> None:
        """Give nothing on: a class has no derivative."""

    def _softmax_rest(self, number: int, operation: Operation, adjoint: Operand) -> None:
        p, y = (self.builder.symbol(int(n)) for n in operation.args)
        self.give(p.number, self.times(-y, adjoint, self.mask), operation.batched)

    def _softmax(self, number: int, operation: Operation, adjoint: Operand) -> None:
        builder = self.builder
        y = builder.symbol(number)
        if not isinstance(adjoint, Symbol):
            adjoint = builder.broadcast(adjoint, y.shape, False)
        mask = self._any_of_stretch(operation)
        if isinstance(mask, Symbol):
            y = primitives.where(mask, y, 0.0)  # type: ignore[assignment]
        pulled = builder.emit(
            "softmax_pullback", (y, adjoint), y.shape, y.batched, operation.detail
        )
        self.give(operation.args[0], pulled, operation.batched, mask=mask)

    def _any_of_stretch(self, operation: Operation) -> Mask:
        """Return where anything of the last axis, or of the same stretch of it, is reached."""
        mask, builder = self.mask, self.builder
        if operation.detail is None or not isinstance(mask, Symbol) or mask.shape[-1] == 1:
            return self.masks.any_along(mask, (-1,))
        starts, owners = operation.detail
        shape = (*mask.shape[:-1], len(self.program.constants[starts]))
        found = builder.emit("segment_sum", (mask,), shape, mask.batched, starts)
        rows = np.arange(math.prod(shape)).reshape(shape)
        return builder.at(found, rows[..., self.program.constants[owners]])

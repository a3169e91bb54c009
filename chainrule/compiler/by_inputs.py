"""The derivatives of an array program by the numbers in its arguments, for each example.

The gradient by parameters is added up over the examples, so it is part of the program.  What a
Jacobian by arguments needs is not: it is appended to a copy of the operations, one way back for
each output, when it is first asked for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from .adjoint import Pullback
from .builder import Builder
from .program import Program
from .symbolic import Operand, Symbol


def by_inputs(
    program: Program, count: int, size: int, which: Sequence[int], lengths: Sequence[int]
) -> Program:
    """Return the program of the derivatives of all *size* outputs by the arguments *which*.

    The first *count* operations of *program* compute its outputs, and *lengths* says how many
    numbers an example of each argument has.  The result is one row: the derivatives of the first
    output, argument after argument, then those of the second, and so on.
    """
    builder = Builder.after(program, count)
    # In the engine these are Values; arguments that are not asked for are numbers.
    inputs = {
        n: np.ones(math.prod(x.shape), dtype=bool)
        for n, x in enumerate(builder.program.operations)
        if x.kind == "input" and x.detail in which
    }
    row: Operand = program.outputs[0]
    if type(row) is int:
        row = builder.symbol(row)
    width = sum(lengths)
    found = builder.new((size * width,), True, 0.0)
    for i in range(size if isinstance(row, Symbol) else 0):
        assert isinstance(row, Symbol)
        pullback = Pullback(builder, inputs, count)
        only = math.prod(row.shape) == 1  # all outputs may be one number
        adjoints = dict(pullback.run(row) if only else pullback.run_from(row, i))
        by = {}
        for n in inputs:
            if n in adjoints:
                operation = builder.program.operations[n]
                by[operation.detail] = builder.broadcast(adjoints[n], operation.shape, True)
        starts = itertools.accumulate(lengths, initial=i * width)
        for argument, start, length in zip(which, starts, lengths, strict=False):
            if argument in by:
                builder.store(found, np.arange(start, start + length), by[argument])
    builder.program.outputs = [found.number]
    return builder.program

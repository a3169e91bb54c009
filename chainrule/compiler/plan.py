"""The plan: a place for every number of a program, and its steps in order, as plain data.

A plan is what runs.  It is made from an array program or, for a graph without width, straight from
the tape; the machine in C, the same machine in NumPy, and the C printer read it.

**Places.**  A number has its place in one of three spaces:

- STILL: what is the same for all examples: the number of examples (place 0), constants, the
  parameters, and what is computed from these alone.  One vector.
- BLOCK: what there is for every example.  A *row* holds one number for each example of the block
  that is being computed, its *lanes*: lane ``l`` of row ``r`` lies at ``r * lanes + l``.
- SUMS: what is added up over the examples.  One vector, zero before the first example.

**Steps** are in three lists: *before* the examples, for *each* block of them, and *after* them.  A
step runs over all indices ``(i1, ..., ik)`` below its *extents*; an operand's element is at
``offset + i1 * strides[0] + ... + ik * strides[k - 1]``, in numbers or, in BLOCK, in rows; then it
has all lanes.  The first operand is the result.  A result in BLOCK has a lane for every lane of the
operands in BLOCK; STILL operands are the same in all lanes.  A result in SUMS is *added* to what is
there, over all lanes, in the order of the examples.

What holds for every step: it has one extent at least, and none is 0, but *loop*, *call* and *flat*
have no extents; strides are not negative.  The steps *before* are on STILL alone.  A step for
*each* block has its result in BLOCK, or in SUMS if it is a *sum*, *product*, *linked_product*,
*weighted_difference* or *spread*; then one of its operands is in BLOCK.  The steps *after* read
SUMS and STILL and write STILL, but nothing writes where the constants and the parameters are.  The
result of *apply*, *one_minus*, *one_minus_square* and *copy* may be in the very place of an operand
with the same strides; otherwise a result shares no place with an operand, but that of *add*,
*scatter_add* and *spread*, which are added to.  A *product*, or a sum of any kind, in STILL or
BLOCK replaces what was there.

**A run** of a machine takes the parameters, the arguments (for each, an array of float with a row
per example), and a number of threads.  Of a plan with a *cost* it returns that, and the gradient as
a new vector; of another, a new array with a row for each of the *outputs* and a column for each
example, or, if the plan is *turned*, the other way round.  Without arguments there is one example.
A machine that lacks a kernel for one of *rows*, or a code, raises LookupError when it is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine.table import Primitive

STILL, BLOCK, SUMS = range(3)
ONE_MINUS, ONE_MINUS_SQUARE = -1, -2

Table = np.ndarray[Any, Any]
"""Whole numbers: addresses, starts of stretches, or flat steps."""

CODES = (
    "apply",  # row number detail[0] of the other operands, one or more, element by element
    "one_minus",  # 1 - a, where a is the sigmoid of z: operands (result, a, z); all digits kept
    "one_minus_square",  # 1 - a**2, where a is the tanh of z: (result, a, z), likewise
    "copy",  # (result, x)
    "add",  # (result, x): x is added to what is in result; no element occurs twice
    "gather",  # one extent: result[i] = x[table i], table detail[0], counted in strides[0] of x
    "scatter",  # one extent: result[table i] = x[i]
    "scatter_add",  # one extent: result[table i] += x[i]; an element may occur twice
    "product",  # (result, a, b): over the last index, sum of a * b
    "linked_product",  # (result, a, b, mask): likewise, but no term where mask is 0, even if a or b
    # is infinite or nan there
    "sum",  # (result, x): sum over the last detail[0] indices, which may be none of them, and in
    # SUMS over the lanes; the result's strides are 0 there, as they are for a product
    # Likewise over the last detail[0] indices:
    "squared_distance",  # (result, a, b): the sum of (a - b)**2
    "weighted_difference",  # (result, w, a, b): the sum of w * (a - b)
    # Of the last index in one piece, or, if detail is not empty, in the stretches that start where
    # table detail[0] says; a stretch is one index of a result that has one number for each:
    "segment_sum",  # (result, x)
    "maximum",  # (result, x)
    "minimum",  # (result, x)
    "logsumexp",  # (result, z)
    "softmax",  # (result, z)
    "logsumexp_slopes",  # (result, z): the softmax, but 0 where all of a stretch is -inf
    "softmax_pullback",  # (result, p, g): p * (g - sum of g * p), with all its digits
    # Of the last index in one piece:
    "surprisals",  # (result, z): minus the logarithm of the softmax
    "cross_entropy",  # (result, z, y): sum of y * surprisals(z); a y of 0 wins over an infinity
    "softmax_minus",  # (result, z, y): softmax(z) - y, with all its digits
    "one_hot",  # (result, which): 1.0 where the last index is which, else 0.0
    # The last index is a column, the others are places; *count* rows of a table lie *stride* apart:
    "pick",  # (result, which, x): row which of x; detail (count, stride).  IndexError if it is none
    "spread",  # (result, which, x): x is added to row which of result; detail likewise
    # Among the steps for each block only:
    "move",  # (result, x): as copy, but detail says by how much the offset of either goes on, or
    # back, at each round of the innermost loop; in no round do the two share a place
    # Without extents:
    "loop",  # detail (count, n): the next n steps are done one after another, all of them count
    # times; they end before, or with, a loop that they stand in
    "call",  # row detail[0] of any number of operands: table detail[1] has the addresses of
    # result and arguments, as in flat
    "flat",  # table detail[0], of shape (n, 5): n steps one after another, each a row number and
    # the addresses of result and up to three arguments (0 for none): r for row r of BLOCK, ~s for s
    # in STILL.  ONE_MINUS and ONE_MINUS_SQUARE (a, z) stand in the place of a row number.  A row of
    # any number of arguments has two here.  No result has the address of one of its arguments.
)
"""What a step may do."""


class Operand(NamedTuple):
    """Where the elements of an operand are."""

    space: int
    offset: int
    strides: tuple[int, ...] = ()


class Step(NamedTuple):
    """One step; *code* is one of ``CODES``."""

    code: str
    extents: tuple[int, ...]
    operands: tuple[Operand, ...]
    """The result first."""
    detail: tuple[int, ...] = ()


@dataclass
class Plan:
    """The places and steps of one function, ``forward`` or ``gradient``."""

    rows: list[Primitive] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    still: Table = field(default_factory=lambda: np.zeros(1))
    """STILL before a run: the constants, and 0.0 for all that is read or computed."""
    block: int = 0
    """The number of rows of BLOCK."""
    sums: int = 0
    """The number of places of SUMS."""
    parameters: tuple[int, int] = (1, 1)
    """From which place of STILL to which the parameters are."""
    inputs: list[tuple[int, int]] = field(default_factory=list)
    """For each argument, its first row of BLOCK, and how many numbers an example has; (0, 0) for an
    argument that is not read."""
    before: list[Step] = field(default_factory=list)
    each: list[Step] = field(default_factory=list)
    after: list[Step] = field(default_factory=list)
    outputs: list[Operand] = field(default_factory=list)
    """The results of ``forward``, one number each, in STILL or BLOCK."""
    turned: bool = False
    """Whether results are an array with a row for each example and a column for each output."""
    cost: int | None = None
    """The place in STILL of the mean result over the examples, once *after* has run."""
    gradient: tuple[int, int] | None = None
    """From which place of STILL to which its derivatives are, in the order of the result."""

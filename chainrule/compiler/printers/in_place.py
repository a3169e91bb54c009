"""What is computed right where it belongs, and what is computed together with something else.

A person who writes NumPy computes into the part of an array that is wanted, begins an array with
its first term, and asks for a sigmoid and 1 minus it in one line.  Here is where a printed
function can do so.
"""

from __future__ import annotations

from collections.abc import Container

from ...engine import table as primitives
from ..addresses import Shape, Strides, contiguous
from ..program import Operation, Program
from .rows import FOLDED, is_printed


def stored(program: Program, wanted: set[int], named: Container[int]) -> dict[int | float, int]:
    """Return the operations that are computed directly into a view of a larger array."""
    first: dict[int | float, int] = {}
    for n in sorted(wanted):
        for x in program.operations[n].args:
            first.setdefault(x, n)
    operations = program.operations
    found: dict[int | float, int] = {}
    changing = {operations[n].args[0] for n in wanted if operations[n].kind == "accumulate"}
    for x, n in first.items():
        user = operations[n]
        if (
            type(x) is int
            and user.kind == "store"
            and user.detail[0] == "view"
            and x == user.args[1]
            and user.args[0] not in changing
            and x not in named
            and operations[x].kind in ("apply", "matmul")
            and operations[x].batched == user.batched
            and _same_axes(operations[x].shape, user.detail[1])
        ):
            found[x] = n
    return found


def begun(
    program: Program, wanted: set[int], uses: list[int], named: Container[int]
) -> dict[int, int]:
    """Return the writes that fill a whole array with a result used for nothing else.

    The result itself can serve as that array.
    """
    operations = program.operations
    found: dict[int, int] = {}
    for n in sorted(wanted):
        target = operations[n].args[0] if operations[n].args else None
        if operations[n].kind != "store" or target in found.values():
            continue
        new, value = operations[int(target)], operations[n].args[1]  # type: ignore[arg-type]
        if (
            new.detail is None
            and type(value) is int
            and uses[value] == 1
            and value not in named
            and _is_fresh(program, operations[value])
            and operations[value].batched == new.batched
            and operations[value].shape == new.shape
            and operations[n].detail == ("view", (0, contiguous(new.shape)))
        ):
            found[n] = int(target)  # type: ignore[arg-type]
    return found


def _is_fresh(program: Program, operation: Operation) -> bool:
    """Return whether the result is an array that nothing else uses, so it may be added to.

    A user's own primitive may return its argument.
    """
    if operation.kind == "matmul":
        return True
    row = program.row(operation)
    if row is None or (row in FOLDED and len(operation.args) == 1):
        return False
    return is_printed(row)


def rests(program: Program, wanted: set[int]) -> dict[int | float, int]:
    """Return the sigmoids for which 1 - a is needed too, and where that is computed."""
    operations = program.operations
    ones = {operations[n].args: n for n in wanted if operations[n].kind == "one_minus"}
    return {
        n: ones[n, operations[n].args[0]]
        for n in sorted(wanted)
        if program.row(operations[n]) is primitives.sigmoid and (n, operations[n].args[0]) in ones
    }


def _same_axes(shape: Shape, strides: Strides) -> bool:
    return shape == tuple(n for n, _ in strides[1])

"""Which products are computed only to be added up, so that one step can do both.

A sum of the products of two arrays, element by element, is a step ``product``: it keeps what it
adds up in registers, and no array of products is written and read again.

The difference of two arrays may take more room than both: of an example's coordinates and those of
many centroids, say.  If only such sums read it, of its squares or of its products with
something else, it is not written either, but computed again for each of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..engine import table as primitives
from .program import Operation, Program

_MOVES = ("view", "reshape")
_ALIASES = (*_MOVES, "broadcast")
_WRITES = ("store", "accumulate")


def fused(program: Program, wanted: Sequence[int], uses: Sequence[int]) -> dict[int, list[int]]:
    """Return, for each sum that can be a product, the operations that need not be done before it.

    The last of these is what is added up: *multiply* or *square*, or for a sum over the examples
    a stack of matrix products.  Before it stand the views through which the sum reads it.  None is
    read by anything else, and nothing that they read is written to before the sum.
    """
    operations = program.operations
    writes = [(n, operations[n].args[0]) for n in wanted if operations[n].kind in _WRITES]
    found: dict[int, list[int]] = {}
    for n in wanted:
        if operations[n].kind not in ("sum", "sum_batch"):
            continue
        chain = [int(operations[n].args[0])]
        while operations[chain[-1]].kind in _MOVES:
            chain.append(int(operations[chain[-1]].args[0]))
        alone = all(uses[x] == 1 for x in chain)
        if not (alone and _is_product(program, n, chain)):
            continue
        read = {_root(operations, x) for x in operations[chain[-1]].args if type(x) is int}
        if not any(chain[-1] < at < n and target in read for at, target in writes):
            found[n] = chain
    return found


def differences(
    program: Program, wanted: Sequence[int], chains: Mapping[int, list[int]]
) -> dict[int, int]:
    """Return, for each of the sums in *chains* that can be one of differences, the difference.

    All that reads such a difference is the operation behind one of those sums.
    """
    operations, readers = program.operations, {chain[-1]: n for n, chain in chains.items()}
    read_by: dict[int, list[int]] = {}
    for n in wanted:
        for x in set(operations[n].args):
            if type(x) is int and program.row(operations[x]) is primitives.subtract:
                read_by.setdefault(x, []).append(n)
    written = [(n, operations[n].args[0]) for n in wanted if operations[n].kind in _WRITES]
    found: dict[int, int] = {}
    for x, users in read_by.items():
        if not _expands(operations, operations[x]) or x in program.outputs:
            continue
        sums = [readers.get(n, -1) for n in users]
        roots = {_root(operations, a) for a in operations[x].args if type(a) is int}
        stays = not any(x < at < max(sums) and target in roots for at, target in written)
        if stays and min(sums) >= 0 and all(_once(operations[n], x, program) for n in users):
            found.update(dict.fromkeys(sums, x))
    return found


def _expands(operations: Sequence[Operation], difference: Operation) -> bool:
    """Return whether a difference has at least twice as many numbers for each example as both."""
    sizes = [
        math.prod(operations[x].shape)
        for x in difference.args
        if type(x) is int and operations[x].batched
    ]
    return bool(sizes) and math.prod(difference.shape) >= 2 * sum(sizes)


def _once(operation: Operation, x: int, program: Program) -> bool:
    """Return whether *operation* is the square of *x*, or its product with something else."""
    return program.row(operation) is primitives.square or operation.args.count(x) == 1


def _is_product(program: Program, n: int, chain: Sequence[int]) -> bool:
    operation = program.operations[chain[-1]]
    if operation.kind in ("matmul", "linked_matmul"):
        stacked = operation.detail[2] and len(chain) == 1
        whole = program.operations[n].shape == operation.shape
        return bool(stacked and whole and program.operations[n].kind == "sum_batch")
    return program.row(operation) in (primitives.multiply, primitives.square)


def _root(operations: Sequence[Operation], x: int) -> int:
    while operations[x].kind in _ALIASES and type(operations[x].args[0]) is int:
        x = int(operations[x].args[0])
    return x

"""Which products are computed only to be added up, so that one step can do both.

A sum of the products of two arrays, element by element, is a step ``product``: it keeps what it
adds up in registers, and no array of products is written and read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..engine import table as primitives
from .program import Operation, Program

_MOVES = ("view", "reshape")
_ALIASES = (*_MOVES, "broadcast")
_WRITES = ("store", "accumulate")


def fused(program: Program, wanted: Sequence[int], uses: Mapping[int, int]) -> dict[int, list[int]]:
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

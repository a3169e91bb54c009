"""Which numbers of a program depend on a leaf; the others are constants.

An array that was assembled from several may hold both.  Most rules need not know which is which,
because an adjoint given to a constant is dropped; but a tie between a Value and a constant has no
derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .addresses import AnyArray, addresses_of
from .program import Operation, Program


def dependence(
    program: Program, count: int, inputs: Mapping[int, AnyArray] | None = None
) -> list[AnyArray]:
    """Return, for each of the first *count* operations, an array of bool in its shape.

    The leaves are the parameters, and of the *inputs* what they say.
    """
    found: list[AnyArray] = []
    inputs = inputs or {}
    for number, operation in enumerate(program.operations[:count]):
        if operation.kind == "parameter" or number in inputs:
            own = inputs.get(number)
            all_of_it = np.ones(operation.shape, dtype=bool)
            found.append(all_of_it if own is None else own.reshape(operation.shape))
            continue
        args: list[Any] = [found[x] if type(x) is int else False for x in operation.args]
        depends = _RULES.get(operation.kind, _any)(program, operation, *args)
        found.append(np.array(np.broadcast_to(depends, operation.shape)))
    return found


def _any(program: Program, operation: Operation, *args: Any) -> Any:
    depends: Any = False
    for x in args:
        depends = depends | x
    return depends


def _view(program: Program, operation: Operation, x: AnyArray) -> Any:
    return x.ravel()[addresses_of(operation.detail)]


def _take(program: Program, operation: Operation, x: AnyArray) -> Any:
    return x.ravel()[program.constants[operation.detail]]


def _reshape(program: Program, operation: Operation, x: AnyArray) -> Any:
    return x.reshape(operation.shape)


def _pick(program: Program, operation: Operation, index: AnyArray, table: AnyArray) -> Any:
    return table.any(axis=0)


def _matmul(program: Program, operation: Operation, a: Any, b: Any) -> Any:
    first, second, stacked = operation.detail
    rows = a.any(axis=-2 if first else -1)
    columns = b.any(axis=-1 if second else -2)
    return rows[..., None] | (columns[..., None, :] if stacked else columns)


def _sum(program: Program, operation: Operation, x: AnyArray) -> Any:
    return x.any(axis=operation.detail, keepdims=True)


def _stretches(program: Program, operation: Operation, x: AnyArray) -> Any:
    detail = operation.detail
    if detail is None:
        return x.any(axis=-1, keepdims=True)
    starts, *owners = detail if isinstance(detail, tuple) else (detail,)
    depends = np.logical_or.reduceat(x, program.constants[starts], axis=-1)
    if operation.kind == "softmax":  # one result per element, not per stretch
        return depends[..., program.constants[owners[0]]]
    return depends


def _write(program: Program, operation: Operation, target: AnyArray, value: AnyArray) -> Any:
    how, detail = operation.detail
    where = addresses_of(detail) if how == "view" else program.constants[detail]
    target.reshape(-1)[where] = value  # in place, for all later readers
    return target


_RULES: dict[str, Any] = {
    "view": _view,
    "take": _take,
    "reshape": _reshape,
    "pick": _pick,
    "matmul": _matmul,
    "sum": _sum,
    "segment_sum": _stretches,
    "maximum": _stretches,
    "minimum": _stretches,
    "logsumexp": _stretches,
    "softmax": _stretches,
    "cross_entropy": lambda program, operation, z, y: (z | y).any(axis=-1, keepdims=True),
    "softmax_rest": lambda program, operation, p, y: p.any(axis=-1, keepdims=True),
    "store": _write,
}

"""Which numbers of a result depend on which inputs, and which derivatives one sweep can find.

The pattern of a Jacobian is read from the tape.  Columns that have no row in common get one colour:
one forward sweep finds them all, since each of its tangents belongs to one of them; and likewise
rows in reverse.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from .batches import Array
from .tape import Ids, Tape


def pattern(tape: Tape, wanted: Sequence[int]) -> tuple[Ids, Ids]:
    """Return the rows and columns of the entries that may differ from 0, row by row.

    There is a row for each output of *tape*, and a column for each of the numbers *wanted*, of
    which -1 is a leaf that the tape does not have.
    """
    below = [0] * len(tape)  # of each number: the columns that it depends on, a bit for each
    for column, n in enumerate(wanted):
        if n >= 0:
            below[n] |= 1 << column
    flat = [{i for i, partial in enumerate(row.partials) if partial is None} for row in tape.rows]
    starts, inputs, codes = tape.starts.tolist(), tape.inputs.tolist(), tape.codes.tolist()
    for n in np.flatnonzero(tape.codes >= 0).tolist():
        skipped = flat[codes[n]]
        for i in range(starts[n], starts[n + 1]):
            if i - starts[n] not in skipped:
                below[n] |= below[inputs[i]]
    rows, columns = [], []
    for row, n in enumerate(tape.outputs):
        found = _bits(below[n], len(wanted))
        rows.append(np.full(len(found), row))
        columns.append(found)
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *rows]), np.concatenate([nothing, *columns])


def _bits(mask: int, count: int) -> Ids:
    raw = np.frombuffer(mask.to_bytes(count // 8 + 1, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(raw, bitorder="little")).astype(np.int64)


def coloured(rows: Ids, columns: Ids, count: int) -> list[int]:
    """Return a colour for each of *count* columns: none has two columns with a row in common.

    Greedy, columns with the most entries first; colours are numbered from 0.
    """
    members: list[list[int]] = [[] for _ in range(count)]
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        members[column].append(row)
    used: dict[int, int] = {}  # of each row: the colours of its columns, a bit for each
    found = [0] * count
    for column in sorted(range(count), key=lambda column: -len(members[column])):
        taken = 0
        for row in members[column]:
            taken |= used.get(row, 0)
        free = ~taken & (taken + 1)  # the lowest bit that is not set
        found[column] = free.bit_length() - 1
        for row in members[column]:
            used[row] = used.get(row, 0) | free
    return found


def matrices(entries: Array, rows: Ids, columns: Ids, shape: tuple[int, int]) -> list[Any]:
    """Return a SciPy CSR array of *shape* for each example, a column of *entries*.

    *rows* and *columns* say where the entries are, row by row.  ImportError without SciPy.
    """
    sparse = _scipy_sparse()
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    return [
        sparse.csr_array((example, columns.copy(), starts.copy()), shape=shape)
        for example in np.ascontiguousarray(entries.T)
    ]


def _scipy_sparse() -> Any:
    try:
        return importlib.import_module("scipy.sparse")
    except ImportError as error:
        raise ImportError(
            "sparse=True returns arrays of scipy.sparse, and SciPy is not installed: "
            "pip install scipy, or leave out sparse=True"
        ) from error

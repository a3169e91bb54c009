"""Sums of different lengths that are products with a triangular matrix, or one with holes.

Row i of a lower triangle has i entries, so the products of its rows with a vector are sums of
different lengths.  With the holes filled by zeros they are one matrix product.  A mask says where
the holes are, as a zero times an infinity would be nan.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .tape import Ids, distinct

_DENSE = 0.4  # filled at least so much, a matrix with holes is worth its zeros
_FEWEST = 16  # terms


class Holed(NamedTuple):
    """C matrices of R rows and K columns, with holes; each is multiplied by a vector of K."""

    members: Ids
    """(C, R) positions of the sums."""
    columns: Ids
    """(C, K) nodes: the vectors."""
    entries: Ids
    """(C, R, K) positions of the terms, -1 for a hole."""


def holed(left: Ids, right: Ids, counts: Ids, rank: Ids) -> Holed | None:
    """Return the sums of *left* times *right* as matrices with holes, or None if they are not.

    Each term of a sum has an entry of its own in *right*.  The sums have *counts* terms, and rows
    are in the order of their *rank*; sums that share factors in *left* belong to one matrix.
    """
    if len(left) < _FEWEST or len(distinct(right)) < len(right):
        return None
    owner = np.repeat(np.arange(len(counts)), counts)
    nodes, node = np.unique(left, return_inverse=True)
    matrix = _together(owner, node, len(counts), len(nodes), rank)
    stack = int(matrix.max()) + 1
    rows, width = len(counts) // stack, len(nodes) // stack
    of_node = np.empty(len(nodes), dtype=np.int64)
    of_node[node] = matrix[owner]
    full = stack * rows * width
    if (
        full != len(counts) * width
        or (np.bincount(matrix) != rows).any()
        or (np.bincount(of_node, minlength=stack) != width).any()
        or len(left) < _DENSE * full
    ):
        return None
    members = np.lexsort((rank, matrix)).reshape(stack, rows)
    row, column = np.empty(len(counts), dtype=np.int64), np.empty(len(nodes), dtype=np.int64)
    row[members.ravel()] = np.tile(np.arange(rows), stack)
    by_matrix = np.argsort(of_node, kind="stable")
    column[by_matrix] = np.tile(np.arange(width), stack)
    entries = np.full((stack, rows, width), -1)
    places = matrix[owner], row[owner], column[node]
    entries[places] = np.arange(len(left))
    if np.count_nonzero(entries >= 0) < len(left):  # a sum has a factor twice
        return None
    return Holed(members, nodes[by_matrix].reshape(stack, width), entries)


def _together(owner: Ids, node: Ids, sums: int, nodes: int, rank: Ids) -> Ids:
    """Return which matrix each sum belongs to: sums that share a node belong to one."""
    lowest = np.empty(nodes, dtype=np.int64)
    found = rank.copy()
    while True:
        lowest[:] = sums
        np.minimum.at(lowest, node, found[owner])
        before = found.copy()
        np.minimum.at(found, owner, lowest[node])
        if np.array_equal(before, found):
            return np.unique(found, return_inverse=True)[1].ravel()

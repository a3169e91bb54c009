"""Strides: how far apart the elements of an array lie along each of its axes.

An axis of extent 1 has stride 0, so that arrays which hold the same places compare equal.
"""

from __future__ import annotations

from collections.abc import Sequence

from .addresses import Shape, contiguous
from .places import Spot


def strides_of(shape: Shape) -> tuple[int, ...]:
    """Return the strides of an array in one piece; they are 0 along axes of extent 1."""
    return bare(contiguous(shape))


def bare(axes: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the strides of *axes*, 0 where the extent is 1."""
    return tuple([stride if extent > 1 else 0 for extent, stride in axes])


def is_contiguous(shape: Shape, axes: Sequence[tuple[int, int]]) -> bool:
    """Return whether an array of *shape* has its elements in one piece along *axes*."""
    return tuple([extent for extent, _ in axes]) == shape and bare(axes) == strides_of(shape)


def broadcast(spot: Spot, shape: Shape, target: Shape) -> Spot:
    """Return where the elements of an array of *shape* are if it is broadcast to *target*."""
    lead = (0,) * (len(target) - len(shape))
    return spot._replace(strides=(*lead, *spot.strides))


def stack_strides(spot: Spot, shape: Shape, lead: Shape, transposed: bool) -> tuple[int, ...]:
    """Return the strides of the left factor of a stack of products, for all their indices."""
    row, column = spot.strides[-2:][::-1] if transposed else spot.strides[-2:]
    return (*broadcast(spot, shape, (*lead, 1, 1)).strides[:-2], row, 0, column)


def merged(
    extents: Sequence[int], columns: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Return the same loops with as few indices as possible, and their strides.

    >>> merged((2, 1, 3), [(3, 0, 1), (0, 0, 0)])
    ([6], [[1], [0]])
    >>> merged((2, 3), [(3, 1), (1, 2)])
    ([2, 3], [[3, 1], [1, 2]])
    """
    found: list[int] = []
    strides: list[list[int]] = [[] for _ in columns]
    for axis, extent in enumerate(extents):
        if extent == 1:
            continue
        steps = [column[axis] for column in columns]
        if found and all(s[-1] == step * extent for s, step in zip(strides, steps, strict=True)):
            found[-1] *= extent
            for s, step in zip(strides, steps, strict=True):
                s[-1] = step
        else:
            found.append(extent)
            for s, step in zip(strides, steps, strict=True):
                s.append(step)
    return found, strides

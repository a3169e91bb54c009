"""Addresses: where the elements of an array lie, as numbers, and as an offset with strides.

The elements of an example are addressed as one flat row, whatever the shape of the array.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Shape = tuple[int, ...]
AnyArray = np.ndarray[Any, Any]
Strides = tuple[int, tuple[tuple[int, int], ...]]
"""The offset of a view and, for each of its axes, extent and stride."""


def contiguous(shape: Shape) -> tuple[tuple[int, int], ...]:
    """Return the extent and stride of every axis of an array whose elements are contiguous.

    >>> contiguous((2, 3))
    ((2, 3), (3, 1))
    """
    axes: list[tuple[int, int]] = []
    stride = 1
    for extent in reversed(shape):
        axes.append((extent, stride))
        stride *= extent
    return tuple(reversed(axes))


def affine(addresses: AnyArray) -> Strides | None:
    """Return the offset and strides if *addresses* change evenly along every axis, else None.

    >>> affine(np.array([[3, 4, 5], [13, 14, 15]]))
    (3, ((2, 10), (3, 1)))
    """
    offset = int(addresses.flat[0])
    if addresses.size == 1:
        return offset, ((1, 0),) * addresses.ndim
    axes = []
    expected: Any = offset
    for axis, extent in enumerate(addresses.shape):
        corner: list[Any] = [0] * addresses.ndim
        corner[axis] = min(1, extent - 1)
        stride = int(addresses[tuple(corner)]) - offset
        axes.append((extent, stride))
        shape = [1] * addresses.ndim
        shape[axis] = extent
        expected = expected + (np.arange(extent) * stride).reshape(shape)
    if min(stride for _, stride in axes) < 0 or not np.array_equal(expected, addresses):
        return None
    return offset, tuple(axes)


def factors(addresses: AnyArray) -> Strides | None:
    """Return the axes that make a row of *addresses* affine, or None if it takes too many.

    >>> factors(np.array([0, 0, 1, 1, 2, 2]))
    (0, ((3, 1), (2, 0)))
    """
    axes: list[tuple[int, int]] = []
    row = addresses
    while len(row) > 1:
        steps = np.diff(row)
        stride = int(steps[0])
        breaks = np.flatnonzero(steps != stride)
        extent = int(breaks[0]) + 1 if len(breaks) else len(row)
        if stride < 0 or len(row) % extent or len(axes) == 5:
            return None
        table = row.reshape(-1, extent)
        if not (table - table[:, :1] == np.arange(extent) * stride).all():
            return None
        axes.append((extent, stride))
        row = table[:, 0]
    return int(row[0]), tuple(reversed(axes or [(1, 1)]))


def addresses_of(strides: Strides) -> AnyArray:
    """Return the addresses that a view shows."""
    offset, axes = strides
    found: Any = np.full((1,) * len(axes), offset, dtype=np.int64)
    for axis, (extent, stride) in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = extent
        found = found + (np.arange(extent, dtype=np.int64) * stride).reshape(shape)
    return found  # type: ignore[no-any-return]

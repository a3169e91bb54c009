"""Views as slices: which index takes the elements at an offset and strides out of an array."""

from __future__ import annotations

import math
from itertools import pairwise

from ..addresses import Shape, Strides, contiguous


def candidates(shape: Shape, strides: Strides) -> list[Shape]:
    """Return shapes in which slicing may give the view: the array's own, then finer ones."""
    found = [shape]
    size = math.prod(shape)
    steps = sorted({s for n, s in strides[1] if s > 0 and n > 1})
    for inner in (steps, sorted({*steps, *(s * n for n, s in strides[1] if s > 0 and n > 1)})):
        chain = [1] + [s for s in inner if s > 1]
        if all(b % a == 0 for a, b in pairwise(chain)) and size % chain[-1] == 0:
            finer = [b // a for a, b in pairwise(chain)]
            found.append((size // chain[-1], *reversed(finer)))
    return found


def slicing(shape: Shape, batched: bool, strides: Strides) -> tuple[str, list[int]] | None:
    """Return the index that takes a view from an array of *shape*, and the order of its axes.

    The order is empty if the axes stay where they are.  None if no index takes the view.
    """
    offset, axes = strides
    own = contiguous(shape)
    corner = [offset // stride % extent for extent, stride in own]
    parts: list[str | None] = [None] * len(own)
    order: list[int] = []
    moving = [(n, s) for n, s in axes if s > 0 and n > 1]
    for extent, stride in moving:
        for axis, (length, step) in enumerate(own):
            hop = stride // step
            if stride % step == 0 and hop and corner[axis] + (extent - 1) * hop < length:
                break
        else:
            return None
        if parts[axis] is not None:
            return None
        start, stop = corner[axis], corner[axis] + (extent - 1) * hop + 1
        text = (
            ":"
            if (start, stop, hop) == (0, length, 1)
            else (f"{start or ''}:{'' if stop == length and hop == 1 else stop}")
        )
        parts[axis] = text if hop == 1 else f"{text}:{hop}"
        order.append(axis)
    if order != sorted(order):
        transposition = sorted(order)
        swapped = [transposition.index(axis) for axis in order]
    else:
        swapped = []
    indices = [part if part is not None else str(corner[i]) for i, part in enumerate(parts)]
    if not swapped:
        # The new axes are put between the sliced ones, in the order of the view.
        kept = [i for i, part in enumerate(parts) if part is not None]
        texts, at = [], 0
        slots = iter(kept)
        for extent, stride in axes:
            if stride > 0 and extent > 1:
                axis = next(slots)
                texts += indices[at : axis + 1]
                at = axis + 1
            elif extent == 1:
                texts.append("None")
            else:
                return None
        texts += indices[at:]
        lead = [":"] if batched else []
        if all(text == ":" for text in texts):
            return "", []
        return f"[{', '.join(lead + texts)}]", []
    if any(extent == 1 or stride == 0 for extent, stride in axes):
        return None
    lead = [":"] if batched else []
    plain = all(part == ":" for part in indices)
    index = "" if plain else f"[{', '.join(lead + indices)}]"
    if batched:
        swapped = [0, *(1 + i for i in swapped)]
    return index, swapped

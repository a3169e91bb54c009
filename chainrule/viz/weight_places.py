"""Places for the weights of a network along their edges, chosen so that each can be read.

A label lies on its edge and may slide along it.  Each label in turn takes, from a grid of places,
the one that collides with the fewest other labels and lies on the fewest other edges, until none
moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

HALF_HEIGHT = 7.0  # of a label, in points
_PLACES = 25  # on each edge
_POINTS = 6  # along a label, from which its distance to other edges is measured
_ROUNDS = 20
_FROM_THE_ENDS = 5.0
_WANTED = 0.3  # of the way: away from the middle, where the edges cross

Segment = tuple[float, float, float, float]
"""The two ends of an edge: x, y, x, y."""
Array = np.ndarray[Any, np.dtype[Any]]


def weight_places(segments: Sequence[Segment], widths: Sequence[float]) -> list[float] | None:
    """Return the best place for the middle of each label, from 0 to 1 along its segment.

    None if no places are found at which no two labels overlap.

    >>> crossing = [(0.0, 0.0, 100.0, 50.0), (0.0, 50.0, 100.0, 0.0)]
    >>> [round(place, 2) for place in weight_places(crossing, [30.0, 30.0])]
    [0.23, 0.29]
    """
    if not segments:
        return []
    ends = np.array(segments)
    start, way = ends[:, :2], ends[:, 2:] - ends[:, :2]
    length = np.hypot(way[:, 0], way[:, 1])
    half = np.array(widths) / 2
    margin = (half + _FROM_THE_ENDS) / length
    if (margin > 0.5).any():
        return None
    t = margin[:, None] + (1 - 2 * margin[:, None]) * np.linspace(0.0, 1.0, _PLACES)
    middles = start[:, None] + t[..., None] * way[:, None]  # edge, place, xy
    along = way / length[:, None]
    collides = _collisions(middles, along, half)
    lies_on = _crossings(middles, along * half[:, None], ends)
    chosen = np.argmin(np.abs(t - _WANTED), axis=1)
    everyone = np.arange(len(ends))
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for i in everyone:
            others = everyone[everyone != i]
            collisions = collides[i, others, :, chosen[others]].sum(axis=0)
            chosen[i] = np.argmin(100 * collisions + lies_on[i] + np.abs(t[i] - _WANTED))
        if (chosen == before).all():
            break
    met = collides[everyone[:, None], everyone, chosen[:, None], chosen]
    if met.sum() > len(ends):  # each overlaps itself
        return None
    return [float(place) for place in t[everyone, chosen]]


def _collisions(middles: Array, along: Array, half: Array) -> Array:
    """Return whether label i at place s overlaps label j at place u, in the order i, j, s, u.

    Two rectangles are apart if they are apart along the direction of one of their sides (the
    separating axis theorem), that is, if their middles are further apart than both reach together.
    """
    apart = middles[:, None, :, None] - middles[None, :, None, :]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    cosine, sine = np.abs(along @ along.T), np.abs(along @ across.T)
    lengthwise = half[:, None] + half * cosine + HALF_HEIGHT * sine
    crosswise = HALF_HEIGHT + half * sine + HALF_HEIGHT * cosine
    overlap = np.ones(apart.shape[:-1], dtype=bool)
    for direction, reach in ((along, lengthwise), (across, crosswise)):
        overlap &= np.abs(np.einsum("ijsuk,ik->ijsu", apart, direction)) < reach[..., None, None]
        overlap &= np.abs(np.einsum("ijsuk,jk->ijsu", apart, direction)) < reach.T[..., None, None]
    return overlap


def _crossings(middles: Array, reach: Array, ends: Array) -> Array:
    """Return how many of the other edges each label lies on, at each place."""
    points = middles[:, :, None] + np.linspace(-1.0, 1.0, _POINTS)[:, None] * reach[:, None, None]
    count = np.zeros(middles.shape[:2])
    for j, (start, end) in enumerate(zip(ends[:, :2], ends[:, 2:], strict=True)):
        way = end - start
        t = np.clip((points - start) @ way / (way @ way), 0.0, 1.0)
        apart = points - (start + t[..., None] * way)
        covered = (np.sum(apart**2, axis=-1) < HALF_HEIGHT**2).any(axis=-1)
        covered[j] = False
        count += covered
    return count

"""The sweeps that transforms ask for: by the C core where it can, else by the reference.

One derivative or many rows of them, of numbers or of Values, and in a graph that is being recorded
for other data too.  No gradient of a node changes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import modes, recorded
from .anomalies import watch_adjoints, watch_tangents
from .backend import Value
from .collecting import uncollected
from .native import core
from .sweeps import Partials, linked_partials, pullback, pushforward, stored_partials

Rows = NDArray[np.float64]


def is_zero(x: Any) -> bool:
    """Return whether *x* is exactly 0.0: multiplied by an infinite partial it would become nan."""
    return isinstance(x, float) and x == 0.0


def pull(
    outputs: Sequence[Any],
    inputs: Sequence[Value],
    cotangents: list[Any],
    linked: bool,
    partials_of: Partials = linked_partials,
) -> list[Any]:
    """Return the adjoint of each of *inputs* for a cotangent of each of *outputs*.

    Outputs that are not Values are numbers.  If *linked*, the adjoints are Values wherever they
    depend on one, and can be differentiated again; *partials_of* gives the partials then.
    """
    mode = modes.current()
    if mode.tracing:
        return sweep_recorded(outputs, inputs, [cotangents], forward=False)[0]
    plain = partials_of is linked_partials and not mode.watching
    if core is not None and plain:
        pulled = core.pull_linked if linked else core.pull
        found: list[Any] | None = pulled(list(outputs), list(inputs), cotangents)
        if found is not None:
            return found
    seeds: dict[Value, Any] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        if isinstance(output, Value) and not is_zero(cotangent):
            seeds[output] = seeds[output] + cotangent if output in seeds else cotangent
    adjoints = pullback(seeds, partials_of if linked else stored_partials, inputs)
    if mode.watching:
        watch_adjoints(adjoints)
    return [adjoints.get(node, 0.0) for node in inputs]


def push(
    outputs: Sequence[Any],
    inputs: Sequence[Value],
    tangents: Sequence[Any],
    linked: bool,
    partials_of: Partials = linked_partials,
) -> list[Any]:
    """Return the tangent of each of *outputs* for a tangent of each of *inputs*.

    If *linked*, they are Values wherever they depend on one, and can be differentiated again;
    *partials_of* gives the partials then.
    """
    mode = modes.current()
    if mode.tracing:
        return sweep_recorded(outputs, inputs, [tangents], forward=True)[0]
    if not linked and {float}.issuperset(map(type, tangents)):
        row = np.array([tangents], dtype=float)
        return sweep_rows(list(outputs), list(inputs), row, forward=True)[0].tolist()  # type: ignore[no-any-return]
    moving = {v: t for v, t in zip(inputs, tangents, strict=True) if not is_zero(t)}
    plain = partials_of is linked_partials and not mode.watching
    if core is not None and linked and plain:
        found: list[Any] | None = core.push_linked(list(outputs), list(moving), [*moving.values()])
        if found is not None:
            return found
    nodes = [output for output in outputs if isinstance(output, Value)]
    moved = pushforward(nodes, moving, partials_of if linked else stored_partials)
    if mode.watching:
        watch_tangents(moved)
    return [moved.get(x, 0.0) if isinstance(x, Value) else 0.0 for x in outputs]


def sweep_recorded(
    outputs: Sequence[Any],
    inputs: Sequence[Value],
    seeds: Sequence[Sequence[Any]],
    forward: bool,
    since: float | None = None,
) -> list[list[Any]]:
    """Return what ``push``, or else ``pull``, finds for each row of *seeds*, in a graph to be run.

    The graph is swept over once.  *since* when the recorded function ran, if it is this that is
    differentiated, is in :mod:`recorded`.
    """
    from_, to = (inputs, outputs) if forward else (outputs, inputs)
    rows: list[dict[Value, Any]] = []
    for seed in seeds:
        row: dict[Value, Any] = {}
        for node, x in zip(from_, seed, strict=True):
            if isinstance(node, Value) and not is_zero(x):
                row[node] = row[node] + x if node in row else x
        rows.append(row)
    with uncollected():
        if forward:
            nodes = [output for output in outputs if isinstance(output, Value)]
            found = recorded.pushforward(nodes, rows, inputs, since)
        else:
            found = recorded.pullback(rows, inputs, since)
    return [[row.get(x, 0.0) if isinstance(x, Value) else 0.0 for x in to] for row in found]


def sweep_linked(outputs: list[Any], inputs: list[Value], forward: bool) -> list[list[Any]]:
    """Return the Jacobian, a row for each of *outputs*, of Values wherever they depend on one.

    There is a sweep for each input in *forward* mode, else one for each output; all have the same
    partials.
    """
    mode = modes.current()
    n, found = len(inputs if forward else outputs), None
    if core is not None and not mode.tracing and not mode.watching:
        found = core.sweep_linked(outputs, inputs, forward)
    if found is None:
        seeds = [[1.0 if i == k else 0.0 for i in range(n)] for k in range(n)]
        if mode.tracing:
            found = sweep_recorded(outputs, inputs, seeds, forward)
    if found is None:
        partials_of, sweep = functools.cache(linked_partials), push if forward else pull
        found = [sweep(outputs, inputs, seed, True, partials_of) for seed in seeds]
    return [list(row) for row in zip(*found, strict=True)] if forward else found


def sweep_rows(outputs: list[Any], inputs: list[Value], seeds: Rows | None, forward: bool) -> Rows:
    """Return a row of derivatives for each row of *seeds*, all of them plain numbers.

    In reverse mode there is a seed for each of *outputs*, and a derivative by each of *inputs*; in
    *forward* mode it is the other way round, and no input depends on another.  Without seeds the
    result is the Jacobian, with a row for each of *outputs*.
    """
    m, n = len(outputs), len(inputs)
    jacobian, watching = seeds is None, modes.current().watching
    shape = (m, n) if seeds is None else (len(seeds), m if forward else n)
    found = np.empty(shape)
    if core is not None and not watching and core.sweep(outputs, inputs, seeds, found, forward):
        return found
    nodes = [output for output in outputs if isinstance(output, Value)]
    given = np.eye(n if forward else m) if seeds is None else seeds
    rows = found.T if jacobian and forward else found
    for row, numbers in zip(rows, given.tolist(), strict=True):
        if not forward:
            row[:] = pull(outputs, inputs, numbers, linked=False)
            continue
        moved = pushforward(nodes, {v: t for v, t in zip(inputs, numbers, strict=True) if t != 0.0})
        if watching:
            watch_tangents(moved)
        row[:] = [moved.get(x, 0.0) if isinstance(x, Value) else 0.0 for x in outputs]
    return found

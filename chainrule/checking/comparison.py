"""``compare``: one set of gradients beside another, layer by layer, and where they part.

The two come as lists of arrays (a Theta each), as dicts of named arrays, as Values or as one array.
Whatever does not fit, a shape, a missing layer, a nan, is an entry of the result, never an error:
whoever compares wants to know what is wrong.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.backend import Value
from ..engine.table import as_float
from .text import columns, short

Array = np.ndarray[Any, np.dtype[Any]]

_FLOOR = 1024.0  # see LayerComparison.max_relative_difference


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """How one array of theirs compares with the true one."""

    name: str
    shape: tuple[int, ...] | None
    """The true shape; None if there should be no such layer."""
    exact: bool
    """Whether every entry is equal.  A nan equals nothing, not even another nan."""
    close: bool
    """Whether every entry is equal but for rounding."""
    max_difference: float
    """The largest absolute difference; nan where a nan or a shape prevents one."""
    max_relative_difference: float
    """The largest difference relative to the larger of its two numbers.

    An entry that is nothing but rounding beside the layer's largest, by cancellation, counts
    relative to 1024 sqrt(eps) times that largest one, eps being the coarser type's rounding unit.
    """
    index: tuple[int, ...] | None
    """The entry where that is, or the first nan."""
    theirs: float | None
    """Their number there."""
    truth: float | None
    """The true number there."""
    different: int
    """How many entries are not close."""
    problem: str = ""
    """Why the arrays cannot be compared entry by entry, if they cannot."""

    @property
    def difference(self) -> float:
        """The absolute difference at *index*, where the relative one is the largest."""
        if self.theirs is None or self.truth is None:
            return self.max_difference
        return 0.0 if self.theirs == self.truth else abs(self.theirs - self.truth)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found, layer by layer; true if all layers are close."""

    layers: tuple[LayerComparison, ...]

    @property
    def ok(self) -> bool:
        """Whether every layer is close."""
        return all(layer.close for layer in self.layers)

    @property
    def exact(self) -> bool:
        """Whether every layer is equal to the last bit."""
        return all(layer.exact for layer in self.layers)

    @property
    def max_difference(self) -> float:
        """The largest absolute difference of all layers; nan if one cannot be compared."""
        return _largest([layer.max_difference for layer in self.layers])

    @property
    def max_relative_difference(self) -> float:
        """The largest relative difference of all layers; nan if one cannot be compared."""
        return _largest([layer.max_relative_difference for layer in self.layers])

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        heading = ("", "shape", "exact", "close", "difference", "relative", "worst entry")
        return columns([heading, *map(_row, self.layers)])


def compare(theirs: Any, truth: Any, rtol: float | None = None) -> Comparison:
    """Compare gradients, layer by layer, with the true ones.

    *theirs* and *truth* are lists of arrays, dicts of named arrays, or one array; a layer may be a
    pair (W, b) as well.  A Value counts as its gradient, so that ``model.parameters()`` can be
    given after a backward pass (they are listed in another order than the entries of
    ``model.theta_grads``, which are arranged as the closed form's are).

    >>> ours = [np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, -6.0]])]
    >>> check = compare([ours[0], np.array([[5.0, 6.0]])], ours)
    >>> print(check)
             shape   exact  close  difference  relative  worst entry
    layer 1  (2, 2)  yes    yes    0           0
    layer 2  (1, 2)  no     no     12          2         [0, 1]: 6.0, truth -6.0; 1 differs
    >>> check.ok, check.layers[1].index
    (False, (0, 1))

    An entry is close if ``|theirs - truth| <= rtol * max(|theirs|, |truth|)``, where *rtol* is by
    default the square root of the rounding unit of the coarser of the two types: 1.5e-8, or 3.5e-4
    if either is float32.  Shapes that differ, missing layers and what is not a number are reported
    in ``problem``.

    The surprise: a list of numbers or Values is one vector, a list of anything else is a list of
    layers, and so a matrix written as a list of lists is compared row by row.
    """
    if rtol is not None and not 0.0 <= rtol < math.inf:
        raise ValueError(f"compare: rtol is a relative difference, 0 or more, not {rtol!r}")
    given, wanted = _layers(theirs), _layers(truth)
    names = list(dict.fromkeys([*wanted, *given]))
    return Comparison(tuple(_compared(name, given, wanted, rtol) for name in names))


def _layers(given: Any) -> dict[str, Any]:
    """Return the arrays in *given* by name; an only one has the name ""."""
    if isinstance(given, Mapping):
        return {str(name): part for name, part in given.items()}
    if not isinstance(given, (list, tuple)) or (given and all(map(_is_scalar, given))):
        return {"": given}
    layers: dict[str, Any] = {}
    for number, layer in enumerate(given, start=1):
        name = f"layer {number}"
        if isinstance(layer, tuple) and not all(map(_is_scalar, layer)):
            layers |= {f"{name}[{i}]": part for i, part in enumerate(layer)}
        else:
            layers[name] = layer
    return layers


def _is_scalar(x: Any) -> bool:
    return isinstance(x, (Value, numbers.Real)) or (isinstance(x, np.ndarray) and x.ndim == 0)


def _numbers(layer: Any) -> tuple[Array, float]:
    """Return *layer* as float64, and the rounding unit of the type it came in.

    ValueError, saying why, if it is not an array of numbers.
    """
    if np.ma.is_masked(layer):
        raise ValueError("some entries are masked, so there is nothing to compare")
    try:
        array = np.asarray(layer)
    except ValueError:
        raise ValueError("not an array: its rows differ in length") from None
    if array.dtype.kind == "O":
        entries = array.ravel().tolist()
        values = [x for x in entries if isinstance(x, Value)]
        if values and not any(value.has_grad for value in values):
            raise ValueError("no gradients yet: call backward() first")
        try:
            grads = [as_float(x.grad if isinstance(x, Value) else x, "compare") for x in entries]
        except TypeError as error:
            raise ValueError(str(error).removeprefix("compare: ")) from None
        array = np.array(grads, dtype=float).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} does not hold real numbers")
    unit = np.finfo(array.dtype if array.dtype.kind == "f" else float).eps
    return array.astype(float), float(unit)


def _compared(
    name: str, given: Mapping[str, Any], wanted: Mapping[str, Any], rtol: float | None
) -> LayerComparison:
    shape = None
    try:
        if name not in wanted:
            raise ValueError("not expected: the truth has no such layer")
        truth, unit = _numbers(wanted[name])
        shape = truth.shape
        if name not in given:
            raise ValueError("missing")
        theirs, coarser = _numbers(given[name])
        if theirs.shape != shape:
            raise ValueError(f"shape {theirs.shape}, expected {shape}")
    except ValueError as error:
        return LayerComparison(
            name, shape, False, False, math.nan, math.nan, None, None, None, 0, str(error)
        )
    unit = max(unit, coarser)
    tolerance = math.sqrt(unit) if rtol is None else rtol
    difference, relative = _differences(theirs, truth, _FLOOR * math.sqrt(unit))
    if not difference.size:
        return LayerComparison(name, shape, True, True, 0.0, 0.0, None, None, None, 0)
    # The first nan, if there is one; by absolute size where every relative one underflows.
    worst = int(np.argmax(relative if relative.any() else difference))
    return LayerComparison(
        name,
        shape,
        exact=bool(np.all(difference == 0.0)),
        close=bool(np.all(relative <= tolerance)),
        max_difference=float(difference.max()),
        max_relative_difference=float(relative.max()),
        index=tuple(int(i) for i in np.unravel_index(worst, shape)),
        theirs=float(theirs.flat[worst]),
        truth=float(truth.flat[worst]),
        different=int(np.sum(~(relative <= tolerance))),
    )


def _differences(theirs: Array, truth: Array, floor: float) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        # The same infinity on both sides is not a difference; a finite overflow is.
        difference = np.where(theirs == truth, 0.0, np.abs(theirs - truth))
        sizes = np.abs(truth[np.isfinite(truth)])
        scale = np.maximum(np.abs(theirs), np.abs(truth))
        scale = np.maximum(scale, floor * sizes.max(initial=0.0))
        relative = np.where(difference == 0.0, 0.0, difference / scale)
    infinite = np.isinf(difference) & np.isinf(scale)
    return difference, np.where(infinite, math.inf, relative)


def _largest(figures: list[float]) -> float:
    return math.nan if any(map(math.isnan, figures)) else max(figures, default=0.0)


def _row(layer: LayerComparison) -> tuple[str, ...]:
    shape = "" if layer.shape is None else str(layer.shape)
    if layer.problem:
        return layer.name, shape, "no", "no", "", "", layer.problem
    where = ""
    if not layer.exact and layer.index is not None:
        where = f"{list(layer.index)}: {layer.theirs!r}, truth {layer.truth!r}"
    if layer.different:
        where += f"; {layer.different} differ{'s' * (layer.different == 1)}"
    return (
        layer.name,
        shape,
        "yes" if layer.exact else "no",
        "yes" if layer.close else "no",
        short(layer.difference),
        short(layer.max_relative_difference),
        where,
    )

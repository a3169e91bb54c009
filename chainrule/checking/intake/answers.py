"""What a program gave, read as one array for each Theta, or handed on as it is.

Somewhere in what was returned or stored are the gradients: by name, in a list, as one vector,
beside a cost, activations or a cache. They are looked for from the outside in; what fits the shapes
is taken. What fits nowhere is handed on, for whoever knows what wrong shapes mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from .manner import Manner
from .names import block_of, gradient_of, order_of, plain
from .weights import Block, fits, shapes_of, theta_of, unpacked

Array = np.ndarray[Any, Any]
_MOST_NODES = 200
_MOST_PARTS = 8
_COSTS = {"cost", "loss", "j", "totalcost", "totalloss"}
"""Names of a cost beside gradients."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """Gradients: as Thetas where they fit, else the arrays as they came."""

    thetas: list[Array] | None
    raw: Any
    score: int
    """2 if they fit as the weights were given, 1 if some other layout may, 0 if nothing does."""
    manner: Manner
    cost: float | None = None
    """The number that came with the gradients, if one did."""
    weights: list[Array] | None = None
    """The gradients of the weights, where those fit and the biases' do not."""


def array_of(value: Any) -> Array | None:
    """Return *value* as an array of real numbers, None if it is something else."""
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ma.MaskedArray):
        return None
    if isinstance(value, (str, bytes, Mapping)) or value is None:
        return None
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, (list, tuple)) and not _numeric(value):
        return None
    else:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError):
            return None
    return array if array.dtype.kind in "fiub" else None


def _numeric(value: Sequence[Any]) -> bool:
    """Whether it is a list of numbers, or of lists of numbers of one length."""
    if not value:
        return False
    if all(isinstance(item, (int, float, np.number)) for item in value):
        return True
    return (
        all(isinstance(item, (list, tuple)) for item in value)
        and len({len(item) for item in value}) == 1
        and all(isinstance(x, (int, float, np.number)) for item in value for x in item)
    )


def read(returned: Any, thetas: Sequence[Array], manner: Manner) -> Gradients:
    """Return the gradients in *returned*; *thetas* has the shapes that they should have."""
    like = shapes_of(thetas, manner)
    best: Gradients | None = None
    for node in _nodes(returned):
        found = _in_layout(node, like, manner)
        if found is not None:
            made, layout = found
            gradients = [theta_of(block, manner) for block in made]
            said = replace(manner, layout=layout)
            parts = sum(1 if block.b is None else 2 for block in like)
            inside = node is returned and len(_leaves(node) or ()) == parts
            return Gradients(gradients, gradients, 2, said, None if inside else cost_in(returned))
        misshapen = _with_misshapen_biases(node, like)
        if misshapen is not None and (best is None or best.weights is None):
            best = Gradients(None, misshapen, 1, manner, weights=misshapen[::2])
        elif best is None and _loosely(node, thetas):
            best = Gradients(None, node, 1, manner)
    return best or Gradients(None, returned, 0, manner)


def cost_in(returned: Any) -> float | None:
    """Return the number that stands beside gradients: by its name, or the only one there is."""
    if hasattr(returned, "_asdict"):
        returned = returned._asdict()
    if isinstance(returned, Mapping):
        arrays = [array_of(value) for name, value in returned.items() if plain(str(name)) in _COSTS]
    elif isinstance(returned, (list, tuple)) and len(returned) < _MOST_PARTS:
        every = [array_of(value) for value in returned]
        arrays = [array for array in every if array is not None and array.ndim == 0]
    else:
        return None
    if len(arrays) != 1 or arrays[0] is None or arrays[0].size != 1:
        return None
    return float(arrays[0].ravel()[0])


def _nodes(value: Any, depth: int = 4) -> Iterator[Any]:
    """Yield *value* and what it contains, from the outside in."""
    level, count = [value], 0
    for _ in range(depth):
        inside: list[Any] = []
        for node in level:
            count += 1
            if count > _MOST_NODES:
                return
            yield node
            if isinstance(node, Mapping):
                inside += list(node.values())
            elif isinstance(node, (list, tuple)) and not _numeric(node):
                inside += list(node)
        level = inside


def _in_layout(node: Any, like: Sequence[Block], manner: Manner) -> tuple[list[Block], str] | None:
    """Return the blocks in *node*, and what is particular about their order."""
    named = _named(node)
    if named is not None:
        for arrays, says in _orders_by_name(named):
            made = fits(arrays, like)
            if made is not None:
                return made, says
    array = array_of(node)
    if array is not None:
        total = sum(one.W.size + (0 if one.b is None else one.b.size) for one in like)
        if manner.container in ("vector", "split-vector") and array.size == total:
            if array.ndim == 1 or (array.ndim == 2 and 1 in array.shape):
                return unpacked(array.ravel(), like, manner), ""
            return None
        made = fits([array], like)
        if made is None and array.size == total and array.ndim == 1:
            says = "the gradients are one vector, each matrix row by row"
            return unpacked(array, like, replace(manner, order="C")), says
        return None if made is None else (made, "")
    if isinstance(node, (list, tuple)) or (isinstance(node, Mapping) and named is None):
        leaves = _leaves(node)
        if leaves is None:
            return None
        for arrays, says in _orders(leaves, len(like)):
            made = fits(arrays, like)
            if made is not None:
                return made, says
    return None


def _named(node: Any) -> list[tuple[str, Array]] | None:
    """Return the gradients in something that has names, None if it has none."""
    if isinstance(node, Mapping):
        items = [(str(name), value) for name, value in node.items()]
    elif hasattr(node, "_fields"):
        items = [(name, getattr(node, name)) for name in node._fields]
    elif hasattr(node, "__dict__") and not isinstance(node, (type, np.ndarray)):
        items = list(vars(node).items())
    else:
        return None
    chosen = [(name, value) for name, value in items if gradient_of(name) is not None]
    chosen = chosen or [(name, value) for name, value in items if block_of(name) is not None]
    found = []
    for name, value in chosen:
        array = array_of(value)
        if array is None:
            return None
        found.append((name, array))
    return found or None


def _orders_by_name(named: list[tuple[str, Array]]) -> Iterator[tuple[list[Array], str]]:
    """Yield W1, b1, W2, ... as their names tell."""
    places = []
    for given, (name, array) in enumerate(named):
        kind, where = gradient_of(name) or block_of(name) or ("W", "")
        places.append((kind, order_of(where, given), array))
    weights = [a for kind, _, a in sorted(_keyed(places, "W"), key=lambda one: one[1])]
    biases = [a for kind, _, a in sorted(_keyed(places, "b"), key=lambda one: one[1])]
    if len(biases) == len(weights):
        yield list(chain(*zip(weights, biases, strict=True))), ""
    yield weights, ""


def _keyed(places: list[tuple[str, Any, Array]], kind: str) -> list[tuple[str, Any, Array]]:
    return [one for one in places if one[0] == kind]


def _leaves(node: Any) -> list[Array] | None:
    """Return the arrays in nested lists, costs and None left out; None if there is more in it."""
    array = array_of(node)
    if array is not None:
        return [array]
    if node is None:
        return []
    if isinstance(node, Mapping):
        named = _named(node)
        if named is not None:
            # One layer's dictionary; that of a whole network is read by its names.
            if any((gradient_of(name) or block_of(name) or ("", ""))[1] for name, _ in named):
                return None
            return [array for _, array in sorted(named, key=lambda one: "b" in one[0].lower())]
        keys = list(node)
        if all(isinstance(key, int) for key in keys):
            keys.sort()  # those who count layers often fill them in from the output on
        node = [node[key] for key in keys]
    if not isinstance(node, (list, tuple)):
        return None
    found: list[Array] = []
    for item in node:
        inside = _leaves(item)
        if inside is None or len(found) > 64:
            return None
        found += inside
    return found


def _orders(leaves: list[Array], count: int) -> Iterator[tuple[list[Array], str]]:
    """Yield *leaves* in each order in which they may be W1, b1, W2, ..."""
    yield leaves, ""
    without_costs = [array for array in leaves if array.ndim > 0]
    kept = without_costs if len(without_costs) in (count, 2 * count) else leaves
    if len(kept) == len(leaves) + 1 and leaves[0].ndim == 0:
        kept = leaves[1:]
    if kept is not leaves:
        yield kept, ""
    if len(kept) == count:
        yield kept[::-1], "the gradients come from the output on"
    if len(leaves) == 2 * count == 2:  # the bias of one unit is a number
        yield leaves[::-1], "the gradient of the bias comes first"
    if len(kept) == 2 * count:
        first, second = kept[:count], kept[count:]
        evens, odds = kept[::2], kept[1::2]
        for weights, biases, says in (
            (first, second, "first the gradients of all weights, then of all biases"),
            (second, first, "first the gradients of all biases, then of all weights"),
            (odds, evens, "of each layer the gradient of the biases comes first"),
        ):
            yield list(chain(*zip(weights, biases, strict=True))), says
        for weights, biases in ((first, second), (second, first), (evens, odds), (odds, evens)):
            turned = chain(*zip(weights[::-1], biases[::-1], strict=True))
            yield list(turned), "the gradients come from the output on"


def _with_misshapen_biases(node: Any, like: Sequence[Block]) -> list[Array] | None:
    """Return W1, b1, W2, ... by their names if the biases alone have other shapes."""
    if any(block.b is None for block in like):
        return None
    for arrays, _ in _orders_by_name(_named(node) or []):
        weights = arrays[::2]
        if len(arrays) == 2 * len(like) and all(
            W.shape == block.W.shape for W, block in zip(weights, like, strict=True)
        ):
            return arrays
    return None


def _loosely(node: Any, thetas: Sequence[Array]) -> bool:
    """Whether *node* has a matrix for each Theta, in some orientation, with biases or without."""
    leaves = _leaves(node)
    if array_of(node) is not None and leaves:
        sizes = (sum(t.size for t in thetas), sum(t.size - len(t) for t in thetas))
        return leaves[0].size in sizes or (len(thetas) == 1 and _matrix(leaves[0], thetas[0]))
    left = list(leaves or [])
    for theta in thetas:
        place = next((i for i, one in enumerate(left) if _matrix(one, theta)), None)
        if place is None:
            return False
        del left[place]
    return True


def _matrix(array: Array, theta: Array) -> bool:
    units, columns = theta.shape
    return any(array.shape in ((units, c), (c, units)) for c in (columns, columns - 1))

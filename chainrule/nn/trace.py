"""``Trace``: what a network computed for one example, layer by layer.

Layers have the notes' numbers, as in :mod:`.layers`: layer 1 is the input, which has activations
and no z; the output is layer L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..engine.backend import Value
from ..engine.display import html_table
from ..engine.vectors import read_grads
from .arguments import Array

T = TypeVar("T")

# What a network gives: a Value, or a list of them where it has several outputs.  How many it has is
# not in its type, so for a type checker the output is both, and neither use needs a cast.
if TYPE_CHECKING:

    class Output(Value, list[Value]):  # type: ignore[misc]  # the operators are those of Value
        """A Value or a list of Values."""

else:
    Output = Value | list[Value]


class ByLayer(dict[int, T]):
    """What a trace has for each layer, by the layer's number."""

    def __init__(self, name: str, layers: Mapping[int, T]) -> None:
        super().__init__(layers)
        self._name = name

    def __missing__(self, number: object) -> T:
        raise KeyError(
            f"{self._name}[{number!r}]: the layers that have {self._name} are {min(self)} to "
            f"{max(self)}; layer 1 is the input, which has no z"
        )


@dataclass(frozen=True, eq=False)
class Trace:
    """One pass of a network, layer by layer, as nodes of the graph.

    ``z[l][j]`` and ``a[l][j]`` are the pre-activation and the activation of unit j of layer l.
    ``a[1]`` is the input, z begins at 2, and both end at the output layer L.  Units count from 0;
    the bias unit is not among them.
    """

    z: ByLayer[tuple[Value, ...]]
    a: ByLayer[tuple[Value, ...]]
    output: Output
    """What ``model(x)`` returns: ``a[L]`` as a list, or its only entry."""

    def __repr__(self) -> str:
        sizes = " - ".join(str(len(units)) for _, units in sorted(self.a.items()))
        return f"<Trace of {sizes} units>"

    def _repr_html_(self) -> str:
        rows = []
        for layer, units in sorted(self.a.items()):
            for j, unit in enumerate(units):
                z = self.z[layer][j] if layer in self.z else None
                delta = "" if z is None else f"{z.grad:.4g}" if z.has_grad else "–"
                pre = "" if z is None else f"{z.data:.4g}"
                rows.append([f"a[{layer}][{j}]", pre, f"{unit.data:.4g}", delta])
        return html_table(repr(self), ["unit", "z", "a", "delta"], rows)

    def delta(self, l: int) -> Array:  # noqa: E741 (the notes' letter)
        r"""Return delta^(l), shape (s_l,): dC/dz of each unit of layer *l*, l = 2 to L.

        C is whatever ``backward`` was last called on.  RuntimeError if it was not called on
        anything that depends on this trace.

        >>> from chainrule.nn import MLP
        >>> model = MLP(1, [1], seed=0)
        >>> model.thetas = [[[0.0, 2.0]]]
        >>> trace = model.trace([3.0])
        >>> ((trace.output - 1.0) ** 2).backward()
        >>> trace.delta(2)
        array([10.])

        With the mean over m examples for C, these are the notes' deltas divided by m.
        """
        units = self.z[l]
        if not any(unit.has_grad for layer in self.z.values() for unit in layer):
            raise RuntimeError(
                f"delta({l}): no backward pass has reached this trace; call backward() on a loss "
                "made from trace.output, outside no_grad"
            )
        return read_grads(units)

"""A random network on which a formula is tried: its weights, its batch, its graph, its closed form.

Layers count from 0 in this room, as in :mod:`chainrule.backprop`: ``closed.z[l]`` is z^(l+2) of the
notes, ``thetas[l]`` is Theta^(l+1), and ``closed.a[0]`` is the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ... import backprop, nn
from ...engine import reductions, transforms
from ...engine.backend import Value

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Setting:
    """What kind of network a formula speaks of: its cost, its depth, its width."""

    loss: str
    activation: str = "sigmoid"
    output_activation: str = "sigmoid"
    depth: tuple[int, int] = (1, 5)
    """The least and the greatest number of Theta matrices."""
    widest: int = 8
    outputs: int | None = None
    """The number K of outputs, where the formula fixes it."""
    reduction: str = "mean"
    regularised: bool = False


class Instance:
    """A network with weights, a batch and a lambda, and both roads to its derivatives."""

    def __init__(
        self,
        setting: Setting,
        sizes: Sequence[int],
        m: int,
        lam: float = 0.0,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.setting, self.sizes, self.m = setting, tuple(sizes), m
        self.lam = lam if setting.regularised else 0.0
        self.thetas = [
            rng.normal(size=(after, 1 + before)) for before, after in pairwise(self.sizes)
        ]
        self.X = rng.normal(size=(m, sizes[0]))
        self.Y = rng.uniform(size=(m, sizes[-1]))
        if setting.loss == "logistic":
            self.Y = self.Y.round()

    # The closed form.

    @cached_property
    def closed(self) -> backprop.Gradients:
        """Everything that the algorithm B10 computes."""
        return backprop.gradients(
            self.thetas,
            self.X,
            self.Y,
            self.lam,
            loss=self.setting.loss,
            activation=self.setting.activation,
            output_activation=self.setting.output_activation,
            reduction=self.setting.reduction,
        )

    @property
    def last(self) -> int:
        """The index of the output layer."""
        return len(self.thetas) - 1

    def slope(self, layer: int) -> Array:
        """Return g'(z) of a layer."""
        hidden, output = self.setting.activation, self.setting.output_activation
        return backprop.derivative(output if layer == self.last else hidden, self.closed.z[layer])

    def units(self, layer: int) -> Array:
        """Return the activations that a layer's Theta is applied to, the bias unit first."""
        return backprop.with_bias(self.closed.a[layer])

    def weights(self, layer: int) -> Array:
        """Return Theta without its bias column."""
        return self.thetas[layer][:, 1:]

    # The graph.

    @cached_property
    def model(self) -> nn.MLP:
        """The network made of Values, with the same weights."""
        model = nn.MLP(
            self.sizes[0],
            self.sizes[1:],
            activation=self.setting.activation,
            output_activation=self.setting.output_activation,
        )
        model.thetas = self.thetas
        return model

    @cached_property
    def traces(self) -> list[nn.Trace]:
        """A forward pass for each example."""
        return [self.model.trace(x) for x in self.X]

    @cached_property
    def costs(self) -> list[Value]:
        """cost(t) of each example."""
        return [self._cost(trace, y) for trace, y in zip(self.traces, self.Y.tolist(), strict=True)]

    def _cost(self, trace: nn.Trace, y: list[float]) -> Value:
        output = self.last + 2
        if self.setting.loss == "logistic":
            cost: Value = nn.losses.logistic(trace.z[output], y)
        else:
            cost = getattr(nn.losses, self.setting.loss)(trace.a[output], y)
        return cost

    @cached_property
    def J(self) -> Value:  # noqa: N802 (the notes' name)
        """The cost of the whole batch, penalty and all."""
        reduction = reductions.mean if self.setting.reduction == "mean" else reductions.sum
        total: Value = reduction(self.costs)
        return total + nn.losses.l2(self.model, self.lam, self.m) if self.lam else total

    def slopes(self, nodes: Callable[[nn.Trace], Sequence[Value]]) -> Array:
        """Return the derivative of each example's cost with respect to the *nodes* of its trace."""
        rows = [
            transforms.gradients(cost, nodes(trace))
            for cost, trace in zip(self.costs, self.traces, strict=True)
        ]
        return np.array(rows)

    def weight_slopes(self, cost: Value) -> list[Array]:
        """Return the derivative of *cost* with respect to each Theta."""
        parameters = [p for array in self.model.parameter_arrays() for p in array.values]
        found = np.array(transforms.gradients(cost, parameters))
        return list(backprop.roll(found, [theta.shape for theta in self.thetas]))

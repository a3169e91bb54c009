"""The algorithm B10 step by step, with a hook at each step where a mistake can be made.

A replay computes what a program with a given mistake would have returned. Every step is a method
that calls the one place in ``backprop`` where the formula lives; a mistake replaces a step by a
function of the run, the usual step and the step's arguments. Two mistakes at once are two
replacements, the second around the first, so pairs need nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from ... import backprop
from ..problem import Array, Problem

Change: TypeAlias = Callable[..., Any]
"""change(run, usual, *arguments) stands in for usual(*arguments)."""
Changes: TypeAlias = Mapping[str, Change]


class Run:
    """One pass of the algorithm over a problem; each step is computed when asked for, once.

    *layer* counts the Thetas from 0: ``a(0)`` is X, ``z(layer)`` is Theta[layer] applied to
    ``a(layer)``, ``delta(layer)`` belongs to ``z(layer)`` and ``gradient(layer)`` to Theta[layer].
    Steps that no change can reach are taken from *base*, a run without changes.

    >>> from chainrule.checking.problem import probe
    >>> run = Run(probe())
    >>> bool(np.allclose(run.gradient(0), probe().truth.D[0], rtol=1e-15, atol=0))
    True
    """

    WHOLE = frozenset(
        {"targets", "rows", "count", "error", "output_delta", "data_cost", "penalty_cost", "cost"}
    )
    """The steps that take no layer."""

    NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
        {
            "activation": (),
            "a": ("activation", "z"),
            "z": ("activation", "a"),
            "targets": (),
            "rows": (),
            "count": ("rows",),
            "error": ("a", "targets"),
            "output_delta": ("error", "a", "z", "targets", "slope"),
            "theta_back": (),
            "blame": ("theta_back", "z", "delta", "error", "output_delta", "slope"),
            "slope": ("activation", "z", "blame", "error"),
            "delta": ("output_delta", "blame", "slope", "theta_back"),
            "sums": ("delta", "a", "rows"),
            "data": ("sums", "count"),
            "decay": ("count",),
            "gradient": ("data", "decay"),
            "data_cost": ("z", "targets", "count"),
            "penalty_cost": ("count",),
            "cost": ("data_cost", "penalty_cost"),
        }
    )
    """Which steps a step reads, or a mistake in it may read."""

    def __init__(
        self,
        problem: Problem,
        changes: Sequence[Changes] = (),
        rate: float = 0.0,
        base: Run | None = None,
    ) -> None:
        self.problem = problem
        self.rate = rate
        """The number of a mistake that has one: a learning rate, a factor, how many digits."""
        changed = {name for change in changes for name in change}
        steps = self.__dict__  # shadows the methods: each step meets the changes of those before it
        for name in self.NEEDS:
            if base is not None and changed.isdisjoint(_ALL_NEEDS[name]):
                steps[name] = base.__dict__[name]
                continue
            step: Callable[..., Any] = getattr(self, name)
            for change in changes:
                if name in change:
                    step = partial(change[name], self, step)
            steps[name] = _Once(step)

    @property
    def last(self) -> int:
        return self.problem.last

    @property
    def m(self) -> int:
        return self.problem.m

    # Forward.

    def activation(self, layer: int) -> str:
        """The name of the activation of a hidden layer."""
        return self.problem.activations[layer]

    def a(self, layer: int) -> Array:
        """The activations that Theta[layer] is applied to, without the bias unit.

        At layer ``last + 1`` they are the outputs.
        """
        if layer == 0:
            return self.problem.X
        return backprop.activate(self.name_of(layer - 1), self.z(layer - 1))

    def z(self, layer: int) -> Array:
        product: Array = backprop.with_bias(self.a(layer)) @ self.problem.thetas[layer].T
        return product

    # Backward.

    def targets(self) -> Array:
        return self.problem.Y

    def error(self) -> Array:
        """The derivative of a squared error by the outputs; of a logarithm a - y, its delta."""
        loss = self.problem.loss if self.problem.squares else "half_squared_error"
        return backprop.delta_output(
            self.a(self.last + 1), self.targets(), loss=loss, output_activation="linear"
        )

    def output_delta(self) -> Array:
        """A6, B4, B8, C7."""
        p = self.problem
        if p.squares:
            return self.error() * self.slope(p.last)
        return backprop.delta_output(
            self.z(p.last), self.targets(), loss=p.loss, output_activation=p.output_activation
        )

    def theta_back(self, layer: int) -> Array:
        """The Theta through which delta comes back to a hidden layer."""
        return self.problem.thetas[layer + 1]

    def blame(self, layer: int) -> Array:
        """C6: the derivative with respect to the activation of a hidden layer."""
        z = self.z(layer)
        return backprop.delta_hidden(self.theta_back(layer), self.delta(layer + 1), z, "linear")

    def slope(self, layer: int) -> Array:
        """g'(z) of a hidden layer, and of the output layer for squared errors."""
        return backprop.derivative(self.name_of(layer), self.z(layer))

    def name_of(self, layer: int) -> str:
        """The name of the activation that follows z(layer)."""
        return self.problem.output if layer == self.last else self.activation(layer)

    def delta(self, layer: int) -> Array:
        """B5 for a hidden layer."""
        if layer == self.last:
            return self.output_delta()
        return self.blame(layer) * self.slope(layer)

    # The gradient.

    def rows(self) -> slice:
        """The examples that are summed."""
        return slice(None)

    def count(self) -> int:
        """What the sums are divided by."""
        return self.problem.divisor

    def sums(self, layer: int) -> Array:
        """The matrix Delta of B10."""
        rows = self.rows()
        return backprop.accumulate(self.delta(layer)[rows], self.a(layer)[rows])

    def data(self, layer: int) -> Array:
        """B9: the part of the gradient that comes from the examples."""
        return backprop.regularise(self.sums(layer), self.problem.thetas[layer], 0.0, self.count())

    def decay(self, layer: int) -> Array:
        """The part that comes from the penalty, (lambda/m) Theta without the bias column."""
        theta = self.problem.thetas[layer]
        return backprop.regularise(np.zeros_like(theta), theta, self.problem.lam, self.count())

    def gradient(self, layer: int) -> Array:
        return self.data(layer) + self.decay(layer)

    # The cost.

    def data_cost(self) -> float:
        """A1, B7: the part of the cost that comes from the examples."""
        p = self.problem
        costs = backprop.example_costs(
            self.z(p.last), self.targets(), loss=p.loss, output_activation=p.output_activation
        )
        return float(costs.sum()) / self.count()

    def penalty_cost(self) -> float:
        return backprop.penalty(self.problem.thetas, self.problem.lam, self.count())

    def cost(self) -> float:
        return self.data_cost() + self.penalty_cost()

    def gradients(self) -> list[Array]:
        """Return D of every layer."""
        return [self.gradient(layer) for layer in range(self.last + 1)]


class _Once:
    """A step that is computed once for each layer; a hundred thousand of them are made a second."""

    __slots__ = ("known", "step")

    def __init__(self, step: Callable[..., Any]) -> None:
        self.step = step
        self.known: dict[tuple[int, ...], Any] = {}

    def __call__(self, *layer: int) -> Any:
        if layer not in self.known:
            self.known[layer] = self.step(*layer)
        return self.known[layer]


def _reachable(name: str, seen: set[str]) -> set[str]:
    if name not in seen:
        seen.add(name)
        for need in Run.NEEDS[name]:
            _reachable(need, seen)
    return seen


def reaches(changes: Changes, steps: Collection[str]) -> bool:
    """Whether *changes* can be seen in any of the *steps*."""
    return not all(_ALL_NEEDS[step].isdisjoint(changes) for step in steps)


_ALL_NEEDS = {name: frozenset(_reachable(name, set())) for name in Run.NEEDS}


def only(changes: Changes, layers: Collection[int]) -> Changes:
    """Return *changes* restricted to some layers."""

    def restricted(change: Change) -> Change:
        def maybe(run: Run, usual: Callable[..., Any], at: int) -> Any:
            return change(run, usual, at) if at in layers else usual(at)

        return maybe

    return {name: restricted(change) for name, change in changes.items()}

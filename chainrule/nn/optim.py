r"""Optimisers: what happens to the parameters between two backward passes.

An optimiser gathers its parameters and their gradients into two vectors, applies its published rule
there, and writes the parameters back::

    optimiser = optim.Adam(model.parameters(), lr=1e-2)
    for x, y in examples:
        optimiser.zero_grad()
        losses.squared_error(model(x), y).backward()
        optimiser.step()

In the formulas theta is that vector, g its gradient, eta the learning rate and t the number of the
step, from 1; vectors are multiplied and divided element by element.  A gradient that is nan or
infinite makes its way into the parameters, as IEEE arithmetic has it: to be told where it came
from, run the pass inside ``detect_anomaly``.  A parameter that no backward pass has reached has the
gradient 0, and takes part in the step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..engine.backend import Value
from ..engine.vectors import Vector, read_data, read_grads, reset_grads, write_data
from . import arguments
from .module import Module
from .schedules import Schedule, constant, cosine, step_decay, warmup

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "constant", "cosine", "step_decay", "warmup"]


def __dir__() -> list[str]:
    """Return what is public, and not what this module is made with."""
    return sorted(__all__)


class Optimiser:
    """What all optimisers share.  A subclass gives the names of its memory and its rule.

    *lr*, the learning rate, is a number or a schedule, a function that is called with the number of
    steps taken so far; it may be assigned at any time.
    """

    _memory: ClassVar[Mapping[str, float]] = {}
    """The vectors kept between steps, each with the least number that may be in it."""

    def __init__(
        self, parameters: Iterable[Value], lr: float | Schedule, weight_decay: float
    ) -> None:
        if isinstance(parameters, Module):
            raise TypeError(f"{self._name}: expected parameters, so pass model.parameters()")
        listed = arguments.listed(f"{self._name}: the parameters", parameters, "Values")
        self.parameters = tuple(listed)
        if not self.parameters:
            raise ValueError(f"{self._name}: no parameters; expected at least one")
        for parameter in self.parameters:
            if not isinstance(parameter, Value):
                raise TypeError(f"{self._name}: {parameter!r:.80} is not a Value")
            if parameter.primitive is not None:
                raise ValueError(f"{self._name}: {parameter!r:.80} is computed, not a leaf")
        if len(set(self.parameters)) < len(self.parameters):
            raise ValueError(f"{self._name}: a parameter is given twice")
        self.lr = lr
        self.weight_decay = arguments.real(f"{self._name}: weight_decay", weight_decay)
        self.steps = 0
        self._state = {name: np.zeros(len(self.parameters)) for name in self._memory}
        if not callable(lr):
            self.current_rate()

    def __repr__(self) -> str:
        count = len(self.parameters)
        plural = "s" * (count != 1)
        rate = "a schedule" if callable(self.lr) else self.lr
        return f"<{self._name}: {count} parameter{plural}, lr={rate}, steps={self.steps}>"

    @property
    def _name(self) -> str:
        return type(self).__name__

    def current_rate(self) -> float:
        """Return the learning rate of the next step; ValueError if it is negative or not finite."""
        rate = self.lr
        return arguments.real(f"{self._name}: lr", rate(self.steps) if callable(rate) else rate)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter back to 0.0, for the next backward pass."""
        reset_grads(self.parameters)

    def step(self) -> None:
        """Change the parameters once, by their gradients."""
        rate = self.current_rate()
        with np.errstate(all="ignore"):
            data = self._updated(read_data(self.parameters), read_grads(self.parameters), rate)
        self.steps += 1
        write_data(self.parameters, data)

    def _updated(self, theta: Vector, g: Vector, rate: float) -> Vector:
        """Return the new *theta*, and renew ``_state``; ``steps`` is t - 1."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what the optimiser remembers: the number of steps, and its vectors.

        The hyperparameters are not in it: they are given to the constructor.
        """
        return {"steps": self.steps} | {name: v.copy() for name, v in self._state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` of an optimiser of the same kind and size returned.

        Nothing is changed unless everything is valid: ValueError or TypeError if it is not.
        """
        arguments.names(["steps", *self._memory], state)
        steps = arguments.count("steps", state["steps"], least=0)
        shape = (len(self.parameters),)
        memory = {name: arguments.finite_array(name, state[name], shape) for name in self._memory}
        for name, least in self._memory.items():
            if (memory[name] < least).any():
                raise ValueError(f"{name} holds {memory[name].min()}: expected {least} or more")
        self.steps, self._state = steps, memory


class SGD(Optimiser):
    r"""Gradient descent, with momentum if wanted.

    g := g + weight_decay * theta;  v := momentum * v + g;  theta := theta - eta * v, or with
    *nesterov* theta := theta - eta * (g + momentum * v).  Sutskever, Martens, Dahl and Hinton, "On
    the importance of initialization and momentum" (2013), in the form that PyTorch gives it, where
    eta scales the velocity and not the gradient.

    >>> import chainrule as cr
    >>> theta = cr.Value(5.0)
    >>> optimiser = SGD([theta], lr=0.1)
    >>> cr.square(theta).backward()
    >>> optimiser.step()
    >>> theta.data
    4.0

    ValueError for negative hyperparameters, a *momentum* of 1 or more, or *nesterov* without it.
    """

    _memory: ClassVar[Mapping[str, float]] = {"velocity": -math.inf}

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = arguments.real("SGD: momentum", momentum, below=1.0)
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0, such as momentum=0.9")

    def _updated(self, theta: Vector, g: Vector, rate: float) -> Vector:
        if self.weight_decay:
            g = g + self.weight_decay * theta
        velocity = self._state["velocity"]
        velocity = self.momentum * velocity + g if self.momentum else g
        self._state["velocity"] = velocity
        return theta - rate * (g + self.momentum * velocity if self.nesterov else velocity)


class Adam(Optimiser):
    r"""Adam: a step of about eta in each direction, whatever the size of the gradients.

    With (b1, b2) the *betas*: m := b1 m + (1 - b1) g;  v := b2 v + (1 - b2) g^2;
    theta := theta - eta * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).  Kingma and Ba, "Adam"
    (2015), algorithm 1.  *weight_decay* adds weight_decay * theta to g; :class:`AdamW` is usually
    the better way to decay.

    >>> import chainrule as cr
    >>> theta = cr.Value(5.0)
    >>> optimiser = Adam([theta], lr=0.1)
    >>> cr.square(theta).backward()
    >>> optimiser.step()
    >>> round(theta.data, 6)
    4.9

    ValueError for negative hyperparameters and for betas outside [0, 1).
    """

    _memory: ClassVar[Mapping[str, float]] = {"m": -math.inf, "v": 0.0}

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        try:
            first, second = betas
        except (TypeError, ValueError):
            raise ValueError(f"{self._name}: betas is {betas!r}; expected two numbers") from None
        self.betas = (
            arguments.real(f"{self._name}: betas[0]", first, below=1.0),
            arguments.real(f"{self._name}: betas[1]", second, below=1.0),
        )
        self.eps = arguments.real(f"{self._name}: eps", eps)

    def _updated(self, theta: Vector, g: Vector, rate: float) -> Vector:
        if self.weight_decay:
            g = g + self.weight_decay * theta
        return self._moved(theta, g, rate)

    def _moved(self, theta: Vector, g: Vector, rate: float) -> Vector:
        b1, b2 = self.betas
        t = self.steps + 1
        m = b1 * self._state["m"] + (1.0 - b1) * g
        v = b2 * self._state["v"] + (1.0 - b2) * g * g
        self._state = {"m": m, "v": v}
        scale = np.sqrt(v) / math.sqrt(1.0 - b2**t) + self.eps
        return theta - rate / (1.0 - b1**t) * (m / scale)


class AdamW(Adam):
    r"""Adam with the weight decay taken out of the gradient: theta := (1 - eta weight_decay) theta.

    That happens before Adam's step, which sees the gradient alone; Loshchilov and Hutter,
    "Decoupled weight decay regularization" (2019), algorithm 2, with eta for alpha and eta_t.

    >>> import chainrule as cr
    >>> theta = cr.Value(5.0)
    >>> optimiser = AdamW([theta], lr=0.1, weight_decay=0.5)
    >>> optimiser.step()                    # no gradient: only the decay is left
    >>> theta.data
    4.75

    It decays every parameter it is given, biases included, as PyTorch's does.
    """

    def __init__(
        self,
        parameters: Iterable[Value],
        lr: float | Schedule = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def _updated(self, theta: Vector, g: Vector, rate: float) -> Vector:
        return self._moved(theta * (1.0 - rate * self.weight_decay), g, rate)

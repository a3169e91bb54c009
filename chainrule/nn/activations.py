"""The activations a layer may have, by name, and how large the first weights before them are.

The functions themselves are rows of the engine's table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..engine import table as primitives
from ..engine.backend import Value
from .arguments import Array

_RECTIFIERS = ("relu", "leaky_relu", "softplus", "silu", "gelu")
_SATURATING = ("tanh", "sigmoid")

ELEMENTWISE = (*_RECTIFIERS, *_SATURATING, "linear")
"""The activations of a single neuron."""
NAMES = (*ELEMENTWISE, "softmax")
"""The activations of a layer."""


def check_activation(name: object, allowed: Sequence[str] = NAMES) -> str:
    """Return *name* if it is one of those *allowed*, else say which are."""
    if not isinstance(name, str):
        raise TypeError(f"activation: expected a name such as 'relu', not {name!r}")
    if name not in allowed:
        raise ValueError(f"activation {name!r}: expected one of {', '.join(allowed)}")
    return name


def activate(name: str, z: list[Value]) -> list[Value]:
    """Return the activations of the units whose pre-activations are *z*, one node for each.

    There is no node for "linear", where a is z.
    """
    if name == "linear":
        return z
    if name == "softmax":
        return primitives.softmax_of(z)
    row = primitives.named(name)
    return [row(unit) for unit in z]


def initial_weights(
    activation: str, n_inputs: int, n_outputs: int, generator: np.random.Generator
) -> Array:
    r"""Return random weights, shape (n_outputs, n_inputs), of the size that suits *activation*.

    - Before a rectifier (relu, leaky_relu, softplus, silu, gelu): normal with variance 2/n_inputs;
      He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10.
    - Before the others: uniform on (-e, e) with e = sqrt(6 / (n_inputs + n_outputs)); Glorot and
      Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010),
      equation 16.

    Both keep the variance of the signal about the same from layer to layer.
    """
    if activation in _RECTIFIERS:
        return generator.normal(0.0, math.sqrt(2.0 / n_inputs), (n_outputs, n_inputs))
    bound = math.sqrt(6.0 / (n_inputs + n_outputs))
    return generator.uniform(-bound, bound, (n_outputs, n_inputs))

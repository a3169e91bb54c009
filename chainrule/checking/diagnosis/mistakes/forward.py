"""The forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .... import backprop
from ...problem import Array
from ..algorithm import Changes, Run
from .makers import USUAL, bias_column, columns_rolled, last_unit_dropped, skipping
from .row import Mistake


def _ones_last_forward(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    z: Array = _ones_last(run.a(layer)) @ run.problem.thetas[layer].T
    return z


def _ones_last(a: Array) -> Array:
    return np.roll(backprop.with_bias(a), -1, axis=1)


def _no_bias(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    z: Array = run.a(layer) @ run.problem.thetas[layer][:, 1:].T
    return z


def _named(name: str) -> Callable[..., Any]:
    return lambda run, usual, layer: name


_SCALINGS: tuple[Callable[[Array], Array], ...] = (
    lambda X: (X - X.mean(axis=0)) / X.std(axis=0),
    lambda X: X - X.mean(axis=0),
    lambda X: X / 255.0,
    lambda X: (X - X.min(axis=0)) / np.ptp(X, axis=0),
    lambda X: (X - X.mean(axis=0)) / X.std(axis=0, ddof=1),
    lambda X: X / X.max(),
    lambda X: X / X.max(axis=0),
    lambda X: X / np.linalg.norm(X, axis=1, keepdims=True),
    lambda X: (X - X.mean()) / X.std(),
    lambda X: X / 10.0,
    lambda X: X / 100.0,
)
"""What people do to X, the most common first."""


def _inputs(scaling: Callable[[Array], Array]) -> Changes:
    return {"a": lambda run, usual, layer: usual(layer) if layer else scaling(usual(layer))}


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "forward.wrong-activation",
        "C8",
        "The hidden layers use a different activation from the stated one.",
        "Use the stated activation, forwards and backwards.",
        tuple({"activation": _named(name)} for name in USUAL),
    ),
    Mistake(
        "forward.inputs-scaled",
        "A7",
        "X is scaled inside the function.",
        "Use X as it is given; scale the data outside, before training.",
        tuple(_inputs(scaling) for scaling in _SCALINGS),
        lambda problem: problem.m > 1,
        alone=True,
    ),
    Mistake(
        "forward.no-bias",
        "A7",
        "The biases are left out of the forward pass.",
        "z = Theta [1; a]: put the bias unit in front of the activations of every layer.",
        (
            {"z": _no_bias},
            {"z": _no_bias, "data": bias_column(lambda run, layer, data: 0.0)["data"]},
        ),
    ),
    Mistake(
        "forward.ones-last",
        "A7",
        "The bias unit comes after the activations; Theta has the biases in column 0.",
        "Put the column of ones first: np.c_[np.ones(m), a].",
        (
            {"z": _ones_last_forward, "sums": columns_rolled},
            {"z": _ones_last_forward, "sums": columns_rolled, "blame": last_unit_dropped},
            {
                "z": _ones_last_forward,
                "sums": columns_rolled,
                "blame": last_unit_dropped,
                "decay": skipping((slice(None), -1)),
            },
            {"z": _ones_last_forward},
        ),
    ),
)

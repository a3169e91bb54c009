"""From a model and its examples to the data of its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.arguments import numbers_in
from ...nn import losses
from .data import number

LOSSES = {
    name: getattr(losses, name)
    for name in ("squared_error", "half_squared_error", "logistic", "cross_entropy", "hinge")
}


def network_data(model: Any, X: Any, Y: Any, loss: str | Callable[..., Any]) -> dict[str, Any]:
    """Return *model*, the examples *X* and their targets *Y* as data."""
    try:
        thetas = [np.asarray(theta, dtype=float) for theta in model.thetas]
        activations = list(model.activations)
    except AttributeError:
        raise TypeError(
            "explore_network: expected a model with thetas and activations, such as nn.MLP, not "
            f"{type(model).__name__}; viz.explore(value) makes the page of a graph"
        ) from None
    name = _loss_name(loss)
    examples = _matrix("X", X)
    inputs, outputs = thetas[0].shape[1] - 1, thetas[-1].shape[0]
    if examples.shape[1] != inputs or not len(examples):
        raise ValueError(
            f"explore_network: X has shape {examples.shape}; expected at least one example, a row "
            f"of {inputs} numbers each"
        )
    targets = _matrix("Y", Y)
    if len(targets) != len(examples):
        raise ValueError(
            f"explore_network: {len(examples)} examples and {len(targets)} targets; expected as "
            "many of one as of the other"
        )
    for y in targets:
        given: Any = y.tolist()
        if name == "cross_entropy" and len(y) == 1:
            given = int(y[0]) if y[0] == int(y[0]) else y[0]
        LOSSES[name]([0.0] * outputs, given)  # says what is wrong with y
    return {
        "thetas": [[[number(w) for w in row] for row in theta.tolist()] for theta in thetas],
        "activations": activations,
        "X": examples.tolist(),
        "Y": targets.tolist(),
        "loss": name,
    }


def _loss_name(loss: str | Callable[..., Any]) -> str:
    by_name = isinstance(loss, str) and loss in LOSSES
    name = loss if by_name else next((n for n, f in LOSSES.items() if f is loss), None)
    if name is None:
        raise ValueError(
            f"explore_network: loss is {loss!r:.80}; expected one of {', '.join(LOSSES)}, by name "
            "or from nn.losses"
        )
    return str(name)


def _matrix(name: str, given: Any) -> NDArray[np.float64]:
    found = numbers_in(f"explore_network: {name}", given)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or not np.isfinite(found).all():
        raise ValueError(
            f"explore_network: {name} has shape {np.shape(given)}; expected a matrix of finite "
            "numbers, a row for each example"
        )
    return found

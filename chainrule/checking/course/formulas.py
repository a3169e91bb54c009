"""The formulas A1 to C8: what each says, and the two roads to its left side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from ... import backprop
from ...engine import transforms
from ...engine.backend import Value
from ...engine.table import log, sigmoid
from .network import Array, Instance, Setting

Road: TypeAlias = Callable[[Instance], Any]


@dataclass(frozen=True)
class Formula:
    """One formula of the notes, with two ways to its left side."""

    code: str
    """Its number, A1 to C8."""
    text: str
    """The formula, as it is right."""
    setting: Setting
    graph: Road
    closed: Road
    erratum: str = ""
    """What is wrong in print; empty if nothing is."""
    printed: Road | None = None
    """What print gives for the left side, where that can be computed."""
    printed_left: Road | None = None
    """The left side as printed, where that is another quantity."""


def _joined(arrays: Iterable[Any]) -> Array:
    return np.concatenate([np.ravel(array) for array in arrays])


def _data(nodes: Iterable[Value]) -> Array:
    return np.array([node.data for node in nodes])


# --- roads through the graph ---------------------------------------------------------------------


def _z_slopes(p: Instance, layer: int) -> Array:
    return p.slopes(lambda trace: trace.z[layer + 2])


def _a_slopes(p: Instance, layer: int) -> Array:
    return p.slopes(lambda trace: trace.a[layer + 1])


def _all_weight_slopes(p: Instance) -> Array:
    return _joined(p.weight_slopes(p.J))


def _forward_data(p: Instance) -> Array:
    return _joined([_data(z) for t in p.traces for z in t.z.values()] + [_data(p.costs)])


def _everything_in_c(p: Instance) -> Array:
    return _joined([_forward_data(p), _a_slopes(p, p.last), _all_weight_slopes(p)])


def _each_last_weight_slope(p: Instance) -> Array:
    return np.array([p.weight_slopes(cost)[-1] for cost in p.costs])


def _graph_of_one_output(p: Instance) -> Array:
    found = []
    for z_data, y in zip(np.ravel(p.closed.z[-1]).tolist(), np.ravel(p.Y).tolist(), strict=True):
        z = Value(z_data)
        a = sigmoid(z)
        cost = -(y * log(a) + (1.0 - y) * log(1.0 - a))
        by_a, by_z = transforms.gradients(cost, [a, z])
        found.append([by_a, a.partials[0], by_z])
    return np.array(found)


# --- roads through the formulas ------------------------------------------------------------------


def _error(p: Instance) -> Array:
    return p.closed.a[-1] - p.Y


def _without_slope(p: Instance, layer: int) -> Array:
    by_a: Array = p.closed.delta[layer + 1] @ p.weights(layer + 1)
    return by_a


def _hidden(p: Instance, layer: int) -> Array:
    return _without_slope(p, layer) * p.slope(layer)


def _a_1_for_the_last(p: Instance) -> Array:
    units = p.units(1)
    units[:, -1] = units[:, 1]
    z: Array = units @ p.thetas[1].T
    return z


def _delta_of_squares(p: Instance) -> Array:
    return -(p.Y - p.closed.a[-1]) * p.slope(p.last)


def _times_units(p: Instance, delta: Array, layer: int) -> Array:
    sums: Array = delta.T @ p.units(layer)
    return sums


def _one_output(p: Instance) -> Array:
    a, y = np.ravel(p.closed.a[-1]), np.ravel(p.Y)
    return np.stack([(y - 1.0) / (a - 1.0) - y / a, a * (1.0 - a), a - y], axis=1)


def _chain_factor(p: Instance) -> Array:
    return p.slope(p.last) * 2.0 * _error(p)


def _each_last_product(p: Instance) -> Array:
    factors = zip(_chain_factor(p), p.units(p.last), strict=True)
    return np.array([np.outer(factor, units) for factor, units in factors])


def _weights_then_biases(thetas: Iterable[Array]) -> Array:
    return _joined(theta[:, ::-1] for theta in thetas)


def _forward_by_hand(p: Instance) -> Array:
    z = [p.closed.z[layer][t] for t in range(p.m) for layer in range(len(p.thetas))]
    return _joined([*z, np.sum(_error(p) ** 2, axis=1)])


def _back_by_one_layer(p: Instance) -> Array:
    by_a: Array = _chain_factor(p) @ p.weights(p.last)
    return by_a


def _recursion(p: Instance) -> Array:
    by_a = 2.0 * _error(p)
    found: list[Array] = []
    for layer in reversed(range(len(p.thetas))):
        by_z = p.slope(layer) * by_a
        found.insert(0, _times_units(p, by_z, layer) / p.m)
        by_a = by_z @ p.weights(layer)
    return _joined(found)


def _everything_in_c_by_hand(p: Instance) -> Array:
    return _joined([_forward_by_hand(p), _back_by_one_layer(p), _recursion(p)])


# --- the formulas ----------------------------------------------------------------------------

_LOGISTIC = Setting("logistic")
_REGULARISED = Setting("logistic", regularised=True)
_HALF = Setting("half_squared_error", reduction="sum")
_SQUARED = Setting("squared_error")
_CHAIN = Setting("squared_error", widest=1, outputs=1)


def _deeper(setting: Setting, least: int, greatest: int = 5) -> Setting:
    return replace(setting, depth=(least, greatest))


FORMULAS: tuple[Formula, ...] = (
    Formula(
        "A1",
        "J = -(1/m) Σₜ Σₖ [y log h + (1-y) log(1-h)] + (λ/2m) Σₗ Σᵢ Σⱼ Θⱼᵢ²",
        _REGULARISED,
        graph=lambda p: p.J.data,
        closed=lambda p: p.closed.cost,
    ),
    Formula(
        "A2",
        "cost(t) = -(y log h + (1-y) log(1-h))",
        replace(_LOGISTIC, outputs=1),
        graph=lambda p: _data(p.costs),
        closed=lambda p: backprop.example_costs(p.closed.z[-1], p.Y, loss="logistic"),
        erratum="Printed without its minus sign and without the parentheses, as the notes' own "
        "correction says. With the sign as printed δ⁽⁴⁾ would be y - a.",
        printed=lambda p: -backprop.example_costs(p.closed.z[-1], p.Y, loss="logistic"),
    ),
    Formula(
        "A3",
        "δⱼ⁽ˡ⁾ = ∂cost(t)/∂zⱼ⁽ˡ⁾",
        _LOGISTIC,
        graph=lambda p: _joined(_z_slopes(p, layer) for layer in range(len(p.thetas))),
        closed=lambda p: _joined(p.closed.delta),
    ),
    Formula(
        "A4",
        "δ₂⁽²⁾ = (Θ₁₂⁽²⁾ δ₁⁽³⁾ + Θ₂₂⁽²⁾ δ₂⁽³⁾) g'(z₂⁽²⁾)",
        _deeper(_LOGISTIC, 3),
        graph=lambda p: _z_slopes(p, 0),
        closed=lambda p: _hidden(p, 0),
        erratum="Printed without the factor g'(z₂⁽²⁾): that is ∂cost/∂a₂⁽²⁾, not δ by A3.",
        printed=lambda p: _without_slope(p, 0),
    ),
    Formula(
        "A5",
        "δ₂⁽³⁾ = Θ₁₂⁽³⁾ δ₁⁽⁴⁾ g'(z₂⁽³⁾)",
        _deeper(replace(_LOGISTIC, outputs=1), 2),
        graph=lambda p: _z_slopes(p, p.last - 1),
        closed=lambda p: _hidden(p, p.last - 1),
        erratum="Printed without the factor g'(z₂⁽³⁾): that is ∂cost/∂a₂⁽³⁾, not δ by A3.",
        printed=lambda p: _without_slope(p, p.last - 1),
    ),
    Formula(
        "A6",
        "δ⁽⁴⁾ = a⁽⁴⁾ - y",
        replace(_LOGISTIC, outputs=1),
        graph=lambda p: _z_slopes(p, p.last),
        closed=_error,
    ),
    Formula(
        "A7",
        "z₁⁽³⁾ = Θ₁₀⁽²⁾ + Θ₁₁⁽²⁾ a₁⁽²⁾ + Θ₁₂⁽²⁾ a₂⁽²⁾",
        _deeper(_LOGISTIC, 2),
        graph=lambda p: np.array([_data(trace.z[3]) for trace in p.traces]),
        closed=lambda p: p.units(1) @ p.thetas[1].T,
        erratum="The last term is printed with a₁⁽²⁾ in place of a₂⁽²⁾.",
        printed=_a_1_for_the_last,
    ),
    Formula(
        "B1",
        "∂J/∂Θ₂ = -(y - ŷ) ŷ(1 - ŷ) a₂, J = ½ Σ (y - ŷ)²",
        _HALF,
        graph=lambda p: p.weight_slopes(p.J)[-1],
        closed=lambda p: _times_units(
            p, -(p.Y - p.closed.a[-1]) * p.closed.a[-1] * (1.0 - p.closed.a[-1]), p.last
        ),
    ),
    Formula(
        "B2",
        "g'(z) = e⁻ᶻ/(1 + e⁻ᶻ)² = a(1 - a)",
        _HALF,
        graph=lambda p: np.array([[a.partials[0] for a in t.a[p.last + 2]] * 2 for t in p.traces]),
        closed=lambda p: np.hstack(
            [
                np.exp(-p.closed.z[-1]) / (1.0 + np.exp(-p.closed.z[-1])) ** 2,
                p.closed.a[-1] * (1.0 - p.closed.a[-1]),
            ]
        ),
    ),
    Formula(
        "B3",
        "∂E/∂wᵢ = -Σₙ xᵢ y(1 - y)(t - y)",
        replace(_HALF, depth=(1, 1), outputs=1),
        graph=lambda p: p.weight_slopes(p.J)[0],
        closed=lambda p: (
            -np.sum(
                p.units(0) * p.closed.a[-1] * (1.0 - p.closed.a[-1]) * (p.Y - p.closed.a[-1]),
                axis=0,
                keepdims=True,
            )
        ),
    ),
    Formula(
        "B4",
        "∂J/∂Θ₂ = a₂ᵀ δ₃, δ₃ = -(y - ŷ) g'(z₃)",
        _HALF,
        graph=lambda p: p.weight_slopes(p.J)[-1].T,
        closed=lambda p: p.units(p.last).T @ _delta_of_squares(p),
        erratum="δ₃ is printed twice without its minus sign.",
        printed=lambda p: p.units(p.last).T @ -_delta_of_squares(p),
    ),
    Formula(
        "B5",
        "δ⁽ˡ⁾ = (Θ⁽ˡ⁾)ᵀ δ⁽ˡ⁺¹⁾ .* g'(z⁽ˡ⁾)",
        _deeper(_LOGISTIC, 2),
        graph=lambda p: _joined(_z_slopes(p, layer) for layer in range(p.last)),
        closed=lambda p: _joined(_hidden(p, layer) for layer in range(p.last)),
    ),
    Formula(
        "B6",
        "∂J/∂Θ₁ = Xᵀ δ₂, δ₂ = δ₃ Θ₂ᵀ .* g'(z₂)",
        _deeper(_HALF, 2, 2),
        graph=lambda p: p.weight_slopes(p.J)[0].T,
        closed=lambda p: p.units(0).T @ ((_delta_of_squares(p) @ p.weights(1)) * p.slope(0)),
    ),
    Formula(
        "B7",
        "J of A1 for K classes",
        _REGULARISED,
        graph=lambda p: p.J.data,
        closed=lambda p: p.closed.cost,
    ),
    Formula(
        "B8",
        "δ⁽ᴸ⁾ = a⁽ᴸ⁾ - y",
        _LOGISTIC,
        graph=lambda p: _z_slopes(p, p.last),
        closed=_error,
    ),
    Formula(
        "B9",
        "∂J/∂Θᵢⱼ⁽ˡ⁾ = (1/m) Σₜ aⱼ⁽ˡ⁾ δᵢ⁽ˡ⁺¹⁾",
        _LOGISTIC,
        graph=_all_weight_slopes,
        closed=lambda p: _joined(
            _times_units(p, delta, layer) / p.m for layer, delta in enumerate(p.closed.delta)
        ),
    ),
    Formula(
        "B10",
        "Δ⁽ˡ⁾ := Δ⁽ˡ⁾ + δ⁽ˡ⁺¹⁾ (a⁽ˡ⁾)ᵀ;  D = (Δ + λΘ)/m, and Δ/m for j = 0",
        _REGULARISED,
        graph=_all_weight_slopes,
        closed=lambda p: _joined(p.closed.D),
    ),
    Formula(
        "B11",
        "dJ/da = (y-1)/(a-1) - y/a,  da/dz = a(1-a),  hence δ = a - y",
        replace(_LOGISTIC, outputs=1),
        graph=_graph_of_one_output,
        closed=_one_output,
    ),
    Formula(
        "B12",
        "dJ/dθ⁽ᴸ⁻²⁾ = ((a⁽ᴸ⁾ - y) θ⁽ᴸ⁻¹⁾ a⁽ᴸ⁻¹⁾(1 - a⁽ᴸ⁻¹⁾)) a⁽ᴸ⁻²⁾",
        _deeper(replace(_LOGISTIC, reduction="sum"), 2),
        graph=lambda p: p.weight_slopes(p.J)[-2],
        closed=lambda p: _times_units(
            p,
            _error(p) @ p.weights(p.last) * p.closed.a[-2] * (1.0 - p.closed.a[-2]),
            p.last - 1,
        ),
    ),
    Formula(
        "C1",
        "∂C₀/∂w = a_prev g'(z) 2(a - y), C₀ = (a - y)², z = w a_prev + b",
        _CHAIN,
        graph=lambda p: _each_last_weight_slope(p)[:, :, 1:],
        closed=lambda p: _each_last_product(p)[:, :, 1:],
    ),
    Formula(
        "C2",
        "∂C/∂w = (1/n) Σₖ ∂Cₖ/∂w",
        _CHAIN,
        graph=lambda p: p.weight_slopes(p.J)[-1],
        closed=lambda p: _each_last_product(p).mean(axis=0),
    ),
    Formula(
        "C3",
        "∂C₀/∂b = g'(z) 2(a - y)",
        _CHAIN,
        graph=lambda p: _each_last_weight_slope(p)[:, :, 0],
        closed=_chain_factor,
        erratum="The left side is printed as ∂C₀/∂w, from which this differs by a_prev.",
        printed=_chain_factor,
        printed_left=lambda p: _each_last_weight_slope(p)[:, :, 1],
    ),
    Formula(
        "C4",
        "∇C = (∂C/∂w₁, ∂C/∂b₁, ..., ∂C/∂wL, ∂C/∂bL)",
        _CHAIN,
        graph=lambda p: _weights_then_biases(p.weight_slopes(p.J)),
        closed=lambda p: _weights_then_biases(p.closed.D),
    ),
    Formula(
        "C5",
        "zⱼ = Σₖ wⱼₖ aₖ + bⱼ,  C₀ = Σⱼ (aⱼ - yⱼ)²",
        _SQUARED,
        graph=_forward_data,
        closed=_forward_by_hand,
    ),
    Formula(
        "C6",
        "∂C₀/∂aₖ⁽ᴸ⁻¹⁾ = Σⱼ wⱼₖ g'(zⱼ) ∂C₀/∂aⱼ",
        _deeper(_SQUARED, 2),
        graph=lambda p: _a_slopes(p, p.last),
        closed=_back_by_one_layer,
    ),
    Formula(
        "C7",
        "∂C/∂wⱼₖ⁽ˡ⁾ = aₖ⁽ˡ⁻¹⁾ g'(zⱼ⁽ˡ⁾) ∂C/∂aⱼ⁽ˡ⁾, by C6 back from 2(aⱼ - yⱼ)",
        _SQUARED,
        graph=_all_weight_slopes,
        closed=_recursion,
    ),
    *(
        Formula(
            f"C8 {name}",
            f"C5, C6 and C7 with g = {name}",
            _deeper(replace(_SQUARED, activation=name, output_activation=name), 2),
            graph=_everything_in_c,
            closed=_everything_in_c_by_hand,
        )
        for name in ("tanh", "relu")
    ),
)

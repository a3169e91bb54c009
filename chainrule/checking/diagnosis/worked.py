"""The formulas with one network's numbers put in, read off the graph.

A finding rests on a formula; this module writes that formula down for the entry that is furthest
off. The numbers come from the scalar graph of the network, not from the closed form: its nodes'
values, gradients and partial derivatives, which is where a learner can look them up.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ... import backprop, nn
from ...engine.backend import Value
from ...nn.activations import NAMES
from ..course import FORMULAS
from ..problem import Problem
from ..text import number

_TEXT = {formula.code: formula.text for formula in FORMULAS}
_TEXT["C8"] = "g'(z) of the layer's own activation, in place of the sigmoid's"
_OF_ACTIVATION = {
    "sigmoid": "a = 1/(1 + e⁻ᶻ), g'(z) = a(1 - a)",
    "tanh": "a = tanh(z), g'(z) = 1 - a²",
    "relu": "a = max(0, z), g'(z) = 1 where z > 0, 0 elsewhere",
    "leaky_relu": "a = z where z > 0, else z/100; g'(z) = 1 where z > 0, 0.01 elsewhere",
    "elu": "a = z where z > 0, else eᶻ - 1; g'(z) = 1 where z > 0, eᶻ elsewhere",
    "softplus": "a = log(1 + eᶻ), g'(z) = 1/(1 + e⁻ᶻ)",
    "silu": "a = z s, g'(z) = s(1 + z(1 - s)), s = 1/(1 + e⁻ᶻ)",
    "linear": "a = z, g'(z) = 1",
}
"""What C8 says of one activation; B2 is the sigmoid's."""
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPTS = str.maketrans("0123456789,", "₀₁₂₃₄₅₆₇₈₉,")
_FOR_A_DEPTH = {
    "A7": "zⱼ⁽ˡ⁺¹⁾ = Θⱼ₀⁽ˡ⁾ + Θⱼ₁⁽ˡ⁾ a₁⁽ˡ⁾ + Θⱼ₂⁽ˡ⁾ a₂⁽ˡ⁾ + ...",
    "B4": "∂J/∂Θ{l} = a{l}ᵀ δ{L}, δ{L} = -(y - ŷ) g'(z{L})",
}
"""What the notes write for a network of one depth; l is its last hidden layer, L its output."""
_MOST_TERMS = 6
_MOST_WORK = 100_000
"""The size of a problem beyond which its graph, node by node, would take too long."""

_OUTPUT_RULES = {
    "logistic": "B8",
    "cross_entropy": "B8",
    "half_squared_error": "B4",
    "squared_error": "C7",
}


def rule_for(rule: str, problem: Problem, layer: int | None = None) -> str:
    """Return the code of the formula: "B8" stands for the output delta of the problem's loss.

    "B2" is the slope of the sigmoid; "C8" is that of another activation. *layer* is the index of
    the Theta, by default of a hidden layer.
    """
    if rule == "B2" and _activation(problem, layer) != "sigmoid":
        return "C8"
    return _OUTPUT_RULES[problem.loss] if rule == "B8" else rule


def _activation(problem: Problem, layer: int | None) -> str:
    """Return the activation of a layer; of a softmax, which has no g', that before it."""
    names = (*problem.activations, problem.output)
    name = names[0 if layer is None else layer]
    return names[0] if name == "softmax" else name


def rule_text(rule: str, problem: Problem | None = None, layer: int | None = None) -> str:
    """Return the formula with that code as the notes' table has it, or for one network.

    That is for the depth of *problem*, and for the activation of its *layer*, the index of the
    Theta, by default of a hidden layer.

    >>> rule_text("B8")
    'δ⁽ᴸ⁾ = a⁽ᴸ⁾ - y'
    >>> from chainrule.checking.problem import build
    >>> rule_text("B4", build((3, 2), 8, 1.3))
    "∂J/∂Θ₁ = a₁ᵀ δ₂, δ₂ = -(y - ŷ) g'(z₂)"
    >>> rule_text("C8", build((3, 4, 2), 8, 1.3, activation="tanh"))
    "a = tanh(z), g'(z) = 1 - a²"

    The notes have networks of one depth, and count its layers.
    """
    if problem is None:
        return _TEXT[rule]
    if rule == "C8":
        return _slope_of(_activation(problem, layer)) or _TEXT[rule]
    last = problem.last + 2
    below = {"l": last - 1, "L": last}
    numbers = {key: str(layer).translate(_SUBSCRIPTS) for key, layer in below.items()}
    if rule in _FOR_A_DEPTH:
        return _FOR_A_DEPTH[rule].format_map(numbers)
    return _TEXT[rule].replace("⁽ᴸ⁾", f"⁽{str(last).translate(_SUPERSCRIPTS)}⁾")


def _slope_of(activation: str) -> str:
    """Return g and g' of an activation as formulas, a number that it states put in."""
    name, _, stated = activation.rstrip(")").partition("(")
    if name == "leaky_relu" and stated:
        return f"a = z where z > 0, else {stated} z; g'(z) = 1 where z > 0, {stated} elsewhere"
    if name == "elu" and stated:
        return (
            f"a = z where z > 0, else {stated} (eᶻ - 1); g'(z) = 1 where z > 0, {stated} eᶻ "
            "elsewhere"
        )
    return _OF_ACTIVATION.get(name, "")


def symbol(letter: str, layer: int, *indices: int) -> str:
    """Return a symbol with its layer above and its indices below.

    >>> symbol("Θ", 2, 1, 0)
    'Θ₁₀⁽²⁾'
    """
    separator = "," if any(index > 9 for index in indices) else ""
    below = separator.join(map(str, indices)).translate(_SUBSCRIPTS)
    return f"{letter}{below}⁽{str(layer).translate(_SUPERSCRIPTS)}⁾"


def _factor(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _sum(terms: list[str], total: int) -> str:
    shown = " + ".join(terms[:_MOST_TERMS])
    return f"{shown} + ... ({total} terms)" if total > _MOST_TERMS else shown


class Worked:
    """The graph of a problem, and the formulas at one entry of one gradient.

    *layer* is the index of the Theta, *unit* the row of the entry and *column* its column, 0 being
    the bias.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @cached_property
    def _model(self) -> nn.MLP:
        p = self.problem
        model = nn.MLP(
            p.sizes[0],
            p.sizes[1:],
            activation=list(p.activations),
            output_activation="linear" if p.output == "softmax" else p.output,
        )
        model.thetas = p.thetas
        return model

    @cached_property
    def _traces(self) -> list[nn.Trace]:
        """A forward and backward pass of each example."""
        traces = []
        for x, y in zip(self.problem.X, self.problem.Y.tolist(), strict=True):
            trace = self._model.trace(x)
            self._cost(trace, y).backward()
            traces.append(trace)
        return traces

    def _cost(self, trace: nn.Trace, y: list[float]) -> Value:
        L = self.problem.last + 2
        from_logits = self.problem.loss in ("logistic", "cross_entropy")
        cost: Value = getattr(nn.losses, self.problem.loss)(
            trace.z[L] if from_logits else trace.a[L], y
        )
        return cost

    @property
    def _is_drawn(self) -> bool:
        """Whether the graph has these activations; if not, the numbers are the closed form's."""
        used = {*self.problem.activations, self.problem.output}
        return used <= set(NAMES)

    def _unit(self, example: int, layer: int, column: int) -> float:
        if column == 0:
            return 1.0
        if not self._is_drawn:
            return float(self.problem.truth.a[layer][example, column - 1])
        return self._traces[example].a[layer + 1][column - 1].data

    def _delta(self, example: int, layer: int, unit: int) -> float:
        if not self._is_drawn:
            return float(self.problem.truth.delta[layer][example, unit])
        return self._traces[example].z[layer + 2][unit].grad

    def _products(self, layer: int, unit: int, column: int) -> list[float]:
        return [
            self._delta(t, layer, unit) * self._unit(t, layer, column)
            for t in range(self.problem.m)
        ]

    def _largest(self, layer: int, unit: int, column: int) -> int:
        return int(np.argmax(np.abs(self._products(layer, unit, column))))

    # The formulas.

    def gradient(self, layer: int, unit: int, column: int) -> str:
        """B9 and B10: the entry as a mean over the examples, and the penalty."""
        p, l = self.problem, layer + 1  # noqa: E741
        products = self._products(layer, unit, column)
        left = symbol("D", l, unit + 1, column)
        delta, a = symbol("δ", l + 1, unit + 1), symbol("a", l, column)
        total, terms = sum(products), _sum([_factor(x) for x in products], len(products))
        weight = p.thetas[layer][unit, column]
        if column and p.lam:
            theta = symbol("Θ", l, unit + 1, column)
            symbols = f"(Σₜ {delta} {a} + λ {theta})"
            numbers = f"({terms} + {number(p.lam)} · {_factor(weight)})"
            total += p.lam * weight
        else:
            symbols, numbers = f"Σₜ {delta} {a}", f"({terms})"
        if p.divisor > 1:
            symbols, numbers, total = f"{symbols}/m", f"{numbers}/{p.divisor}", total / p.divisor
        return f"{left} = {symbols} = {numbers} = {number(total)}"

    def output(self, layer: int, unit: int, example: int) -> str:
        """A6, B4, B8, C7: the delta of the output layer for one example."""
        p, l, k = self.problem, layer + 2, unit + 1  # noqa: E741
        y, delta = p.Y[example, unit], self._delta(example, layer, unit)
        a_k, y_k = symbol("a", l, k), f"y{str(k).translate(_SUBSCRIPTS)}"
        left = f"example {example + 1}: {symbol('δ', l, k)}"
        if p.loss in ("logistic", "cross_entropy"):
            # The network may end at its logits; then a is inside the loss.
            return f"{left} = {a_k} - {y_k} = {number(y + delta)} - {number(y)} = {number(delta)}"
        a, slope = p.truth.a[-1][example, unit], self._slope(example, layer, unit)
        scale = "2 · " if p.loss == "squared_error" else ""
        return (
            f"{left} = {scale}({a_k} - {y_k}) g'({symbol('z', l, k)})"
            f" = {scale}({number(a)} - {number(y)}) · {_factor(slope)} = {number(delta)}"
        )

    def _slope(self, example: int, layer: int, unit: int) -> float:
        if not self._is_drawn:
            p = self.problem
            name = (*p.activations, p.output)[layer]
            return float(backprop.derivative(name, p.truth.z[layer][example, unit]))
        trace = self._traces[example]
        z, a = trace.z[layer + 2][unit], trace.a[layer + 2][unit]
        return 1.0 if a is z else a.partials[0]

    def hidden(self, layer: int, unit: int, example: int) -> str:
        """B5: the delta of a hidden unit for one example."""
        l, k = layer + 2, unit + 1  # noqa: E741
        weights = self.problem.thetas[layer + 1][:, 1 + unit]
        deltas = [self._delta(example, layer + 1, j) for j in range(len(weights))]
        terms = [f"{_factor(w)} · {_factor(d)}" for w, d in zip(weights, deltas, strict=True)]
        theta, delta = symbol("Θ", l, k).replace("Θ", "Θⱼ"), symbol("δ", l + 1).replace("δ", "δⱼ")
        return (
            f"example {example + 1}: {symbol('δ', l, k)} = g'({symbol('z', l, k)}) Σⱼ {theta} "
            f"{delta} = {_factor(self._slope(example, layer, unit))} · "
            f"({_sum(terms, len(terms))}) = {number(self._delta(example, layer, unit))}"
        )

    def chain(self, layer: int, unit: int, column: int) -> list[str]:
        """Return the factors of an entry: its sum, then delta by delta up to the output.

        One example is followed, the one with the largest share, and from each layer to the next
        the unit with the largest term.
        """
        if self.problem.size > _MOST_WORK:
            return []
        lines = [self.gradient(layer, unit, column)]
        t = self._largest(layer, unit, column)
        share = symbol("δ", layer + 2, unit + 1), symbol("a", layer + 1, column)
        lines.append(
            f"example {t + 1}: {share[0]} {share[1]} = {_factor(self._delta(t, layer, unit))}"
            f" · {_factor(self._unit(t, layer, column))}"
            f" = {number(self._products(layer, unit, column)[t])}"
        )
        while layer < self.problem.last:
            lines.append(self.hidden(layer, unit, t))
            weights = self.problem.thetas[layer + 1][:, 1 + unit]
            terms = [abs(w * self._delta(t, layer + 1, k)) for k, w in enumerate(weights)]
            layer, unit = layer + 1, int(np.argmax(terms))
        lines.append(self.output(layer, unit, t))
        return lines

    def here(self, rule: str, layer: int, unit: int, column: int) -> str:
        """Return the formula *rule* at this entry, numbers put in; "" if the graph is too large."""
        if self.problem.size > _MOST_WORK:
            return ""
        hidden = layer < self.problem.last
        if rule in ("B5", "C6", "B2", "C8", "A4", "A5") and hidden:
            return self.hidden(layer, unit, self._largest(layer, unit, column))
        if rule in ("A2", "A6", "B4", "B7", "B8", "B11", "C1", "C7") and not hidden:
            return self.output(layer, unit, self._largest(layer, unit, column))
        return self.gradient(layer, unit, column)

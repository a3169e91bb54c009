"""Wrong slopes: what people write for g'(z), in the hidden layers, in the output layer, in both.

Each is one line here, and three rows of the table: ``hidden.slope-...``, ``output.slope-...`` and
``slope....``, where the habit shows in every layer. With a logarithm for loss g' has cancelled at
the output, and the first is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from .... import backprop
from ...problem import Array, Problem
from ..algorithm import Change, Changes, Run
from .row import Mistake, Solves

Slope: TypeAlias = Callable[[Run, Callable[[int], Array], int], Array]
"""slope(run, usual, layer) is what stands in for g'(z) of a layer."""

_CURVED = ("sigmoid", "tanh", "elu", "softplus", "silu")
"""The activations whose slope is another at a than at z, and at what comes back."""
_FROM_A: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda a: a * (1.0 - a),
    "tanh": lambda a: 1.0 - a * a,
}
"""g' in terms of a, as people write it."""


def _in_hidden(change: Slope) -> Change:
    return lambda run, usual, layer: (
        usual(layer) if layer == run.last else change(run, usual, layer)
    )


def _in_output(change: Slope) -> Change:
    return lambda run, usual, layer: (
        change(run, usual, layer) if layer == run.last else usual(layer)
    )


@dataclass(frozen=True, eq=False)
class _Wrong:
    """A wrong slope: the end of its code, its rule, what is said of it, how it is made."""

    code: str
    rule: str
    says: str
    fix: str
    ways: tuple[Slope, ...]
    hidden: str = ""
    """The sentence for the hidden layers, if it is another."""
    curved: bool = False
    """Whether it is right for the ReLU, whose slope is the same at a and at z."""
    output: str = ""
    """What it is at the output, if that is a row of its own: its code."""

    def rows(self) -> dict[str, Mistake]:
        """Return the rows by the category."""
        hidden, output = _hidden_names, _output_name
        found = {
            "hidden": Mistake(
                f"hidden.slope-{self.code}",
                self.rule,
                self.hidden or f"In the hidden layers {self.says}.",
                self.fix,
                tuple({"slope": _in_hidden(way)} for way in self.ways),
                lambda problem: problem.last > 0 and self._shows(hidden(problem)),
            ),
            "slope": Mistake(
                f"slope.{self.code}",
                self.rule,
                f"In every layer, the output layer too, {self.says}.",
                self.fix,
                tuple({"slope": way} for way in self.ways),
                lambda problem: (
                    problem.squares
                    and self._shows(hidden(problem))
                    and self._shows(output(problem))
                ),
                alone=True,
            ),
        }
        if not self.output:
            found["output"] = Mistake(
                f"output.slope-{self.code}",
                self.rule,
                f"In the output layer {self.says}.",
                self.fix,
                tuple({"slope": _in_output(way)} for way in self.ways),
                lambda problem: problem.squares and self._shows(output(problem)),
            )
        return found

    def _shows(self, names: Collection[str]) -> bool:
        return any(_is_curved(name) or not self.curved for name in names)


def _is_curved(name: str) -> bool:
    return _family(name) in _CURVED


def _family(name: str) -> str:
    """Return the name of an activation without the number that it states."""
    return name.partition("(")[0]


def _hidden_names(problem: Problem) -> tuple[str, ...]:
    return problem.activations


def _output_name(problem: Problem) -> tuple[str, ...]:
    return (problem.output,)


# --- the slopes -----------------------------------------------------------------------------------


def _of_a(argument: Callable[[Run, int], Array]) -> Slope:
    """The formula of g' in terms of a, with something else put in for a."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        name = run.name_of(layer)
        value = argument(run, layer)
        return _FROM_A[name](value) if name in _FROM_A else backprop.derivative(name, value)

    return change


def _at_a(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    return backprop.derivative(run.name_of(layer), run.a(layer + 1))


def _derivative_of(name: str) -> Slope:
    return lambda run, usual, layer: backprop.derivative(name, run.z(layer))


def _formula_of(name: str) -> Slope:
    """Another activation's formula of g' in terms of a, with this layer's a in it."""
    return lambda run, usual, layer: (
        usual(layer) if run.name_of(layer) == name else _FROM_A[name](run.a(layer + 1))
    )


def _error(run: Run, layer: int) -> Array:
    """What comes back to a layer: the error at the output."""
    return run.error() if layer == run.last else run.blame(layer)


def _of_error(sign: float, formula: bool, early: bool = False) -> Slope:
    """The slope at what comes back; the *sign* is -1 if it is y - a that comes back.

    Where the output delta is divided by m *early*, what comes back is as well.
    """

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        name = run.name_of(layer)
        if not _is_curved(name):
            return usual(layer)
        error = sign * _error(run, layer) / (run.count() if early else 1)
        from_a = _FROM_A.get(name) if formula else None
        return backprop.derivative(name, error) if from_a is None else from_a(error)

    return change


WRONG: tuple[_Wrong, ...] = (
    _Wrong(
        "missing",
        "B5",
        "the factor g'(z) is missing in delta",
        "Multiply Theta^T delta by g'(z), elementwise.",
        (_derivative_of("linear"),),
        hidden="The factor g'(z) is missing in the hidden deltas.",
        output="output.slope-missing",
    ),
    _Wrong(
        "at-a",
        "B2",
        "g' is evaluated at a instead of z",
        "Use g'(z), or its formula in terms of a: a(1 - a) for the sigmoid. Not g'(a).",
        (_at_a,),
        hidden="g' is evaluated at a instead of z.",
        curved=True,
    ),
    _Wrong(
        "formula-of-z",
        "B2",
        "the formula for g' in terms of a is given z instead",
        "In a(1 - a), a is g(z), not z; likewise in 1 - a^2 for tanh.",
        (_of_a(lambda run, layer: run.z(layer)),),
        hidden="The formula for g' in terms of a is given z instead.",
        curved=True,
    ),
    _Wrong(
        "of-wrong-activation",
        "C8",
        "delta has the derivative of a different activation",
        "Use the derivative of the activation that the forward pass uses.",
        (
            *(_derivative_of(name) for name in ("sigmoid", "tanh", "relu")),
            *(_formula_of(name) for name in ("sigmoid", "tanh")),
        ),
        hidden="The hidden deltas use the derivative of a different activation.",
    ),
    _Wrong(
        "squared",
        "B5",
        "delta is multiplied by g'(z) twice",
        "Multiply Theta^T delta by g'(z) once.",
        (lambda run, usual, layer: usual(layer) ** 2,),
        hidden="The hidden deltas are multiplied by g'(z) twice.",
        curved=True,  # 0 and 1 are their own squares
        output="output.slope-doubled",
    ),
    _Wrong(
        "is-a",
        "B2",
        "delta is multiplied by a instead of g'(z)",
        "The derivative of the sigmoid is a(1 - a): both factors.",
        (lambda run, usual, layer: run.a(layer + 1),),
        hidden="The hidden deltas are multiplied by a instead of g'(z).",
    ),
    _Wrong(
        "is-1-minus-a",
        "B2",
        "delta is multiplied by 1 - a instead of g'(z)",
        "The derivative of the sigmoid is a(1 - a): both factors; of tanh 1 - a^2: the square.",
        (lambda run, usual, layer: 1.0 - run.a(layer + 1),),
        hidden="The hidden deltas are multiplied by 1 - a instead of g'(z).",
    ),
    _Wrong(
        "is-z",
        "B2",
        "delta is multiplied by z instead of g'(z)",
        "z is what g is applied to; the factor is the derivative g'(z).",
        (lambda run, usual, layer: run.z(layer),),
        hidden="The hidden deltas are multiplied by z instead of g'(z).",
    ),
    _Wrong(
        "sign",
        "B2",
        "g'(z) has the wrong sign, as in a(a - 1)",
        "g'(z) is positive where g rises: a(1 - a) for the sigmoid, 1 - a^2 for tanh.",
        (lambda run, usual, layer: -usual(layer),),
        hidden="g'(z) has the wrong sign in the hidden layers, as in a(a - 1).",
        output="sign.error",
    ),
    _Wrong(
        "of-error",
        "B2",
        "g' is evaluated at the error that comes back, not at z",
        "The slope belongs to the forward pass: g'(z) of this layer, from its z or its a.",
        tuple(
            _of_error(sign, formula, early)
            for early in (False, True)
            for formula in (True, False)
            for sign in (1.0, -1.0)
        ),
        hidden="g' of the hidden layers is evaluated at the error that comes back, not at z.",
        curved=True,
    ),
)

_ROWS = [wrong.rows() for wrong in WRONG]
HIDDEN: tuple[Mistake, ...] = tuple(rows["hidden"] for rows in _ROWS)
OUTPUT: tuple[Mistake, ...] = tuple(rows["output"] for rows in _ROWS if "output" in rows)
EVERYWHERE: tuple[Mistake, ...] = tuple(rows["slope"] for rows in _ROWS)


# --- slopes of hidden layers alone ----------------------------------------------------------------


def _of_relu(mask: Callable[[Run, int], Array]) -> Changes:
    """Another mask of the ReLU; layers with other activations are as they should be."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        return mask(run, layer) if run.name_of(layer) == "relu" else usual(layer)

    return {"slope": _in_hidden(change)}


def _of_leak(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The slopes of leaky units, another one below 0."""
    if _family(run.name_of(layer)) != "leaky_relu":
        return usual(layer)
    return np.where(run.z(layer) > 0, 1.0, run.rate)


def _of_elu(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The slopes of ELU units, a in place of a + alpha where z is negative."""
    if _family(run.name_of(layer)) != "elu":
        return usual(layer)
    return np.where(run.z(layer) > 0, 1.0, run.a(layer + 1))


def _of_neighbour(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
    """The slopes at [1, z], the last of them dropped where the first should be."""
    shifted = backprop.with_bias(run.z(layer))[:, :-1]
    return backprop.derivative(run.activation(layer), shifted)


def _of_other_layer(step: int) -> Changes:
    """The slope at z of the layer before or after, where the shapes allow it."""

    def change(run: Run, usual: Callable[[int], Array], layer: int) -> Array:
        other = layer + step
        if other < 0 or run.z(other).shape[1] not in (1, run.z(layer).shape[1]):
            return usual(layer)
        slopes: Array = backprop.derivative(run.activation(layer), run.z(other))
        return np.broadcast_to(slopes, run.z(layer).shape)  # of one unit it fits every layer

    return {"slope": _in_hidden(change)}


def _uses_relu(problem: Problem) -> bool:
    return "relu" in problem.activations


def _has(family: str) -> Callable[[Problem], bool]:
    return lambda problem: any(_family(name) == family for name in problem.activations)


def _repeats_a_width(problem: Problem) -> bool:
    return any(two in (1, one) for one, two in pairwise(problem.sizes[1:]))


HIDDEN_ALONE: tuple[Mistake, ...] = (
    Mistake(
        "hidden.relu-mask-always-true",
        "C8",
        "The ReLU's mask is true everywhere, as a >= 0 is: a is never negative.",
        "Compare z with 0, or let the gradient through where a > 0, not where a >= 0.",
        (_of_relu(lambda run, layer: np.ones_like(run.z(layer))),),
        _uses_relu,
    ),
    Mistake(
        "hidden.relu-mask-inverted",
        "C8",
        "The ReLU's mask is inverted: it is 1 where z is negative.",
        "Let the gradient through where z > 0, and set it to 0 where z <= 0.",
        (_of_relu(lambda run, layer: (run.z(layer) <= 0).astype(float)),),
        _uses_relu,
    ),
    Mistake(
        "hidden.relu-mask-of-delta",
        "C8",
        "The ReLU's mask is 1 where the incoming gradient is positive, not where z is.",
        "The derivative of the ReLU depends on z: let the gradient through where z > 0.",
        (
            _of_relu(lambda run, layer: (run.blame(layer) > 0).astype(float)),
            # The same with y - a for the error, and the sign put right at the end.
            _of_relu(lambda run, layer: (run.blame(layer) < 0).astype(float)),
        ),
        _uses_relu,
    ),
    Mistake(
        "hidden.slope-leaks",
        "C8",
        "The hidden deltas use the slope 0.01 of a leaky ReLU where z is negative.",
        "Use the derivative of the activation that the forward pass uses: 0 where z < 0.",
        (_of_relu(lambda run, layer: np.where(run.z(layer) > 0, 1.0, 0.01)),),
        _uses_relu,
    ),
    Mistake(
        "hidden.slope-of-other-leak",
        "C8",
        "Below 0 the hidden deltas have another slope than the leaky ReLU of the forward pass.",
        "Use one slope forwards and backwards: 1 where z > 0, the forward pass's elsewhere.",
        ({"slope": _in_hidden(_of_leak)},),
        _has("leaky_relu"),
        solves=Solves.BELOW_THE_OUTPUT,
        with_number="Below 0 the hidden deltas have the slope {number}; the forward pass has "
        "another.",
    ),
    Mistake(
        "hidden.slope-of-elu-lacks-alpha",
        "C8",
        "Where z is negative the hidden deltas have a, the ELU itself, in place of its slope.",
        "The slope of alpha (e^z - 1) is alpha e^z, which is a + alpha.",
        ({"slope": _in_hidden(_of_elu)},),
        _has("elu"),
    ),
    Mistake(
        "hidden.slope-of-neighbour",
        "B5",
        "Each hidden delta is multiplied by the slope of the unit before it.",
        "If the bias unit is put in front of z, drop entry 0 of the slopes again, not the last.",
        ({"slope": _in_hidden(_of_neighbour)},),
    ),
    Mistake(
        "hidden.slope-of-other-layer",
        "B5",
        "The hidden deltas are multiplied by the slope of the layer before or after.",
        "delta^(l) has g'(z^(l)): the slope, or the ReLU's mask, of its own layer.",
        (_of_other_layer(1), _of_other_layer(-1)),
        _repeats_a_width,
    ),
)

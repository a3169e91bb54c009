"""What is asked of a program: what is stated of its cost and its manner, and what may be found out.

What is not stated is found out: it is a convention, not a mistake, if the program is right by it.
What is stated is enforced. Whoever states lambda states the penalty of the notes, unless another is
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from ... import backprop
from ...backprop.arguments import chosen
from ..intake.manner import CONTAINERS, TARGETS, Manner, Stated
from ..problem import PROBE_EXAMPLES, Array, Problem, build, probe


class Usual(str):
    """A default that is tried first, and is found out where it does not fit; not a statement."""

    __slots__ = ()


SIGMOID, MEAN = Usual("sigmoid"), Usual("mean")


@dataclass(frozen=True)
class Penalty:
    """A penalty by name: its gradient is lambda times a factor times Theta."""

    name: str
    says: str
    over_m: bool
    factor: float = 1.0
    on_biases: bool = False

    @property
    def term(self) -> str:
        """What it adds to the gradient of the weights, as a formula.

        >>> PENALTIES["no-half"].term
        '(2 lambda/m) Theta'
        """
        strength = f"{'2 ' if self.factor == 2.0 else ''}lambda{'/m' if self.over_m else ''}"
        return f"({strength}) Theta" if self.over_m else f"{strength} Theta"

    def strength(self, lam: float, m: int) -> float:
        """Return what Theta is multiplied by."""
        return lam * self.factor / (m if self.over_m else 1)


PENALTIES = MappingProxyType(
    {
        one.name: one
        for one in (
            Penalty("usual", "the penalty is lambda/2m times the squares of the weights", True),
            Penalty("none", "there is no penalty", True, 0.0),
            Penalty(
                "not-divided",
                "the penalty is lambda/2 times the squares of the weights, not divided by m",
                False,
            ),
            Penalty(
                "no-half",
                "the penalty is lambda/m times the squares of the weights, without the 1/2",
                True,
                2.0,
            ),
            Penalty(
                "no-half-not-divided",
                "the penalty is lambda times the squares of the weights, without the 1/2, not "
                "divided by m",
                False,
                2.0,
            ),
            Penalty(
                "on-biases",
                "the penalty is lambda/2m times the squares of weights and biases",
                True,
                1.0,
                True,
            ),
            Penalty(
                "on-biases-not-divided",
                "the penalty is lambda/2 times the squares of weights and biases, not divided by m",
                False,
                1.0,
                True,
            ),
        )
    }
)
"""The penalties that courses use, by name; the first one is that of the notes, A1."""


@dataclass(frozen=True)
class Course:
    """The conventions of a course, so that one word states them all."""

    name: str
    says: str
    cost: Mapping[str, Any] = field(default_factory=dict)
    manner: Mapping[str, Any] = field(default_factory=dict)


COURSES = MappingProxyType(
    {
        one.name: one
        for one in (
            Course(
                "notes",
                "function(thetas, X, Y, lam), the bias in column 0, examples in rows",
                {"loss": "logistic", "activation": "sigmoid", "reduction": "mean",
                 "penalty": "usual"},
                {"examples": "rows", "targets": "one-hot", "biases": "with", "weights": "thetas"},
            ),
            Course(
                "ml-class",
                "nnCostFunction(nn_params, sizes, X, y, lambda): one vector, labels from 1",
                {"loss": "logistic", "activation": "sigmoid", "reduction": "mean",
                 "penalty": "usual"},
                {"examples": "rows", "targets": "labels-1", "biases": "with", "weights": "vector"},
            ),
            Course(
                "dl-specialization",
                "a dictionary of W1, b1, ...; examples in columns; no penalty unless it is stated",
                {"loss": "logistic", "reduction": "mean"},
                {"examples": "columns", "targets": "one-hot", "biases": "with", "weights": "dict"},
            ),
            Course(
                "cs231n",
                "an object with W1, b1, ...; integer labels; reg times the squares, not over m",
                {"loss": "cross_entropy", "activation": "relu", "reduction": "mean"},
                {"examples": "rows", "targets": "labels-0", "biases": "with"},
            ),
            Course(
                "nielsen",
                "a network with lists of weights and biases; one example at a time, as columns",
                {"activation": "sigmoid", "penalty": "none"},
                {"examples": "one", "targets": "one-hot", "biases": "with"},
            ),
            Course(
                "from-scratch",
                "a training step on arrays, squared errors, sums in place of means, no penalty",
                {"loss": "half_squared_error", "reduction": "sum", "penalty": "none"},
                {"examples": "rows", "targets": "one-hot"},
            ),
        )
    }
)  # fmt: skip
"""Conventions by the name of who uses them, each a row of plain data."""


@dataclass(frozen=True)
class Asked:
    """What is stated of a program. None, "" and :class:`Usual` defaults may be found out.

    >>> Asked.read(course="cs231n").loss
    'cross_entropy'
    """

    loss: str | None = None
    activation: str | Sequence[str] | None = SIGMOID
    output_activation: str | None = None
    reduction: str | None = MEAN
    lam: float | None = None
    penalty: str | None = None
    manner: Stated = field(default_factory=Stated)
    strict: bool = False
    given: Problem | None = None
    """The network that is stated, if one is."""
    network: Problem | None = None
    """A network to try on in place of the usual ones; nothing is stated by it."""

    @classmethod
    def read(
        cls,
        *,
        course: str | None = None,
        sizes: Iterable[int] | None = None,
        examples: str | None = None,
        targets: str | None = None,
        biases: str | None = None,
        weights: str | None = None,
        rate: float | None = None,
        arguments: Mapping[str, str] | None = None,
        **cost: Any,
    ) -> Asked:
        """Return what is asked, or raise ``ValueError`` that says what can be."""
        told: dict[str, Any] = {}
        stated = {
            "examples": examples, "targets": targets, "biases": biases, "weights": weights,
        }  # fmt: skip
        if course is not None:
            of_course = COURSES[chosen("course", course, COURSES)]
            told |= of_course.cost
            stated = {key: value or of_course.manner.get(key) for key, value in stated.items()}
        told |= {key: value for key, value in cost.items() if value is not None or key not in told}
        for key in ("activation", "reduction"):
            if isinstance(told.get(key), Usual) and course is not None:
                told[key] = COURSES[course].cost.get(key, told[key])
        for key, allowed in (
            ("examples", ("rows", "columns", "one")),
            ("targets", TARGETS),
            ("biases", ("with", "none")),
            ("weights", CONTAINERS),
        ):
            chosen_one = stated[key]
            if chosen_one is not None:
                chosen(key, chosen_one, allowed)
        if told.get("penalty") is not None:
            chosen("penalty", told["penalty"], PENALTIES)
        counts = tuple(sizes or ())
        if sizes is not None and (len(counts) < 2 or not all(0 < n <= 1000 for n in counts)):
            raise ValueError(
                f"sizes are {counts}: expected the units of each layer, the input first, as 5,6,3"
            )
        spoken = Stated(
            sizes=counts,
            rate=rate,
            arguments=dict(arguments or {}),
            **{key: value or "" for key, value in stated.items()},
        )
        return cls(manner=spoken, **told)

    # --- the networks ---

    def offered(self, sizes: Sequence[Sequence[int]] = ()) -> list[Problem]:
        """Return the networks on which a program may be tried, the likeliest first."""
        if self.given is not None or self.network is not None:
            return [self.given or self.network]  # type: ignore[list-item]
        chosen: list[Sequence[int]] = [self.manner.sizes] if self.manner.sizes else list(sizes)
        if not chosen:
            chosen = [(5, 6, 4, 3), (5, 6, 3), (5, 6, 1), (5, 3), (5, 1), (5, 6, 4, 1)]
        return [self.of_sizes(tuple(one)) for one in chosen]

    def of_sizes(self, sizes: tuple[int, ...]) -> Problem:
        """Return the network of these sizes on which a program is tried."""
        lam = 1.3 if self.lam is None else self.lam
        # Targets that suit every loss, if the loss is to be found out.
        loss = self.loss or ("cross_entropy" if sizes[-1] > 1 else "logistic")
        if sizes == (5, 6, 4, 3):
            return replace(probe(loss, lam=lam), loss=loss)
        found = build(sizes, PROBE_EXAMPLES, lam, loss=loss)
        return replace(found, name=f"a {'-'.join(map(str, sizes))} network")

    def fitted(self, network: Problem, how: Manner) -> Problem:
        """Return *network* as a program that is called in this manner can have it."""
        found = network.with_classes() if how.labels else network
        if how.without_biases:
            found = found.without_biases()
        if self.lam is None and self.given is None and not how.takes_lam:
            found = replace(found, lam=0.0)
        if self.penalty is not None:
            strength = PENALTIES[self.penalty].strength(found.lam, found.m)
            found = replace(found, lam=strength * found.m)
        return found

    # --- what may be found out ---

    @property
    def finds_sizes(self) -> bool:
        """Whether the program may be tried on networks of other sizes."""
        return not self.manner.sizes and self.given is None and self.network is None

    @property
    def finds_penalty(self) -> bool:
        """Whether the penalty may be another than that of the notes."""
        return self.lam is None and self.penalty is None and self.given is None

    def costs(self, like: Problem, words: Iterable[str] = (), *, wide: bool) -> Iterator[Problem]:
        """Yield *like* with each cost that it may have; if *wide*, with every activation as well.

        *words* are names in the program's code: those activations come first.
        """
        losses = list(backprop.LOSSES) if self.loss is None else [self.loss]
        if like.K == 1 and self.loss is None:
            losses.remove("cross_entropy")  # the softmax of one is 1, whatever the weights are
        seen: set[Problem] = set()
        errors: list[Exception] = []
        for activation, reduction, loss in product(
            self._activations(words, wide), self._reductions(wide), losses
        ):
            for output in self._outputs(loss, words, wide):
                try:
                    problem = Problem.read(
                        like.thetas, like.X, like.Y, like.lam, loss=loss, activation=activation,
                        output_activation=output, reduction=reduction, name=like.name,
                    )  # fmt: skip
                except (TypeError, ValueError) as error:
                    errors.append(error)
                    continue
                problem = replace(problem, biases=like.biases)
                if problem not in seen:
                    seen.add(problem)
                    yield problem
        if not seen:
            raise errors[0]

    def _activations(self, words: Iterable[str], wide: bool) -> list[Any]:
        given = self.activation
        if given is None or (isinstance(given, Usual) and wide):
            said = set(words)
            order = [name for name, word in _SIGNS if word in said]
            slopes = sorted(word for word in said if word[:1].isdecimal())
            stated = [f"{name}({slope})" for name in ("leaky_relu", "elu") for slope in slopes]
            return list(dict.fromkeys([*order, *backprop.ACTIVATIONS, *stated]))
        return [given]

    def _reductions(self, wide: bool) -> list[str]:
        if self.reduction is None or (isinstance(self.reduction, Usual) and wide):
            return ["mean", "sum"]
        return [str(self.reduction)]

    def _outputs(self, loss: str, words: Iterable[str], wide: bool) -> list[str | None]:
        if self.output_activation is not None or not wide or "squared" not in loss:
            return [self.output_activation]
        return [None, "linear", "tanh", "relu"]


_SIGNS = (
    ("relu", "relu"), ("leaky_relu", "leaky_relu"), ("relu", "maximum"), ("tanh", "tanh"),
    ("elu", "elu"), ("elu", "expm1"), ("softplus", "softplus"), ("softplus", "logaddexp"),
    ("softplus", "log1p"), ("silu", "silu"), ("silu", "swish"),
    ("sigmoid", "sigmoid"), ("sigmoid", "exp"),
)  # fmt: skip
"""Which activation a name in the code speaks for."""


def with_penalty(problem: Problem, gradients: Sequence[Array], penalty: Penalty) -> list[Array]:
    """Return *gradients* as they would be with the usual penalty in place of this one."""
    strength = penalty.strength(problem.lam, problem.m)
    usual = problem.lam / problem.divisor
    found = []
    for D, theta in zip(gradients, problem.thetas, strict=True):
        change = (usual - strength) * theta
        change[:, 0] = -strength * theta[:, 0] if penalty.on_biases else 0.0
        found.append(np.asarray(D) + change)
    return found

"""``diagnose``: not only that a gradient is wrong, but which mistake made it so.

In this order, see ``search``:

- the call, if there is a function to call: it may raise, write to its arguments, or answer
  differently each time;
- the shape: how the arrays are laid out, see ``readings``;
- the replay: every mistake of the table, alone, in some layers, two at a time, see ``catalogue``;
- least squares in each layer, theirs = alpha N + beta Theta~ + gamma Theta_b + kappa 1_b (N is the
  data gradient, Theta~ the weights without the biases, Theta_b the biases alone, 1_b ones in their
  column), for several wrong factors at once, and as evidence for a single one: right is
  (1, lambda/m, 0, 0);
- probes with one example, or without a penalty, when nothing else explains the numbers: they show
  whether it is the penalty, or the mean; and with one example a gradient is delta a^T, so that,
  since a_0 = 1, column 0 is their delta, and shows the first wrong delta.

The replay comes before least squares, because a named mistake says more than four numbers; where
both apply they agree, as the numbers of the one are evidence for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ... import backprop
from ..intake.methods import is_program
from ..problem import Problem, probe
from .asked import MEAN, SIGMOID, Asked
from .called import diagnose_calls as diagnose_calls
from .programs import diagnose_program
from .reporting import Report
from .running.calls import Outcome
from .running.results import tidy
from .search import Search
from .subjects import Here


def diagnose(
    theirs: Any,
    thetas: Iterable[Any] | None = None,
    X: Any = None,
    Y: Any = None,
    lam: float | None = None,
    *,
    loss: str | None = None,
    activation: str | Iterable[str] | None = SIGMOID,
    output_activation: str | None = None,
    reduction: str | None = MEAN,
    penalty: str | None = None,
    course: str | None = None,
    sizes: Iterable[int] | None = None,
    examples: str | None = None,
    targets: str | None = None,
    biases: str | None = None,
    weights: str | None = None,
    rate: float | None = None,
    arguments: Mapping[str, str] | None = None,
    strict: bool = False,
    name: str = "gradient",
) -> Report:
    """Return a report on what is wrong with a gradient, and which mistake made it so.

    *theirs* is a program: a function, a class or an object with a method that returns gradients or
    changes weights, the two functions (forward, backward), a list of layers. How it is called and
    how it answers is found out, see :mod:`chainrule.checking.intake`, and the report says what was
    found under ``conventions``. Or it is what a program returned: a list of arrays with the shapes
    of the Thetas, (s_next, 1 + s) with the bias in column 0; (W, b) pairs; either of them
    transposed; or one vector, row- or column-major. The rest is the network as in
    ``backprop.gradients``; if it is left out, a network is used on which every mistake shows.

    >>> from chainrule import backprop
    >>> from chainrule.checking import diagnose
    >>> def summed(thetas, X, Y, lam):
    ...     found = backprop.gradients(thetas, X, Y, lam)
    ...     return [D + (len(X) - 1) / len(X) * Delta for D, Delta in zip(found.D, found.Delta)]
    >>> report = diagnose(summed, loss="logistic")
    >>> report.ok, report.codes
    (False, ('mean.missing',))
    >>> report.findings[0].fix
    'Divide Delta by m: D = (Delta + lambda Theta) / m.'

    *loss*, *activation* and *reduction* may be None: they are then found out, and the report says
    what was found. So is, of a program, all that is left at its default: *penalty*, a name in
    ``asked.PENALTIES``; *sizes* of the network, the input first; *examples* in "rows", "columns" or
    "one" at a time; *targets* "one-hot", "labels-0", "labels-1" or "flat"; *biases* "with" or
    "none"; *weights*, how they are handed over, a name in ``intake.manner.CONTAINERS``; the
    learning *rate* of a training step; *arguments*, which parameter is what, as ``{"w": "thetas",
    "t": "Y"}``. *course* states many of them in one word, a name in ``asked.COURSES``. With
    *strict*, what was found out and not stated is a finding. Whoever states *lam* states the
    penalty of the notes.

    ``ValueError`` and ``TypeError`` are for a network or a statement that makes no sense; whatever
    is wrong with *theirs*, from a wrong shape to an exception, is a finding.

    The surprise: a gradient in another layout is right, and where no loss was stated so is that of
    any of them. The report mentions it under ``conventions``. Of a stated loss every factor counts:
    twice the gradient of the half squared error is a mistake.
    """
    asked = Asked.read(
        loss=loss,
        activation=activation
        if activation is None or isinstance(activation, str)
        else [*activation],
        output_activation=output_activation,
        reduction=reduction,
        lam=lam,
        penalty=penalty,
        course=course,
        sizes=sizes,
        examples=examples,
        targets=targets,
        biases=biases,
        weights=weights,
        rate=rate,
        arguments=arguments,
        strict=strict,
    )
    stated = Stated(asked.loss, asked.activation, asked.output_activation, asked.reduction)
    problems = problems_for(thetas, X, Y, lam, stated)
    if is_program(theirs):
        given = None if thetas is None else problems[0]
        return diagnose_program(Here(theirs), replace(asked, given=given), name)
    return _diagnosed(theirs, problems, name)


def _diagnosed(theirs: Any, problems: Sequence[Problem], name: str) -> Report:
    try:
        outcome = Outcome(tidy(theirs))
    except (TypeError, ValueError) as error:
        outcome = Outcome(None, "call.no-numbers", f"It is {error}.")
    return Search(problems, name).report(outcome)


def assert_gradients_close(theirs: Any, problem: Problem | None = None, hints: str = "fix") -> None:
    """Raise ``AssertionError`` with the diagnosis if *theirs* is not the gradient of *problem*.

    *theirs* is as in :func:`diagnose`, *problem* by default the probe network with the logistic
    loss. *hints* is how much the message tells: "pass", "layer", "category" or "fix".

    >>> from chainrule.checking.problem import probe
    >>> assert_gradients_close([-D for D in probe().truth.D], hints="category")
    Traceback (most recent call last):
    ...
    AssertionError: gradient: not right
    ...
    1. There is a mistake in a sign.
    """
    __tracebackhide__ = True
    chosen = probe() if problem is None else problem
    if is_program(theirs):
        asked = Asked(
            chosen.loss, chosen.activations or "sigmoid", chosen.output_activation,
            chosen.reduction, chosen.lam, given=chosen,
        )  # fmt: skip
        report = diagnose_program(Here(theirs), asked, "gradient")
    else:
        report = _diagnosed(theirs, [chosen], "gradient")
    if not report.ok:
        raise AssertionError(report.text(hints))


@dataclass(frozen=True)
class Stated:
    """What is stated of the cost, as in :func:`diagnose`: None is to be found out."""

    loss: str | None = None
    activation: str | Iterable[str] | None = "sigmoid"
    output_activation: str | None = None
    reduction: str | None = "mean"

    def choices(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each loss that it may be, with the other options of a problem."""
        losses = list(backprop.LOSSES) if self.loss is None else [self.loss]
        every = list(backprop.ACTIVATIONS)
        activations = every if self.activation is None else [self.activation]
        reductions = ["mean", "sum"] if self.reduction is None else [self.reduction]
        for loss, activation, reduction in product(losses, activations, reductions):
            yield (
                loss,
                {
                    "activation": activation,
                    "output_activation": self.output_activation,
                    "reduction": reduction,
                },
            )


def problems_for(
    thetas: Iterable[Any] | None = None,
    X: Any = None,
    Y: Any = None,
    lam: float | None = None,
    stated: Stated = Stated(),
) -> list[Problem]:
    """Return the problem for each choice of what was not stated; the stated one alone if all was.

    The arrays and the errors are those of :func:`diagnose`.

    >>> [problem.loss for problem in problems_for()]
    ['logistic', 'cross_entropy', 'half_squared_error', 'squared_error']
    """
    if thetas is None and not (X is None and Y is None):
        raise TypeError("diagnose: X or Y without thetas: give all of thetas, X and Y, or none")
    if thetas is not None:
        if X is None or Y is None:
            raise TypeError("diagnose: thetas without X or Y: give all of thetas, X and Y, or none")
        thetas = [np.asanyarray(theta) for theta in thetas]
    else:
        # Targets that suit every loss, if the loss is to be found out.
        base = probe(stated.loss or "cross_entropy")
    found: list[Problem] = []
    errors: list[Exception] = []
    for loss, options in stated.choices():
        try:
            if thetas is None:
                strength = base.lam if lam is None else lam
                arrays = base.thetas, base.X, base.Y, strength
                given = Problem.read(*arrays, loss=loss, name=base.name, **options)
            else:
                given = Problem.read(thetas, X, Y, lam or 0.0, loss=loss, **options)
        except (TypeError, ValueError) as error:
            errors.append(error)
        else:
            found.append(given)
    if not found:
        raise errors[0]
    return found

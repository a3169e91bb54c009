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

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ... import backprop
from ..problem import Problem, probe, square
from .reporting import Report
from .running.calls import Caller, Outcome, caller
from .running.habits import habits
from .running.results import tidy
from .search import Search


def diagnose(
    theirs: Any,
    thetas: Iterable[Any] | None = None,
    X: Any = None,
    Y: Any = None,
    lam: float | None = None,
    *,
    loss: str | None = None,
    activation: str | Iterable[str] | None = "sigmoid",
    output_activation: str | None = None,
    reduction: str | None = "mean",
    name: str = "gradient",
) -> Report:
    """Return a report on what is wrong with a gradient, and which mistake made it so.

    *theirs* is a function called as ``theirs(thetas, X, Y, lam)``, or what such a function
    returned: a list of arrays with the shapes of the Thetas, (s_next, 1 + s) with the bias in
    column 0; (W, b) pairs; either of them transposed; or one vector, row- or column-major. The rest
    is the network as in ``backprop.gradients``; if it is left out, the probe network is used, on
    which every mistake shows.

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
    what was found. ``ValueError`` and ``TypeError`` are for a network that makes no sense; whatever
    is wrong with *theirs*, from a wrong shape to an exception, is a finding.

    The surprise: a gradient in another layout is right, and where no loss was stated so is that of
    any of them. The report mentions it under ``conventions``. Of a stated loss every factor counts:
    twice the gradient of the half squared error is a mistake.
    """
    stated = Stated(loss, activation, output_activation, reduction)
    problems = problems_for(thetas, X, Y, lam, stated)
    return _diagnosed(theirs, problems, name)


def _diagnosed(theirs: Any, problems: Sequence[Problem], name: str) -> Report:
    if callable(theirs):
        return diagnose_calls(caller(theirs), problems, name)
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


def diagnose_calls(call: Caller, problems: Sequence[Problem], name: str = "gradient") -> Report:
    """Return the report on a function that *call* calls."""
    problem = problems[0]
    outcomes = call([problem] * 3)
    report = Search(problems, name, call).report(outcomes[0], habits(outcomes))
    if outcomes[0].code == "call.raises" and len(set(problem.sizes)) > 1:
        # A matrix that was not transposed gets past the shapes of a square network.
        squares = [square(one) for one in problems]
        again = Search(squares, name, call).report(call(squares[:1])[0])
        if again.comparison is not None and not again.ok:
            sizes = "-".join(map(str, again.problem.sizes))
            findings = [
                replace(finding, evidence=f"On a {sizes} network it returns. {finding.evidence}")
                for finding in again.findings
            ]
            return replace(again, findings=(*report.findings, *findings), name=name)
    return report

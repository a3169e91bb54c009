"""Gradients with planted mistakes, and reports on them."""

from __future__ import annotations

import warnings

import numpy as np

from chainrule import backprop
from chainrule.checking import probe
from chainrule.checking.diagnosis.diagnose import diagnose_calls
from chainrule.checking.diagnosis.running.calls import Outcome
from chainrule.checking.diagnosis.running.results import tidy

from ...oracles import planted

PROBE = probe()


def made(*bugs, problem=PROBE, **options):
    """The gradient that a program with these mistakes returns."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        function = planted.backprop(*bugs, loss=problem.loss, **options)
        return function(problem.thetas, problem.X, problem.Y, problem.lam)


def report_on(gradients, problem=PROBE):
    return diagnose_calls(lambda problems: [Outcome(tidy(gradients))] * len(problems), [problem])


def code(bug):
    return bug.partition(":")[0]


def right(thetas, X, Y, lam):
    return [D.copy() for D in backprop.gradients(thetas, X, Y, lam).D]

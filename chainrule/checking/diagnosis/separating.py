"""What to change in the data so that two explanations give different gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..problem import PROBE_EXAMPLES, Problem, build, probe
from .catalogue import catalogue_of
from .matches import Match, equal


def separating_probe(problem: Problem, one: Match, two: Match) -> str:
    """Say what to change in *problem* so that two explanations give different gradients."""
    sizes, lam = problem.sizes, problem.lam or 1.3
    larger = tuple(size + 2 + i for i, size in enumerate(sizes))
    options: dict[str, Any] = {
        "loss": problem.loss,
        "activation": problem.activations,
        "output_activation": problem.output_activation,
        "reduction": problem.reduction,
    }
    others = [
        ("lambda = 1.3", replace(problem, lam=lam)),
        ("other weights and data, of order 1", build(sizes, problem.m, problem.lam, **options)),
        ("eight examples", build(sizes, PROBE_EXAMPLES, problem.lam, **options)),
        ("eight examples and lambda = 1.3", build(sizes, PROBE_EXAMPLES, lam, **options)),
        (
            "the probe network",
            probe(
                problem.loss,
                problem.activations[0] if problem.activations else "sigmoid",
                problem.output_activation,
                problem.reduction,
            ),
        ),
        (
            f"other sizes, {'-'.join(map(str, larger))}, and eleven examples",
            build(larger, 11, lam, **options),
        ),
    ]
    made = (*one.made, *two.made)
    for says, other in others:
        if all(layer <= other.last for mistake in made for layer in mistake.layers):
            replays = catalogue_of(other)
            gradients = [
                replays.replay(m.made, 0.5 if m.number is None else m.number) for m in (one, two)
            ]
            if not equal(*gradients):
                return says
    return "nothing does: both describe one program, and gave the same numbers on all data tried"

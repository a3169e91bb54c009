"""What nothing explains, narrowed down: by what is right, by single examples, by a first mistake.

The layers next to the output may have a mistake that is known; then the rest is compared with the
replay of that one, and the next wrong layer is told from there. A function is called again with one
example at a time and without a penalty: what is right then excludes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from ..problem import Problem, single
from . import findings
from .catalogue import Catalogue, catalogue_of
from .evidence import Evidence
from .matches import Match, closest
from .mistakes import BY_CODE
from .readings import Reading
from .reporting import Finding
from .worked import Worked, rule_for, rule_text, symbol

EXAMPLES_ALONE = 8
"""How many examples are tried alone; a mistake must explain them all: one may be a coincidence."""
FEWEST_ENTRIES = 4
"""How many entries a layer must have for a mistake there to be more than a coincidence."""

Probe: TypeAlias = Callable[[Sequence[Problem]], "list[Reading] | None"]
"""What the function gives for other problems; None if there is no function, or no answer."""


def narrowed(found: Evidence, replays: Catalogue, probe: Probe) -> list[Finding]:
    """Return what is known: mistakes that explain a part, and last that there is another."""
    known = _by_probes(found, probe)
    is_delta, is_product = known.code == "unknown.deltas", known.code == "unknown.products"
    partly, rest = known.partly, found
    if is_delta and not partly:
        partly, rest = _next_to_the_output(found, replays)
    wrong = rest.wrong_layers()
    layer = (wrong or found.wrong_layers())[0] - 1
    unit, column = rest.worst(layer)
    row = BY_CODE[known.code]
    rule = rule_for("B8" if is_delta and layer == found.problem.last else row.rule, found.problem)
    says = list(known.evidence) if rest is found else []  # single examples show the first mistake
    says += rest.by_blocks() if is_product or is_delta else []
    # The chain has the right numbers; behind another mistake nobody has them.
    chain = [] if rest is not found else Worked(found.problem).chain(layer, unit, column)
    finding = Finding(
        row.code,
        "There is another mistake as well, which is not in the list." if partly else row.says,
        row.fix,
        rule_text(rule, found.problem),
        "\n".join([rest.two_numbers(layer, unit, column), *(chain if is_delta else chain[:1])]),
        "\n".join(says),
        "partial",
        # A delta is first wrong somewhere; a wrong sum or penalty is where it shows.
        layer=layer + 1 if is_delta or len(wrong) == 1 else None,
        rule=rule,
    )
    return [*partly, finding]


def _next_to_the_output(found: Evidence, replays: Catalogue) -> tuple[list[Finding], Evidence]:
    """Return the findings that explain the most layers from the output, and what is left then."""
    problem, wrong = found.problem, found.wrong_layers()
    for layer in range(1, wrong[0]):
        if sum(theta.size for theta in problem.thetas[layer:]) < FEWEST_ENTRIES:
            continue
        matches = closest(replays.from_output(found.gradients, layer, found.tolerance))
        if matches:
            match = matches[0]
            expected = replays.run(match.made).gradients()
            rest = replace(found, expected=expected, instead="with the first mistake alone")
            so_far = f"It explains the layers from {symbol('Θ', layer + 1)} to the output."
            named = [
                replace(one, evidence=so_far, confidence="partial")
                for one in findings.of_match(match, found)
            ]
            return named, rest
    return [], found


@dataclass(frozen=True)
class _Known:
    """What is known of a gradient that nothing explains."""

    code: str
    evidence: list[str]
    partly: list[Finding] = field(default_factory=list)
    """What explains single examples."""


def _by_probes(found: Evidence, probe: Probe) -> _Known:
    """Call the function on single examples and without a penalty, to see what that excludes."""
    problem, tolerance, columns = found.problem, found.tolerance, found.columns()
    alone = [single(problem, t) for t in range(min(problem.m, EXAMPLES_ALONE))]
    together = replace(problem, lam=0.0, name=f"{problem.name}, lambda = 0")
    read = probe([*alone, together])
    if read is None:
        biases_right = all(column for _, _, column in found.wrong_entries())
        code = "unknown.products" if biases_right else "unknown.deltas"
        return _Known(code, [columns] if columns else [])
    *each, all_of_them = (
        Evidence(one, again.gradients, tolerance)
        for one, again in zip([*alone, together], read, strict=True)
    )
    wrong = [t for t, one in enumerate(each) if one.wrong_layers()]
    if not wrong:
        if not all_of_them.wrong_layers():
            return _Known("penalty.other", ["With lambda = 0 your gradient is right."])
        which = f"each of the {'first ' * (len(alone) < problem.m)}{len(alone)} examples"
        says = f"With lambda = 0 {which} alone is right; all {problem.m} together are not."
        return _Known("mean.other", [says, columns] if columns else [says])
    evidence, deltas_right = each[wrong[0]].deltas_of(wrong[0])
    code = "unknown.products" if deltas_right else "unknown.deltas"
    return _Known(code, evidence, _named_alone(each))


def _named_alone(each: list[Evidence]) -> list[Finding]:
    """Return the findings that explain every one of the single examples, if there are any."""
    first, *others = each
    replays = catalogue_of(first.problem)
    matches = replays.single(first.gradients, first.tolerance)
    matches = matches or replays.pair(first.gradients, first.tolerance)
    for match in closest(matches):
        if all(_explains(match, one) for one in others):
            return [
                replace(
                    finding,
                    evidence=f"With one example and lambda = 0. {finding.evidence}",
                    confidence="partial",
                )
                for finding in findings.of_match(match, first)
            ]
    return []


def _explains(match: Match, one: Evidence) -> bool:
    return Catalogue(one.problem).explains(match, one.gradients, one.tolerance)

"""A program tried in every manner that is possible, as outcomes, in the process in which it is.

The last outcome has no manner: it says how the trials ended.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from ...intake.handing import Network
from ...intake.manner import Manner, Stated
from ...intake.methods import has_signature, parameters_of
from ...intake.missing import StandIn, of_a_course
from ...intake.names import is_upstream, role_of
from ...intake.one_call import Answer
from ...intake.one_call import call as call_once
from ...intake.program import Program
from ...intake.trial import UNFINISHED, explore
from .calls import Outcome, call, copied, refused, told, until_failure
from .results import Tree, tidy

EXPLORED = "call.explored"
"""The code of the outcome that ends trials in which gradients came; its evidence is JSON."""
OTHER_SIZES = "call.other-sizes"
"""That of a program with a network of its own; its evidence is JSON, lists of sizes."""
WORDS = (
    "tanh", "relu", "maximum", "sigmoid", "softmax", "exp", "leaky_relu", "logistic", "expit",
    "elu", "expm1", "softplus", "log1p", "logaddexp", "silu", "swish",
)  # fmt: skip
"""Names in a program's code that say which activations it may have."""
LEAST_SLOPE, MOST_SLOPES = 1e-3, 8
"""What number in the code may be an activation's slope below 0, and how many are told."""
CUT = "trials cut"
"""What stands among these words if there was no time for all manners."""
FROM_COURSE = "stands in: "
"""What a word begins with that names a file of a course's own which is not there."""
_LISTED = re.compile(r"inhomogeneous|'list'|list indices")
"""What is raised where a list of Thetas is not what is meant."""
_ROLES = ("thetas", "X", "Y", "lam")


def tried(
    program: Program,
    offered: Sequence[Network],
    stated: Stated,
    seconds: float = float("inf"),
) -> Iterator[Outcome]:
    """Yield what came of each manner, three calls each, and how it ended.

    *seconds* is how long it may look for manners, on the clock.
    """
    first: list[Outcome] = []
    if _may_be_plain(program, stated):
        first = list(until_failure(program.made, [offered[0]] * 3))
        for outcome in first:
            if outcome.tree is not None:
                yield outcome.in_manner(Manner(text=_text(program)))
        if first[-1].code == "call.dies":
            yield first[-1]
            return
    came = any(one.tree is not None for one in first)
    flat = came and _is_flat(first[0].tree)
    networks = offered[:1] if came else offered
    found = explore(program, networks, stated, plain_known=flat, seconds=seconds)
    if found.deeper is not None and not came:
        says = f"{told(found.deeper)}\nIt gives a gradient where there are no hidden layers only."
        yield Outcome(None, "call.raises", says)
        return
    there = found.answers
    for manner, answers in there:
        yield from (_outcome(answer).in_manner(manner) for answer in answers)
    if there or came:
        yield _ended(program, there[0][0] if there else Manner(), cut=found.cut)
    elif found.sizes and not stated.sizes:
        yield Outcome(None, OTHER_SIZES, json.dumps(found.sizes[:4]))
    elif first and not (found.failure and _LISTED.search(first[-1].evidence)):
        yield _asking(first[-1], found.asked)
    elif found.other is not None:
        manner, answers = found.other
        outcome = _outcome(answers[0])
        yield outcome if outcome.tree is None else outcome.in_manner(manner)
        if outcome.tree is not None:
            yield _ended(program, manner, cut=found.cut)
    else:
        yield _failed(program, found.failure, found.asked)


def _ended(program: Program, manner: Manner, *, cut: bool) -> Outcome:
    names = program.texts([step.function for step in manner.steps]) & set(WORDS)
    slopes = sorted(
        number
        for number in program.numbers([step.function for step in manner.steps])
        if LEAST_SLOPE <= number < 1.0
    )
    names |= {f"{slope:.12g}" for slope in slopes[:MOST_SLOPES]}
    names |= {CUT} if cut else set()
    names |= {f"{FROM_COURSE}{name}" for name in _from_a_course()}
    return Outcome(None, EXPLORED, json.dumps(sorted(names)))


def _from_a_course() -> list[str]:
    """Return the files of a course for which something else stands in."""
    return [name for name, module in list(sys.modules.items())
            if isinstance(module, StandIn) and of_a_course(name)]  # fmt: skip


def _is_flat(tree: Tree | None) -> bool:
    """Whether these are arrays in one list, and nothing in them has to be looked for."""
    return not isinstance(tree, list) or all(isinstance(part, np.ndarray) for part in tree)


def _asking(outcome: Outcome, asked: str) -> Outcome:
    says = f"{outcome.evidence}\n{asked[:1].upper()}{asked[1:]}" if asked else outcome.evidence
    return Outcome(None, outcome.code, says.strip(), outcome.changed)


def _failed(program: Program, failure: BaseException | None, asked: str) -> Outcome:
    if isinstance(failure, SystemExit):
        return Outcome(None, "call.dies", f"It called exit({failure.code!r:.80}).")
    if program.is_function and not isinstance(failure, UNFINISHED):
        parameters = list(parameters_of(program.main))
        handed = next(filter(is_upstream, parameters), "")
        if handed and not {"Y", "thetas", "weights"} & set(map(role_of, parameters)):
            return Outcome(None, "call.one-layer", f"Its parameter {handed} is that gradient.")
    if isinstance(failure, Exception):
        return Outcome(None, "call.raises", f"{told(failure)}\n{asked}".strip())
    says = refused(program.main) if program.is_function else ""
    if not program.is_function and not program.method:
        says = "It has no method that is known to return gradients: state FILE:CLASS.METHOD."
    return Outcome(None, "call.wrong-arguments", "\n".join(filter(None, (says, asked))))


def _may_be_plain(program: Program, stated: Stated) -> bool:
    """Whether it can be called as function(thetas, X, Y, lam), for all that names say."""
    if not program.is_function or not stated.allows(Manner()) or stated.arguments:
        return False
    if refused(program.made):
        return not parameters_of(program.made) and not has_signature(program.made)
    names = list(parameters_of(program.made))[:4]
    known = [role_of(name) for name in names]
    return all(
        not role or role == wanted or (role, wanted) == ("weights", "thetas")
        for role, wanted in zip(known, _ROLES, strict=False)
    ) and not any(one.kind is one.KEYWORD_ONLY and one.default is one.empty
                  for one in parameters_of(program.made).values())  # fmt: skip


def _text(program: Program) -> str:
    return f"{program.name}(thetas, X, Y, lam)"


def _outcome(answer: Answer) -> Outcome:
    try:
        tree = tidy(answer.found.raw)
        if answer.found.cost is not None and not answer.found.manner.is_step:
            tree = [np.array(answer.found.cost), tree]
    except Exception as error:
        return Outcome(None, "call.no-numbers", f"It returned {error}.", answer.changed)
    return Outcome(copied(tree), changed=answer.changed)


def outcomes_of(program: Program, manner: Manner, problems: Sequence[Network]) -> Iterator[Outcome]:
    """Call *program* in one *manner* with each problem, until it fails."""
    for problem in problems:
        if manner.plain and program.is_function:
            outcome = call(program.made, problem)
        else:
            outcome = _called(program, manner, problem)
        yield outcome
        if outcome.tree is None:
            return


def _called(program: Program, manner: Manner, problem: Network) -> Outcome:
    try:
        return _outcome(call_once(program, problem, manner))
    except Exception as error:
        return Outcome(None, "call.raises", told(error))
    except SystemExit as error:
        return Outcome(None, "call.dies", f"It called exit({error.code!r:.80}).")

"""One call of a program in one manner, from the Thetas to one array for each of them.

A call starts from fresh copies of everything, and what was set in the program's module is set back.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from . import holding
from .answers import Gradients, read
from .handing import (
    RATE,
    CannotCallError,
    Hand,
    Network,
    batches_of,
    returned_names,
    sizes_of,
)
from .manner import Manner
from .names import STEP, plain
from .program import Program
from .random_draws import drawn_alike
from .settings import settings, settings_of
from .weights import Array, Block, blocks, flat, shapes_of

_STAYS = 1e-13
"""A learning rate that leaves weights where they are; 0 may be taken for none."""
NO_EXAMPLES = "nothing in its module is known to be the examples: call them X and Y"
"""What is said of a function that is not given the examples, and reads them from somewhere."""


class OtherSizesError(Exception):
    """The program has a network of its own, of other sizes than were offered."""

    def __init__(self, sizes: list[tuple[int, ...]]) -> None:
        super().__init__(str(sizes))
        self.sizes = sizes


@dataclass(frozen=True, eq=False)
class Answer:
    """What a call gave."""

    found: Gradients
    changed: tuple[str, ...] = ()
    """The names of the arguments that were written to."""


def call(program: Program, given: Network, manner: Manner) -> Answer:
    """Call the program in this *manner*; whatever it raises is raised."""
    batches = list(batches_of(given, manner))
    answers = [_once(program, given, X, Y, manner, len(batches)) for X, Y in batches]
    first = answers[0]
    if len(answers) == 1:
        return first
    changed = tuple(dict.fromkeys(name for one in answers for name in one.changed))
    all_thetas = [one.found.thetas for one in answers]
    if any(thetas is None for thetas in all_thetas):
        bad = next(one for one in answers if one.found.thetas is None)
        return Answer(bad.found, changed)
    means = [np.mean(layer, axis=0) for layer in zip(*all_thetas, strict=True)]
    raw: Any = means if manner.container != "made" else [first.found.raw[0], means]
    costs = [one.found.cost for one in answers if one.found.cost is not None]
    cost = float(np.mean(costs)) if len(costs) == len(answers) else None
    return Answer(replace(first.found, thetas=means, raw=raw, cost=cost), changed)


def _once(program: Program, given: Network, X: Any, Y: Any, manner: Manner, parts: int) -> Answer:
    if manner.container == "made":
        return _made_inside(program, given, X, Y, manner, parts)
    holder = program.holder(given, manner)
    if not _takes_examples(program, holder, manner):
        raise CannotCallError(NO_EXAMPLES)
    with settings(program, holder, X, Y, given.lam / parts, manner):
        return _called(program, holder, given, X, Y, manner, parts)


def _made_inside(
    program: Program, given: Network, X: Any, Y: Any, manner: Manner, parts: int
) -> Answer:
    """Call a program that makes its weights itself, twice: it stays, and it makes one step.

    What is answered are the weights with which it began, and the gradient there.
    """
    held = []
    for rate in (_STAYS, RATE):
        held.append(_trained(program, given, X, Y, replace(manner, rate=rate), parts))
    manner = replace(holding.manner_of(held[0], manner), container="made")
    manner = replace(manner, answer="changed", rate=RATE)
    like = flat(shapes_of(given.thetas, manner))
    before, now = ([a.reshape(b.shape) for a, b in zip(one.now(), like, strict=True)]
                   for one in held)  # fmt: skip
    found = _difference(before, now, given.thetas, manner)
    begun = read(before, given.thetas, manner).thetas
    return Answer(replace(found, raw=[begun, found.thetas]))


def _trained(
    program: Program, given: Network, X: Any, Y: Any, manner: Manner, parts: int
) -> holding.Held:
    """Return where the weights are after a training, which begins with what is drawn alike."""
    with drawn_alike():
        holder = program.holder(given, manner)
        with settings(program, holder, X, Y, given.lam / parts, manner):
            hand = Hand(given, [], X, Y, manner, parts)
            returned: Any = None
            for step in manner.steps:
                function = program.of(step.function, holder)
                arguments, by_name = hand.arguments(step)
                returned = function(*arguments, **by_name)
                if step is not manner.steps[-1]:
                    hand.forward(returned, function)
    names = returned_names(program.of(manner.steps[-1].function, holder))
    if isinstance(returned, tuple) and len(names) == len(returned) and all(names):
        returned = dict(zip(names, returned, strict=True))
    for place in ([] if program.is_function else [holder]) + [returned]:
        held = None if place is None else holding.find(place, sizes_of(given))
        if held is not None:
            return held
        others = [] if place is None else holding.sizes_of(place)
        if others:
            raise OtherSizesError(others)
    raise CannotCallError("no weights after a training")


def _takes_examples(program: Program, holder: Any, manner: Manner) -> bool:
    """Whether a function is given the examples, or reads them from its module."""
    roles = {role for step in manner.steps for _, role in step.arguments}
    if not program.is_function or roles & {"X", "pairs", "cache"}:
        return True
    return any(role == "X" for _, role, _ in settings_of(program, holder))


def _called(
    program: Program, holder: Any, given: Network, X: Any, Y: Any, manner: Manner, parts: int
) -> Answer:
    made = blocks(given.thetas, manner)
    held = None
    if manner.container == "held":
        held = _held(holder, given, manner)
        if held is None:
            raise OtherSizesError(holding.sizes_of(holder))
        held.put(made)
    hand = Hand(given, made, X, Y, manner, parts)
    returned: Any = None
    for step in manner.steps:
        function = program.of(step.function, holder)
        arguments, by_name = hand.arguments(step)
        returned = function(*arguments, **by_name)
        if inspect.isgenerator(returned):
            returned = list(returned)
        if step is not manner.steps[-1]:
            hand.forward(returned, function)
    return _answer(program, returned, holder, held, hand, made, given, manner)


def _answer(
    program: Program, returned: Any, holder: Any, held: holding.Held | None, hand: Hand,
    made: list[Block], given: Network, manner: Manner,
) -> Answer:  # fmt: skip
    before = flat(made)
    thetas = given.thetas
    found = read(returned, thetas, manner)
    kind = manner.answer
    if kind in ("", "stored", "changed") and held is not None:
        now = (_held(holder, given, manner) or held).now()
        now = [a.reshape(b.shape) for a, b in zip(now, before, strict=True)]
        changed = any(not np.array_equal(a, b) for a, b in zip(now, before, strict=True))
        stored = holding.stored(holder, held, thetas, manner)
        at_rest = read(stored, thetas, manner) if stored is not None else None
        if kind == "" and found.score == 2 and not _same(found, before, manner, thetas):
            pass
        elif (
            kind in ("", "stored")
            and at_rest is not None
            and (at_rest.score == 2 or at_rest.weights is not None)
            and (not changed or _moves(program.method) is False)
        ):
            return Answer(replace(at_rest, manner=replace(at_rest.manner, answer="stored")))
        elif changed and kind in ("", "changed"):
            return Answer(_difference(before, now, thetas, replace(manner, answer="changed")))
        elif returned is None and at_rest is None:
            # Nothing is returned, stored or changed: as if every gradient were 0.
            zeros = _difference(before, now, thetas, replace(manner, answer="changed"))
            return Answer(replace(zeros, thetas=None, score=0))
    if kind in ("", "changed") and held is None and found.score < 2:
        now = hand.now()
        if now and any(not np.array_equal(a, b) for a, b in zip(now, before, strict=True)):
            return Answer(_difference(before, now, thetas, replace(manner, answer="changed")))
    if kind == "after" and found.thetas is not None:
        after = found.thetas
        base = read(before, thetas, manner).thetas or []
        rate = manner.rate or 1.0
        moved = [(old - new) / rate for old, new in zip(base, after, strict=True)]
        return Answer(replace(found, thetas=moved, raw=moved))
    return Answer(
        replace(found, manner=replace(found.manner, answer=kind or "returned")), hand.changed()
    )


def _held(holder: Any, given: Network, manner: Manner) -> holding.Held | None:
    """Return where the weights are; if the program has no biases, those that are there are idle."""
    found = holding.find(holder, sizes_of(given))
    if found is not None and manner.without_biases and found.biases:
        return replace(found, biases=[], idle=found.biases)
    return found


def _same(found: Gradients, before: list[Array], manner: Manner, thetas: Sequence[Array]) -> bool:
    """Whether what was found are the weights themselves."""
    base = read(before, thetas, manner).thetas or []
    return found.thetas is not None and all(
        np.array_equal(a, b) for a, b in zip(found.thetas, base, strict=True)
    )


def _difference(
    before: list[Array], now: list[Array], thetas: Sequence[Array], manner: Manner
) -> Gradients:
    rate = manner.rate or 1.0
    moved = [(old - new.reshape(old.shape)) / rate for old, new in zip(before, now, strict=True)]
    return read(moved, thetas, manner)


def _moves(method: str) -> bool:
    """Whether a method of this name changes weights."""
    small = plain(method)
    return small in {plain(name) for name in STEP}

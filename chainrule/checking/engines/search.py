"""Which mistakes explain the answers of an engine: replayed one by one, and one after another.

One plant after another is added to the reference engine, each time the one that explains most of
the answers that are still unexplained and spoils none; what explains as many as well is told as an
alternative. A first round looks at single backward passes, a second at what follows them. What no
plant explains is said with its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import chain

from .operations import OPERATIONS
from .planting import plants
from .programs import Program
from .replay import RAISES, Build, Numbers, Plant, outcomes

_TOLERANCE = 1e-7
_MOST_ROUNDS = 8
_OF_ARITHMETIC = ("ValueError", "ZeroDivisionError", "OverflowError", "TypeError")
"""Exceptions that a wrong formula may raise, where a replay of it does."""
_CANCELLED = 8
"""A mistake must explain so many wrong answers for each right one that it would make wrong."""
_LEADS = 6
"""How many mistakes are tried in the first place if the likeliest leads to no full explanation."""
_SAMPLE = 4
"""A plant that explains none of so many answers that it should explain is not looked at further."""
_APART = ("extreme", "deep")
"""What programs about limits show is not replayed: it is told from the numbers themselves."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a program answered."""

    program: Program
    read: Numbers | None
    """The numbers that were read; None if it raised."""
    raised: str = ""

    @cached_property
    def is_right(self) -> bool:
        """Whether it is what a right engine may answer."""
        return _fits(self, _right(self.program))


@dataclass(eq=False)
class Explanation:
    """One mistake that was found: the plants that give the same answers, the likeliest first."""

    plants: list[Plant]
    answers: list[Answer]
    """The answers that it explains."""


@dataclass(eq=False)
class Result:
    """What a search found."""

    found: list[Explanation] = field(default_factory=list)
    unexplained: list[Answer] = field(default_factory=list)


def truth(program: Program) -> Numbers:
    """Return what is right for *program*: each operation as its own node, no mistake.

    >>> from .programs import exam
    >>> [round(number, 3) for number in truth(exam()[0])]
    [0.6, 1.0, 1.0]
    """
    return _right(program)[0]


class Search:
    """Looks for the mistakes of one engine."""

    def __init__(self, build: Build, answers: Sequence[Answer]) -> None:
        self.build = build
        self._uses = {form: self.build.uses(form) for form in build.offers}
        self._answers = [answer for answer in answers if answer.program.about not in _APART]
        self._below = [
            frozenset().union(*(self._uses[form] for form in answer.program.needs))
            for answer in self._answers
        ]
        self._touched: dict[str, set[int]] = {}
        """Which answers have a form below them."""
        self._about: dict[str, set[int]] = {}
        """Which answers are about a form."""
        for place, answer in enumerate(self._answers):
            for form in self._below[place]:
                self._touched.setdefault(form, set()).add(place)
            self._about.setdefault(answer.program.form, set()).add(place)
        self._wrong = {place for place, answer in enumerate(self._answers) if not answer.is_right}
        odd = odd_forms(build)
        hanging = {form for form in build.offers if self.build.visits(form) & odd} if odd else set()
        self._odd = {
            place for place, answer in enumerate(self._answers) if answer.program.needs & hanging
        }
        """Which answers depend on an operation that is made of others in the wrong way."""

    def run(self) -> Result:
        """Return the mistakes that explain the answers, and the answers that none explains."""
        result = Result()
        for later in (False, True):
            mine = {
                place
                for place, answer in enumerate(self._answers)
                if (answer.program.about in ("twice", "zero")) is later
            }
            chosen = [one.plants[0] for one in result.found]
            left = {place for place in mine if not self._explains(chosen, place)}
            path, rest = self._path(mine, left, chosen, later)
            if rest and not later:
                # What explains most at first need not be what is wrong: begin with others.
                for lead in self._leads(mine, left, chosen):
                    other, others_rest = self._path(mine, left, chosen, later, lead)
                    if (len(others_rest), len(other)) < (len(rest), len(path)):
                        path, rest = other, others_rest
            result.found += path
            result.unexplained += [self._answers[place] for place in sorted(rest)]
        return result

    def _path(
        self,
        mine: set[int],
        left: set[int],
        chosen: list[Plant],
        later: bool,
        lead: tuple[list[Plant], set[int]] | None = None,
    ) -> tuple[list[Explanation], set[int]]:
        """Return one mistake after another, from *lead* on, and what they leave unexplained."""
        path: list[Explanation] = []
        chosen = list(chosen)
        for _ in range(_MOST_ROUNDS):
            if not left:
                break
            if lead is not None:
                best, fits, lead = [lead[0]], lead[1], None
            else:
                best, fits = self._best(mine, left, chosen, later)
            if not best and not later:
                best, fits = self._best_pair(mine, left, chosen)
            if not best:
                break
            explained = [self._answers[place] for place in sorted(fits)]
            path += [Explanation(alike, explained) for alike in best]
            chosen += [alike[0] for alike in best]
            left = {place for place in mine if not self._explains(chosen, place)}
        return path, left

    def _leads(
        self, mine: set[int], left: set[int], chosen: list[Plant]
    ) -> list[tuple[list[Plant], set[int]]]:
        """Return the plants that explain something, those that explain most first."""
        found: dict[frozenset[int], list[Plant]] = {}
        for plant in self._candidates(left, False):
            fits = self._gain(mine, left, chosen, [plant], 1)
            if fits:
                found.setdefault(frozenset(fits), []).append(plant)
        ranked = sorted(found.items(), key=lambda item: -len(item[0]))
        return [(alike, set(fits)) for fits, alike in ranked[1 : 1 + _LEADS]]

    def _explains(self, chosen: Sequence[Plant], place: int) -> bool:
        answer = self._answers[place]
        below = self._below[place]
        if place in self._odd or any(not plant.forms or plant.forms & below for plant in chosen):
            return _fits(answer, _predicted(answer.program, self.build, tuple(chosen)))
        return place not in self._wrong

    def _candidates(self, left: set[int], later: bool) -> list[Plant]:
        # What is wrong in an operation shows in a program that is about it.
        return plants(self.build, {self._answers[k].program.form for k in left}, later)

    def _best(
        self, mine: set[int], left: set[int], chosen: list[Plant], later: bool
    ) -> tuple[list[list[Plant]], set[int]]:
        """Return the plants that explain most of *left*, as one list, and what they explain."""
        best: list[Plant] = []
        explained: set[int] = set()
        for plant in self._candidates(left, later):
            fits = self._gain(mine, left, chosen, [plant], len(explained))
            if len(fits) > len(explained):
                best, explained = [], fits
            if fits and fits == explained:
                best.append(plant)
        if len(best) > 1:  # those that make no right answer wrong come first, and alone
            clean = [plant for plant in best if self._is_clean(mine, left, [*chosen, plant])]
            best = clean or best
        return [best] if best else [], explained

    def _is_clean(self, mine: set[int], left: set[int], chosen: list[Plant]) -> bool:
        return all(self._explains(chosen, place) for place in sorted(mine - left))

    def _gain(
        self,
        mine: set[int],
        left: set[int],
        chosen: list[Plant],
        more: list[Plant],
        least: int,
    ) -> set[int]:
        """Return which of *left* are explained with *more*; none if too few, or others are not."""
        together = [*chosen, *more]
        forms = frozenset().union(*(plant.forms for plant in more))
        touched = set(mine)
        order: Iterable[int] = sorted(left)
        concerned = len(left)
        if forms:
            touched = mine & set().union(*(self._touched.get(form, set()) for form in forms))
            about = left & set().union(*(self._about.get(form, set()) for form in forms))
            concerned = len(touched & left)
            order = chain(sorted(about), sorted((touched & left) - about))
        if concerned < max(least, 1):
            return set()
        fits: set[int] = set()
        for count, place in enumerate(order, start=1):
            if self._explains(together, place):
                fits.add(place)
            elif len(fits) + concerned - count < max(least, 1) or (count >= _SAMPLE and not fits):
                return set()
        if all(self._answers[place].read is None for place in fits):
            return set()  # whatever raises looks like whatever else raises
        # Two mistakes may cancel, and a program be right by that; but not many.
        spoilt = 0
        for place in sorted(touched - left):
            spoilt += not self._explains(together, place)
            if spoilt * _CANCELLED > len(fits):
                return set()
        return fits

    def _best_pair(
        self, mine: set[int], left: set[int], chosen: list[Plant]
    ) -> tuple[list[list[Plant]], set[int]]:
        """Look for two mistakes in one method, neither of which explains anything alone."""
        alone = [place for place in sorted(left) if self._answers[place].program.form][:2]
        if len(alone) < 2:
            return [], set()
        form = self._answers[alone[0]].program.form
        local = [plant for plant in plants(self.build, self.build.own()) if form in plant.forms]
        for one, first in enumerate(local):
            for second in local[one + 1 :]:
                pair = [first, second]
                if first.forms != second.forms or set(first.changes) & set(second.changes):
                    continue
                if all(self._explains([*chosen, *pair], place) for place in alone):
                    fits = self._gain(mine, left, chosen, pair, 2)
                    if fits:
                        return [[first], [second]], fits
        return [], set()


@lru_cache(maxsize=100_000)
def _predicted(program: Program, build: Build, chosen: tuple[Plant, ...]) -> list[Numbers]:
    """Return what a program answers with some mistakes; engines of a class are built alike."""
    return outcomes(program.steps, build, chosen)


@cache
def _right(program: Program) -> list[Numbers]:
    """Return what a right engine may answer."""
    return outcomes(program.steps, Build(program.needs))


def _fits(answer: Answer, predicted: Iterable[Numbers]) -> bool:
    if answer.read is None:
        return RAISES in predicted and answer.raised.startswith(_OF_ARITHMETIC)
    return any(close(answer.read, numbers) for numbers in predicted)


def close(read: Numbers, predicted: Numbers) -> bool:
    """Whether two lists of numbers are the same, up to roundings."""
    return len(read) == len(predicted) and all(
        abs(a - b) <= _TOLERANCE * max(1.0, abs(a), abs(b)) or a == b
        for a, b in zip(read, predicted, strict=True)
    )


def runnable(build: Build) -> Build:
    """Return the same build without the formulas that call themselves without end."""
    formulas, same = dict(build.formulas), dict(build.same)
    for form in (*formulas, *same):
        try:
            Build(build.offers, formulas, same).visits(form)
        except RecursionError:
            formulas.pop(form, None)
            same.pop(form, None)
    return replace(build, formulas=formulas, same=same)


def odd_forms(build: Build) -> frozenset[str]:
    """Return the forms that are made of others, and do not compute what they should."""
    return frozenset(
        form
        for form in (*build.formulas, *build.same)
        if not all(close(*pair) for pair in _values(build, form, False))
    )


def exchanged(build: Build, form: str) -> bool:
    """Whether what an odd form computes is right for its operands the other way round."""
    pairs = _values(build, form, True)
    return len(form.partition(":")[2]) == 2 and all(close(*pair) for pair in pairs)


def _values(build: Build, form: str, swapped: bool) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the value that *form* has by its formula alone beside the right one."""
    name, kinds = form.split(":")
    alone = Build(
        build.offers,
        {form: build.formulas[form]} if form in build.formulas else {},
        {form: build.same[form]} if form in build.same else {},
    )
    for point in OPERATIONS[name].points:
        if swapped and min(point) < 0 and name == "pow":
            continue
        operands = [
            ("leaf" if kind == "V" else "number", number)
            for kind, number in zip(kinds, point, strict=True)
        ]
        places = list(range(len(operands)))
        made = outcomes((*operands, ("apply", name, *places)), alone)[0]
        right = OPERATIONS[name].value(*(point[::-1] if swapped else point))
        yield made[:1], (float(right),)


def differs(answer: Answer) -> list[tuple[int, float, float]]:
    """Return where an answer is wrong: the place, what was read, what is right."""
    right = truth(answer.program)
    if answer.read is None:
        return []
    return [
        (place, read, should)
        for place, (read, should) in enumerate(zip(answer.read, right, strict=True))
        if not close((read,), (should,)) and not (math.isnan(read) and math.isnan(should))
    ]

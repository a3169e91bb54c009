"""Where the numbers of a plan are in C: arguments, constants, and static arrays without gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...accesses import read, written
from ...addresses import AnyArray
from ...plan import BLOCK, STILL, SUMS, Operand, Plan, Step
from .shared import Shared
from .text import offset_of

_PLAIN = 200  # flat steps up to which each is a line of its own, and not of a table

COMPUTED, PARAMETER, CONSTANT, COUNT, GRADIENT = range(5)
"""What may be in a place of STILL."""


class Places:
    """A function in the making: where its numbers are."""

    def __init__(self, file: Shared, plan: Plan):
        self.file, self.plan = file, plan
        self.used: set[str] = set()  # arguments of the function
        self.tabular = self._flat_steps() > _PLAIN
        self.repeats = any(step.code == "loop" for step in plan.each)
        self.round = ""  # the index of the loop around the step that is printed
        self.steps = [*plan.before, *plan.each, *plan.after]
        self.touched = [self._touched(step) for step in self.steps]
        self._find_places()

    def _flat_steps(self) -> int:
        steps = [*self.plan.before, *self.plan.each, *self.plan.after]
        return sum(len(self.plan.tables[x.detail[0]]) for x in steps if x.code == "flat")

    def _touched(self, step: Step) -> list[tuple[int, AnyArray]]:
        """Return the addresses of every operand; those of flat steps and calls one by one."""
        found = [*written(self.plan, step), *read(self.plan, step)]
        if step.operands:
            return found[: len(step.operands)]
        return [(space, np.array([x])) for space, places in found for x in set(places.tolist())]

    def _find_places(self) -> None:
        """Decide which numbers are read and written right in the arguments and as constants."""
        plan = self.plan
        size = len(plan.still)
        writes = {STILL: np.zeros(size, bool), BLOCK: np.zeros(max(1, plan.block), bool)}
        for step in self.steps:
            for space, places in written(plan, step):
                if space != SUMS:
                    writes[space][places] = True
        still = np.where(writes[STILL], COMPUTED, CONSTANT)
        still[slice(*plan.parameters)] = PARAMETER
        still[0] = COUNT
        order = list(self.file.signature.order)
        self.moved = order != list(range(len(order))) and plan.parameters[0] < plan.parameters[1]
        if self.moved:
            still[slice(*plan.parameters)] = COMPUTED
        self.whole = self.tabular
        self.still = still
        if plan.gradient is not None:
            part = slice(*plan.gradient)
            if (still[part] == COMPUTED).all() and not self.whole:
                still[part] = GRADIENT
                if self._mixed(STILL, still):
                    still[part] = COMPUTED
        self.whole = self.whole or self._mixed(STILL, still)
        inputs = np.full(max(1, plan.block), -1)
        for i, (first, count) in enumerate(plan.inputs):
            inputs[first : first + count] = i
        apart = self.tabular or self.repeats  # a copy that moves may reach any row
        self.direct = set() if apart else {i for i, (_, n) in enumerate(plan.inputs) if n}
        self.direct -= set(inputs[writes[BLOCK]].tolist())
        self.block = np.where(np.isin(inputs, [*self.direct]), inputs, -1)
        for touched in self.touched:
            for space, places in touched:
                if space == BLOCK and len(kinds := set(self.block[places].tolist())) > 1:
                    self.direct -= kinds
        self.block = np.where(np.isin(inputs, [*self.direct]), inputs, -1)
        self._pack()

    def _mixed(self, space: int, kinds: AnyArray) -> bool:
        """Return whether an operand has elements of several kinds."""
        return any(
            (kinds[places] != kinds[places[0]]).any()
            or (kinds[places[0]] == COUNT and len(set(places.tolist())) > 1)
            for touched in self.touched
            for where, places in touched
            if where == space and len(places)
        )

    def _pack(self) -> None:
        """Give the numbers that are computed, and the constants, places without gaps."""
        plan = self.plan
        fixed: list[tuple[int, int]] = []
        constants: list[tuple[int, int]] = []
        work: list[tuple[int, int]] = []
        outputs = [(x.space, np.array([x.offset])) for x in plan.outputs]
        if plan.cost is not None and plan.gradient is not None:
            outputs += [(STILL, np.array([x])) for x in (plan.cost, *range(*plan.gradient))]
        for space, places in [*(x for touched in self.touched for x in touched), *outputs]:
            if not len(places):
                continue
            ends = int(places.min()), int(places.max()) + 1
            if space == BLOCK and self.block[ends[0]] < 0:
                work.append(ends)
            elif space == STILL and not self.whole:
                if self.still[ends[0]] == COMPUTED:
                    fixed.append(ends)
                elif self.still[ends[0]] == CONSTANT:
                    constants.append(ends)
        for i, (first, count) in enumerate(plan.inputs):
            if count and i not in self.direct:
                work.append((first, first + count))
        if self.tabular or self.repeats:
            work = [(0, max(1, plan.block))]
        if self.moved:
            fixed.append(plan.parameters)
        if self.whole:
            fixed = [(0, len(plan.still))]
        self.fixed, self.work = Packed(fixed), Packed(work)
        self.constant = Packed(constants)
        self.file.room("fixed", self.fixed.size)
        self.file.room("work", self.work.size)
        self.file.room("sums", plan.sums)

    def base(self, space: int, at: int) -> tuple[str, int]:
        """Return the array that place *at* of a space is in, and where."""
        if space == SUMS:
            return "sums", at
        if space == BLOCK:
            i = int(self.block[at])
            if i < 0:
                return "work", self.work(at)
            self.used.add(self.file.single[i])
            return self.file.single[i], at - self.plan.inputs[i][0]
        kind = COMPUTED if self.whole else self.still[at]
        if kind == PARAMETER:
            self.used.add("parameters")
            return "parameters", at - self.plan.parameters[0]
        if kind == CONSTANT:
            self.used.add("constants")
            return "constants", self.constant(at)
        if kind == GRADIENT:
            assert self.plan.gradient is not None
            return "gradient", at - self.plan.gradient[0]
        return "fixed", self.fixed(at)

    def number(self, space: int, at: int) -> str:
        """Return the number at a place as an expression."""
        if space == STILL and not self.whole:
            if self.still[at] == COUNT:
                self.used.add("count")
                return "count"
            if self.still[at] == CONSTANT:
                return self.file.literal(float(self.plan.still[at]))
        array, offset = self.base(space, at)
        return f"{array}[{offset}]"

    def element(self, x: Operand, axes: Sequence[tuple[str, int]]) -> str:
        """Return an element of *x*, where each index in *axes* has a stride."""
        terms = [(name, stride) for name, stride in axes if stride]
        if not terms:
            return self.number(x.space, x.offset)
        array, offset = self.base(x.space, x.offset)
        return f"{array}[{offset_of(offset, terms)}]"


class Packed:
    """Intervals of places, moved together."""

    def __init__(self, intervals: Sequence[tuple[int, int]]):
        self.intervals: list[tuple[int, int]] = []
        for start, stop in sorted(set(intervals)):
            if self.intervals and start <= self.intervals[-1][1]:
                self.intervals[-1] = self.intervals[-1][0], max(stop, self.intervals[-1][1])
            else:
                self.intervals.append((start, stop))
        sizes = [stop - start for start, stop in self.intervals]
        self.firsts = np.array([start for start, _ in self.intervals], dtype=np.int64)
        self.moved = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.size = int(self.moved[-1])

    def __call__(self, at: int) -> int:
        i = int(np.searchsorted(self.firsts, at, "right")) - 1
        return int(self.moved[i]) + at - int(self.firsts[i])

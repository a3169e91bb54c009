"""The way back through loops: backpropagation through time.

The loop goes from the last step to the first, and each round computes the body again from the carry
with which the step began, and pulls the adjoints through it.  Only the carries are kept.

The last rounds may be loops of their own, until as much is reached as in all rounds before.  Where
what is reached depends on data, or goes on changing from step to step, the masks are carried with
the adjoints.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from ..engine.backend import Value
from ..engine.bodies import Loop
from .assembly import rows_from
from .constants import note_constants
from .linking import MOST_ENDINGS, LoopRows, Rounds, Strip, Weighted
from .plan import STILL, Operand, Plan, Step
from .pulling import ALWAYS, BY_CHOICE, NEVER, SURE, Pulling, Reach, ids


class _Came(NamedTuple):
    """What some rounds back reached, of what went into their steps."""

    rounds: int
    carry: list[int]
    """Before the first of these steps."""
    x: list[int]
    held: list[int]


_How = tuple[list[int], list[int], list[int], Collection[Value]]
"""What of the carry is reached after a step, and before it; what of that which goes out; which
leaves are constants."""


class WayBack(Pulling):
    """A plan with loops, forward and back."""

    def gradient(self) -> Plan:
        """Return the plan of the mean of the only output, and of its derivatives."""
        note_constants(self)
        self.run_loops(keep=True)
        self.begin_back()
        cost, one = self.take(1), self.take(1)
        self.compute([(self.outputs, cost)])
        self.steps.append(
            Step("copy", (1,), (rows_from(one), Operand(STILL, self.constant(1, 1.0), (0,))))
        )
        self.pull_back([Weighted(self.outputs, one, [0])])
        for which in reversed(range(len(self.loops))):
            del self.groups[-2:]
            self.pull_loop(which)
        return self.mean(cost)

    def pull_loop(self, which: int) -> None:
        """Append the way back through a loop, and through what goes into it."""
        loop, at, held = self.loops[which], self.places[which], self.bodies[which][2]
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        live = [self.status.get(leaf, NEVER) for leaf in loop.last]
        rows = [[self.status.get(y, NEVER) for y in row] for row in loop.ys]
        used = [
            column[0] if len({*column}) == 1 else BY_CHOICE for column in zip(*rows, strict=True)
        ]
        if not any((*live, *used)):
            return
        at.start, at.weights, at.by_x = self.take(n), self.take(n + ny), self.take(nx)
        at.masks, at.mask_x = self.take(n + ny), self.take(nx)
        at.by_xs, at.by_held = self.take(nx * loop.count), self.take(len(held))
        at.mask_held = self.take(len(held))
        self.clear(at.by_x, nx)
        self.clear(at.by_xs, nx * loop.count)
        self.clear(at.by_held, len(held))
        self.clear(at.mask_held, len(held))
        self.copy(at.weights, at.last, n)
        if BY_CHOICE in (*live, *used):
            self.take_masks(which)
            self.copy(at.masks, at.mask_last, n)
            self.sure(at.masks, live)
            self.sure(at.mask_ys, [status for row in rows for status in row])
        came = self.pull_rounds(which, live, used)
        by_x = [x for some in reversed(came) for _ in range(some.rounds) for x in some.x]
        by_held = [max(each) for each in zip(*(some.held for some in came), strict=True)]
        self.pull_entry(which, [came[-1].carry, by_x, by_held])

    def sure(self, masks: int, status: Sequence[int]) -> None:
        """Append that the masks of what is always reached are not 0."""
        if ALWAYS in status:
            ones = Operand(STILL, len(self.still), (1,))
            self.still += [float(x == ALWAYS) for x in status]
            self.steps.append(Step("add", (len(status),), (rows_from(masks), ones)))

    def pull_rounds(self, which: int, live: list[int], used: list[int]) -> list[_Came]:
        """Append the way back through all steps; return what was reached, from the last one on."""
        loop, at, held = self.loops[which], self.places[which], self.bodies[which][2]
        nx, ny = len(loop.body.x_in), len(loop.body.y_out)
        done = at.segments * at.every
        strip = Strip(
            at.kept, at.xs + nx * done, -1, at.by_xs + nx * done, at.by_ys + ny * done,
            mask_ys=at.mask_ys + ny * done,
        )  # fmt: skip
        came: list[_Came] = []
        left, firsts = loop.count, len(at.plain) - 1
        while left:
            if not any((*live, *used)):  # nothing goes further back
                came.append(_Came(left, live, [NEVER] * nx, [NEVER] * len(held)))
                break
            plain = at.plain[min(left - 1, firsts)]
            alike = max(1, left - max(firsts, done if left > done else 0))
            carry, x, more = self.reach_back(which, live, used, plain)
            if left <= done or (len(came) >= MOST_ENDINGS and alike > 1):
                while not _goes_on(live, carry):
                    live = self.joined(which, live, carry)
                    carry, x, more = self.reach_back(which, live, used, plain)
            before = live if _goes_on(live, carry) else carry
            if BY_CHOICE in x and at.mask_xs < 0:
                at.mask_xs = self.take(nx * loop.count)
                strip.mask_xs = at.mask_xs + nx * done
                self.zeros.append((at.mask_xs, nx * loop.count))
            count = alike if before is live else 1
            if left > done:
                self.pull_body(which, (live, before, used, plain), count, left - done, strip)
            else:
                self.pull_segments(which, (live, before, used, plain))
            came.append(_Came(count, before, x, more))
            self.note_rounds(which, Rounds(count, *map(_there, (live, used, before))))
            at.masked |= BY_CHOICE in (*live, *used, *carry, *x, *more) or bool(plain)
            live, left = before, left - count
        return came

    def note_rounds(self, which: int, some: Rounds) -> None:
        """Note *some* rounds, together with those before if these are alike."""
        rounds = self.places[which].rounds
        if rounds and rounds[-1][1:] == some[1:]:
            some = some._replace(steps=some.steps + rounds.pop().steps)
        rounds.append(some)

    def joined(self, which: int, live: list[int], carry: list[int]) -> list[int]:
        """Return which of the carry may be reached, in this round or before; they have masks."""
        masks = self.places[which].masks
        for status in (NEVER, ALWAYS):
            rows = np.array([masks + i for i, x in enumerate(live) if x == status], dtype=np.int64)
            self.fill(rows, float(status == ALWAYS))
        return [a if a == b else BY_CHOICE for a, b in zip(live, carry, strict=True)]

    def reach_back(
        self, which: int, live: list[int], used: list[int], plain: Collection[Value]
    ) -> tuple[list[int], list[int], list[int]]:
        """Return what of the carry, of what comes in, and of what was captured a step reaches."""
        loop, held = self.loops[which], self.bodies[which][2]
        own = self.leaves_of(which, self.places[which].start)
        wanted = self.wanted_of(which)
        rows = [row for row in self.body_rows(which, live, used) if row.some]
        found, asked, plain = self.asked_of(rows, own, wanted, plain)
        status = dict(zip(asked, found.reached(asked, plain), strict=True))
        carry, x, more = (
            [status.get(leaf, NEVER) for leaf in leaves]
            for leaves in (loop.body.carry_in, loop.body.x_in, held)
        )
        return carry, x, more

    def body_rows(self, which: int, live: list[int], used: list[int]) -> list[Weighted]:
        """Return the results of a step with their adjoints, and masks."""
        at, outs = self.places[which], self.bodies[which][0]
        n = len(live)
        return [
            Weighted(outs[:n], at.weights, _there(live), at.masks, _shaded(live)),
            Weighted(outs[n:], at.weights + n, _there(used), at.masks + n, _shaded(used)),
        ]

    def wanted_of(self, which: int) -> list[Value]:
        """Return the leaves of a step to which adjoints go."""
        body, held = self.loops[which].body, self.bodies[which][2]
        return [*body.carry_in, *self.coming_in(self.loops[which]), *held]

    def pull_entry(self, which: int, reached: Sequence[Sequence[int]]) -> None:
        """Append the way back through what goes into a loop, of which so much is *reached*."""
        at = self.places[which]
        adjoints = (at.weights, at.masks), (at.by_xs, at.mask_xs), (at.by_held, at.mask_held)
        rows = []
        for (numbers, _), (by, masks), status in zip(
            self.entry(which), adjoints, reached, strict=True
        ):
            some = [
                i
                for i, x in enumerate(numbers)
                if status[i] and isinstance(x, Value) and x not in self.given
            ]
            shaded = [i for i in some if status[i] == BY_CHOICE]
            if shaded and by != at.weights:
                self.sure(masks, status)
            if some:
                rows.append(Weighted(numbers, by, some, masks, shaded))
        if rows:
            self.pull_back(rows)

    def pull_segments(self, which: int, how: _How) -> None:
        """Append the way back through the segments, whose states are computed again."""
        loop, at, strip = self.loops[which], self.places[which], self.places[which].segment
        assert strip is not None
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        k, last = at.every, at.segments - 1
        strip.by_xs, strip.by_ys, strip.ys = self.take(nx * k), self.take(ny * k), -1
        strip.mask_xs, strip.mask_ys = self.take(nx * k), self.take(ny * k)
        come, go = [(at.xs, strip.xs, nx), (at.by_ys, strip.by_ys, ny)], [(at.by_xs, strip.by_xs)]
        if BY_CHOICE in how[2]:
            come.append((at.mask_ys, strip.mask_ys, ny))
        if at.mask_xs >= 0:
            self.clear(strip.mask_xs, nx * k)
            go.append((at.mask_xs, strip.mask_xs))
        first = len(self.steps)
        self.move(at.carry, at.marks + last * n, n, (0, -n))
        for whole, part, width in come:
            self.move(part, whole + last * k * width, k * width, (0, -k * width))
        self.run_body(which, k, strip)
        self.pull_body(which, how, k, k, strip)
        for whole, part in go:
            self.move(whole + last * k * nx, part, k * nx, (-k * nx, 0))
        self.loop(at.segments, first)

    def pull_body(self, which: int, how: _How, count: int, left: int, strip: Strip) -> None:
        """Append *count* rounds back, from the last of the steps that are *left* in *strip* on."""
        live, before, used, plain = how
        loop, at, held = self.loops[which], self.places[which], self.bodies[which][2]
        n, nx, ny = len(loop.carry), len(loop.body.x_in), len(loop.body.y_out)
        first, mark = len(self.steps), left - 1
        self.move(at.start, strip.states + mark * n, n, (0, -n))
        self.move(at.x, strip.xs + mark * nx, nx, (0, -nx))
        self.move(at.weights + n, strip.by_ys + mark * ny, ny, (0, -ny))
        if BY_CHOICE in used:
            self.move(at.masks + n, strip.mask_ys + mark * ny, ny, (0, -ny))
        rows, own = self.body_rows(which, live, used), self.leaves_of(which, at.start)
        found = self.pull(rows, own, self.wanted_of(which), plain)
        carry, x, more = (
            [(i, found.pop(leaf)) for i, leaf in enumerate(leaves) if leaf in found]
            for leaves in (loop.body.carry_in, loop.body.x_in, held)
        )
        into = [*(at.by_held + i for i, _ in more), *(self.row_of(leaf) for leaf in found)]
        terms = [*(reach.at for _, reach in more), *(reach.at for reach in found.values())]
        shaded = [(i, reach.mask) for i, reach in more if reach.mask != SURE]
        self.add_to(ids(into), ids(terms))
        self.add_to(ids(at.mask_held + i for i, _ in shaded), ids(mask for _, mask in shaded))
        shaded = [(i, reach.mask) for i, reach in x if reach.mask != SURE]
        self.assign(ids(at.by_x + i for i, _ in x), ids(reach.at for _, reach in x))
        self.assign(ids(at.mask_x + i for i, _ in shaded), ids(mask for _, mask in shaded))
        self.hand_on(carry, before, at)
        if x:
            self.move(strip.by_xs + mark * nx, at.by_x, nx, (-nx, 0))
        if shaded:
            self.move(strip.mask_xs + mark * nx, at.mask_x, nx, (-nx, 0))
        self.loop(count, first)

    def hand_on(self, carry: Sequence[tuple[int, Reach]], before: list[int], at: LoopRows) -> None:
        """Append that the adjoints of the *carry*, and masks, go to the step *before*."""
        shaded = [(i, reach.mask) for i, reach in carry if reach.mask != SURE]
        pairs = [(at.weights + i, reach.at) for i, reach in carry]
        if BY_CHOICE in before:
            pairs += [(at.masks + i, mask) for i, mask in shaded]
        room = self.take(len(pairs)) + np.arange(len(pairs))
        self.assign(room, ids(of for _, of in pairs))
        self.assign(ids(to for to, _ in pairs), room)
        if BY_CHOICE in before:
            sure = [i for i, reach in carry if reach.mask == SURE]
            rest = {*range(len(before))}.difference(i for i, _ in carry)
            self.fill(ids(at.masks + i for i in sure), 1.0)
            self.fill(ids(at.masks + i for i in sorted(rest)), 0.0)

    def coming_in(self, loop: Loop) -> list[Value]:
        """Return the leaves for what comes into *loop*, if anything of that was computed."""
        return [
            leaf
            for j, leaf in enumerate(loop.body.x_in)
            if any(isinstance(x := row[j], Value) and x not in self.given for row in loop.xs)
        ]


def _goes_on(live: list[int], before: list[int]) -> bool:
    """Return whether a round that reaches so much *before* it can be followed by one like it."""
    return all(a in (b, BY_CHOICE) for a, b in zip(live, before, strict=True))


def _there(status: Sequence[int]) -> list[int]:
    return [i for i, x in enumerate(status) if x]


def _shaded(status: Sequence[int]) -> list[int]:
    return [i for i, x in enumerate(status) if x == BY_CHOICE]

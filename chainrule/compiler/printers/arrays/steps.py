"""A plan of single steps as pure functions: graphs without width, and programs with loops.

Each step is a line.  What is for each example is an array of one axis, the examples.  A loop among
the steps becomes one function that is called for every round, by ``jax.lax.scan`` or a plain loop:
what a round reads and a round before it wrote is carried, what moves on with each round comes in or
goes out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...accesses import read, written
from ...addresses import AnyArray
from ...plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, SUMS, Operand, Plan, Step
from ..rows import ATOM, SIGN
from .elementwise import Rows, Term, bound, number_term
from .memory import Held, Space

INDENT = "    "


class StepsPrinter:
    """Writes one plan as one function."""

    def __init__(self, plan: Plan, rows: Rows, row_names: Sequence[str]):
        self.plan, self.rows, self.row_names = plan, rows, row_names
        self.lines: list[str] = []
        self.depth = 1
        self.next = 0
        self.spaces = {
            STILL: Space(rows, len(plan.still), False),
            BLOCK: Space(rows, plan.block, True),
            SUMS: Space(rows, plan.sums, False),
        }

    def function(self, name: str, inputs: Sequence[str]) -> str:
        """Return the source of function *name* of the parameters and *inputs*."""
        plan = self.plan
        self.rows.forget()
        still, block = self.spaces[STILL], self.spaces[BLOCK]
        for i, x in enumerate(plan.still.tolist()):
            term = number_term(x)
            still.write(i, Held(term.text, None, False, True, term.binds))
        still.write(0, Held("m", None, False, True))
        start, stop = plan.parameters
        if stop > start:
            still.write_many(np.arange(start, stop), "parameters")
        for text, (first, count) in zip(inputs, plan.inputs, strict=True):
            if count:
                rows = self._new("x")
                self._line(f"{rows} = xp.reshape({text}, (m, {count})).T")
                block.write_many(first + np.arange(count), rows)
        self._run(plan.before)
        self._run(plan.each)
        if plan.sums:
            self._fill_sums()
        self._run(plan.after)
        if plan.cost is None:
            returned = self._outputs()
        else:
            assert plan.gradient is not None
            cost = self.rows.array(still.at(plan.cost)[0])
            a, b = plan.gradient
            slopes = (
                still.many(np.arange(a, b)) if b > a else f"{self.rows.helper('full')}((0,), 0.0)"
            )
            returned = f"{cost}, {slopes}"
        size = f"{inputs[0]}.shape[0]" if inputs else "1"
        head = [f"def {name}({', '.join(['parameters', *inputs])}):", f"{INDENT}m = {size}"]
        return "\n".join([*head, *self.lines, f"{INDENT}return {returned}"])

    def _fill_sums(self) -> None:
        """Sums that nothing was added to are 0."""
        sums = self.spaces[SUMS]
        for i in range(self.plan.sums):
            if not sums.knows(i):
                sums.write(i, Held("0.0", None, False, True))

    def _outputs(self) -> str:
        """Return the outputs, a row each."""
        texts: list[str] = []
        outputs, at = self.plan.outputs, 0
        while at < len(outputs):
            end = at
            while end < len(outputs) and outputs[end].space == outputs[at].space:
                end += 1
            addresses = np.array([x.offset for x in outputs[at:end]])
            found = self.spaces[outputs[at].space].many(addresses)
            if outputs[at].space == STILL:
                found = f"xp.broadcast_to({found}[:, None], ({end - at}, m))"
            texts.append(found)
            at = end
        if len(texts) == 1:
            return texts[0]
        return f"{self.rows.helper('concat')}([{', '.join(texts)}], 0)"

    # --- lines -----------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        self.lines.append(INDENT * self.depth + text)

    def _new(self, stem: str = "v") -> str:
        self.next += 1
        return f"{stem}{self.next}"

    def _named(self, text: str) -> str:
        name = self._new()
        self._line(f"{name} = {text}")
        self.rows.called(name, text)
        return name

    def _run(self, steps: Sequence[Step]) -> None:
        at = 0
        while at < len(steps):
            step, at = steps[at], at + 1
            if step.code == "loop":
                n = step.detail[1]
                self._loop(step.detail[0], steps[at : at + n], steps[at + n :])
                at += n
                continue
            write = getattr(self, "_" + step.code, None)
            if write is None:
                raise LookupError(f"a step {step.code!r} in a plan of single steps")
            write(step)

    # --- single numbers --------------------------------------------------------------------------

    def _given(self, address: int) -> tuple[Term, bool]:
        if address < 0:
            return self.spaces[STILL].at(~address)
        return self.spaces[BLOCK].at(address)

    def _set(self, address: int, held: Held) -> None:
        space, place = (STILL, ~address) if address < 0 else (BLOCK, address)
        self.spaces[space].write(place, held)

    def _flat(self, step: Step) -> None:
        for number, result, *args in self.plan.tables[step.detail[0]].tolist():
            if number in (ONE_MINUS, ONE_MINUS_SQUARE):
                self._complement(number, result, args[:2])
                continue
            row = self.plan.rows[number]
            self._one(number, result, args[: 2 if row.arity is None else row.arity])

    def _call(self, step: Step) -> None:
        result, *args = self.plan.tables[step.detail[1]].tolist()
        self._one(step.detail[0], result, args)

    def _one(self, number: int, result: int, args: Sequence[int]) -> None:
        row = self.plan.rows[number]
        found = [self._given(x) for x in args]
        terms, lanes = [x for x, _ in found], any(there for _, there in found)
        known = [_value(x) for x in terms]
        if all(x is not None for x in known):
            plain = number_term(float(row.scalar(*known)))
            self._set(result, Held(plain.text, None, False, True, plain.binds))
            return
        text = self.rows.applied(row, self.row_names[number], terms)
        if text.text.isidentifier():
            self._set(result, Held(text.text, None, lanes))
            return
        self._set(result, Held(self._named(text.text), None, lanes))

    def _complement(self, number: int, result: int, args: Sequence[int]) -> None:
        (a, some), (z, more) = (self._given(x) for x in args)
        if number == ONE_MINUS:
            text = f"{self.rows.helper('sigmoid')}(-{bound(Term(self.rows.array(z), ATOM), SIGN)})"
        else:
            given = self.rows.array(a), self.rows.array(z)
            text = f"{self.rows.helper('one_minus_square')}({given[0]}, {given[1]})"
        self._set(result, Held(self._named(text), None, some or more))

    # --- many at once ----------------------------------------------------------------------------

    def _addresses(self, x: Operand, count: int) -> AnyArray:
        return x.offset + np.arange(count) * x.strides[0]

    def _copy(self, step: Step) -> None:
        result, x = step.operands
        (count,) = step.extents
        of, to = self._addresses(x, count), self._addresses(result, count)
        self._move_all(x.space, of, result.space, to)

    def _move_all(self, space: int, of: AnyArray, into: int, to: AnyArray) -> None:
        """Let the numbers at *of* in a space be at *to* in another, or the same."""
        source, target = self.spaces[space], self.spaces[into]
        held = [source.held[n] for n in source.owner[of].tolist()]
        if all(x.size is None for x in held):
            for address, x in zip(to.tolist(), held, strict=True):
                target.write(address, x)
            return
        text = source.many(of)
        if space == STILL and into == BLOCK:
            text = f"xp.broadcast_to({text}[:, None], ({len(of)}, m))"
        target.write_many(to, text if text.isidentifier() else self._named(text))

    def _gather(self, step: Step) -> None:
        result, x = step.operands
        table = self.plan.tables[step.detail[0]]
        of, to = x.offset + table * x.strides[0], self._addresses(result, len(table))
        self._move_all(x.space, of, result.space, to)

    def _scatter(self, step: Step) -> None:
        result, x = step.operands
        table = self.plan.tables[step.detail[0]]
        to = result.offset + table * result.strides[0]
        self._move_all(x.space, self._addresses(x, len(table)), result.space, to)

    def _scatter_add(self, step: Step) -> None:
        result, x = step.operands
        table = self.plan.tables[step.detail[0]]
        to, of = result.offset + table * result.strides[0], self._addresses(x, len(table))
        source, target = self.spaces[x.space], self.spaces[result.space]
        turn = _occurrence(to)
        for k in range(int(turn.max(initial=-1)) + 1):  # an address that occurs twice, one by one
            now = turn == k
            text = f"{target.many(to[now])} + {source.many(of[now])}"
            target.write_many(to[now], self._named(text))

    def _sum(self, step: Step) -> None:
        result, x = step.operands
        if step.detail != (0,) or result.space != SUMS or x.space != BLOCK:
            raise LookupError("a sum of another kind in a plan of single steps")
        (count,) = step.extents
        text = self.spaces[BLOCK].many(self._addresses(x, count))
        self.rows.helper("total")
        self.spaces[SUMS].write_many(
            self._addresses(result, count), self._named(f"total({text}, -1)")
        )

    def _apply(self, step: Step) -> None:
        result, *args = step.operands
        (count,) = step.extents
        terms = []
        for x in args:
            if x.strides[0]:
                terms.append(Term(self.spaces[x.space].many(self._addresses(x, count)), ATOM))
            else:
                terms.append(self.spaces[x.space].at(x.offset)[0])
        row = self.plan.rows[step.detail[0]]
        text = self.rows.applied(row, self.row_names[step.detail[0]], terms).text
        self.spaces[result.space].write_many(self._addresses(result, count), self._named(text))

    # --- loops -----------------------------------------------------------------------------------

    def _loop(self, count: int, body: Sequence[Step], later: Sequence[Step]) -> None:
        """Write the rounds of a loop as one function, and the call of all of them."""
        if any(step.code == "loop" for step in body):
            raise LookupError("a loop in a loop")
        block = self.spaces[BLOCK]
        fixed = [_standing(step) for step in body]
        exposed, made = _exposed(self.plan, fixed, len(block.owner))
        after = self._live_after(later)
        carried = np.flatnonzero(made & (exposed | after)).tolist()
        for address in carried:
            if not block.knows(address):
                block.write(address, Held("0.0", None, False, True))
        moves = [step for step in body if step.code == "move"]
        coming = [s for s in moves if s.detail[1]]
        going = [s for s in moves if s.detail[0]]
        self._check_apart(coming, going, count, exposed)
        given = [self._over_rounds(step, count) for step in coming]
        start = [block.row(address) for address in carried]

        round_name = self._new("round")
        outer, block = block, block.copied()
        self.spaces[BLOCK] = block
        self._line(f"def {round_name}(carry, given):")
        self.depth += 1
        names = [self._new("r") for _ in carried]
        if names:
            self._line(f"{', '.join(names)}, = carry")
        for address, name in zip(carried, names, strict=True):
            block.write(address, Held(name, None, True))
        arriving = [self._new("x") for _ in coming]
        if arriving:
            self._line(f"{', '.join(arriving)}, = given")
        leaving: list[str] = []
        comes = iter(arriving)
        for step in body:
            if step.code != "move":
                self._run([step])
                continue
            result, x = step.operands
            (n,) = step.extents
            by_result, by_x = step.detail
            if by_x:
                text = next(comes)
            else:
                text = block.many(self._addresses(x, n))
            if by_result:
                leaving.append(text if text.isidentifier() else self._named(text))
            else:
                block.write_many(self._addresses(result, n), text)
        ends = [block.row(address) for address in carried]
        self._line(f"return {_tuple(ends)}, {_tuple(leaving)}")
        self.depth -= 1
        self.spaces[BLOCK] = outer
        last, outs = self._new("carry"), self._new("out")
        self.rows.helper("scan")
        self._line(
            f"{last}, {outs} = scan({round_name}, {_tuple(start)}, {_tuple(given)}, {count})"
        )
        for k, address in enumerate(carried):
            outer.write(address, Held(f"{last}[{k}]", None, True))
        for k, step in enumerate(going):
            result, (n,) = step.operands[0], step.extents
            rounds = np.arange(count)[:, None] * step.detail[0]
            to = (self._addresses(result, n) + rounds).ravel()
            text = f"xp.reshape({outs}[{k}], ({count * n}, m))"
            outer.write_many(to, self._named(text))

    def _over_rounds(self, step: Step, count: int) -> str:
        """Return what a move reads in all rounds, with the rounds as the first axis."""
        x, (n,) = step.operands[1], step.extents
        rounds = np.arange(count)[:, None] * step.detail[1]
        text = self.spaces[BLOCK].many((self._addresses(x, n) + rounds).ravel())
        return self._named(f"xp.reshape({text}, ({count}, {n}, m))")

    def _check_apart(
        self, coming: Sequence[Step], going: Sequence[Step], count: int, exposed: AnyArray
    ) -> None:
        """Raise LookupError if a round reads what moves out of the rounds before it."""
        out = np.zeros(len(exposed), dtype=bool)
        for steps, which in ((going, 0), (coming, 1)):
            for step in steps:
                x, (n,) = step.operands[which], step.extents
                rounds = np.arange(count)[:, None] * step.detail[which]
                addresses = (self._addresses(x, n) + rounds).ravel()
                if which == 0:
                    out[addresses] = True
                elif out[addresses].any():
                    raise LookupError("a round of a loop that reads what another one moved out")
        if (out & exposed).any():
            raise LookupError("a round of a loop that reads what another one moved out")

    def _live_after(self, later: Sequence[Step]) -> AnyArray:
        """Return which rows are read after the loop before they are written."""
        exposed, _ = _exposed(self.plan, later, len(self.spaces[BLOCK].owner), moving=True)
        for x in self.plan.outputs:
            if x.space == BLOCK:
                exposed[x.offset] = True
        return exposed


def _value(x: Term) -> float | None:
    """Return the number that a term is, or None."""
    if not x.plain or x.text == "m":
        return None
    return float(x.text.replace("xp.", ""))


def _standing(step: Step) -> Step | None:
    """Return a step of a loop without what moves: it is not in the carry."""
    if step.code != "move":
        return step
    (result, x), (by_result, by_x) = step.operands, step.detail
    if by_result:
        return None if by_x else step._replace(code="read", operands=(x,))
    return step._replace(code="write", operands=(result,)) if by_x else step._replace(code="copy")


def _exposed(
    plan: Plan, steps: Sequence[Step | None], size: int, moving: bool = False
) -> tuple[AnyArray, AnyArray]:
    """Return which rows are read before they are written, and which are written.

    Of moves in loops that are whole among *steps*, everything that they read counts as read.
    """
    exposed, made = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)

    def reads(addresses: AnyArray) -> None:
        exposed[addresses[~made[addresses]]] = True

    count = 1
    for step in steps:
        if step is None:
            continue
        if step.code == "loop":
            count = step.detail[0]
        elif step.code in ("read", "write"):
            (x,), (n,) = step.operands, step.extents
            addresses = x.offset + np.arange(n) * x.strides[0]
            if step.code == "read":
                reads(addresses)
            else:
                made[addresses] = True
        elif step.code == "flat":
            for row in plan.tables[step.detail[0]]:
                arguments = row[2:]
                reads(arguments[arguments >= 0])
                if row[1] >= 0:
                    made[row[1]] = True
        elif moving and step.code == "move":
            x, (n,) = step.operands[1], step.extents
            rounds = np.arange(count)[:, None] * step.detail[1]
            reads((x.offset + np.arange(n) * x.strides[0] + rounds).ravel())
        else:
            for space, addresses in read(plan, step):
                if space == BLOCK:
                    reads(addresses)
            for space, addresses in written(plan, step):
                if space == BLOCK:
                    made[addresses] = True
    return exposed, made


def _occurrence(addresses: AnyArray) -> AnyArray:
    """Return for each address how often it stands before that place."""
    order = np.argsort(addresses, kind="stable")
    found = addresses[order]
    first = np.flatnonzero(np.append(True, np.diff(found) != 0))
    start = np.repeat(first, np.diff(np.append(first, len(found))))
    turn = np.empty(len(addresses), dtype=np.int64)
    turn[order] = np.arange(len(addresses)) - start
    return turn


def _tuple(texts: Sequence[str]) -> str:
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"

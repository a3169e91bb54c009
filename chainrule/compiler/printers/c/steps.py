"""The steps of a plan as loops over the numbers of one example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....engine.table import Primitive
from ...accesses import NARROW
from ...plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, SUMS, Operand, Step
from .helpers import ALONG
from .places import CONSTANT, COUNT, Places
from .text import (
    array_text,
    assigned,
    bare,
    comment,
    indented,
    index,
    merged,
    nested,
    offset_of,
    room_at,
    times,
)

_WORDS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "**": "power"}
"""What a comment calls the rows whose name is a sign."""


class Steps(Places):
    """A function in the making: its steps as text."""

    def lines(self, steps: Sequence[Step]) -> list[str]:
        """Return the statements of *steps*."""
        found: list[str] = []
        at = 0
        while at < len(steps):
            step, at = steps[at], at + 1
            if step.code != "loop":
                found += [f"/* {self._named(step)} */", *getattr(self, "_" + step.code)(step)]
                continue
            count, n = step.detail
            around, self.round = self.round, f"{self.round}_" if self.round else "round"
            head = f"for (int {self.round} = 0; {self.round} < {count}; {self.round}++) {{"
            found += [head, *indented(self.lines(steps[at : at + n])), "}"]
            self.round, at = around, at + n
        return found

    def _named(self, step: Step) -> str:
        if step.code in ("apply", "call"):
            name = self.plan.rows[step.detail[0]].name
            return comment(_WORDS.get(name, name))
        return step.code.replace("_", " ")

    def _loops(
        self,
        extents: Sequence[int],
        operands: Sequence[Operand],
        body: Callable[[list[str]], list[str]],
        first: int = 0,
        moves: Sequence[int] = (),
    ) -> list[str]:
        """Return loops over *extents*; *body* is given the elements, and returns statements.

        By each of *moves* an operand goes on with the round of the loop around.
        """
        axes = merged(extents, [x.strides[: len(extents)] for x in operands])
        names = [index(first + i) for i in range(len(axes))]
        elements = [
            self.element(
                x,
                [
                    *((self.round, by) for by in moves[i : i + 1]),
                    *((n, s[i]) for n, (_, s) in zip(names, axes, strict=True)),
                ],
            )
            for i, x in enumerate(operands)
        ]
        found = body(elements)
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *indented(found), "}"]
        return found

    def _apply(self, step: Step) -> list[str]:
        row = self.plan.rows[step.detail[0]]

        def body(elements: list[str]) -> list[str]:
            return assigned(elements[0], self.file.expression(row, elements[1:]))

        return self._loops(step.extents, step.operands, body)

    def _one_minus(self, step: Step) -> list[str]:
        return self._complement(step, ONE_MINUS)

    def _one_minus_square(self, step: Step) -> list[str]:
        return self._complement(step, ONE_MINUS_SQUARE)

    def _complement(self, step: Step, which: int) -> list[str]:
        return self._loops(
            step.extents,
            step.operands,
            lambda x: assigned(x[0], self.file.flat_expression(which, x[1:])),
        )

    def _copy(self, step: Step) -> list[str]:
        return self._loops(step.extents, step.operands, lambda x: [f"{x[0]} = {bare(x[1])};"])

    def _move(self, step: Step) -> list[str]:
        def body(elements: list[str]) -> list[str]:
            return [f"{elements[0]} = {bare(elements[1])};"]

        return self._loops(step.extents, step.operands, body, moves=step.detail)

    def _add(self, step: Step) -> list[str]:
        return self._loops(step.extents, step.operands, lambda x: [f"{x[0]} += {bare(x[1])};"])

    def _gather(self, step: Step) -> list[str]:
        return self._by_table(step, 1, "=")

    def _scatter(self, step: Step) -> list[str]:
        return self._by_table(step, 0, "=")

    def _scatter_add(self, step: Step) -> list[str]:
        return self._by_table(step, 0, "+=")

    def _by_table(self, step: Step, which: int, sign: str) -> list[str]:
        numbers = self.plan.tables[step.detail[0]].tolist()
        least = min(numbers)  # from there on: what lies before may be in another array
        many = len(numbers) > 1
        at = f"{self.file.table([n - least for n in numbers])}[i]" if many else "i"
        elements = []
        for i, x in enumerate(step.operands):
            stride = x.strides[0] if many else 0
            if i == which:
                x = x._replace(offset=x.offset + least * x.strides[0])
            elements.append(self.element(x, [(at if i == which else "i", stride)]))
        line = f"{elements[0]} {sign} {bare(elements[1])};"
        return nested([f"for (int i = 0; i < {len(numbers)}; i++) {{"] if many else [], [line])

    def _product(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - 1, "0.0@")

    def _linked_product(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - 1, "0.0@")

    def _sum(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - step.detail[0], "-0.0@")

    def _squared_distance(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - step.detail[0], "0.0@")

    def _weighted_difference(self, step: Step) -> list[str]:
        return self._summed(step, len(step.extents) - step.detail[0], "0.0@")

    def _summed(self, step: Step, outer: int, zero: str) -> list[str]:
        """Return loops around a sum over the indices from *outer* on."""
        into, *factors = step.operands
        sign = "+=" if into.space == SUMS else "="

        def terms(elements: list[str]) -> str:
            if step.code == "squared_distance":
                return " * ".join([f"({elements[0]} - {elements[1]})"] * 2)
            if step.code == "weighted_difference":
                return f"{bare(elements[0])} * ({elements[1]} - {elements[2]})"
            return " * ".join(map(bare, elements[:2])) if len(elements) > 1 else elements[0]

        axes = merged(step.extents[:outer], [x.strides[:outer] for x in step.operands])
        names = [index(i) for i in range(len(axes))]
        inner = merged(step.extents[outer:], [x.strides[outer:] for x in factors])
        inner_names = [index(len(axes) + i) for i in range(len(inner))]

        def at(x: Operand, which: int, is_factor: bool) -> str:
            found = [(n, s[which]) for n, (_, s) in zip(names, axes, strict=True)]
            if is_factor:
                found += [(n, s[which - 1]) for n, (_, s) in zip(inner_names, inner, strict=True)]
            return self.element(x, found)

        result = at(into, 0, False)
        given = [at(x, i + 1, True) for i, x in enumerate(factors)]
        masked = step.code == "linked_product"
        if not inner and not masked:
            found = [f"{result} {sign} {terms(given)};"]
        else:
            found = [f"total += {terms(given)};"]
            if masked:
                found = [f"if ({given[2]} != 0.0@) {{", *indented(found), "}"]
            for name, (extent, _) in reversed([*zip(inner_names, inner, strict=True)]):
                head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
                found = [head, *indented(found), "}"]
            found = [f"@real total = {zero};", *found, f"{result} {sign} total;"]
            if not axes:
                found = ["{", *indented(found), "}"]
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *indented(found), "}"]
        return found

    # --- along the last index --------------------------------------------------------------------

    def _along(self, step: Step) -> list[str]:
        """Return loops around a function of the numbers along the last index, or its stretches."""
        *extents, length = step.extents
        starts = self.plan.tables[step.detail[0]].tolist() if step.detail else [0]
        function = self.file.needs(ALONG[step.code])
        axes = merged(extents, [x.strides[:-1] for x in step.operands])
        names = [index(i) for i in range(len(axes))]
        last = index(len(axes) + 1)
        stretch = index(len(axes))
        if step.detail:
            ends = self.file.table([*starts, length])
            first, count = [("start", 1)], "n"
            most = max(np.diff([*starts, length]).tolist())
            opening = [f"const int start = {ends}[{stretch}], n = {ends}[{stretch} + 1] - start;"]
        else:
            first, count, most, opening = [], str(length), length, []
        closing: list[str] = []

        def outer(i: int) -> list[tuple[str, int]]:
            return [(n, s[i]) for n, (_, s) in zip(names, axes, strict=True)]

        def pointer(i: int, along: Sequence[tuple[str, int]]) -> str:
            x = step.operands[i]
            array, offset = self.base(x.space, x.offset)
            text = offset_of(offset, [*outer(i), *along])
            return array if text == "0" else f"{array} + {text}"

        def element(i: int, along: Sequence[tuple[str, int]]) -> str:
            x = step.operands[i]
            return self.element(x, [*outer(i), *along])

        def numbers(i: int, room: int, forced: bool = False) -> str:
            stride = step.operands[i].strides[-1]
            along = [(name, stride) for name, _ in first]
            x = step.operands[i]
            constant = (
                x.space == STILL
                and not self.whole
                and self.still[x.offset]
                in (
                    CONSTANT,
                    COUNT,
                )
            )
            single = constant and not any(x.strides)
            if (stride == 1 or length == 1) and not forced and not single:
                return pointer(i, along)
            self.file.room("line", (room + 1) * most)
            to = offset_of(0, [(last, 1)]) if not room else room_at(room, count, last)
            opening.extend(
                [
                    f"for (int {last} = 0; {last} < {count}; {last}++) {{",
                    f"    line[{to}] = {element(i, [*along, (last, stride)])};",
                    "}",
                ]
            )
            return "line" if not room else f"line + {times(room, count)}"

        narrow = step.code in NARROW or step.code == "cross_entropy"
        if step.code == "cross_entropy":
            numbers(2, 0, True)
            numbers(1, 1, True)
            value = f"{function}(line, {times(2, count)}, NULL)"
            body = [f"{element(0, [])} = {value};"]
        elif narrow:
            z = numbers(1, 0)
            room = "NULL"
            if step.code == "logsumexp":
                self.file.room("line", 2 * most)
                room = f"line + {count}"
            stride = step.operands[0].strides[-1]
            to = element(0, [(stretch, stride)] if step.detail else [])
            body = [f"{to} = {function}({z}, {count}, {room});"]
        else:
            given = [numbers(i, i - 1) for i in range(1, len(step.operands))]
            stride = step.operands[0].strides[-1]
            along = [(name, stride) for name, _ in first]
            if stride == 1 or length == 1:
                to = pointer(0, along)
            else:
                self.file.room("line", 3 * most)
                to = f"line + {times(2, count)}"
                at = room_at(2, count, last)
                closing = [
                    f"for (int {last} = 0; {last} < {count}; {last}++) {{",
                    f"    {element(0, [*along, (last, stride)])} = line[{at}];",
                    "}",
                ]
            body = [f"{function}({', '.join(given)}, {count}, {to});"]
        found = [*opening, *body, *closing]
        if step.detail:
            head = f"for (int {stretch} = 0; {stretch} < {len(starts)}; {stretch}++) {{"
            found = [head, *indented(found), "}"]
        for name, (extent, _) in reversed([*zip(names, axes, strict=True)]):
            head = f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            found = [head, *indented(found), "}"]
        return found

    _segment_sum = _maximum = _minimum = _logsumexp = _softmax = _logsumexp_slopes = _along
    _softmax_pullback = _surprisals = _cross_entropy = _softmax_minus = _along

    # --- places by number ------------------------------------------------------------------------

    def _split(self, step: Step) -> tuple[list[str], list[str], str, list[Any]]:
        """Return the loops' heads but for the last index, the names, and the axes of a step."""
        *extents, _ = step.extents
        axes = merged(extents, [x.strides[:-1] for x in step.operands])
        names = [index(i) for i in range(len(axes))]
        heads = [
            f"for (int {name} = 0; {name} < {extent}; {name}++) {{"
            for name, (extent, _) in zip(names, axes, strict=True)
        ]
        return heads, names, index(len(axes)), axes

    def _one_hot(self, step: Step) -> list[str]:
        heads, names, last, axes = self._split(step)
        result, which = (
            self.element(
                x,
                [
                    *((n, s[i]) for n, (_, s) in zip(names, axes, strict=True)),
                    (last, x.strides[-1]),
                ],
            )
            for i, x in enumerate(step.operands)
        )
        return nested(
            [*heads, f"for (int {last} = 0; {last} < {step.extents[-1]}; {last}++) {{"],
            [f"{result} = {which} == (@real){last} ? 1.0@ : 0.0@;"],
        )

    def _pick(self, step: Step) -> list[str]:
        return self._rows(step, 2)

    def _spread(self, step: Step) -> list[str]:
        return self._rows(step, 0)

    def _rows(self, step: Step, table: int) -> list[str]:
        heads, names, last, axes = self._split(step)
        count, apart = step.detail
        elements = []
        for i, x in enumerate(step.operands):
            terms = [(n, s[i]) for n, (_, s) in zip(names, axes, strict=True)]
            if i != 1:
                terms.append((last, x.strides[-1] if step.extents[-1] > 1 else 0))
            if i == table:
                terms.append(("row", apart))
            elements.append(self.element(x, terms))
        fits = f"{self.file.needs('is_row')}({elements[1]}, {count})"
        loop = f"for (int {last} = 0; {last} < {step.extents[-1]}; {last}++) {{"
        if table == 2:
            found = [
                f"const int row = {fits} ? (int){elements[1]} : -1;",
                *nested([loop], [f"{elements[0]} = row < 0 ? NAN : {elements[2]};"]),
            ]
        else:
            found = [
                f"if ({fits}) {{",
                f"    const int row = (int){elements[1]};",
                *indented(nested([loop], [f"{elements[0]} += {elements[2]};"])),
                "}",
            ]
        return nested(heads, found) if heads else ["{", *indented(found), "}"]

    # --- rows of a tape --------------------------------------------------------------------------

    def _at(self, address: int) -> str:
        return self.number(BLOCK, address) if address >= 0 else self.number(STILL, ~address)

    def _call(self, step: Step) -> list[str]:
        row = self.plan.rows[step.detail[0]]
        result, *args = map(self._at, self.plan.tables[step.detail[1]].tolist())
        return assigned(result, self.file.expression(row, args))

    def _what(self, number: int) -> int | Primitive:
        return number if number < 0 else self.plan.rows[number]

    def _flat(self, step: Step) -> list[str]:
        table = self.plan.tables[step.detail[0]].tolist()
        if self.tabular:
            numbers = []
            for number, *addresses in table:
                what = self._what(number)
                if number >= 0:
                    self.file.flat_expression(what, ["a", "b", "c"])  # raises if it has no kernel
                case = self.file.cases.setdefault(what, len(self.file.cases))
                numbers.append("{" + ", ".join(map(str, (case, *addresses))) + "}")
            name = "steps"
            text = array_text(f"static const int {name}[{len(table)}][5]", numbers)
            return ["{", *indented([*text.splitlines(), f"run({name}, {len(table)});"]), "}"]
        found = []
        for number, result, *args in table:
            what = self._what(number)
            arity = what.arity if isinstance(what, Primitive) and what.arity else 2
            given = [self._at(x) for x in args[:arity]]
            found += assigned(self._at(result), self.file.flat_expression(what, given))
        return found

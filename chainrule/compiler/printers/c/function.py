"""The two functions of a file: the result of one example, and the gradient over a batch."""

from __future__ import annotations

from collections.abc import Sequence

from ...plan import STILL, Operand
from .places import COMPUTED, CONSTANT, GRADIENT
from .steps import Steps
from .text import array_text, bare, function_text, indented, nested, offset_of


class Function(Steps):
    """One function of a file in the making."""

    def forward(self) -> str:
        """Return the function that computes the result of one example."""
        file, plan = self.file, self.plan
        body = [*self.lines(plan.before), *self.lines(plan.each), *self._results()]
        arguments = [*self._arguments(file.single), "@real *result"]
        head = self._opening()
        head += [line for i in range(len(plan.inputs)) for line in self._load(i)]
        unused = self._unused(file.single)
        title = "/* The result of one example. */"
        return function_text(
            title, f"void\n{file.name}_forward", arguments, [*unused, *head, *body]
        )

    def _results(self) -> list[str]:
        found: list[str] = []
        outputs = self.plan.outputs
        start = 0
        while start < len(outputs):
            first, stop = outputs[start], start + 1
            while stop < len(outputs) and self._follows(first, outputs[stop], stop - start):
                stop += 1
            if stop - start > 2:
                array, offset = self.base(first.space, first.offset)
                to, at = offset_of(start, [("i", 1)]), offset_of(offset, [("i", 1)])
                found += [
                    f"for (int i = 0; i < {stop - start}; i++) {{",
                    f"    result[{to}] = {array}[{at}];",
                    "}",
                ]
            else:
                stop = start + 1
                found.append(f"result[{start}] = {bare(self.number(first.space, first.offset))};")
            start = stop
        return found

    def _follows(self, first: Operand, other: Operand, distance: int) -> bool:
        """Return whether *other* lies that far behind *first* in the same array."""
        if other.space != first.space or other.offset != first.offset + distance:
            return False
        if first.space == STILL and not self.whole and self.still[first.offset] != COMPUTED:
            return False
        if first.space == STILL and not self.whole and self.still[other.offset] != COMPUTED:
            return False
        one, other_one = (self.base(x.space, x.offset) for x in (first, other))
        return other_one == (one[0], one[1] + distance)

    def gradient(self) -> str:
        """Return the function that computes the mean over a batch, and its gradient."""
        file, plan = self.file, self.plan
        assert plan.cost is not None
        assert plan.gradient is not None
        before, each, after = (self.lines(x) for x in (plan.before, plan.each, plan.after))
        last = []
        first, stop = plan.gradient
        if self.whole or (self.still[first:stop] != GRADIENT).any():
            last = self._copied(first, stop)
        last.append(f"return {bare(self.number(STILL, plan.cost))};")
        batched = bool(file.single)
        loop: list[str] = []
        for i, (name, many) in enumerate(zip(file.single, file.batch, strict=True)):
            load = self._load(i)
            if name in self.used:
                size = plan.inputs[i][1]
                start = f" + {size} * example" if size > 1 else " + example"
                loop.append(f"const @real *{name} = {many}{start};")
                self.used.add(many)
            loop += load
        loop += each
        if batched and each:
            loop = ["for (int example = 0; example < m; example++) {", *indented(loop), "}"]
        head = self._opening(batched)
        if plan.sums:
            head += [f"for (int i = 0; i < {plan.sums}; i++) {{", "    sums[i] = 0.0@;", "}"]
        arguments = self._arguments(file.batch, ["int m"] if batched else [])
        unused = self._unused(file.batch)
        if batched and not each and not self.whole and "count" not in self.used:
            unused.append("(void)m;")
        if first == stop:
            unused.append("(void)gradient;")
        title = "/* The mean of the results over m examples, and its gradient. */"
        return function_text(
            title if batched else "/* The result, and its gradient. */",
            f"@real\n{file.name}_gradient",
            [*arguments, "@real *gradient"],
            [*unused, *head, *before, *loop, *after, *last],
        )

    def _copied(self, first: int, stop: int) -> list[str]:
        """Return the lines that put the places from *first* to *stop* into the gradient."""
        if self.whole or (self.still[first:stop] == COMPUTED).all():
            places = [self.base(STILL, at) for at in range(first, stop)]
            if len(places) > 1 and all(
                x == (places[0][0], places[0][1] + i) for i, x in enumerate(places)
            ):
                array, offset = places[0]
                return [
                    f"for (int i = 0; i < {stop - first}; i++) {{",
                    f"    gradient[i] = {array}[{offset_of(offset, [('i', 1)])}];",
                    "}",
                ]
        return [
            f"gradient[{i}] = {bare(self.number(STILL, at))};"
            for i, at in enumerate(range(first, stop))
        ]

    def _arguments(self, names: Sequence[str], between: Sequence[str] = ()) -> list[str]:
        found = ["const @real *parameters"] if self.file.signature.parameters else []
        return [*found, *between, *(f"const @real *{name}" for name in names)]

    def _unused(self, names: Sequence[str]) -> list[str]:
        given = [*(["parameters"] if self.file.signature.parameters else []), *names]
        return [f"(void){name};" for name in given if name not in self.used]

    def _opening(self, batched: bool = False) -> list[str]:
        """Return the constants of the function, and the places that are filled first."""
        plan, found = self.plan, []
        if "constants" in self.used:
            numbers = [0.0] * self.constant.size
            for start, stop in self.constant.intervals:
                for at in range(start, stop):
                    numbers[self.constant(at)] = float(plan.still[at])
            texts = [bare(self.file.literal(x)) for x in numbers]
            found += array_text(f"static const @real constants[{len(texts)}]", texts).splitlines()
        count = "(@real)m" if batched else "1.0@"
        if "count" in self.used:
            found.append(f"const @real count = {count};")
        if self.whole:
            found += self._filled(count)
        if self.whole or self.moved:
            found += self._placed()
        return found

    def _filled(self, count: str) -> list[str]:
        """Return the lines that put the number of examples and the constants into STILL."""
        plan = self.plan
        outside = [i for i in range(len(plan.still)) if i not in range(*plan.parameters)]
        constant = [i for i in outside if self.still[i] == CONSTANT]
        found = [f"fixed[0] = {count};"]
        if constant:
            texts = [bare(self.file.literal(float(plan.still[i]))) for i in constant]
            places, n = self.file.table(constant), len(constant)
            found += array_text(f"static const @real constants[{n}]", texts).splitlines()
            found += nested(
                [f"for (int i = 0; i < {n}; i++) {{"], [f"fixed[{places}[i]] = constants[i];"]
            )
        return found

    def _placed(self) -> list[str]:
        """Return the lines that put the parameters into STILL, in the order it has them."""
        start, stop = self.plan.parameters
        if start == stop:
            return []
        self.used.add("parameters")
        at = f"{self.file.table(self.file.signature.order)}[i]" if self.moved else "i"
        to = offset_of(self.fixed(start), [("i", 1)])
        loop = f"for (int i = 0; i < {stop - start}; i++) {{"
        return [
            "/* the parameters, in the order in which they are read */",
            *nested([loop], [f"fixed[{to}] = parameters[{at}];"]),
        ]

    def _load(self, i: int) -> list[str]:
        """Return the lines that bring an argument to where it is worked on."""
        first, count = self.plan.inputs[i]
        if not count or i in self.direct:
            return []
        name = self.file.single[i]
        self.used.add(name)
        if count == 1:
            return [f"work[{self.work(first)}] = {name}[0];"]
        return [
            f"for (int i = 0; i < {count}; i++) {{",
            f"    work[{offset_of(self.work(first), [('i', 1)])}] = {name}[i];",
            "}",
        ]

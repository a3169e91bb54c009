"""The plan of a graph without width as NumPy source, one number after another.

A number is a vector with an entry for each example, or one number that all have in common.  What is
used once is written where it is used.  The places of the plan, which are used again and again, do
not show: every number that has a name has one of its own.
"""

from __future__ import annotations

import bisect
import itertools
import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from ...engine import table as primitives
from ...engine.table import Primitive
from ..addresses import Shape
from ..plan import BLOCK, ONE_MINUS, ONE_MINUS_SQUARE, STILL, SUMS, Operand, Plan, Step
from ..program import distinct_names
from .literals import WIDTH
from .names import free_names, is_taken
from .rows import ATOM, CONDITIONS, PRODUCT, RowText, module, need, number_text, spelled

_TOTAL = -3  # beside the two complements: the sum over the examples
_SUMS = 1 << 40  # what is added to the place of a sum, to tell it from rows
_SPECIAL = {
    ONE_MINUS: RowText("sigmoid(-{1})", ATOM, (0, ATOM), "sigmoid"),
    ONE_MINUS_SQUARE: RowText("one_minus_square({0}, {1})", ATOM, (0, 0), "one_minus_square"),
}

Key = int | tuple[int, float]
"""The number of a row in the plan, or a complement; with the exponent, if that is a constant."""


def write(
    plans: Mapping[str, Plan], inputs: Sequence[tuple[str, Shape]], labels: Sequence[str]
) -> str:
    """Return a NumPy module with a function for each of *plans*.

    *inputs* are the names of the arguments and the shapes of an example, *labels* those of the
    parameters, which are one vector in the module.
    """
    helpers: dict[str, None] = {}
    names = row_names(plans)
    functions = [
        _Function(plan, inputs, labels, names, helpers).text(name) for name, plan in plans.items()
    ]
    return module(functions, helpers, {})


def row_names(plans: Mapping[str, Plan]) -> dict[Primitive, str]:
    """Return the names by which the source calls the rows: their own, if those are free."""
    rows = list(dict.fromkeys(row for plan in plans.values() for row in plan.rows))
    return dict(zip(rows, distinct_names(row.name for row in rows), strict=True))


class _Function:
    """One function in the making."""

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[tuple[str, Shape]],
        labels: Sequence[str],
        names: Mapping[Primitive, str],
        helpers: dict[str, None],
    ):
        self.plan, self.inputs, self.names, self.helpers = plan, inputs, names, helpers
        # Values are counted as they are made.  Of each: its text and how tightly it binds, how
        # often it is used, whether it differs between examples, and what it is made of.
        self.texts: list[str] = []
        self.binds: list[int] = []
        self.uses: list[int] = []
        self.varies: list[bool] = []
        self.made: list[tuple[int, tuple[int, ...]] | None] = []
        self.numbers: dict[int, float] = {}  # constants among them
        self.conditions: dict[int, str] = {}  # that are written where they are used
        self.at: dict[int, int] = {}  # which value is at an address
        self.forms: dict[Key, RowText] = {}
        self._name_arguments(labels)

    def _name_arguments(self, labels: Sequence[str]) -> None:
        arrays = [name for name, _ in self.inputs]
        vector = free_names([*arrays, "theta"])[-1]
        self.arguments = [*([vector] if labels else []), *arrays]
        taken = set(self.arguments)
        self.opening: dict[str, str] = {}  # lines that put what is given into places, by its name
        first, stop = self.plan.parameters
        self.parameters = [f"{vector}[{i}]" for i in range(stop - first)]
        if len(set(labels)) == len(labels) and all(map(_is_name, labels)):
            line = f"{', '.join(labels)}{',' if len(labels) == 1 else ''} = {vector}"
            if len(line) < WIDTH and taken.isdisjoint(labels) and labels:
                self.parameters = list(labels)
                self.opening[vector] = line
                taken.update(labels)
        self.columns: list[str] = []
        for array, shape in self.inputs:
            candidates = (array.lower() + "_" * n for n in itertools.count())
            name = next(x for x in candidates if x == array or not (x in taken or is_taken(x)))
            taken.add(name)
            self.columns.append(name)
            turned = array + ("" if len(shape) == 1 else f".reshape(len({array}), -1)") + ".T"
            self.opening[array] = f"{name} = {turned if shape else f'{array}.reshape(-1)'}"
        self.taken = taken
        self.needed = {"m": False} | dict.fromkeys(self.arguments, False)

    # --- what there is ---------------------------------------------------------------------------

    def _value(self, text: str, binds: int, varies: bool) -> int:
        """Return a new value."""
        self.texts.append(text)
        self.binds.append(binds)
        self.uses.append(0)
        self.varies.append(varies)
        self.made.append(None)
        return len(self.texts) - 1

    def _given(self, address: int) -> int:
        """Return the value at an address where no step has written: given, or a constant."""
        if address >= 0:
            starts = [first for first, _ in self.plan.inputs]
            which = bisect.bisect_right(starts, address) - 1
            array, shape = self.inputs[which]
            place = f"[{address - starts[which]}]" if shape else ""
            value = self._value(self.columns[which] + place, ATOM, True)
            self.needed[array] = True
        elif address == ~0:
            value = self._value("m", ATOM, False)
            self.needed["m"] = True
        elif self.plan.parameters[0] <= ~address < self.plan.parameters[1]:
            value = self._value(self.parameters[~address - self.plan.parameters[0]], ATOM, False)
            self.needed[self.arguments[0]] = True
        else:
            x = float(self.plan.still[~address])
            value = self._value(*number_text(x), False)
            self.numbers[value] = x
        self.at[address] = value
        return value

    def _read(self, address: int) -> int:
        found = self.at.get(address)
        return self._given(address) if found is None else found

    def _make(self, row: int, address: int, args: tuple[int, ...]) -> None:
        """Note that the value at *address* is now *row* of the values *args*."""
        if row >= 0 and self.plan.rows[row] is primitives.identity:
            self.at[address] = args[0]
            return
        varies, uses = False, self.uses
        for x in args:
            uses[x] += 1
            varies = varies or self.varies[x]
        value = self._value("", ATOM, varies and row != _TOTAL)
        self.made[value] = row, args
        self.at[address] = value

    def read_steps(self, steps: Sequence[Step]) -> None:
        """Note what the *steps* make of what."""
        for step in steps:
            if step.code == "flat":
                self._flat(self.plan.tables[step.detail[0]].tolist())
            elif step.code == "call":
                into, *given = self.plan.tables[step.detail[1]].tolist()
                self._make(step.detail[0], into, tuple(map(self._read, given)))
            else:
                self._piece(step)

    def _flat(self, table: Sequence[Sequence[int]]) -> None:
        arity = [row.arity or 2 for row in self.plan.rows] + [2, 2]  # the last are the complements
        at = self.at
        for row, into, *given in table:
            args = tuple([at[x] if x in at else self._given(x) for x in given[: arity[row]]])
            self._make(row, into, args)

    def _piece(self, step: Step) -> None:
        """Note a step over some places one after another."""
        (count,) = step.extents
        into, *given = [_addresses(x, count) for x in step.operands]
        if step.code == "gather":
            x = step.operands[1]
            table = self.plan.tables[step.detail[0]].tolist()
            given = [[_address(x.space, x.offset + i * x.strides[0]) for i in table]]
        for address, *args in zip(into, *given, strict=True):
            values = tuple(map(self._read, args))
            if step.code in ("gather", "copy"):
                self.at[address] = values[0]
            elif step.code == "sum":
                self._make(_TOTAL, address, values)
            elif step.code == "apply":
                self._make(step.detail[0], address, values)
            else:
                raise NotImplementedError(f"a flat plan has no step {step.code!r}")

    # --- text ------------------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """Return the function."""
        plan = self.plan
        for steps in (plan.before, plan.each, plan.after):
            self.read_steps(steps)
        if plan.cost is None:
            results = [self._read(_address(x.space, x.offset)) for x in plan.outputs]
        else:
            assert plan.gradient is not None
            results = [self._read(~at) for at in (plan.cost, *range(*plan.gradient))]
        for value in results:
            self.uses[value] += 1
        lines = self._lines()
        texts = [self.texts[value] for value in results]
        if plan.cost is not None:
            last = _listed(f"return {texts[0]}, [np.array(", texts[1:], ")]")
        elif self.inputs:
            for i, value in enumerate(results):
                if not self.varies[value]:
                    texts[i] = f"np.full(len({self.inputs[0][0]}), {texts[i]})"
            last = _listed("return np.column_stack(", texts, ")")
        else:
            last = _listed("return np.array(", texts, ")")
        head = [f"m = len({self.inputs[0][0]})"] if self.needed["m"] else []
        head += [line for array, line in self.opening.items() if self.needed[array]]
        body = "\n".join(f"    {line}" for line in [*head, *lines, *last])
        return f'@np.errstate(all="ignore")\ndef {name}({", ".join(self.arguments)}):\n{body}'

    def _lines(self) -> list[str]:
        """Return the lines that give names to what is not written where it is used."""
        lines: list[str] = []
        texts, uses, binds = self.texts, self.uses, self.binds
        names = (x for i in itertools.count(1) if (x := f"v{i}") not in self.taken)
        for value, made in enumerate(self.made):
            if made is None or not uses[value]:
                continue
            row, args = made
            text, bind = self._expression(value, row, args)
            if uses[value] == 1 and len(text) < WIDTH - 20:
                texts[value], binds[value] = text, bind
            else:
                self.conditions.pop(value, None)
                texts[value] = name = next(names)
                lines.append(f"{name} = {text}")
        return lines

    def _expression(self, value: int, row: int, args: tuple[int, ...]) -> tuple[str, int]:
        texts, binds = self.texts, self.binds
        given = [(texts[x], binds[x]) for x in args]
        if row == _TOTAL:
            if self.varies[args[0]]:
                return RowText("{0}.sum()", ATOM, (ATOM,)).write(given), ATOM
            self.needed["m"] = True
            return RowText("m * {0}", PRODUCT, (PRODUCT + 1,)).write(given), PRODUCT
        key: Key = row
        primitive = self.plan.rows[row] if row >= 0 else None
        if primitive is primitives.power and args[1] in self.numbers:
            key = row, self.numbers[args[1]]
        form = self.forms.get(key)
        if form is None:
            form = self.forms[key] = self._form(key, primitive, len(args))
        if args[0] in self.numbers and all(x in self.numbers for x in args):
            # Python's own arithmetic would raise where NumPy's gives an infinity.
            given[0] = f"np.float64({given[0][0]})", ATOM
        if primitive is primitives.where:
            given[0] = self.conditions.get(args[0], texts[args[0]]), ATOM
        elif primitive is not None and primitive.name in CONDITIONS:
            condition = RowText(CONDITIONS[primitive.name], 0, form.needs)
            if condition.text in form.text:  # and not a user's own row of that name
                self.conditions[value] = condition.write(given)
        text = form.write(given)
        if form.is_call and not self.varies[value]:
            text = f"np.float64({text})"
        return text, form.binds

    def _form(self, key: Key, row: Primitive | None, count: int) -> RowText:
        if row is None:
            form = _SPECIAL[key]  # type: ignore[index]
        else:
            form = spelled(row, count, self.names[row], key[1] if isinstance(key, tuple) else None)
        if form.helper:
            need(self.helpers, form.helper)
        return form


def _address(space: int, offset: int) -> int:
    return {BLOCK: offset, STILL: ~offset, SUMS: offset + _SUMS}[space]


def _addresses(x: Operand, count: int) -> list[int]:
    return [_address(x.space, x.offset + i * x.strides[0]) for i in range(count)]


def _is_name(label: str) -> bool:
    return label.isidentifier() and not (keyword.iskeyword(label) or is_taken(label))


def _listed(before: str, texts: Sequence[Any], after: str) -> list[str]:
    """Return a list of *texts* as lines."""
    line = f"{before}[{', '.join(texts)}]{after}"
    if len(line) < WIDTH:
        return [line]
    lines, row = [f"{before}["], ""
    for text in texts:
        if row and len(row) + len(text) > WIDTH - 8:
            lines.append("    " + row.rstrip())
            row = ""
        row += f"{text}, "
    return [*lines, "    " + row.rstrip(), f"]{after}"]

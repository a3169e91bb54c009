"""A program with loops as NumPy source: the sections as functions, and ``for`` loops around them.

Forward, a loop hands the state from step to step.  Backward it is backpropagation through time: the
states were kept, and the loop goes from the last step to the first with the adjoint of the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...engine.backend import Value
from ..addresses import AnyArray, Shape
from ..pieces import Section
from ..sections import RESULT, LoopedArrays, LoopSections, free_name
from .numpy import Emitter
from .rows import module

_WIDTH = 88


@dataclass
class _Array:
    """Parameters that are one argument of the printed functions."""

    name: str
    shape: Shape
    place: dict[Value, int]

    @property
    def by(self) -> str:
        """The name of the derivative."""
        return (
            self.name.replace("Theta", "D") if self.name.startswith("Theta") else f"d_{self.name}"
        )


@dataclass
class _Function:
    """A printed section, and how it is called."""

    name: str
    arrays: dict[int, _Array]
    """For the operations that are parameters."""


def write(found: LoopedArrays) -> tuple[str, tuple[Value, ...]]:
    """Return the text of a NumPy module, and the leaves in the order of its arguments."""
    writer = _Writer(found)
    return writer.text(), tuple(leaf for array in writer.arrays for leaf in array.place)


class _Writer:
    """A module in the making."""

    def __init__(self, found: LoopedArrays) -> None:
        self.found = found
        self.arrays: list[_Array] = []
        self.texts: list[str] = []
        self.helpers: dict[str, None] = {}
        self.constants: dict[str, AnyArray] = {}
        self.count = 0  # of constants that are named
        names = [group.name for group in found.arguments]
        self.taken = {"m", "k", "cost", "forward", "gradient", *names}
        for loop in found.loops:
            own = {loop.state, loop.states, loop.x, loop.xs, loop.held, loop.y, loop.ys}
            self.taken |= own | {f"d_{name}" for name in own}
        self.functions: dict[int, _Function] = {}

    def text(self) -> str:
        """Return the whole module."""
        several = len(self.found.loops) > 1
        backward = self.found.end_back is not None
        for i, loop in enumerate(self.found.loops):
            number = str(i + 1) if several else ""
            assert loop.step is not None
            self._print(loop.step, f"step{number}")
            for k, (_, back) in enumerate(loop.backs):
                ending = "" if k == len(loop.backs) - 1 else f"_from_end_{k + 1}"
                self._print(back, f"step{number}_back{ending}")
            for name, source in loop.sources.items():
                if source.section is not None:
                    self._print(source.section, f"make_{name}")
                if source.back is not None:
                    self._print(source.back, f"make_{name}_back")
        self._print(self.found.end, "end")
        if self.found.end_back is not None:
            self._print(self.found.end_back, "end_back")
        tops = [self._forward(), *([self._gradient()] if backward else [])]
        return module([*self.texts, *tops], self.helpers, self.constants)

    # --- sections --------------------------------------------------------------------------------

    def _print(self, section: Section, name: str) -> None:
        """Append the text of a *section* as a function, and note how it is called."""
        if id(section) in self.functions:
            return
        program = section.program
        emitter = Emitter(program, self.count)
        self.count += len(program.constants)
        program.arguments[name] = section.takes
        text = emitter.function(name, section.results, lambda x: f"return {', '.join(x)}")
        self.texts.append(text.replace('@np.errstate(all="ignore")\n', ""))
        self.helpers.update(emitter.helpers)
        for number, constant in emitter.constants.items():
            self.constants[constant] = program.constants[number]
        arrays = {}
        for n, leaves in section.blocks.items():
            stem, _ = emitter.text.get(n, (program.names.get(n, "theta"), 0))
            arrays[n] = self._array(leaves, program.operations[n].shape, stem)
        self.functions[id(section)] = _Function(name, arrays)

    def _array(self, leaves: Sequence[Value], shape: Shape, stem: str) -> _Array:
        """Return the array that holds *leaves*; those that no other has are in a new one."""
        place = {leaf: i for i, leaf in enumerate(leaves)}
        for array in self.arrays:
            if list(array.place) == list(leaves):
                return array
        new = [x for x in place if not any(x in array.place for array in self.arrays)]
        if len(new) == len(place):
            self.arrays.append(_Array(free_name(stem, self.taken), shape, place))
            return self.arrays[-1]
        if new:
            rest = {leaf: i for i, leaf in enumerate(new)}
            self.arrays.append(_Array(free_name("theta", self.taken), (len(new),), rest))
        return _Array("", shape, place)

    # --- the whole -------------------------------------------------------------------------------

    def _head(self, name: str) -> list[str]:
        """Return the first lines of a function."""
        examples = [group.name for group in self.found.arguments]
        arguments = ", ".join([*(array.name for array in self.arrays), *examples])
        lines = [f"def {name}({arguments}):", f"    m = len({examples[0]})"]
        return ['@np.errstate(all="ignore")', *lines]

    def _constant(self, numbers: AnyArray) -> str:
        stem = "c" if numbers.dtype.kind == "f" else "i"
        name = f"{stem}{self.count}"
        self.count += 1
        self.constants[name] = numbers
        return name

    def _call(self, section: Section, texts: dict[str, str]) -> str:
        """Return a call; *texts* are what stands for arrays whose own name does not."""
        function = self.functions[id(section)]
        arguments = [self._reading(function.arrays[n]) for n in section.takes]
        arguments += [texts.get(name, name) for name in section.program.inputs]
        return f"{function.name}({', '.join(arguments)})"

    def _reading(self, array: _Array) -> str:
        """Return an expression for parameters that may be parts of several arrays."""
        if array.name:
            return array.name
        parts = [
            f"{whole.name}.ravel()[{self._constant(np.array(at))}]"
            for whole in self.arrays
            if (at := [whole.place[leaf] for leaf in array.place if leaf in whole.place])
        ]
        order = [leaf for whole in self.arrays for leaf in array.place if leaf in whole.place]
        where = [order.index(leaf) for leaf in array.place]
        text = parts[0] if len(parts) == 1 else f"np.concatenate([{', '.join(parts)}])"
        if where != list(range(len(where))):
            text += f"[{self._constant(np.array(where))}]"
        return text if len(array.shape) == 1 else f"{text}.reshape({array.shape})"

    def _adding(self, array: _Array, by: str) -> list[str]:
        """Return lines that add derivatives *by* the parameters in *array*."""
        if array.name:
            return [f"{array.by} += {by}"]
        leaves, lines = list(array.place), []
        for whole in self.arrays:
            some = [leaf for leaf in leaves if leaf in whole.place]
            if some:
                to = self._constant(np.array([whole.place[leaf] for leaf in some]))
                of = self._constant(np.array([leaves.index(leaf) for leaf in some]))
                lines.append(f"{whole.by}.ravel()[{to}] += {by}.ravel()[{of}]")
        return lines

    def _enter(self, loop: LoopSections) -> list[str]:
        """Return lines that make what goes into a loop."""
        n, nx, ny = loop.widths
        shapes = {loop.state: f"{n}", loop.xs: f"{loop.loop.count}, {nx}"}
        lines = []
        for name, source in loop.sources.items():
            shape = shapes.get(name)
            if source.numbers is not None:
                text = f"np.broadcast_to({self._numbers(source.numbers)}, (m, {shape}))"
            elif source.section is not None:
                text = self._call(source.section, {})
            else:
                assert source.argument is not None
                text = source.argument
            if source.argument is not None or (source.section is not None and name == loop.xs):
                text += f".reshape(m, {shape})"
            lines.append(f"{name} = {text}")
        if ny:
            lines.append(f"{loop.ys} = np.empty((m, {loop.loop.count}, {ny}))")
        return lines

    def _numbers(self, numbers: AnyArray) -> str:
        """Return *numbers* as text, in short if they are one, or count from one on."""
        flat = numbers.ravel()
        if (flat == flat[0]).all() and (flat[0] or not np.signbit(flat).any()):
            return repr(float(flat[0]))
        if len(flat) > 3 and np.array_equal(flat, flat[0] + np.arange(len(flat))):
            first, last = flat[0], flat[0] + len(flat)
            text = f"np.arange({first}, {last})"
            return text if numbers.ndim == 1 else f"{text}.reshape{numbers.shape}"
        return self._constant(numbers)

    def _step(self, loop: LoopSections, state: str, after: str) -> str:
        """Return the line of a step."""
        assert loop.step is not None
        texts = {loop.state: state, loop.x: f"{loop.xs}[:, k]"}
        gives = {loop.state: after, loop.y: f"{loop.ys}[:, k]"}
        into = ", ".join(gives[name] for name in loop.step.gives)
        return f"    {into} = {self._call(loop.step, texts)}"

    def _ys(self) -> dict[str, str]:
        """Return how what goes out of loops is read: without its last axis where that is 1."""
        return {loop.ys: f"{loop.ys}[..., 0]" for loop in self.found.loops if loop.widths[2] == 1}

    def _forward(self) -> str:
        body: list[str] = []
        for loop in self.found.loops:
            body += self._enter(loop)
            body.append(f"for k in range({loop.loop.count}):")
            body.append(self._step(loop, loop.state, loop.state))
        body.append(f"return {self._call(self.found.end, self._ys())}")
        return self._function("forward", body)

    def _function(self, name: str, body: Sequence[str]) -> str:
        lines = [part for line in body for part in _broken(line)]
        return "\n".join([*self._head(name), *("    " + line for line in lines)])

    def _gradient(self) -> str:
        loops, end_back = self.found.loops, self.found.end_back
        assert end_back is not None
        body = [f"{array.by} = np.zeros({_shape(array.shape)})" for array in self.arrays]
        for loop in loops:
            n, _, _ = loop.widths
            count, states = loop.loop.count, loop.states
            body += self._enter(loop)
            if n:
                body.append(f"{states} = np.empty(({count + 1}, m, {n}))")
                body.append(f"{states}[0] = {loop.state}")
            body.append(f"for k in range({count}):  # every state is kept")
            body.append(self._step(loop, f"{states}[k]", f"{states}[k + 1]"))
            if n:
                body.append(f"{loop.state} = {states}[{count}]")
        result, ys = self._call(self.found.end, self._ys()), self._ys()
        body.append(f"cost = {result}.sum() / m")
        self.made: set[str] = set()
        body += self._back(end_back, {**ys, f"d_{RESULT}": "np.ones((m, 1))"})
        for loop in reversed(loops):
            body += self._loop_back(loop)
        by = ", ".join(f"{array.by} / m" for array in self.arrays)
        body.append(f"return cost, [{by}]")
        return self._function("gradient", body)

    def _back(self, section: Section, texts: dict[str, str]) -> list[str]:
        """Return the lines of a way back outside of a loop: its adjoints are added to others."""
        if not section.results:
            return []
        targets: list[str] = []
        after: list[str] = []
        for name in section.gives:
            axis = "[..., None]" if name in self._ys() else ""
            if f"d_{name}" in self.made:
                targets.append(f"more_{name}")
                after.append(f"d_{name} = d_{name} + more_{name}{axis}")
            else:
                targets.append(f"d_{name}")
                if axis:
                    after.append(f"d_{name} = d_{name}{axis}")
            self.made.add(f"d_{name}")
        return self._assigned(section, targets, texts) + after

    def _assigned(
        self, section: Section, targets: Sequence[str], texts: dict[str, str]
    ) -> list[str]:
        """Return the lines of a call that gives *targets*, and derivatives by parameters."""
        by = self.functions[id(section)].arrays
        parts = [f"by_{i + 1}" for i in range(len(section.by))]
        lines = [f"{', '.join([*targets, *parts])} = {self._call(section, texts)}"]
        for n, part in zip(section.by, parts, strict=True):
            lines += self._adding(by[n], part)
        return lines

    def _loop_back(self, loop: LoopSections) -> list[str]:
        """Return the lines of the way back through a loop, and through what goes into it."""
        if not loop.backs:
            return []
        n, nx, ny = loop.widths
        count, lines = loop.loop.count, []
        d_state, d_ys, d_xs, d_held = (f"d_{x}" for x in (loop.state, loop.ys, loop.xs, loop.held))
        if n and d_state not in self.made:
            lines.append(f"{d_state} = np.zeros((m, {n}))")
        if ny and d_ys not in self.made:
            lines.append(f"{d_ys} = np.zeros((m, {count}, {ny}))")
        given = {name for _, back in loop.backs for name in back.gives}
        if loop.x in given:
            lines.append(f"{d_xs} = np.zeros((m, {count}, {nx}))")
        if loop.held in given:
            lines.append(f"{d_held} = np.zeros((m, {loop.held_width}))")
        others = given - {loop.state, loop.x, loop.held}
        for name in sorted(others):
            if f"d_{name}" not in self.made:
                lines.append(f"d_{name} = np.zeros({self._shape_of(name)})")
                self.made.add(f"d_{name}")
        left = count
        texts = {
            **self._ys(),
            loop.state: f"{loop.states}[k]",
            loop.x: f"{loop.xs}[:, k]",
            f"d_{loop.y}": f"{d_ys}[:, k]",
        }
        for rounds, back in loop.backs:
            stop = left - rounds.steps
            span = f"range({left})" if not stop else f"range({stop}, {left})"
            lines.append(f"for k in reversed({span}):  # backward through time")
            lines += ["    " + line for line in self._round(loop, back, texts)]
            left = stop
        self.made |= {d_state} if rounds.before else set()
        for name, source in reversed(loop.sources.items()):
            there = {loop.state: bool(rounds.before), loop.xs: loop.x in given}
            if source.back is not None and there.get(name, name in given):
                flat = {f"d_{name}": f"d_{name}.reshape(m, -1)"} if name == loop.xs else {}
                lines += self._back(source.back, {**self._ys(), **flat})
        return lines

    def _round(self, loop: LoopSections, back: Section, texts: dict[str, str]) -> list[str]:
        """Return the lines of one step back."""
        targets, after = [], []
        for name in back.gives:
            if name == loop.state:
                targets.append(f"d_{name}")
            elif name == loop.x:
                targets.append(f"d_{loop.xs}[:, k]")
            else:
                axis = "[..., None]" if name in self._ys() else ""
                targets.append(f"more_{name}")
                after.append(f"d_{name} += more_{name}{axis}")
        return self._assigned(back, targets, texts) + after

    def _shape_of(self, name: str) -> str:
        """Return the shape of what an earlier loop gave."""
        for loop in self.found.loops:
            n, _, ny = loop.widths
            if name == loop.state:
                return f"(m, {n})"
            if name == loop.ys:
                return f"(m, {loop.loop.count}, {ny})"
        raise LookupError(name)


def _broken(line: str) -> list[str]:
    """Return *line*, in three if it is a long call."""
    if len(line) <= _WIDTH:
        return [line]
    start, _, inner = line.partition(" = ")
    indent = " " * (len(line) - len(line.lstrip()))
    name, bracket, arguments = inner.partition("(")
    if not bracket or not arguments.endswith(")") or len(arguments) > _WIDTH:
        return [line]
    return [f"{start} = {name}(", f"{indent}    {arguments[:-1]}", f"{indent})"]


def _shape(shape: Shape) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)

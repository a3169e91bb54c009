"""The passes one after another: from a recorded graph to a program that can be called.

A :class:`Lifted` is made from one recording.  It runs as an array program or, if the graph has no
width, as a program of scalars.  Before it runs, it tests the data against the rules that the
recorded code demanded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.collecting import uncollected
from ..engine.structures import leaves
from . import explanation, flat
from .adjoint import differentiate
from .batches import Array
from .groups import Grouping, group
from .layout import lay_out
from .plan import Plan
from .printers import flat as printed_flat
from .printers.names import free_names
from .program import Program
from .ready import Hands
from .rules import Rules, rules_for
from .running import ArrayProgram
from .scalars import LUMP, ScalarProgram, least_groups, narrow
from .symbolic import Symbol
from .tape import TIES, Tape, fix, flatten, normalise

Shapes = tuple[tuple[int, ...], ...]
Passes = list[tuple[str, str]]


_MOST_WAYS_BACK = 16  # outputs for each of which a Jacobian goes back through whole arrays


@dataclass
class Recording:
    """A function that was run once: its graph after pass 2, and facts about its arguments."""

    tape: Tape
    members: list[list[int]]
    """The numbers of the leaves of every argument."""
    names: Sequence[str]
    shapes: Shapes

    @functools.cached_property
    def groups(self) -> int:
        """A lower bound on the number of groups of alike nodes."""
        return least_groups(self.tape)


@dataclass
class Lifted:
    """One recording of a function, for examples of certain shapes, in a form that can be called."""

    recording: Recording
    parameters: tuple[Value, ...]
    """The leaves to differentiate with respect to, in the order of the gradient."""
    captured: tuple[Value, ...]
    """All leaves that are read, in the order in which they were made."""
    result: Any
    """The structure of the result, with the number of an output in place of every leaf."""
    stats: dict[str, Any]
    passes: Passes
    """What every pass found, as text."""
    scalars: ScalarProgram
    """What runs if the graph has no width; and what gives a Jacobian of any graph."""
    narrow: bool
    """Whether it has none."""
    _arrays: ArrayProgram | None
    rules: Rules | None = None
    """The rules that the data must keep, if there are any."""
    written_out_because: str = ""
    """Why its loops are written out, if there were loops that might not have been."""
    with_loops: Callable[[], Any] | None = None
    """Records the function again, with loops that were written out only because that is faster."""

    @property
    def shapes(self) -> Shapes:
        """The shapes of one example of each argument."""
        return self.recording.shapes

    @property
    def written_out(self) -> Lifted:
        """This recording, whose loops are written out."""
        return self

    def forward(self, batch: Sequence[Array], hands: Hands = 1) -> Array:
        """Return the outputs, a row each, with a column for each example, or one of a graph."""
        if self.narrow:
            return self.scalars.forward(self.captured, batch, hands)
        return self.arrays.forward(batch, hands)

    @functools.cached_property
    def size(self) -> int:
        """The number of numbers in the result."""
        return len(leaves(self.result))

    def gradient(self, batch: Sequence[Array], hands: Hands = 1) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        if self.narrow:
            return self.scalars.gradient(self.captured, batch, hands)
        return self.arrays.gradient(batch, hands)

    def machine(self, function: str) -> tuple[Any, tuple[Value, ...]]:
        """Return the machine of *function*, which ran before, and the leaves that it reads."""
        if self.narrow:
            return self.scalars.machine(function), self.captured
        return self.arrays.machine(function), self.arrays.parameters

    def jacobian(self, batch: Sequence[Array], wanted: Sequence[int], hands: Hands = 1) -> Array:
        """Return the derivatives of all outputs by the numbers *wanted*.

        There is a column for each, those of the first output first, with a row for each example.
        """
        if not batch and not self.narrow:
            self.forward(batch)  # which checks the indices into tables
        return self.scalars.jacobian(self.captured, batch, wanted, hands)

    def jacobian_by(
        self, batch: Sequence[Array], which: tuple[int, ...], hands: Hands = 1
    ) -> Array:
        """Return the derivatives of all outputs by the numbers in the arguments *which*.

        The columns are in the order of :meth:`jacobian`.  A graph with width stays arrays, unless
        it has so many outputs that most may depend on a small part of it: the way back goes through
        whole arrays for each of them.  On a tie with a Value that the function made itself there
        are shares, which arrays, where such a Value is a constant, do not have.
        """
        tape = self.recording.tape
        # An array may hold constants that were Values and such that were numbers.
        tied = tape.made and tape.are(tape.computed, *TIES).any()
        few = not (self.narrow or tied) and (
            self.size == 1
            or (self.size <= _MOST_WAYS_BACK and self.size * self.arrays.count <= tape.recorded)
        )
        if not few:
            return self.scalars.jacobian_by(self.captured, batch, which, hands)
        lengths = tuple([len(self.recording.members[i]) for i in which])
        return self.arrays.jacobian(batch, which, lengths, hands)

    def numbers_of(self, leaves: Sequence[Value]) -> list[int]:
        """Return the numbers of captured *leaves*, -1 for those that are not read."""
        place = dict(zip(self.captured, self.scalars.parameters, strict=True))
        return [place.get(leaf, -1) for leaf in leaves]

    def numbers_of_arguments(self, which: Sequence[int]) -> list[list[int]]:
        """Return the numbers of the leaves in each of *which* arguments."""
        return [self.scalars.arguments[i] for i in which]

    @property
    def arrays(self) -> ArrayProgram:
        """The array program, made now if there was none yet."""
        if self._arrays is None:
            grouping = group(self.recording.tape, self.recording.members)
            self._arrays, stats, self.passes = _arrays(
                self.recording, grouping, self.parameters, self.scalars.parameters
            )
            self.stats = {**stats, "way": self.stats["way"]}
        return self._arrays

    @functools.cached_property
    def printed(self) -> tuple[str, tuple[Value, ...]]:
        """The program as a NumPy module, and the leaves in the order of its arguments."""
        if self.with_loops is not None:
            again = self.with_loops()
            if not isinstance(again, Lifted):  # else it cannot be a loop after all
                found: tuple[str, tuple[Value, ...]] = again.printed
                return found
        if not self.narrow:
            return self.arrays.source, self.arrays.parameters
        names, shapes = free_names(self.recording.names), self.recording.shapes
        inputs = list(zip(names, shapes, strict=True))
        labels = [leaf.label for leaf in self.captured]
        return printed_flat.write(self.plans(), inputs, labels), self.captured

    def plans(self) -> dict[str, Plan]:
        """Return the plan of each function, as it is run."""
        return self.scalars.plans() if self.narrow else self.arrays.plans()

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: x for key, x in self.__dict__.items() if key != "printed"}
        return {**kept, "with_loops": None}

    def report(self) -> str:
        """Return what every pass found, with the program if there is one."""
        why = self.written_out_because
        parts = [f"Loops\n  written out: {why}"] if why else []
        parts += [f"{title}\n{text}" for title, text in self.passes]
        parts.append("7. Plan\n" + explanation.plan_report(self.plans()))
        if self._arrays is not None:
            parts.append("8. NumPy\n" + self._arrays.source)
        if self.narrow:
            parts.append(f"9. Scalars\n  {self.stats['way']}")
        return "\n\n".join(parts)


def record(
    outputs: Sequence[Any],
    arguments: Sequence[Sequence[Value]],
    names: Sequence[str],
    shapes: Shapes,
    since: int | None = None,
    apart: bool = False,
) -> Recording:
    """Return the graph of *outputs* as a recording: passes 1 and 2.

    *names* are the names of the *arguments*, *shapes* the shapes of one example of each.  A leaf
    with a serial number from *since* on was made by the function itself, so it is a constant.
    Equal nodes are one, unless they are to be *apart*; that is for looking at the tape only.
    """
    with uncollected():
        tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs], apart)
        plain = {n for n, x in zip(tape.outputs, outputs, strict=True) if type(x) is float}
        fix(
            tape,
            [
                n
                for n, leaf in tape.leaves.items()
                if n in plain or (since is not None and leaf.serial >= since)
            ],
        )
        members = tape.arguments(arguments)
        if not apart:
            normalise(tape)
    return Recording(tape, members, names, shapes)


def lift(
    recording: Recording,
    result: Any,
    wrt: Sequence[Value] | None = None,
    demands: modes.Demands | None = None,
    tested: Callable[[Sequence[Any]], Recording] | None = None,
) -> Lifted:
    """Return *recording* as a program over batches of its arguments.

    *result* is the structure of the outputs, and *demands* are the rules for the data, of which
    *tested* makes recordings.  *wrt* are the parameters, by default all leaves that are not
    arguments, in the order in which they were made.
    """
    with uncollected():
        lifted = _lifted(recording, result, wrt)
    if demands and tested is not None:
        numbers = tested
        lifted.rules = rules_for(demands, lambda x: lift(numbers(x), list(range(len(x)))))
    return lifted


def _lifted(recording: Recording, result: Any, wrt: Sequence[Value] | None) -> Lifted:
    """Return *recording* as an array program or, if it has no width, as a program of scalars."""
    tape, numbers = recording.tape, _order(recording)
    captured = tuple([tape.leaves[n] for n in numbers])
    parameters = captured if wrt is None else tuple(wrt)
    place = {tape.leaves[n]: n for n in numbers}
    wanted = [place.get(leaf, -1) for leaf in parameters]
    scalars = ScalarProgram(tape, recording.members, numbers, wanted)
    # The rules check the indices in a function; those in a graph are checked by an array program.
    possible = bool(recording.members) or not flat.takes(tape)

    def lifted(groups: int, grouping: Grouping | None = None) -> Lifted | None:
        """Return the recording in its form, or None if that cannot be said yet."""
        if possible and narrow(tape.recorded, groups):
            stats, passes = explanation.narrow_stats(tape, groups), explanation.tape_passes(tape)
            arrays = None
        elif grouping is not None:
            arrays, stats, passes = _arrays(recording, grouping, parameters)
        else:
            return None
        is_narrow = arrays is None
        return Lifted(
            recording, parameters, captured, result, stats, passes, scalars, is_narrow, arrays
        )

    if found := lifted(recording.groups):
        return found
    grouping = group(tape, recording.members)
    found = lifted(sum(LUMP if part.lump else 1 for part in grouping.groups), grouping)
    assert found is not None
    return found


def _order(recording: Recording) -> list[int]:
    """Return the numbers of the captured leaves, in the order in which they were made."""
    inputs = {n for argument in recording.members for n in argument}
    captured = [n for n in recording.tape.leaves if n not in inputs]
    return sorted(captured, key=lambda n: recording.tape.leaves[n].serial)


def _arrays(
    recording: Recording,
    grouping: Grouping,
    wrt: Sequence[Value],
    order: Sequence[int] = (),
) -> tuple[ArrayProgram, dict[str, Any], Passes]:
    """Return *recording* as an array program that is differentiated with respect to *wrt*.

    If an *order* of the leaves is given, they are kept in it.
    """
    tape, members = recording.tape, recording.members
    layout = lay_out(tape, grouping, members, recording.shapes, order)
    program = layout.program
    program.inputs = free_names(recording.names)
    program.outputs = [_operand(layout.outputs)]
    count = len(program.operations)
    if len(tape.outputs) == 1:
        _add_gradient(layout, bool(members))
    _note_arguments(program)
    parameters = tuple([tape.leaves[n] for n in layout.parameters])
    place = {leaf: i for i, leaf in enumerate(parameters)}
    arrays = ArrayProgram(
        program, parameters, [place.get(leaf, -1) for leaf in wrt], len(tape.outputs), count
    )
    return arrays, explanation.stats(tape, program), explanation.passes(tape, grouping, layout)


def _note_arguments(program: Program) -> None:
    """Note which parameters each function of the program takes."""
    results = {"forward": program.outputs}
    if program.cost is not None:
        results["gradient"] = [program.cost, *(x for _, x in program.gradients)]
    for name, wanted in results.items():
        needed = sorted(program.needed(wanted))
        program.arguments[name] = [n for n in needed if program.operations[n].kind == "parameter"]


def _add_gradient(layout: Any, batched: bool) -> None:
    """Add the backward program, and the mean over the examples."""
    program, builder, output = layout.program, layout.builder, layout.outputs
    found = differentiate(builder, output)
    # A result that no input reaches is its own mean.
    if batched and isinstance(output, Symbol) and output.batched:
        count = builder.emit("count", (1.0,), (1,), False)
        output = primitives.divide(builder.total_batch(output), count)
        found = [(n, primitives.divide(x, count)) for n, x in found]
    program.cost = _operand(output)
    for n, x in found:
        block = builder.broadcast(x, program.operations[n].shape, False)
        program.names.setdefault(block.number, _gradient_name(program.names.get(n, "theta")))
        program.gradients.append((n, block.number))


def _operand(x: Any) -> int | float:
    return x.number if isinstance(x, Symbol) else x


def _gradient_name(name: str) -> str:
    return name.replace("Theta", "D") if name.startswith("Theta") else f"d{name}"

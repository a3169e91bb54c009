"""The passes one after another: from a recorded graph to a program that can be called.

A :class:`Lifted` is made from one recording.  It has an array program, or a replay if the graph has
no width, or both, for batches of different sizes.  Before it runs, it tests the data against the
rules that the recorded code demanded.
"""

from __future__ import annotations

import functools
import gc
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..engine import modes
from ..engine import table as primitives
from ..engine.backend import Value
from ..engine.structures import leaves
from ..engine.vectors import read_data
from . import explanation
from .adjoint import differentiate
from .batches import Array
from .groups import Grouping, group
from .layout import lay_out
from .printers.numpy import free_names
from .program import Program, Symbol
from .replay import LARGEST, LUMP, Replay, largest_batch, least_groups, narrow
from .running import ArrayProgram
from .tape import Ids, Tape, fix, flatten, normalise

Shapes = tuple[tuple[int, ...], ...]
Passes = list[tuple[str, str]]


class Recording(NamedTuple):
    """A function that was run once: its graph after pass 2, and facts about its arguments."""

    tape: Tape
    members: list[list[int]]
    """The numbers of the leaves of every argument."""
    names: Sequence[str]
    shapes: Shapes


@dataclass
class Lifted:
    """One recording of a function, for examples of certain shapes, in a form that can be called."""

    recording: Recording | None
    """What the array program will be made from when it is needed; None once it exists."""
    parameters: tuple[Value, ...]
    """The leaves to differentiate with respect to, in the order of the gradient."""
    captured: tuple[Value, ...]
    """All leaves that are read, in the order in which they were made; a replay takes these."""
    result: Any
    """The structure of the result, with the number of an output in place of every leaf."""
    stats: dict[str, Any]
    passes: Passes
    """What every pass found, as text."""
    replay: Replay | None
    """The replay, if it is faster than the array program for some batches."""
    _arrays: ArrayProgram | None
    rules: Sequence[tuple[modes.Rule, slice]] = ()
    """The rules that the data must keep, each with the results of *tested* that it applies to."""
    tested: Lifted | None = None
    """The program that computes the numbers to which the rules apply."""

    def forward(self, batch: Sequence[Array], threads: int = 1) -> Array:
        """Return the outputs, a row each, with a column for each example, or one of a graph."""
        if self.replay is not None and self.replay.suits(batch):
            found = self.replay.forward(read_data(self.captured), batch)
            return np.ascontiguousarray(found.reshape(-1, self.size).T)
        if self._arrays is None and self.replay is not None:
            found = self.replay.columns.forward(read_data(self.captured), batch)
            return np.ascontiguousarray(found.T)
        return self.arrays.forward(batch, threads)

    @functools.cached_property
    def size(self) -> int:
        """The number of numbers in the result."""
        return len(leaves(self.result))

    def gradient(self, batch: Sequence[Array], threads: int = 1) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        if self.replay is not None and self.replay.suits(batch):
            mean, found = self.replay.gradient(read_data(self.captured), batch)
            return mean, _picked(found, self._from_replay)
        if self._arrays is None and self.replay is not None:
            mean, found = self.replay.columns.gradient(read_data(self.captured), batch)
            return mean, _picked(found, self._from_replay)
        return self.arrays.gradient(batch, threads)

    @functools.cached_property
    def _from_replay(self) -> Places | None:
        return _places(self.parameters, self.captured)

    def test(self, batch: Sequence[Array]) -> None:
        """Raise the error of the first rule that an example of *batch* breaks."""
        if self.tested is None or not len(batch[0]):
            return
        table = self.tested.forward(batch)
        with np.errstate(invalid="ignore"):
            for rule, at in self.rules:
                numbers = table[at]
                kept = rule.holds(numbers)
                if not kept.all():
                    first = int(np.reshape(kept, (-1, table.shape[1])).all(axis=0).argmin())
                    error = rule.error(numbers[:, first].tolist())
                    raise type(error)(f"example {first}: {error}")

    @property
    def arrays(self) -> ArrayProgram:
        """The array program, made now if there was none yet."""
        if self._arrays is None:
            assert self.recording is not None
            tape, replay = self.recording.tape, self.replay
            assert replay is not None
            grouping = group(tape, self.recording.members)
            order = _order(self.recording)
            self._arrays, stats, self.passes = _arrays(
                self.recording, grouping, self.parameters, order
            )
            replay.largest = largest_batch(tape.recorded, _operations(stats))
            self.stats = {**stats, "replay": explanation.replayed_up_to(replay.largest)}
            self.recording = None
        return self._arrays

    def report(self) -> str:
        """Return what every pass found, with the program if there is one."""
        parts = [f"{title}\n{text}" for title, text in self.passes]
        if self._arrays is not None:
            parts.append("7. Plan\n" + explanation.plan_report(self._arrays.plans()))
            parts.append("8. NumPy\n" + self._arrays.source)
        if self.replay is not None:
            parts.append(f"9. Replay\n  {self.stats['replay']}")
        return "\n\n".join(parts)


def lift(
    outputs: Sequence[Any],
    arguments: Sequence[Sequence[Value]],
    names: Sequence[str],
    shapes: Shapes,
    result: Any,
    demands: modes.Demands | None = None,
    since: int | None = None,
    wrt: Sequence[Value] | None = None,
) -> Lifted:
    """Return the graph of *outputs* as a program over batches of *arguments*.

    *names* are the names of the arguments, *shapes* the shapes of one example of each, *result* is
    the structure of the outputs, and *demands* are the rules for the data.  A leaf with a serial
    number from *since* on was made by the function itself, so it is a constant.  *wrt* are the
    parameters, by default all other leaves, in the order in which they were made.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples without cycles: the collector would scan them again and again
    try:
        tape = flatten([x if isinstance(x, Value) else Value(x) for x in outputs])
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
        normalise(tape)
        lifted = _lifted(Recording(tape, members, names, shapes), result, wrt)
    finally:
        if collecting:
            gc.enable()
    if demands:
        ends = [0, *itertools.accumulate(map(len, demands.values()))]
        slices = [slice(*edges) for edges in itertools.pairwise(ends)]
        lifted.rules = list(zip(demands, slices, strict=True))
        values = [x for tested in demands.values() for x in tested]
        lifted.tested = lift(
            values, arguments, names, shapes, list(range(len(values))), since=since
        )
    return lifted


def _lifted(recording: Recording, result: Any, wrt: Sequence[Value] | None) -> Lifted:
    """Return *recording* as an array program, or as a replay if it has no width."""
    tape, numbers = recording.tape, _order(recording)
    captured = tuple([tape.leaves[n] for n in numbers])
    parameters = captured if wrt is None else tuple(wrt)

    def narrowed(groups: int) -> Lifted | None:
        """Return the recording as a replay if it is that narrow and can be replayed, else None."""
        if not narrow(tape.recorded, groups):
            return None
        replay = Replay.of(tape, recording.members, numbers, LARGEST)
        if replay is None:
            return None
        stats, passes = explanation.replay_stats(tape, groups), explanation.tape_passes(tape)
        return Lifted(recording, parameters, captured, result, stats, passes, replay, None)

    if found := narrowed(least_groups(tape)):
        return found
    grouping = group(tape, recording.members)
    if found := narrowed(sum(LUMP if part.lump else 1 for part in grouping.groups)):
        return found
    arrays, stats, passes = _arrays(recording, grouping, parameters)
    most, replay = largest_batch(tape.recorded, _operations(stats)), None
    if most:
        replay = Replay.of(tape, recording.members, numbers, most)
    if replay is not None:
        stats["replay"] = explanation.replayed_up_to(most)
    return Lifted(None, parameters, captured, result, stats, passes, replay, arrays)


class Places(NamedTuple):
    """Where the wanted entries of a gradient are: one behind its last for those that it lacks."""

    at: Ids
    complete: bool


def _places(parameters: Sequence[Value], leaves: Sequence[Value]) -> Places | None:
    """Return the places of *parameters* in *leaves*, or None if both are the same."""
    if tuple(parameters) == tuple(leaves):
        return None
    place = {leaf: i for i, leaf in enumerate(leaves)}
    at = np.array([place.get(x, len(leaves)) for x in parameters], dtype=np.int64)
    return Places(at, place.keys() >= set(parameters))


def _picked(found: Array, places: Places | None) -> Array:
    """Return the entries of *found* at *places*, and 0.0 for those that it lacks."""
    if places is None:
        return found
    return (found if places.complete else np.append(found, 0.0)).take(places.at)


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
    tape, members, names, shapes = recording
    layout = lay_out(tape, grouping, members, shapes, order)
    program = layout.program
    program.inputs = free_names(names)
    program.outputs = [_operand(layout.outputs)]
    if len(tape.outputs) == 1:
        _add_gradient(layout, bool(members))
    _note_arguments(program)
    parameters = tuple([tape.leaves[n] for n in layout.parameters])
    place = {leaf: i for i, leaf in enumerate(parameters)}
    arrays = ArrayProgram(
        program, parameters, [place.get(leaf, -1) for leaf in wrt], len(tape.outputs)
    )
    return arrays, explanation.stats(tape, program), explanation.passes(tape, grouping, layout)


def _operations(stats: dict[str, Any]) -> int:
    """Return the number of array operations in a run."""
    number: int = stats.get("gradient", stats["forward"])
    return number


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

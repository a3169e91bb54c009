"""Programs with loops: recordings in which the body of a loop stands once.

It is the body of a scan, which was recorded once, or a period that :mod:`.periods` found in a loop
of Python.  What runs is a plan of which the loops are a part; :mod:`.linking` makes it.  All that
needs the whole graph (a Jacobian of several numbers) has the loops written out.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine import bodies
from ..engine.backend import Value
from ..engine.bodies import Loop
from ..engine.collecting import uncollected
from ..engine.modes import Demands, WriteOut
from ..engine.structures import leaves
from . import explanation, periods
from .addresses import Shape
from .batches import Array
from .lifting import Recording, lift, record
from .linking import states_kept
from .plan import Plan
from .printers.loops import write
from .printers.names import free_names
from .pruned_loops import loops_for
from .ready import Hands, Ready
from .rolling import rolled, unrolled
from .rules import Rules, rules_for
from .scalars import narrow
from .sections import LoopedArrays, sections
from .tape import TIES, flatten, reachable
from .way_back import WayBack

MOST_LOOPS = 8
MANY_GROUPS = 500
"""Groups from which on a wide graph may be the steps of a loop."""
_FEW_EXAMPLES = 32
"""Up to so many are differentiated one by one, by their numbers, with the loops as they are..."""
_MUCH_WORK = 1_000_000
"""...and any number, if the loops would be so many nodes when they are written out."""


@dataclass
class LoopProgram:
    """A recorded function with loops, to be called; plans are made when they are needed."""

    loops: Sequence[Loop]
    arguments: Sequence[Sequence[Value]]
    outputs: Sequence[Any]
    captured: Sequence[Value]
    wanted: Sequence[Value]
    """The leaves to differentiate by."""
    _ready: dict[str, Ready] = field(default_factory=dict, repr=False)
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False)
    """Those that were made, and are not ready to run yet."""

    def forward(self, batch: Sequence[Array], hands: Hands = 1) -> Array:
        """Return the outputs, a row each, with a column for each example."""
        return self.ready("forward").run(tuple(self.captured), batch, hands)  # type: ignore[no-any-return]

    def gradient(self, batch: Sequence[Array], hands: Hands = 1) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        return self.ready("gradient").run(tuple(self.captured), batch, hands)  # type: ignore[no-any-return]

    def prepare(self, name: str) -> None:
        """Make the plan of a function; WriteOut if there cannot be one."""
        if name not in self._ready and name not in self._plans:
            self._plans[name] = self.plan(name)

    def plan(self, name: str, arrays: bool = True) -> Plan:
        """Return the plan of ``forward`` or ``gradient``; without *arrays*, of single steps."""
        linker = self._linker(arrays)
        return linker.forward() if name == "forward" else linker.gradient()

    def sections(
        self, names: Sequence[str], shapes: Sequence[Shape], backward: bool
    ) -> LoopedArrays:
        """Return the program as functions of arrays, with the way back if *backward*."""
        linker = self._linker(False)
        _ = linker.gradient() if backward else linker.forward()
        return sections(linker, names, shapes)

    def _linker(self, arrays: bool) -> WayBack:
        loops, arguments, outputs = self.loops, self.arguments, self.outputs
        return WayBack(loops, arguments, outputs, self.captured, self.wanted, arrays)

    def ready(self, name: str) -> Ready:
        """Return a function ready to run."""
        if name not in self._ready:
            self.prepare(name)
            self._ready[name] = Ready(self._plans.pop(name), functools.partial(self.plan, name))
        return self._ready[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": {}, "_plans": {}}


@dataclass
class Looped:
    """One recording of a function with loops, in a form that can be called."""

    program: LoopProgram
    parameters: tuple[Value, ...]
    """The leaves to differentiate with respect to, in the order of the gradient."""
    captured: tuple[Value, ...]
    """All leaves that are read, in the order in which they were made."""
    shapes: tuple[tuple[int, ...], ...]
    """The shapes of one example of each argument."""
    names: Sequence[str]
    """The names of the arguments in the printed program."""
    result: Any
    """The structure of the result, with the number of an output in place of every leaf."""
    stats: dict[str, Any]
    write_out: Callable[[], Any] | None
    """Records the function again, with its loops written out; None if that is not possible."""
    rules: Rules | None = None
    """The rules that the data must keep, if there are any."""
    narrow: bool = True
    _by: dict[tuple[int, ...], LoopProgram | None] = field(default_factory=dict, repr=False)

    @functools.cached_property
    def size(self) -> int:
        """The number of numbers in the result."""
        return len(leaves(self.result))

    @functools.cached_property
    def written_out(self) -> Any:
        """The same, with its loops written out, for all that needs the whole graph."""
        if self.write_out is not None:
            return self.write_out()
        arguments, program = self.program.arguments, self.program
        known = {*program.captured, *(x for argument in arguments for x in argument)}
        outputs = unrolled(program.loops, program.outputs, known)
        recording = record(outputs, arguments, self.names, self.shapes)
        return lift(recording, self.result, program.wanted)

    @functools.cached_property
    def printed(self) -> tuple[str, tuple[Value, ...]]:
        """The program as a NumPy module, and the leaves in the order of its arguments."""
        if self.size > 1 or self.has_gradient:
            with contextlib.suppress(WriteOut):
                return write(self.program.sections(self.names, self.shapes, self.size == 1))
        written: tuple[str, tuple[Value, ...]] = self.written_out.printed
        return written

    def forward(self, batch: Sequence[Array], hands: Hands = 1) -> Array:
        """Return the outputs, a row each, with a column for each example."""
        return self.program.forward(batch, hands)

    def gradient(self, batch: Sequence[Array], hands: Hands = 1) -> tuple[float, Array]:
        """Return the mean of the only output over the examples, and its gradient."""
        if self.has_gradient:
            return self.program.gradient(batch, hands)
        value, found = self.written_out.gradient(batch, hands)
        if not self._is_like(self.written_out):  # which leaves out what nothing depends on
            by = dict(zip(self.written_out.parameters, found, strict=True))
            found = np.array([by.get(leaf, 0.0) for leaf in self.parameters])
        return value, found

    def jacobian_by(
        self, batch: Sequence[Array], which: tuple[int, ...], hands: Hands = 1
    ) -> Array:
        """Return the derivatives of all outputs by the numbers in the arguments *which*.

        There is a row for each example.  That of one number is a gradient by leaves, if an example
        is put into leaves: so it goes back through the loops as they are.
        """
        loops = self.program.loops
        much = sum(loop.count * len(loop.body.nodes) for loop in loops) > _MUCH_WORK
        few = len(batch[0]) <= _FEW_EXAMPLES and not self._may_tie
        if self.size == 1 and self.rules is None and (much or few):
            program = self._program_by(which)
            if program is not None:
                return self._one_by_one(program, batch)
        found: Array = self.written_out.jacobian_by(batch, which, hands)
        return found

    @functools.cached_property
    def _may_tie(self) -> bool:
        """Whether it matters what else is a Value: that is known where loops are written out."""
        loops = self.program.loops
        steps = (node for loop in loops for node in loop.body.nodes)
        given = [x for loop in loops for row in (loop.carry, *loop.xs) for x in row]
        outside = reachable([x for x in (*self.program.outputs, *given) if isinstance(x, Value)])
        return any(node.primitive in TIES for node in itertools.chain(steps, outside))

    def _program_by(self, which: tuple[int, ...]) -> LoopProgram | None:
        """Return the program whose parameters are the numbers of the arguments, after the leaves.

        None if its way back cannot be a loop.
        """
        if which not in self._by:
            own = self.program
            given = [x for argument in own.arguments for x in argument]
            made = LoopProgram(
                own.loops,
                [[Value(0.0)]],  # no argument is read: it stands for the only example
                own.outputs,
                [*own.captured, *given],
                [x for i in which for x in own.arguments[i]],
            )
            try:
                made.prepare("gradient")
                self._by[which] = made
            except WriteOut:
                self._by[which] = None
        return self._by[which]

    def _one_by_one(self, program: LoopProgram, batch: Sequence[Array]) -> Array:
        """Return the gradient by the numbers of each example, a row for each."""
        ready, one = program.ready("gradient"), (np.zeros((1, 1)),)
        found = np.zeros((len(batch[0]), len(program.wanted)))
        for i, row in enumerate(found):
            numbers = np.concatenate([np.ravel(x[i]) for x in batch]).tolist()
            leaves = (*self.program.captured, *map(Value, numbers))
            _, row[:] = ready.run(leaves, one, 1)
        return found

    def _is_like(self, written_out: Any) -> bool:
        """Return whether the loops written out have the same parameters."""
        own, others = self.parameters, written_out.parameters
        return len(own) == len(others) and all(map(operator.is_, own, others))

    @functools.cached_property
    def has_gradient(self) -> bool:
        """Whether the way back can be a loop too."""
        try:
            self.program.prepare("gradient")
        except WriteOut:
            return False
        return True

    def machine(self, function: str) -> tuple[Any, tuple[Value, ...]]:
        """Return the machine of a function that was run, and the leaves that it reads."""
        if function == "gradient" and not self.has_gradient:
            if not self._is_like(self.written_out):
                return None, ()  # its gradient has other entries
            found: tuple[Any, tuple[Value, ...]] = self.written_out.machine(function)
            return found
        return self.program.ready(function).machine, self.captured

    def plans(self, arrays: bool = True) -> dict[str, Plan]:
        """Return the plan of each function, as it is run; without *arrays*, of single steps."""
        found = {"forward": self.program.plan("forward", arrays)}
        if self.size == 1:
            found["gradient"] = (
                self.program.plan("gradient", arrays)
                if self.has_gradient
                else self.written_out.plans()["gradient"]
            )
        return found

    def report(self) -> str:
        """Return what is known of the loops, and the plans."""
        lines = [
            f"  {loop.count} steps; {len(loop.carry)} numbers are carried, {len(loop.body.x_in)} "
            f"come in and {len(loop.body.y_out)} go out at each; a step has "
            f"{len(loop.body.nodes)} nodes; {states_kept(loop)} states are kept for the way back, "
            f"{8 * len(loop.carry) * states_kept(loop):,} bytes for each example of a block"
            for loop in self.program.loops
        ]
        plans = explanation.plan_report(self.plans())
        return "\n".join(["Loops", *lines, "", "7. Plan", plans])

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: x for key, x in self.__dict__.items() if key != "written_out"}
        return {**kept, "write_out": None, "_by": {}}


def looped(
    loops: Sequence[Loop],
    outputs: Sequence[Any],
    arguments: Sequence[Sequence[Value]],
    shapes: tuple[tuple[int, ...], ...],
    names: Sequence[str],
    result: Any,
    since: int,
    wrt: Sequence[Value] | None,
    write_out: Callable[[], Any] | None,
    demands: Demands | None = None,
) -> Looped:
    """Return a recording as a program with loops; WriteOut if it has to be written out.

    *write_out* records the function again, with its loops written out; without it, that is done
    with the bodies.
    """
    if len(loops) > MOST_LOOPS:
        raise WriteOut(f"there are {len(loops)} loops")
    roots = [
        *outputs,
        *(x for loop in loops for x in (*loop.carry, *loop.body.carry_out, *loop.body.y_out)),
        *(x for loop in loops for row in loop.xs for x in row),
        *(x for some in (demands or {}).values() for x in some),
    ]
    tape = flatten([x for x in roots if isinstance(x, Value)])
    given = {leaf for argument in arguments for leaf in argument}
    captured = tuple(
        sorted(
            (x for x in tape.leaves.values() if x.serial < since and x not in given),
            key=attrgetter("serial"),
        )
    )
    parameters = captured if wrt is None else tuple(wrt)
    program = LoopProgram(loops, arguments, outputs, captured, parameters)
    program.prepare("forward")
    lengths = ", ".join(str(loop.count) for loop in loops)
    stats = {"nodes": tape.recorded, "way": f"loops of {lengths} steps, each body recorded once"}
    free = free_names(names)

    def tested(values: list[Any]) -> LoopProgram:
        found = LoopProgram(loops_for(values, loops), arguments, values, captured, ())
        found.prepare("forward")
        return found

    rules = rules_for(demands or {}, tested)
    return Looped(program, parameters, captured, shapes, free, result, stats, write_out, rules)


def periodic(
    recording: Recording,
    arguments: Sequence[Sequence[Value]],
    result: Any,
    wrt: Any,
    apart: Callable[[], Recording],
) -> Looped | None:
    """Return a *recording* whose loops were written out as a program with loops.

    None if it is short or wide; WriteOut says why a long one cannot be that.  *apart* makes the
    recording again, with a number for each node.
    """
    tape = recording.tape
    if tape.recorded < bodies.LEAST_WORK or not _may_be_long(recording):
        return None
    with uncollected():
        sequence = periods.Sequence(tape)
        found = periods.find(sequence, MOST_LOOPS)
        if found.left > len(sequence) // 8:
            # Where a step has done the same before, one node stands for both, and is missing here.
            other = periods.Sequence(apart().tape)
            again = periods.find(other, MOST_LOOPS)
            if again.left < found.left // 2:
                sequence, found = other, again
        work = sum(run.period * run.count for run in found.runs)
        if not work:
            raise WriteOut(f"no loop was found in {tape.recorded:,} nodes: {found.reason}")
        if work < bodies.LEAST_WORK:
            more = found.reason and f"; {found.reason}"
            raise WriteOut(f"it is short: {work:,} nodes in {_told(found.runs)}{more}")
        since = Value(0.0).serial
        try:
            loops, outputs = rolled(sequence, found.runs)
        except Exception as error:  # of a primitive of the user's, on other numbers
            raise WriteOut(
                f"{type(error).__name__} of its step on other numbers: {error}"
            ) from error
        if not narrow(tape.recorded, recording.groups) and not all(loop.carry for loop in loops):
            return None  # what is alike side by side is the width of an array
        made = looped(
            loops, outputs, arguments, recording.shapes, recording.names, result, since, wrt, None
        )
    made.stats = {"nodes": tape.recorded, "way": f"found a period: {_told(found.runs)}"}
    return made


def _told(runs: Sequence[periods.Run]) -> str:
    return ", ".join(f"{run.count} steps of {run.period} nodes" for run in runs)


def _may_be_long(recording: Recording) -> bool:
    """Return whether to look for periods in *recording*."""
    nodes, groups = recording.tape.recorded, recording.groups
    return groups > MANY_GROUPS or narrow(nodes, groups)

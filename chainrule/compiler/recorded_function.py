"""Records a function for each new shape of example, and keeps the recordings.

The function is run once, on Values; what it did is lifted, loops and all, to a program.  A loop
that was recorded once may turn out to need writing out; then the function is recorded again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import bodies, modes
from ..engine.backend import Value
from ..engine.structures import leaves
from .arguments import Arguments, capital
from .batches import Array, example, numbered
from .captured import Captured
from .differentiable import Differentiable
from .lifting import Lifted, Shapes, lift, record
from .loops import Looped, looped, periodic

KEPT = 1000
"""The number of shapes of example for which a compiled function keeps its recordings."""

Recorded = Lifted | Looped


class RecordedFunction(Differentiable):
    """A function and its recordings, one for each combination of shapes of example."""

    def __init__(
        self,
        function: Callable[..., Any] | None,
        root: Any = None,
        wrt: Sequence[Value] | None = None,
    ):
        self._function = function
        self._name = getattr(function, "__name__", type(function).__name__)
        self._wrt = wrt
        self._root, self._of_graph = root, function is None
        self._derivations = {}
        self._lifted: dict[Shapes, Recorded] = {}
        self._captured: dict[Shapes, Captured] = {}
        self._latest: Recorded | None = None
        self._arguments = Arguments(self._name, function)
        if function is None:
            self._name = "a compiled graph"
            outputs: list[Any] = []
            structure = numbered(root, outputs, "compile")
            if not outputs:
                raise TypeError(
                    f"compile: {root!r} holds no Value; expected a graph's root or a list of roots"
                )
            self._latest = self._lifted[()] = self._made(outputs, [], [], (), structure)

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The leaves to differentiate with respect to, in the order of the gradient.

        These are the leaves given as *wrt*, in that order, or all leaves that the function
        captured, in the order in which they were made.
        """
        return tuple(self._wrt) if self._wrt is not None else self._recorded().parameters

    def prepared(self, arrays: Sequence[Any]) -> tuple[Recorded, Sequence[Any]]:
        """Return the recording for *arrays*, and these with a row of numbers per example."""
        return self._prepared(tuple(arrays))

    def recording_of(self, shapes: Sequence[tuple[int, ...]]) -> Recorded:
        """Return the recording for examples of *shapes*, without a batch of them."""
        known = self._lifted.get(tuple(shapes))
        if known is None:
            self._prepared(tuple([np.zeros((0, *shape)) for shape in shapes]))
            known = self._lifted[tuple(shapes)]
        return known

    def _recorded(self) -> Recorded:
        if self._latest is None:
            raise RuntimeError(
                f"{self._name} is not recorded yet: call it on a batch, or record(X, ...)"
            )
        return self._latest

    def _prepared(self, arrays: tuple[Any, ...]) -> tuple[Recorded, Sequence[Array]]:
        """Return the recording for *arrays*, and the arrays with a row of numbers per example."""
        if () in self._lifted:
            if arrays:
                raise TypeError(
                    "a compiled graph takes no arguments: write to the data of its leaves instead"
                )
            return self._lifted[()], ()
        batch = self._batch(arrays)
        shapes = tuple([tuple(x.shape[1:]) for x in batch])
        lifted = self._lifted.get(shapes)
        if lifted is None:
            lifted = self._record(batch, shapes)
            if self._function is not None:
                self._captured[shapes] = Captured(self._function, lifted.captured)
        elif captured := self._captured.get(shapes):
            captured.check(self._name)
        if lifted is not self._latest:
            self._turn_to(lifted, shapes)
        if () in shapes:
            batch = tuple([x if x.ndim > 1 else x[:, None] for x in batch])
        self._test(lifted, batch)
        return lifted, batch

    def _test(self, lifted: Recorded, batch: Sequence[Any]) -> None:
        """Raise the error of the first rule that an example of *batch* breaks."""
        if lifted.rules is not None:
            lifted.rules.test(batch)

    def _turn_to(self, lifted: Recorded, shapes: Shapes) -> None:
        """Keep a recording as the latest one, and drop those that were least recently used."""
        self._latest = lifted
        if self._function is None:  # a loaded program, which cannot record what is dropped
            return
        self._lifted.pop(shapes, None)
        self._lifted[shapes] = lifted
        for oldest in list(self._lifted)[:-KEPT]:
            self._lifted.pop(oldest, None)
            self._captured.pop(oldest, None)

    def _batch(self, arrays: tuple[Any, ...]) -> tuple[Array, ...]:
        """Return *arrays* as arrays of float, all with the same number of examples."""
        return self._arguments.batch(arrays)

    def _record(
        self,
        batch: Sequence[Array],
        shapes: Shapes,
        written_out: str = "",
        printing: bool = False,
        faster: bool = False,
        looking: bool = True,
    ) -> Recorded:
        """Record the function: its loops once, or, for the reason *written_out*, in full.

        Once, too, if they are long enough for that to be worth while, or only for *printing*;
        *faster* says that this is why they are written out.  Loops of Python are looked for unless
        the whole graph is wanted, and not *looking*.
        """
        if self._function is None:
            names = self._arguments.names(len(batch))
            known = " or ".join(map(str, self._lifted))
            raise ValueError(
                f"{self._name}: arguments {', '.join(names)} have examples of shapes {shapes}, but "
                f"this program was recorded for {known or 'none'}; a copied or loaded program "
                "cannot record new ones"
            )
        examples = [example(x) for x in batch]
        arguments = [leaves(x) for x in examples]  # taken now: the function may change its lists
        demands: modes.Demands = {}
        loops: list[Any] | None = None if written_out else []
        since = Value(0.0).serial
        again = functools.partial(self._record, batch, shapes)
        inputs, least = (
            itertools.chain.from_iterable(arguments),
            0 if printing else bodies.LEAST_WORK,
        )
        try:
            with modes.tracing(demands, inputs, loops, least):
                result = self._function(*examples)
        except modes.WriteOut as reason:
            return again(str(reason), faster=reason.faster)
        except Exception as error:
            if loops:  # which may be the reason
                return again(f"{type(error).__name__} where a loop was recorded once: {error}")
            if type(error) not in (TypeError, ValueError, IndexError, AttributeError):
                raise  # other classes may need other arguments than a message
            raise type(error)(f"{error}; {self._arguments.described(batch)}") from error
        outputs: list[Any] = []
        structure = numbered(result, outputs, self._name)
        if not outputs:
            raise TypeError(f"{self._name} returned {result!r}: expected one number or more")
        names = [capital(name) for name in self._arguments.names(len(batch))]
        if loops:
            whole = functools.partial(again, "something needs the whole graph", looking=False)
            try:
                return looped(
                    loops, outputs, arguments, shapes, names, structure, since, self._wrt, whole,
                    demands,
                )  # fmt: skip
            except modes.WriteOut as reason:
                return again(str(reason), faster=reason.faster)
        made = self._made(outputs, arguments, names, shapes, structure, demands, since, looking)
        if isinstance(made, Lifted):
            made.written_out_because = written_out or made.written_out_because
            if faster:
                made.with_loops = functools.partial(again, printing=True)
        return made

    def _made(
        self,
        outputs: Sequence[Any],
        arguments: Sequence[Sequence[Value]],
        names: Sequence[str],
        shapes: Shapes,
        structure: Any,
        demands: modes.Demands | None = None,
        since: int | None = None,
        looking: bool = True,
    ) -> Recorded:
        """Return what was recorded in the form that runs; loops are looked for if *looking*."""

        def recorded(numbers: Sequence[Any], apart: bool = False) -> Any:
            return record(numbers, arguments, names, shapes, since, apart)

        recording, why = recorded(outputs), ""
        if looking and not demands:
            try:
                again = functools.partial(recorded, outputs, apart=True)
                found = periodic(recording, arguments, structure, self._wrt, again)
                if found is not None:
                    return found
            except modes.WriteOut as reason:
                why = str(reason)
        lifted = lift(recording, structure, self._wrt, demands, recorded)
        lifted.written_out_because = why
        return lifted

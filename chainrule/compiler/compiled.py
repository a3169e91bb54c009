"""A compiled function: what may be asked of it, and what a call does.

:mod:`compiling` makes it, :mod:`recorded_function` records the function and keeps what it recorded,
and :mod:`arguments` knows what it is called with.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..engine import modes
from ..engine.backend import Value
from ..engine.display import plain
from ..engine.structures import mapped
from ..engine.table import Primitive
from ..engine.vectors import add_grads
from . import nodes
from .arguments import capital
from .batches import Array, HoldsValuesError
from .captured import Captured
from .differentiable import leaves_of
from .lifting import Lifted, Shapes
from .plan import Plan
from .printers import c as printed_c
from .program import Program
from .ready import Hands
from .recorded_function import Recorded, RecordedFunction

_SHOWN = 60  # lines of the program in a notebook


class _Repeat(NamedTuple):
    """What a call needs that is like the one before it."""

    attempt: Callable[..., Any]
    """Runs the machine if the arguments have the *shapes*; else returns None."""
    leaves: tuple[Value, ...]
    shapes: Shapes
    captured: Captured | None
    """What is to be looked at from time to time."""


class Compiled(RecordedFunction):
    """A compiled function of batches; :func:`compile` makes it and describes it."""

    def __init__(
        self,
        function: Callable[..., Any] | None,
        root: Any = None,
        wrt: Sequence[Value] | None = None,
        hands: Hands = 1,
    ):
        self._hands = hands
        self._rows: dict[Any, Primitive] = {}
        self._repeats: dict[str, _Repeat] = {}
        super().__init__(function, root, wrt)

    def __call__(self, *arrays: Any) -> Any:
        """Return the result for every example, in the structure that the function returned.

        Each number in it becomes an array of shape (m,) or, for a compiled graph, a float.

        If the arguments hold Values, so do the arrays of the result, and each is one node: it can
        be differentiated, again too, by the Values and by the leaves that the function captured.

        >>> import chainrule as cr
        >>> f = cr.compile(lambda x: cr.sin(x[0]) * x[1])
        >>> x = cr.Value(0.0)
        >>> (y,) = f([[x, 3.0]])
        >>> y.backward()
        >>> x.grad, cr.grad(cr.grad(lambda t: f([[t, t]])[0]))(0.0)
        (3.0, 2.0)
        """
        table, lifted = self._repeated("forward", arrays), self._latest
        if table is None or lifted is None:
            try:
                lifted, batch = self._prepared(arrays)
            except HoldsValuesError:
                if not nodes.holds_values(arrays):
                    raise  # of a call inside
                return self._nodes(arrays)
            table = lifted.forward(batch, self._hands)
            self._remember_run("forward", lifted)
        result = lifted.result
        if isinstance(result, np.ndarray) and result.ndim:  # its numbers are the rows in order
            return (
                table.reshape(*result.shape, *table.shape[1:])
                if arrays
                else table.reshape(result.shape)
            )
        rows = table if arrays else table[:, 0].tolist()
        return rows[0] if type(result) is int else mapped(result, rows.__getitem__)

    def value_and_grad(self, *arrays: Any) -> tuple[float, Array]:
        """Return the mean of the result over the examples, and its gradient.

        The gradient is a vector with an entry for each of :attr:`parameters`.  TypeError if the
        function returns more than one number, ValueError if there are no examples.
        """
        found: tuple[float, Array] | None = self._repeated("gradient", arrays)
        return self._differentiated(arrays)[1:] if found is None else found

    def backward(self, *arrays: Any) -> float:
        """Add the gradient of the mean over the examples to the parameters' ``grad``.

        Return the mean.  If anything is wrong, no parameter is changed.
        """
        lifted, cost, gradient = self._differentiated(arrays)
        add_grads(lifted.parameters, gradient)
        return cost

    def jacobian(
        self,
        *arrays: Any,
        argnums: Any = None,
        wrt: Any = None,
        mode: Literal["forward", "reverse"] | None = None,
        sparse: bool = False,
    ) -> Any:
        """Return the derivatives of every number of the result, for each example.

        They are by the arguments: an array for each, or that of the only one.  For m examples its
        shape is (m, result..., argument...), with the shapes that those have in one example.  With
        *argnums*, a number or several, they are by these arguments only.  With *wrt*, leaves that
        the function captured, there is one array, whose last axis has an entry for each of these.

        >>> import chainrule as cr
        >>> w = cr.Value(10.0)
        >>> f = cr.compile(lambda x: [x[0] * x[1], w * x[0]])
        >>> f.jacobian([[1.0, 2.0], [3.0, 4.0]])
        array([[[ 2.,  1.],
                [10.,  0.]],
        <BLANKLINE>
               [[ 4.,  3.],
                [10.,  0.]]])
        >>> f.jacobian([[1.0, 2.0], [3.0, 4.0]], wrt=w)
        array([[[0.],
                [1.]],
        <BLANKLINE>
               [[0.],
                [3.]]])

        A compiled graph has no examples: its derivatives are by its :attr:`parameters`, if *wrt*
        does not name others, and m is left out.  TypeError if the result is not a number or a
        nested list of numbers with one shape.

        *mode* "reverse" sweeps back from each number of the result, "forward" once for each input;
        without a mode the shape decides.  If *sparse*, the result is a list with a SciPy CSR array
        for each example (for a graph, one), with a row for each number of the result and a column
        for each input, argument after argument.  Which entries there are is read from the recorded
        operations, and columns (or rows) that have none in common are found in one sweep.
        """
        recorded, batch = self._prepared(arrays)
        result = self._result_shape(recorded)
        if sparse:
            return self._sparse_jacobian(arrays, argnums, wrt, recorded.written_out, mode)
        if self._forward(mode, recorded.size, self._input_count(arrays, argnums, wrt)):
            return self._forward_jacobian(arrays, argnums, wrt, result)
        if wrt is not None or not batch:
            if argnums is not None:
                raise TypeError(f"the Jacobian of {self._name}: give either argnums or wrt")
            lifted = recorded.written_out
            leaves = self.parameters if wrt is None else leaves_of(wrt)
            found = lifted.jacobian(batch, lifted.numbers_of(leaves), self._hands)
            count = (len(found),) if batch else ()
            return found.reshape(*count, *result, len(leaves))
        which = self._argument_numbers(argnums, len(batch))
        given = [np.asarray(arrays[i]) for i in which]
        lengths = [math.prod(x.shape[1:]) for x in given]
        found = recorded.jacobian_by(batch, tuple(which), self._hands)
        table = found.reshape(len(found), recorded.size, sum(lengths))
        stops = itertools.accumulate(lengths)
        parts = [
            table[:, :, stop - length : stop].reshape(len(x), *result, *x.shape[1:])
            for x, length, stop in zip(given, lengths, stops, strict=True)
        ]
        return parts[0] if len(parts) == 1 and not isinstance(argnums, Sequence) else tuple(parts)

    def _input_count(self, arrays: Sequence[Any], argnums: Any, wrt: Any) -> int:
        if wrt is not None or not arrays:
            return len(self.parameters if wrt is None else leaves_of(wrt))
        which = self._argument_numbers(argnums, len(arrays))
        return sum(math.prod(np.shape(arrays[i])[1:]) for i in which)

    def _nodes(self, arrays: tuple[Any, ...]) -> Any:
        """Return the result for arguments with Values, as Values."""
        if self._function is None:
            raise TypeError(
                f"{self._name}: a copied or loaded program cannot be called with Values, because "
                "its Python function is not there"
            )
        self._arguments.check_count(arrays)
        batch = self._batch(nodes.numbers_in(arrays, self._arguments.told(len(arrays))))
        if modes.current().tracing:
            return nodes.inlined(self._function, arrays)
        recorded, prepared = self._prepared(batch)
        lifted = recorded.written_out
        table = lifted.forward(prepared, self._hands)
        slopes = self._slopes(lifted, prepared, nodes.are_values(arrays))
        return nodes.called(arrays, table, lifted.result, slopes, lifted.captured, self.row)

    def _slopes(self, lifted: Lifted, batch: Sequence[Array], are_values: Array) -> Array:
        """Return for each example the derivatives by the numbers of the arguments, then the leaves.

        Those by what is not a Value are left 0: on a tie with it, it is a constant.
        """
        members = lifted.numbers_of_arguments(range(len(batch)))
        numbers = [n for part in members for n in part]
        leaves = lifted.numbers_of(lifted.captured)
        m, n = len(are_values), len(numbers)
        if are_values.all():
            if leaves:
                whole = lifted.jacobian(batch, [*numbers, *leaves], self._hands)
            else:
                whole = lifted.jacobian_by(batch, tuple(range(len(batch))), self._hands)
            return whole.reshape(len(whole), lifted.size, n + len(leaves))
        found = np.zeros((m, lifted.size, n + len(leaves)))
        for pattern in np.unique(are_values, axis=0):
            which = (are_values == pattern).all(axis=1)
            given = [*itertools.compress(numbers, pattern), *leaves]
            part = lifted.jacobian([x[which] for x in batch], given, self._hands)
            columns = np.append(pattern, np.ones(len(leaves), dtype=bool))
            part = part.reshape(len(part), lifted.size, int(columns.sum()))
            found[np.ix_(which, np.arange(lifted.size), columns)] = part
        return found

    def row(self, number: int, shapes: Shapes) -> Primitive:
        """Return the operation that gives that *number* of the result, for examples of *shapes*."""
        key = number, shapes
        if key not in self._rows:
            found_by = functools.partial(_found_row, self, number, shapes)
            leaves = self._lifted[shapes].captured
            self._rows[key] = nodes.row_of(
                self._name, self._function, shapes, number, leaves, found_by
            )
        return self._rows[key]

    def _result_shape(self, lifted: Recorded) -> tuple[int, ...]:
        """Return the shape of the result as an array; TypeError if it has none."""
        try:
            shape: tuple[int, ...] = np.shape(lifted.result)
        except ValueError:
            shape = (0,)
        if math.prod(shape) != lifted.size or isinstance(lifted.result, dict):
            raise TypeError(
                f"the Jacobian of {self._name} needs a number, or a nested list of numbers of one "
                f"shape, as its result, not {lifted.result!r:.80} (numbered from 0)"
            )
        return shape

    def _check_one_number(self, arrays: Sequence[Any]) -> None:
        size = self._prepared(tuple(arrays))[0].size
        if size != 1:
            raise TypeError(
                f"second derivatives of {self._name} need one number as its result, not {size}"
            )

    def _differentiated(self, arrays: tuple[Any, ...]) -> tuple[Recorded, float, Array]:
        """Return the recording for *arrays*, the mean of its result and its gradient."""
        lifted, batch = self._prepared(arrays)
        self._check_differentiable(lifted, batch)
        found = lifted.gradient(batch, self._hands)
        self._remember_run("gradient", lifted)
        return lifted, *found

    def _check_differentiable(self, lifted: Recorded, batch: Sequence[Any]) -> None:
        """Raise TypeError or ValueError unless there is a mean of one number to differentiate."""
        if lifted.size != 1:
            raise TypeError(
                f"the gradient of {self._name} needs one number as its result, not {lifted.size}"
            )
        if batch and not batch[0].shape[0]:
            raise ValueError(f"{self._name}: the mean over an empty batch is undefined")

    def _repeated(self, function: str, arrays: tuple[Any, ...]) -> Any:
        """Return what a call gives that is like the last one of *function*.

        It is None if the call has to go the long way: if the arguments are not arrays of such
        examples, or if it is time to look at what was captured.
        """
        repeat = self._repeats.get(function)
        if repeat is None:
            return None
        attempt, leaves, shapes, captured = repeat
        if captured is not None:
            if not captured.left:
                return None
            captured.left -= 1
        return attempt(leaves, arrays, self._hands, shapes)

    def _remember_run(self, function: str, lifted: Recorded) -> None:
        """Keep what the next call of *function* needs, if its data need no test."""
        if function in self._repeats or lifted.rules is not None or not _here(self._hands):
            return
        machine, leaves = lifted.machine(function)
        if attempt := getattr(machine, "attempt", None):
            shapes = lifted.shapes
            self._repeats[function] = _Repeat(attempt, leaves, shapes, self._captured.get(shapes))

    # --- a part of other people's models ---------------------------------------------------------

    def torch_function(self) -> Callable[..., Any]:
        """Return this function for PyTorch: of tensors, and differentiable by its autograd.

        It takes a tensor for each argument, and as ``parameters=`` a tensor with a number for each
        of :attr:`parameters`, by default what these hold now; it returns a tensor of shape
        (m, result...).  Derivatives by tensors that require them are this library's, found by the
        machine on the host, or by the printed program if the function is compiled with
        ``backend="torch"``: then PyTorch can differentiate them again.

        ImportError without PyTorch; TypeError for a compiled graph, and for a function whose result
        is not a number or a nested list of numbers of one shape.
        """
        from .backends.wrappers import torch_function  # which imports PyTorch

        return torch_function(self)

    def jax_function(self) -> Callable[..., Any]:
        """Return this function for JAX: of arrays, differentiable by ``jax.grad``, also in jit.

        It is called as that of :meth:`torch_function` is.  The machine is called back on the host;
        a function that is compiled with ``backend="jax"`` is traced by JAX instead, and its
        derivatives are printed programs too.

        ImportError without JAX; TypeError as there.
        """
        from .backends.wrappers import jax_function  # which imports JAX

        return jax_function(self)

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function of one example, or None for a graph and for a loaded program."""
        return self._function

    def result_shape(self, recorded: Recorded) -> tuple[int, ...]:
        """Return the shape of the result for one example; TypeError if it is not an array."""
        return self._result_shape(recorded)

    def check_arguments(self, arrays: Sequence[Any]) -> None:
        """Raise TypeError or ValueError unless *arrays* are batches of as many examples."""
        self._arguments.check_count(arrays)
        self._arguments.check_examples(arrays)

    # --- what was found ------------------------------------------------------------------------

    def record(self, *arrays: Any) -> Compiled:
        """Record the function for examples shaped like those in *arrays*, and return this object.

        You need not call this: a call with examples of a new shape records the function by itself.
        """
        self._prepared(arrays)
        return self

    @property
    def placed(self) -> tuple[Value, ...]:
        """The leaves, in the order in which the arguments of the printed source hold them."""
        return self._recorded().printed[1]

    @property
    def program(self) -> Program:
        """The array program of the latest recording, as plain data."""
        return self._recorded().written_out.arrays.program

    @property
    def plans(self) -> dict[str, Plan]:
        """The plans of ``forward`` and, of one number, of ``gradient``: what a machine runs."""
        return self._recorded().plans()

    @property
    def source(self) -> str:
        """The program as the text of a NumPy module, which runs anywhere.

        A scan is a ``for`` loop in it, if it can be one, whether or not the machine runs it as one;
        to print a loop that is written out, the function is recorded once more.
        """
        return self._recorded().printed[0]

    @property
    def c_source(self) -> str:
        """The program as one file of C99, in ``double``; :meth:`c` says what is in it."""
        return self.c()

    def c(self, precision: str = "double", name: str | None = None) -> str:
        """Return the program as one file of C99, which needs libm alone and allocates nothing.

        The file has a function NAME_forward, which computes the result of one example, and for a
        result of one number NAME_gradient: the mean over a batch, and its derivatives.  A comment
        at its head says what the arguments are and in which order, how much memory is used, and
        how the functions are called.  The parameters are in the order of :attr:`parameters`, and
        those that the gradient is not for follow.  *precision* is "double" or "float", the type of
        all numbers; *name* is that of the function unless you give another.

        >>> import chainrule as cr
        >>> w = cr.Value(2.0, "w")
        >>> f = cr.compile(lambda x: cr.tanh(w * x)).record([1.0])
        >>> text = f.c(precision="float", name="model")
        >>> print(next(line for line in text.splitlines() if line.startswith("void")))
        void model_forward(const float *parameters, const float *x, float *result);

        ValueError for another precision, LookupError if the program has an operation without a
        formula in C, such as a primitive of your own.
        """
        lifted = self._recorded()
        wanted = self.parameters
        known = set(wanted)
        leaves = [*wanted, *(x for x in lifted.captured if x not in known)]
        place = {leaf: i for i, leaf in enumerate(leaves)}
        order = [place[x] for x in (lifted.captured if lifted.narrow else self.placed)]
        straight = not lifted.narrow and order == list(range(len(leaves)))
        shapes = next(shapes for shapes, x in self._lifted.items() if x is lifted)
        singles = self._arguments.names(len(shapes))
        signature = printed_c.Signature(
            name=self._printed_name() if name is None else name,
            arguments=[
                (one, capital(one), shape) for one, shape in zip(singles, shapes, strict=True)
            ],
            result=_shape_of(lifted.result, lifted.size),
            parameters=[leaf.label for leaf in leaves],
            order=order,
            blocks=_blocks(self.program) if straight else (),
        )
        return printed_c.write(lifted.plans(), signature, precision)

    def _printed_name(self) -> str:
        if self._function is None and () in self._lifted:
            return "graph"
        return "model" if self._name == "<lambda>" else self._name

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the latest recording: nodes, array operations, products and gathers."""
        return dict(self._recorded().stats)

    def explain(self) -> str:
        """Return a report of what every pass of the compiler found, with the final program."""
        return self._recorded().report()

    def __repr__(self) -> str:
        count = len(self._lifted)
        return f"<compiled {self._name}, recorded for {count} shape{'s' * (count != 1)} of example>"

    def _repr_html_(self) -> str:
        if self._latest is None:
            return f"<p>{plain(repr(self))}</p>"
        if self._latest.narrow:  # being shown is not a reason to make an array program
            return f"<p>{plain(repr(self))}</p><p>{plain(self._latest.stats['way'])}</p>"
        lines = self.source.splitlines()
        more = [f"… {len(lines) - _SHOWN} more lines, in .source"] * (len(lines) > _SHOWN)
        text = "\n".join(map(plain, [*lines[:_SHOWN], *more]))
        return f"<p>{plain(repr(self))}</p><pre>{text}</pre>"

    def __getstate__(self) -> dict[str, Any]:
        # A lambda cannot be pickled; the programs can.
        gone: dict[str, Any] = dict.fromkeys(("_function", "_root"))
        hands = self._hands if _here(self._hands) else 1  # an executor stays where it is
        fresh: dict[str, Any] = {"_captured": {}, "_repeats": {}, "_rows": {}, "_hands": hands}
        return {**self.__dict__, **gone, **fresh}

    def over(self, hands: Hands) -> Compiled:
        """Return the same function, with the recordings that it has, run by other *hands*."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._hands, made._repeats, made._derivations = hands, {}, {}
        return made


def _here(hands: Hands) -> bool:
    """Return whether *hands* are threads of this process."""
    return isinstance(hands, int)


def _found_row(compiled: Compiled, number: int, shapes: Shapes, _: str) -> Primitive:
    return compiled.row(number, shapes)


def _shape_of(result: Any, size: int) -> tuple[int, ...]:
    """Return the shape of a result, or that of a list of its numbers if it has none."""
    try:
        shape: tuple[int, ...] = np.shape(result)
    except ValueError:
        return (size,)
    return shape if math.prod(shape) == size and not isinstance(result, dict) else (size,)


def _blocks(program: Program) -> list[tuple[str, int, int, tuple[int, ...]]]:
    """Return the arrays of parameters that have a name, in order, with their places."""
    found = []
    for number, operation in enumerate(program.operations):
        if operation.kind == "parameter" and number in program.names:
            start, stop = operation.detail
            found.append((program.names[number], start, stop, operation.shape))
    return sorted(found, key=lambda x: x[1])

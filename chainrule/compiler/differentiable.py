"""``Differentiable``: the derivatives of a compiled function beyond its gradient and its Jacobian.

Each is a function of :mod:`derivatives`, compiled in its turn when it is first asked for.  This
class is the base of the compiled functions; it knows how arguments are chosen and results shaped.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import modes
from ..engine.backend import Value
from ..engine.vectors import write_data
from . import derivatives, sparsity
from .batches import Array, floats
from .derivatives import Source
from .ready import Hands
from .tape import Ids


class Differentiable(abc.ABC):
    """The derivatives of a compiled function by its arguments, or by leaves, for each example."""

    _function: Callable[..., Any] | None
    _root: Any
    _of_graph: bool
    _name: str
    _hands: Hands
    _derivations: dict[Any, Any]

    @property
    @abc.abstractmethod
    def parameters(self) -> tuple[Value, ...]:
        """The leaves to differentiate with respect to by default."""

    def jvp(self, *arrays: Any, tangents: Any, argnums: Any = None, wrt: Any = None) -> Any:
        """Return the result for every example, and its derivative in the direction *tangents*.

        By the arguments, *tangents* is an array shaped like the argument, or like one example of
        it, and a tuple of such arrays if there are several; *argnums*, a number or several, says
        which arguments move.  With *wrt*, leaves that the function captured, it is a vector with an
        entry for each of those.  Forward mode: the cost is a small multiple of the result's.

        >>> import chainrule as cr
        >>> f = cr.compile(lambda x: [x[0] * x[1], cr.square(x[0])])
        >>> value, tangent = f.jvp([[2.0, 3.0]], tangents=[1.0, 0.0])
        >>> [y.tolist() for y in tangent]
        [[3.0], [4.0]]

        A compiled graph has no arguments: its tangents are those of its :attr:`parameters`, if
        *wrt* does not name others.
        """
        source, given = self._source("jvp", arrays, argnums, wrt)
        if source is None:
            return self._graph(derivatives.tangent, self._leaves(wrt), directions=tangents)()
        directions = self._directions("jvp tangents", source, given, tangents, argnums, arrays)
        made = self._derived(("jvp", source), lambda: derivatives.tangent(source))
        return made(*arrays, directions)

    def hvp(
        self,
        *arrays: Any,
        vector: Any,
        argnums: Any = None,
        wrt: Any = None,
        with_gradient: bool = False,
    ) -> Any:
        """Return the Hessian times *vector* for every example, without forming the Hessian.

        The result of the function must be one number.  *vector* is given, and the product shaped,
        as the tangents of :meth:`jvp` are; *with_gradient*, the result is the gradient and the
        product.

        >>> import chainrule as cr
        >>> f = cr.compile(lambda x: cr.square(x[0]) * x[1])
        >>> f.hvp([[3.0, 4.0], [1.0, 2.0]], vector=[1.0, 0.0])
        array([[8., 6.],
               [4., 2.]])
        """
        source, given = self._source("hvp", arrays, argnums, wrt)
        if source is None:
            made = self._graph(derivatives.product, self._leaves(wrt), directions=vector)
            gradient, product = made()
            return (gradient, product) if with_gradient else product
        directions = self._directions("hvp vector", source, given, vector, argnums, arrays)
        if directions.shape[1]:
            made = self._derived(("hvp", source), lambda: derivatives.product(source))
            table = made(*arrays, directions)
        else:
            self._check_one_number(arrays)
            table = np.zeros((2, *directions.T.shape))
        gradient, product = (self._shaped(part, given, source, argnums) for part in table)
        return (gradient, product) if with_gradient else product

    def hessian(
        self, *arrays: Any, argnums: Any = None, wrt: Any = None, sparse: bool = False
    ) -> Any:
        """Return the second derivatives of the result, one number, for every example.

        They are by the arguments, all of them or those in *argnums*: for one argument an array of
        shape (m, argument..., argument...), for several a tuple of such tuples: ``h[i][j]`` is by
        arguments i and j, of shape (m, i..., j...).  With *wrt*, leaves that the function captured,
        the shape is (m, p, p) for p leaves; a compiled graph has no examples, so m is left out, and
        its leaves are its :attr:`parameters` by default.

        >>> import chainrule as cr
        >>> f = cr.compile(lambda x: cr.square(x[0]) * x[1])
        >>> f.hessian([[3.0, 4.0]])
        array([[[8., 6.],
                [6., 0.]]])

        If *sparse*, it is a list with a SciPy CSR array for each example (for a graph, one), whose
        rows and columns are the numbers of the arguments one after another: see :meth:`jacobian`.
        """
        source, given = self._source("hessian", arrays, argnums, wrt)
        if source is None:
            leaves = self._leaves(wrt)
            return self._graph(derivatives.gradient, leaves).jacobian(wrt=leaves, sparse=sparse)
        if source.leaves == () or (source.leaves is None and not sum(x[:1].size for x in given)):
            return self._empty_hessian(arrays, source, given, argnums, sparse)
        made = self._derived(("gradient", source), lambda: derivatives.gradient(source))
        if source.leaves is not None:
            return made.jacobian(*arrays, wrt=source.leaves, sparse=sparse)
        if sparse:
            return made.jacobian(*arrays, argnums=source.which, sparse=True)
        parts = made.jacobian(*arrays, argnums=source.which)
        pairs = tuple(
            tuple(derivatives.split(np.moveaxis(part, 0, -1), given)) for part in parts
        )  # of each argument i: with each argument j, (m, i..., j...)
        return pairs[0][0] if self._single(source, argnums) else pairs

    def _empty_hessian(
        self,
        arrays: Sequence[Any],
        source: Source,
        given: Sequence[Array],
        argnums: Any,
        sparse: bool,
    ) -> Any:
        """Return the Hessian by no number at all."""
        self._check_one_number(arrays)
        count, none = len(arrays[0]), np.zeros(0, dtype=np.int64)
        if sparse:
            return sparsity.matrices(np.zeros((0, count)), none, none, (0, 0))
        if source.leaves is not None:
            return np.zeros((count, 0, 0))
        pairs = tuple(
            tuple(np.zeros((count, *x.shape[1:], *y.shape[1:])) for y in given) for x in given
        )
        return pairs[0][0] if self._single(source, argnums) else pairs

    @abc.abstractmethod
    def _check_one_number(self, arrays: Sequence[Any]) -> None:
        """Raise TypeError if the result is not one number."""

    # --- Jacobians otherwise than by reverse mode ------------------------------------------------

    def _forward_jacobian(
        self, arrays: Sequence[Any], argnums: Any, wrt: Any, shape: tuple[int, ...]
    ) -> Any:
        """Return what ``jacobian`` does, by a forward sweep for each input."""
        source, given = self._source("jacobian", arrays, argnums, wrt)
        if source is None:
            leaves = self._leaves(wrt)
            table = np.array(self._graph(derivatives.columns, leaves)())
            return table.T.reshape(*shape, len(leaves))
        made = self._derived(("columns", source), lambda: derivatives.columns(source))
        table = np.asarray(made(*arrays))  # (inputs, outputs, examples)
        if source.leaves is not None:
            return np.moveaxis(table, 0, -1).swapaxes(0, 1).reshape(-1, *shape, len(table))
        parts = [
            part.reshape(len(x), *shape, *x.shape[1:])
            for part, x in zip(derivatives.split(table, given), given, strict=True)
        ]
        return parts[0] if self._single(source, argnums) else tuple(parts)

    def _sparse_jacobian(
        self, arrays: Sequence[Any], argnums: Any, wrt: Any, recording: Any, mode: str | None
    ) -> Any:
        """Return a CSR array for each example, or that of a graph."""
        source, given = self._source("jacobian", arrays, argnums, wrt)
        leaves = source.leaves if source is not None else self._leaves(wrt)
        if leaves is not None:
            numbers = recording.numbers_of(leaves)
        else:
            assert source is not None
            found = recording.numbers_of_arguments(source.which)
            numbers = [n for members in found for n in members]
        m, n = recording.size, len(numbers)
        rows, columns = sparsity.pattern(recording.scalars.tape, numbers)
        forward, colours = _sweeps(rows, columns, m, n, mode)
        if not len(rows):
            count = len(given[0]) if given else 1
            table = np.zeros((0, count))
        elif source is None:
            details = (rows, columns, colours, forward)
            table = np.array(self._graph(derivatives.entries, leaves or (), *details)())[:, None]
        else:
            shapes = tuple(np.shape(x)[1:] for x in arrays)
            chosen_source = source
            made = self._derived(
                ("entries", source, forward, shapes),
                lambda: derivatives.entries(chosen_source, rows, columns, colours, forward),
            )
            table = np.asarray(made(*arrays))
        matrices = sparsity.matrices(table, rows, columns, (m, n))
        return matrices[0] if source is None else matrices

    # --- what is differentiated by what ----------------------------------------------------------

    def _source(
        self, what: str, arrays: Sequence[Any], argnums: Any, wrt: Any
    ) -> tuple[Source | None, list[Array]]:
        """Return the function with what it is differentiated by, and those arguments as arrays.

        It is None for a graph.
        """
        if self._of_graph:
            if arrays:
                raise TypeError(
                    "a compiled graph takes no arguments: write to the data of its leaves instead"
                )
            if argnums is not None:
                raise TypeError(f"{what} of a compiled graph is by leaves: give wrt, not argnums")
            return None, []
        if wrt is not None and argnums is not None:
            raise TypeError(f"{what} of {self._name}: give either argnums or wrt")
        function: Any = self._function
        if wrt is not None:
            return Source(function, self._name, (), self._leaves(wrt)), []
        which = tuple(self._argument_numbers(argnums, len(arrays)))
        given = [floats(arrays[i], f"{self._name}: argument {i}") for i in which]
        return Source(function, self._name, which), given

    def _directions(
        self,
        what: str,
        source: Source,
        given: Sequence[Array],
        directions: Any,
        argnums: Any,
        arrays: Sequence[Any],
    ) -> Array:
        """Return *directions* as one vector for each example."""
        if source.leaves is None and not given:
            return np.zeros((len(arrays[0]), 0))
        if source.leaves is None:
            single = self._single(source, argnums)
            return derivatives.joined(what, [directions] if single else list(directions), given)
        m, p = len(arrays[0]), len(source.leaves)
        found = np.asarray(directions, dtype=float)
        if found.shape not in ((p,), (m, p)):
            raise ValueError(
                f"{what}: an array of shape {found.shape}; expected ({p},), an entry for each "
                f"leaf, or ({m}, {p})"
            )
        return np.array(np.broadcast_to(found, (m, p)))

    def _single(self, source: Source, argnums: Any) -> bool:
        return len(source.which) == 1 and not isinstance(argnums, Sequence)

    def _shaped(self, table: Array, given: Sequence[Array], source: Source, argnums: Any) -> Any:
        """Return *table*, a row for each input, as arrays shaped like what it is by."""
        if source.leaves is not None:
            return derivatives.turned(table)
        parts = derivatives.split(table, given)
        return parts[0] if self._single(source, argnums) else tuple(parts)

    def _leaves(self, wrt: Any) -> tuple[Value, ...]:
        return self.parameters if wrt is None else leaves_of(wrt)

    def _forward(self, mode: str | None, outputs: int, inputs: int) -> bool:
        """Return whether to find a Jacobian by forward mode, with a sweep for each input."""
        if mode not in (None, "forward", "reverse"):
            raise ValueError(
                f"the Jacobian of {self._name}: mode={mode!r}; expected 'forward', 'reverse' or "
                "None, which chooses by the shape"
            )
        return inputs > 0 and (mode == "forward" or (mode is None and 2 * inputs < outputs))

    def _argument_numbers(self, argnums: Any, count: int) -> list[int]:
        """Return the numbers of the arguments that *argnums* names; None names all *count*."""
        if argnums is None:
            return list(range(count))
        found: list[Any] = list(argnums) if isinstance(argnums, Sequence) else [argnums]
        for i in found:
            whole = isinstance(i, (int, np.integer)) and not isinstance(i, bool)
            if not (whole and -count <= i < count):
                raise ValueError(
                    f"the derivatives of {self._name}: argnums={argnums!r}; expected numbers of "
                    f"arguments, from 0 to {count - 1}, or from -{count} to -1 from the end"
                )
        return [int(i) % count for i in found]

    # --- compiled in their turn ------------------------------------------------------------------

    def _derived(self, key: Any, make: Callable[[], Callable[..., Any]]) -> Any:
        """Return the compiled function under *key*: the one that was made, or one made now."""
        key = self._key(key)
        if key not in self._derivations:
            self._check_possible()
            function = make()
            function.__name__ = self._name
            self._derivations[key] = self._again(function)
        return self._derivations[key]

    def _again(self, function: Callable[..., Any] | None, root: Any = None) -> Any:
        """Return a function, or a graph, compiled as this one is."""
        made: Any = type(self)
        return made(function, root, None, self._hands)

    @staticmethod
    def _key(key: Any) -> Any:
        # Without the function, which a loaded program does not have.
        return tuple([(x.which, x.leaves) if isinstance(x, Source) else x for x in key])

    def _graph(
        self,
        kind: Callable[..., Any],
        leaves: tuple[Value, ...],
        *details: Any,
        directions: Any = None,
    ) -> Any:
        """Return a derivative of a graph by *leaves*, compiled: the one that was made, or made now.

        With *directions*, an entry for each leaf, these are put into it.
        """
        key = (kind.__name__, leaves, details[-1:])
        if key not in self._derivations:
            self._check_possible()
            source = Source(lambda: self._root, self._name, (), leaves)
            moving = [] if directions is None else [Value(0.0) for _ in leaves]
            with modes.tracing({}):
                found = kind(source, *details)(*([moving] if moving else []))
            self._derivations[key] = self._again(None, found), moving
        compiled, moving = self._derivations[key]
        if directions is not None:
            vector = np.asarray(directions, dtype=float)
            if vector.shape != (len(leaves),):
                raise ValueError(
                    f"{self._name}: a direction of shape {vector.shape}; expected "
                    f"({len(leaves)},), an entry for each leaf"
                )
            write_data(moving, vector)
        return compiled

    def _check_possible(self) -> None:
        if self._function is None and self._root is None:
            raise ValueError(
                f"{self._name}: a copied or loaded program cannot record further derivatives; ask "
                "for them once before it is copied or saved"
            )


def leaves_of(wrt: Any) -> tuple[Value, ...]:
    """Return the leaves in *wrt*, a Value or an iterable of Values; raise for anything else."""
    given = (wrt,) if isinstance(wrt, Value) else tuple(wrt)
    for x in given:
        if not isinstance(x, Value):
            raise TypeError(
                f"compile: wrt holds {type(x).__name__}; expected the leaves to differentiate with "
                "respect to, such as model.parameters()"
            )
        if x.primitive is not None:
            raise TypeError(
                f"compile: wrt holds {x!r}, which was computed by {x.op!r}; expected leaves"
            )
    if len(set(given)) < len(given):
        raise ValueError("compile: wrt holds a leaf twice")
    return given


def _sweeps(rows: Ids, columns: Ids, m: int, n: int, mode: str | None) -> tuple[bool, list[int]]:
    """Return whether to sweep forward, and the colours of the columns then, else of the rows."""
    by_column = None if mode == "reverse" else sparsity.coloured(rows, columns, n)
    by_row = None if mode == "forward" else sparsity.coloured(columns, rows, m)
    if by_column is None:
        return False, by_row or []
    if by_row is None or max(by_column, default=0) <= max(by_row, default=0):
        return True, by_column
    return False, by_row

"""Transforms: ``grad`` and its relatives, functions of functions made of the two sweeps.

An argument may be a number, a Value, a NumPy array, or a nested list, tuple or dict of those; the
derivatives have the same structure.  From numbers a transform computes numbers.  If it is given
Values, or is called inside a function that is itself being differentiated, it returns Values linked
to them, so transforms nest in any order and to any depth.
"""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal, Protocol, SupportsFloat, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import modes, recorded
from .backend import Value
from .structures import array_of, leaves, like
from .sweeps import (
    Partials,
    linked_partials,
    pullback,
    pushforward,
    stored_partials,
)
from .table import as_float, identity
from .value import watch_adjoints, watch_tangents

# Any: a function of any shape may be differentiated, and what it gives may be nested.
Function = Callable[..., Any]
Array = NDArray[Any]  # of floats, or of Values
S = TypeVar("S")
# A plain number: unlike SupportsFloat it leaves out arrays, whose derivatives are arrays.
Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
Scalar: TypeAlias = Value | float
ScalarFunction = Callable[..., Scalar]
Numbers: TypeAlias = Sequence[Number] | Sequence[Sequence[Number]]
Point: TypeAlias = Array | Sequence[Scalar | Number] | Sequence[Sequence[Scalar | Number] | Array]


class Derivative(Protocol):
    """The derivative of a function with respect to its first argument: of the same shape."""

    @overload
    def __call__(self, x: Value, /, *others: Any, **named: Any) -> Value: ...
    @overload
    def __call__(self, x: Array, /, *others: Any, **named: Any) -> Array: ...
    @overload
    def __call__(self, x: SupportsFloat, /, *others: Any, **named: Any) -> float: ...
    @overload
    def __call__(self, x: list[float], /, *others: Any, **named: Any) -> list[float]: ...
    @overload
    def __call__(self, x: S, /, *others: Any, **named: Any) -> S: ...


class ValueAndDerivative(Protocol):
    """The same, with the value of the function before it."""

    @overload
    def __call__(self, x: Value, /, *others: Any, **named: Any) -> tuple[Value, Value]: ...
    @overload
    def __call__(self, x: Array, /, *others: Any, **named: Any) -> tuple[Any, Array]: ...
    @overload
    def __call__(self, x: SupportsFloat, /, *others: Any, **named: Any) -> tuple[float, float]: ...
    @overload
    def __call__(
        self, x: list[float], /, *others: Any, **named: Any
    ) -> tuple[float, list[float]]: ...
    @overload
    def __call__(self, x: S, /, *others: Any, **named: Any) -> tuple[Any, S]: ...


class Jacobian(Protocol):
    """The first derivatives of a function, at one sequence of numbers, or at that many arguments.

    Any: at a single number they have the shape of the result, which may be one number or many.
    """

    @overload
    def __call__(self, x: Scalar | Number, /) -> Any: ...
    @overload
    def __call__(self, x: Point, /) -> Array: ...
    @overload
    def __call__(self, x: Scalar | Number, y: Scalar | Number, /, *more: Any) -> Array: ...


class Hessian(Protocol):
    """The second derivatives of a function whose result is one number."""

    @overload
    def __call__(self, x: Value, /) -> Value: ...
    @overload
    def __call__(self, x: Number, /) -> float: ...
    @overload
    def __call__(self, x: Point, /) -> Array: ...
    @overload
    def __call__(self, x: Scalar | Number, y: Scalar | Number, /, *more: Any) -> Array: ...


class _Scope:
    """A differentiation in progress: its variables, and which nodes are known to depend on them.

    For each node, by its serial number, the scope knows whether the node depends on a variable of
    this scope or of one around it.  So every node is visited once, however often it is asked about.
    """

    __slots__ = ("around", "known", "since")

    def __init__(self, variables: Sequence[Value], around: _Scope | None) -> None:
        self.around = around
        self.known = {variable.serial: True for variable in variables}
        self.since = min(self.known)

    def reaches(self, node: Value) -> bool:
        """Return whether *node* depends on a variable, directly or through other nodes."""
        self._look_at([node])
        return self._knows(node)

    def _look_at(self, nodes: list[Value]) -> None:
        older, unknown = [], {}
        todo = list(nodes)
        while todo:
            node = todo.pop()
            serial = node.serial
            if serial < self.since:
                older.append(node)
            elif serial not in self.known and serial not in unknown and node.parents:
                unknown[serial] = node
                todo += node.parents
        if self.around is not None and older:
            self.around._look_at(older)
        for serial in sorted(unknown):
            self.known[serial] = any(map(self._knows, unknown[serial].parents))

    def _knows(self, node: Value) -> bool:
        scope: _Scope | None = self
        while scope is not None and node.serial < scope.since:
            scope = scope.around
        return scope is not None and scope.known.get(node.serial, False)


# The innermost differentiation in progress at this point of the program.
_enclosing: ContextVar[_Scope | None] = ContextVar("chainrule_enclosing", default=None)


def _check(function: Any) -> None:
    if not callable(function):
        raise TypeError(
            f"expected a function to differentiate, not {function!r:.80}; for an existing graph "
            "call backward(), or gradients(output, inputs)"
        )


def differentiating() -> bool:
    """Return whether a transform is running its function at this point of the program."""
    return _enclosing.get() is not None


# --- one differentiation ---------------------------------------------------------------------


class _Run:
    """A function run once on fresh variables, ready to be differentiated."""

    def __init__(
        self,
        function: Function,
        args: Sequence[Any],
        argnums: Sequence[int],
        kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        _check(function)
        name = getattr(function, "__name__", "function")
        self.primals = [args[i] for i in argnums]
        given = leaves(self.primals)
        # A copy linked to the Value is varied, not the Value: in f(v, v) the arguments differ.
        self.variables = [
            identity(x) if isinstance(x, Value) else Value(as_float(x, f"argument of {name}"))
            for x in given
        ]
        fresh = iter(self.variables)
        replaced = dict(zip(argnums, (like(p, fresh) for p in self.primals), strict=True))
        enclosing = _enclosing.get()
        scope = _Scope(self.variables, enclosing) if self.variables else enclosing
        with modes.recording(), _differentiating(scope):
            self.result = function(*(replaced.get(i, arg) for i, arg in enumerate(args)), **kwargs)
        self.name = name
        self.outputs = leaves(self.result)
        for output in self.outputs:
            if not isinstance(output, Value):
                as_float(output, f"result of {name}")
        nodes = [output for output in self.outputs if isinstance(output, Value)]
        # A recorded graph may reach its inputs in any way, not only through *given*.
        self.linked = (
            modes.current().tracing
            or any(isinstance(x, Value) for x in given)
            or (enclosing is not None and any(map(enclosing.reaches, self._captured(nodes))))
        )
        self.partials_of = linked_partials if self.linked else stored_partials

    def _captured(self, nodes: Iterable[Value]) -> Iterator[Value]:
        """Yield the older nodes, made before this run, that its outputs *nodes* depend on."""
        since = self.variables[0].serial if self.variables else math.inf
        seen: set[Value] = set()
        todo = list(nodes)
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                if node.serial < since:
                    yield node
                else:
                    todo += node.parents

    def scalar(self) -> Any:
        """Return the only output; TypeError if there are more."""
        if isinstance(self.result, (list, tuple, dict)) or len(self.outputs) != 1:
            raise TypeError(
                f"the gradient of {self.name} needs one number as its result, not "
                f"{type(self.result).__name__} of {len(self.outputs)}: use jacobian"
            )
        return self.outputs[0]

    def value(self) -> Any:
        """Return the function's result, with numbers or linked Values in it."""
        return like(self.result, iter(self._finished(self.outputs, ())))

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """Return the adjoint of each variable for one cotangent per output."""
        seeds: dict[Value, Any] = {}
        for output, cotangent in zip(self.outputs, cotangents, strict=True):
            if isinstance(output, Value) and not _is_zero(cotangent):
                seeds[output] = seeds[output] + cotangent if output in seeds else cotangent
        adjoints = _pull(seeds, self.partials_of, self.variables)
        return self._finished([adjoints.get(v, 0.0) for v in self.variables], cotangents)

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """Return the tangent of each output for one tangent per variable."""
        moving = {v: t for v, t in zip(self.variables, tangents, strict=True) if not _is_zero(t)}
        nodes = [output for output in self.outputs if isinstance(output, Value)]
        if modes.current().tracing:
            moved = recorded.pushforward(nodes, moving)
        else:
            moved = pushforward(nodes, moving, self.partials_of)
            if modes.current().watching:
                watch_tangents(moved)
        found = [moved.get(x, 0.0) if isinstance(x, Value) else 0.0 for x in self.outputs]
        return self._finished(found, tangents)

    def _finished(self, found: Iterable[Any], directions: Iterable[Any]) -> list[Any]:
        """Return what was *found*, as Values if the caller may differentiate again."""
        if self.linked or any(isinstance(x, Value) for x in directions):
            linking = modes.current().linking
            return [x if isinstance(x, Value) and linking else Value(_number(x)) for x in found]
        return [_number(x) for x in found]


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else as_float(x, "result")


@contextlib.contextmanager
def _differentiating(scope: _Scope | None) -> Iterator[None]:
    token = _enclosing.set(scope)
    try:
        yield
    finally:
        _enclosing.reset(token)


def _is_zero(x: Any) -> bool:
    # An exact zero is dropped: multiplied by an infinite partial it would become nan.
    return isinstance(x, float) and x == 0.0


def _pull(
    seeds: Mapping[Value, Any], partials_of: Partials, inputs: Sequence[Value]
) -> dict[Value, Any]:
    """Return the adjoints of *inputs*, and perhaps of other nodes."""
    if modes.current().tracing:
        return recorded.pullback(seeds, inputs)
    adjoints = pullback(seeds, partials_of, inputs)
    if modes.current().watching:
        watch_adjoints(adjoints)
    return adjoints


def _positions(argnums: Any, args: Sequence[Any]) -> list[int]:
    n = len(args)
    try:
        wanted = [argnums] if isinstance(argnums, Integral) else argnums
        positions = [operator.index(i) for i in wanted]
    except TypeError:
        raise TypeError(
            f"argnums: expected an int or a sequence of ints, not {argnums!r}"
        ) from None
    for i in positions:
        if not -n <= i < n:
            raise TypeError(f"argnums names argument {i}, but {n} were given")
    found = [i % n for i in positions]
    if len(set(found)) < len(found):
        raise TypeError(f"argnums names an argument twice: {argnums!r}")
    return found


def _matched(given: Any, pattern: Any, what: str) -> list[Any]:
    """Return the leaves of *given*, a structure like *pattern*; ValueError if it is not."""
    if isinstance(pattern, dict):
        if not isinstance(given, dict) or given.keys() != pattern.keys():
            raise ValueError(
                f"{what}: expected a dict with the keys {list(pattern)}, not {given!r}"
            )
        parts = [(given[key], part) for key, part in pattern.items()]
    elif _is_sequence(pattern):
        if not _is_sequence(given) or len(given) != len(pattern):
            entries = len(given) if _is_sequence(given) else type(given).__name__
            raise ValueError(f"{what}: expected a sequence of {len(pattern)}, not {entries}")
        parts = list(zip(given, pattern, strict=True))
    else:
        return [given if isinstance(given, Value) else as_float(given, what)]
    return [leaf for pair in parts for leaf in _matched(*pair, what)]


def _is_sequence(x: Any) -> bool:
    return isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.ndim > 0)


# --- the public transforms -------------------------------------------------------------------


@overload
def value_and_grad(function: Function, argnums: Literal[0] = 0) -> ValueAndDerivative: ...
@overload
def value_and_grad(
    function: Function, argnums: int | Sequence[int]
) -> Callable[..., tuple[Any, Any]]: ...
def value_and_grad(function: Function, argnums: int | Sequence[int] = 0) -> Any:
    """Return a function that computes the value of *function* and its gradient.

    >>> import chainrule as cr
    >>> cr.value_and_grad(lambda x: x**3)(2.0)
    (8.0, 12.0)
    """
    _check(function)

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        run = _Run(function, args, _positions(argnums, args), kwargs)
        run.scalar()
        adjoints = iter(run.pull([1.0]))
        gradients = tuple(like(primal, adjoints) for primal in run.primals)
        return run.value(), gradients[0] if isinstance(argnums, Integral) else gradients

    return value_and_gradient


@overload
def grad(function: Function, argnums: Literal[0] = 0) -> Derivative: ...
@overload
def grad(function: Function, argnums: int) -> Callable[..., Any]: ...
@overload
def grad(function: Function, argnums: Sequence[int]) -> Callable[..., tuple[Any, ...]]: ...
def grad(function: Function, argnums: int | Sequence[int] = 0) -> Any:
    """Return the derivative of *function* with respect to one argument, or several.

    The result is an ordinary function, so it can be differentiated again.

    >>> import chainrule as cr
    >>> slope = cr.grad(lambda x: x**4)
    >>> slope(2.0), cr.grad(slope)(2.0)
    (32.0, 48.0)
    >>> cr.grad(lambda w, b: w[0] * 3 + w[1] * b, argnums=(0, 1))([1.0, 2.0], 5.0)
    ([3.0, 5.0], 2.0)

    *argnums* counts from 0; for a sequence of positions the result is a tuple of derivatives.  If
    *function* ignores the argument, the derivative is ``0.0``.  TypeError if *function* returns
    more than one number.
    """
    both = value_and_grad(function, argnums)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


@overload
def gradients(
    output: Value, inputs: Iterable[Value], create_graph: Literal[False] = False
) -> list[float]: ...
@overload
def gradients(
    output: Value, inputs: Iterable[Value], create_graph: Literal[True]
) -> list[Value]: ...
@overload
def gradients(
    output: Value, inputs: Iterable[Value], create_graph: bool = False
) -> list[float] | list[Value]: ...
def gradients(output: Value, inputs: Iterable[Value], create_graph: bool = False) -> Any:
    """Return the derivative of *output* with respect to each of *inputs*, nodes of one graph.

    The result is floats or, with *create_graph*, Values that can be differentiated again.  No
    ``grad`` is written.

    >>> import chainrule as cr
    >>> x = cr.Value(2.0)
    >>> (slope,) = cr.gradients(x**3, [x], create_graph=True)
    >>> slope.data, cr.gradients(slope, [x])
    (12.0, [12.0])

    The inputs may be interior nodes; one that *output* does not depend on has derivative 0.
    """
    inputs = [inputs] if isinstance(inputs, Value) else list(inputs)
    for node in (output, *inputs):
        if not isinstance(node, Value):
            raise TypeError(f"gradients: expected Values, not {type(node).__name__}")
    if not create_graph:
        modes.refuse_while_tracing(
            "gradients in a compiled function would be plain numbers, the same for all examples: "
            "write create_graph=True"
        )
    if modes.current().loops:
        raise modes.TraceError("a derivative across a loop whose body is recorded once")
    adjoints = _pull({output: 1.0}, linked_partials if create_graph else stored_partials, inputs)
    found = [adjoints.get(node, 0.0) for node in inputs]
    if not create_graph:
        return found
    return [x if isinstance(x, Value) else Value(x) for x in found]


@overload
def jvp(function: ScalarFunction, primals: Numbers, tangents: Numbers) -> tuple[float, float]: ...
@overload
def jvp(
    function: ScalarFunction, primals: Sequence[Value], tangents: Sequence[Scalar | Number]
) -> tuple[Value, Value]: ...
@overload
def jvp(
    function: Callable[..., list[Value]], primals: Numbers, tangents: Numbers
) -> tuple[list[float], list[float]]: ...
@overload
def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]: ...
def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """Return the value of *function* at *primals* and its derivative in the direction *tangents*.

    Both are sequences with one entry per argument.  The derivative is J v, by forward mode.

    >>> import chainrule as cr
    >>> cr.jvp(lambda x, y: x * y, (3.0, 4.0), (1.0, 0.0))
    (12.0, 4.0)
    """
    primals, tangents = _arguments(primals, "primals"), _arguments(tangents, "tangents")
    run = _Run(function, primals, range(len(primals)))
    moved = run.push(_matched(tangents, primals, "jvp tangents"))
    return run.value(), like(run.result, iter(moved))


@overload
def vjp(
    function: ScalarFunction, *primals: Number
) -> tuple[float, Callable[[Number], tuple[float, ...]]]: ...
@overload
def vjp(
    function: ScalarFunction, *primals: Value
) -> tuple[Value, Callable[[Scalar | Number], tuple[Value, ...]]]: ...
@overload
def vjp(
    function: Callable[..., list[Value]], *primals: Number
) -> tuple[list[float], Callable[[Sequence[Number]], tuple[float, ...]]]: ...
@overload
def vjp(function: Function, *primals: Any) -> tuple[Any, Callable[..., tuple[Any, ...]]]: ...
def vjp(function: Function, *primals: Any) -> tuple[Any, Function]:
    """Return the value of *function* at *primals*, and its pullback.

    The pullback takes a cotangent shaped like the value and returns a tuple with the cotangent of
    each argument: v^T J, by reverse mode.

    >>> import chainrule as cr
    >>> value, pull = cr.vjp(lambda x, y: (x * y, x + y), 3.0, 4.0)
    >>> value, pull((1.0, 10.0))
    ((12.0, 7.0), (14.0, 13.0))
    """
    run = _Run(function, primals, range(len(primals)))

    def pull(cotangent: Any) -> tuple[Any, ...]:
        adjoints = iter(run.pull(_matched(cotangent, run.result, "vjp cotangent")))
        return tuple(like(primal, adjoints) for primal in run.primals)

    return run.value(), pull


def jacobian(function: Function) -> Jacobian:
    """Return a function that computes the matrix of the first derivatives of *function*.

    The matrix has the shape of the result followed by the shape of the point.  The point is one
    sequence of numbers, or that many scalar arguments; a single number adds no dimension.

    >>> import chainrule as cr
    >>> cr.jacobian(lambda x, y: [x * y, x + y, 2 * x])(3.0, 4.0)
    array([[4., 3.],
           [1., 1.],
           [2., 0.]])

    It uses forward or reverse mode, whichever needs fewer sweeps.
    """
    _check(function)

    def matrix(*point: Any) -> Any:
        run = _Run(function, point, range(len(point)))
        n, m = len(run.variables), len(run.outputs)
        if n < m:
            columns = [run.push(_unit(n, i)) for i in range(n)]
            entries = [column[k] for k in range(m) for column in columns]
        else:
            entries = [entry for k in range(m) for entry in run.pull(_unit(m, k))]
        return _shaped(entries, _shape(run.result) + _point_shape(point))

    return matrix


def hessian(function: ScalarFunction) -> Hessian:
    """Return a function that computes the matrix of second derivatives of a scalar *function*.

    >>> import chainrule as cr
    >>> cr.hessian(lambda x, y: x**2 * y + y + 2)(3.0, 4.0)
    array([[8., 6.],
           [6., 0.]])

    Its shape is the shape of the point twice over: ``(n, n)`` for n arguments or one sequence of n.
    For a function of one number it is a plain number.
    """
    _check(function)

    def gradient(*point: Any) -> Any:
        run = _Run(function, point, range(len(point)))
        run.scalar()
        return run.pull([1.0]) if _point_shape(point) else run.pull([1.0])[0]

    second = jacobian(gradient)

    def matrix(*point: Any) -> Any:
        shape = _point_shape(point)
        entries = second(*point)
        return entries.reshape(shape + shape) if isinstance(entries, np.ndarray) else entries

    return matrix


@overload
def hvp(
    function: ScalarFunction, primals: Sequence[Number], vector: Sequence[Number]
) -> tuple[float, ...]: ...
@overload
def hvp(
    function: ScalarFunction, primals: Sequence[Value], vector: Sequence[Scalar | Number]
) -> tuple[Value, ...]: ...
@overload
def hvp(
    function: ScalarFunction, primals: Sequence[Any], vector: Sequence[Any]
) -> tuple[Any, ...]: ...
def hvp(function: ScalarFunction, primals: Sequence[Any], vector: Sequence[Any]) -> tuple[Any, ...]:
    """Return the Hessian of *function* at *primals* times *vector*, without forming the Hessian.

    *primals* and *vector* are sequences with one entry per argument, and so is the result.
    Forward over reverse: the cost is a small multiple of one evaluation.

    >>> import chainrule as cr
    >>> cr.hvp(lambda x, y: x**2 * y + y + 2, (3.0, 4.0), (1.0, 0.0))
    (8.0, 6.0)
    """
    primals = _arguments(primals, "primals")

    def gradient(*args: Any) -> Any:
        return grad(function, range(len(args)))(*args)

    product: tuple[Any, ...] = jvp(gradient, primals, vector)[1]
    return product


def _arguments(given: Any, what: str) -> Sequence[Any]:
    if isinstance(given, (list, tuple)):
        return given
    raise TypeError(f"{what}: expected a tuple with one entry per argument, not {given!r}")


def _unit(n: int, i: int) -> list[float]:
    return [1.0 if j == i else 0.0 for j in range(n)]


def _shape(structure: Any) -> tuple[int, ...]:
    if isinstance(structure, dict):
        raise ValueError("jacobian and hessian need numbers in lists, tuples or arrays, not a dict")
    if isinstance(structure, np.ndarray):
        return tuple(structure.shape)
    if isinstance(structure, (list, tuple)):
        inner = {_shape(part) for part in structure}
        if len(inner) > 1:
            raise ValueError("jacobian needs a rectangular point and result, not a ragged one")
        return (len(structure), *inner.pop()) if inner else (0,)
    return ()


def _point_shape(point: tuple[Any, ...]) -> tuple[int, ...]:
    return _shape(point[0]) if len(point) == 1 else _shape(point)


def _shaped(entries: list[Any], shape: tuple[int, ...]) -> Any:
    return array_of(entries, shape) if shape else entries[0]

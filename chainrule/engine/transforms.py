"""Transforms: ``grad`` and its relatives, functions of functions made of the two sweeps.

An argument may be a number, a Value, a NumPy array, or a nested list, tuple or dict of those; the
derivatives have the same structure.  From numbers a transform computes numbers.  If it is given
Values, or is called inside a function that is itself being differentiated, it returns Values linked
to them, so transforms nest in any order and to any depth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, SupportsFloat, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import modes
from .arguments import listed
from .backend import Value
from .native import core
from .runs import (
    Function,
    Run,
    check_function,
    matched,
    pull_back,
)
from .runs import (
    gradient as run_gradient,
)
from .structures import array_of, like
from .sweep_calls import pull, push, sweep_linked, sweep_rows

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
    check_function(function)

    def value_and_gradient(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        found: tuple[Any, Any] = _gradient(function, args, argnums, kwargs, True)
        return found

    return value_and_gradient


_gradient = run_gradient if core is None else core.gradient


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
    check_function(function)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        return _gradient(function, args, argnums, kwargs, False)

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
    if isinstance(inputs, Value):
        inputs = [inputs]
    inputs = listed("gradients: the inputs", inputs, "Values")
    for node in (output, *inputs):
        if not isinstance(node, Value):
            raise TypeError(f"gradients: expected Values, not {type(node).__name__}")
    if not create_graph:
        modes.refuse_while_tracing(
            "gradients in a compiled function would be plain numbers, the same for all examples: "
            "write create_graph=True"
        )
    found = pull([output], inputs, [1.0], linked=create_graph)
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
    found = None if core is None else core.jvp(function, primals, tangents)
    if found is not None and len(found) == 2:
        return found  # type: ignore[no-any-return]
    primals, tangents = _arguments(primals, "primals"), _arguments(tangents, "tangents")
    run = Run(function, primals, found=found)
    moved = run.push(matched(tangents, primals, "jvp tangents"))
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
    found = None if core is None else core.vjp(function, primals, core.pull_run)
    if found is not None and len(found) == 2:
        return found  # type: ignore[no-any-return]
    run = Run(function, primals, found=found)
    return run.value(), functools.partial(pull_back, run)


def jacobian(function: Function, mode: Literal["forward", "reverse"] | None = None) -> Jacobian:
    """Return a function that computes the matrix of the first derivatives of *function*.

    The matrix has the shape of the result followed by the shape of the point.  The point is one
    sequence of numbers, or that many scalar arguments; a single number adds no dimension.

    >>> import chainrule as cr
    >>> cr.jacobian(lambda x, y: [x * y, x + y, 2 * x])(3.0, 4.0)
    array([[4., 3.],
           [1., 1.],
           [2., 0.]])

    It sweeps once for each number of the point in *mode* "forward", and once for each number of the
    result in "reverse"; without a mode it takes the one that needs fewer sweeps.  ValueError for
    another mode.
    """
    check_function(function)
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"jacobian: mode={mode!r}; expected 'forward', 'reverse' or None")

    def matrix(*point: Any) -> Any:
        found = None if core is None else core.jacobian(function, point, mode)
        if isinstance(found, np.ndarray):
            return found
        run = Run(function, point, found=found)
        shape = _shape(run.result) + _point_shape(point)
        n, m = len(run.variables), len(run.outputs)
        forward = n < m if mode is None else mode == "forward"
        if run.linked:
            rows = sweep_linked(run.outputs, run.variables, forward)
            return _shaped(run.finished([x for row in rows for x in row], ()), shape)
        found = sweep_rows(run.outputs, run.variables, None, forward)
        return found.reshape(shape) if shape else float(found[0, 0])

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
    check_function(function)

    def matrix(*point: Any) -> Any:
        run = Run(function, point)
        gradient, shape = run.gradient(), 2 * _point_shape(point)
        if run.linked:
            rows = sweep_linked(gradient, run.variables, forward=False)
            return _shaped(run.finished([x for row in rows for x in row], ()), shape)
        numbers = sweep_rows(gradient, run.variables, None, forward=False)
        return numbers.reshape(shape) if shape else float(numbers[0, 0])

    return matrix


@overload
def hvp(
    function: ScalarFunction,
    primals: Sequence[Number],
    vector: Sequence[Number],
    with_gradient: Literal[False] = False,
) -> tuple[float, ...]: ...
@overload
def hvp(
    function: ScalarFunction,
    primals: Sequence[Number],
    vector: Sequence[Number],
    with_gradient: Literal[True],
) -> tuple[tuple[float, ...], tuple[float, ...]]: ...
@overload
def hvp(
    function: ScalarFunction,
    primals: Sequence[Value],
    vector: Sequence[Scalar | Number],
    with_gradient: Literal[False] = False,
) -> tuple[Value, ...]: ...
@overload
def hvp(
    function: ScalarFunction,
    primals: Sequence[Value],
    vector: Sequence[Scalar | Number],
    with_gradient: Literal[True],
) -> tuple[tuple[Value, ...], tuple[Value, ...]]: ...
@overload
def hvp(
    function: ScalarFunction,
    primals: Sequence[Any],
    vector: Sequence[Any],
    with_gradient: bool = False,
) -> tuple[Any, ...]: ...
def hvp(
    function: ScalarFunction,
    primals: Sequence[Any],
    vector: Sequence[Any],
    with_gradient: bool = False,
) -> tuple[Any, ...]:
    """Return the Hessian of *function* at *primals* times *vector*, without forming the Hessian.

    *primals* and *vector* are sequences with one entry per argument, and so is the result.
    Forward over reverse: the cost is a small multiple of one evaluation.

    >>> import chainrule as cr
    >>> cr.hvp(lambda x, y: x**2 * y + y + 2, (3.0, 4.0), (1.0, 0.0))
    (8.0, 6.0)

    The gradient is found on the way: *with_gradient*, the result is the gradient and the product.

    >>> cr.hvp(lambda x, y: x**2 * y + y + 2, (3.0, 4.0), (1.0, 0.0), with_gradient=True)
    ((24.0, 10.0), (8.0, 6.0))
    """
    found = None if core is None else core.hvp(function, primals, vector)
    if found is not None and len(found) == 2:
        return found if with_gradient else found[1]  # type: ignore[no-any-return]
    primals = _arguments(primals, "primals")
    run = Run(function, primals, found=found)
    gradient = run.gradient()
    directions = matched(vector, primals, "hvp vector")
    product = run.finished(push(gradient, run.variables, directions, run.linked), directions)
    shaped = _like_each(primals, product)
    if not with_gradient:
        return shaped
    return _like_each(primals, run.finished(gradient, directions)), shaped


def _like_each(primals: Sequence[Any], numbers: Iterable[Any]) -> tuple[Any, ...]:
    each = iter(numbers)
    return tuple([like(primal, each) for primal in primals])


def _arguments(given: Any, what: str) -> Sequence[Any]:
    if isinstance(given, (list, tuple)):
        return given
    raise TypeError(f"{what}: expected a tuple with one entry per argument, not {given!r}")


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

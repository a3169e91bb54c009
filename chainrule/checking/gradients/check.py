"""``check_gradients``: whether what autograd reports is the derivative of what the function does.

Two oracles answer, and each covers for the other.  The complex step replays the recorded graph; it
is exact to rounding, but sees only what was recorded.  Differences see only the function's values;
they notice a graph that was dropped, a branch or a kink, but blur the last digits.  So differences
judge whether the replay speaks for the function at all, and if it does, the replay judges autograd.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...engine import structures
from ...engine.backend import Value
from ...engine.sweeps import topological_order
from ...engine.table import as_float
from ...engine.transforms import jacobian, vjp
from ..text import short
from .complex_step import ComplexStep, rounding_errors
from .differences import Slope, slopes
from .faults import faulty_partial
from .verdicts import CheckedDerivative, GradientCheck, GradientMismatch, NotCheckable

_FINER = 11.0 / 128.0  # of the steps, for a second opinion before anything is called wrong


def check_gradients(
    function: Callable[..., Any], *point: Any, order: int = 1, rtol: float = 1e-8
) -> GradientCheck:
    """Compare the derivatives of *function* at *point* with two independent oracles.

    *point* has one entry for each argument: a number, a Value (its data counts), an array, or a
    list, tuple or dict of those, as in :func:`chainrule.grad`.  The result may be structured
    likewise.  Every derivative of every order up to *order* (1, 2 or 3) is checked.

    >>> import chainrule as cr
    >>> check = check_gradients(lambda x, y: cr.tanh(x) * y, 0.5, 2.0, order=2)
    >>> check.ok, len(check.rows), check.max_relative_error < 1e-13
    (True, 6, True)

    GradientMismatch, an AssertionError, is raised if one is wrong.  It names the derivative, both
    numbers, the oracle and, where it can, the operation at fault.

    >>> cube = cr.primitive("cube", lambda x: x * x * x, (lambda x, y: 2.0 * cr.square(x),))
    >>> check_gradients(cube, 2.0)
    Traceback (most recent call last):
        ...
    chainrule.checking.gradients.verdicts.GradientMismatch: cube: 1 of 1 derivatives wrong
    d cube / d args[0] at args[0] = 2.0 (order 1)
      autograd   8.0
      expected   12.0... by differences, give or take ...
      rel. error 0.33
    the partial of 'cube' with respect to its argument 0 is 8.0 at (2.0), not 12.0...

    The oracle is the complex step, Im f(x + ih) / h on the recorded graph, where all its operations
    are analytic; a central difference of the sixth order with its error estimate where they are
    not.  *rtol* is the relative error allowed on top of the oracle's own; errors as small as the
    rounding of the operation's value (tanh'(20) = 1.7e-17 beside 1.0) cannot be told.  A nan is
    never right.  At a kink (relu at 0, a tie of ``maximum``) any number between the one-sided
    slopes is right, and ``check.kinks`` has both.  Where kinks cancel, as in relu(x) - relu(-x) at
    0, there is a derivative, and the conventions that miss it are reported as wrong.

    NotCheckable is raised if there is nothing to compare with: a value or a derivative that is
    infinite there, the edge of a domain, a function that returns a different result each time or
    ignores its arguments.  Cost: at least six evaluations for each number in the point.

    The surprise: *function* must use the arguments it is given.  In a closure over the parameters
    of a model there is nothing to vary.
    """
    if not callable(function):
        raise TypeError(
            f"check_gradients: expected a function, then the point, not {type(function).__name__}"
        )
    if order not in (1, 2, 3):
        raise ValueError(f"check_gradients: order is 1, 2 or 3, not {order!r}")
    if not 0.0 <= rtol < 1.0:
        raise ValueError(f"check_gradients: rtol is a relative error from 0 to 1, not {rtol!r}")
    subject = _Subject(function, point)
    level: Callable[[Sequence[Any]], list[Any]] = subject.flat
    rows: list[CheckedDerivative] = []
    for current in range(1, order + 1):
        examined = _Level(subject, level, current, rtol)
        rows += examined.rows()
        check = GradientCheck(subject.name, tuple(rows))
        if not check.ok:
            hint = examined.hint(check.wrong[0])
            raise GradientMismatch(GradientCheck(subject.name, tuple(rows), hint))
        level = functools.partial(_first_derivatives, level)
    return check


def _first_derivatives(level: Callable[..., list[Any]], numbers: Sequence[Any]) -> list[Any]:
    entries: list[Any] = jacobian(level)(list(numbers)).ravel().tolist()
    return entries


class _Subject:
    """The function under test, as one from a flat list of numbers to another, with their names."""

    def __init__(self, function: Callable[..., Any], point: tuple[Any, ...]) -> None:
        own = getattr(function, "__name__", None) or getattr(function, "name", None)
        self.name = own if isinstance(own, str) and own.isidentifier() else "f"
        self.function, self.point = function, point
        arguments = _argument_names(function, len(point))
        self.arguments = [
            path
            for part, name in zip(point, arguments, strict=True)
            for path in structures.paths(part, name)
        ]
        self.numbers = [
            x.data if isinstance(x, Value) else as_float(x, f"check_gradients: {argument}")
            for x, argument in zip(structures.leaves(list(point)), self.arguments, strict=True)
        ]
        if not self.numbers:
            raise ValueError("check_gradients: the point has no numbers to vary")
        for x, argument in zip(self.numbers, self.arguments, strict=True):
            if not math.isfinite(x):
                raise NotCheckable(f"{argument} = {x}: derivatives are checked at finite points")
        self.results: list[str] = []

    def flat(self, numbers: Sequence[Any]) -> list[Any]:
        """Return the outputs of the function at *numbers*, from left to right."""
        result = self.function(*structures.like(self.point, iter(numbers)))
        outputs = structures.leaves(result)
        for output in outputs:
            if not isinstance(output, Value):
                as_float(output, f"result of {self.name}")
        if not outputs:
            raise TypeError(f"{self.name} returned no numbers: {result!r}")
        if not self.results:
            self.results = structures.paths(result, self.name)
        elif len(outputs) != len(self.results):
            raise NotCheckable(
                f"{self.name} returns {len(self.results)} numbers at the point and {len(outputs)} "
                "when called again, or nearby"
            )
        return outputs

    def written(self, values: Sequence[float]) -> str:
        """Return *values* as they stand in messages."""
        return repr(values[0]) if len(values) == 1 else repr(list(values))


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    names += [f"argument {i}" for i in range(len(names), count)]
    return names[:count]


class _Level:
    """The derivatives of one order, which are the first derivatives of those one order below."""

    def __init__(
        self, subject: _Subject, level: Callable[..., list[Any]], order: int, rtol: float
    ) -> None:
        self.subject, self.order, self.rtol = subject, order, rtol
        self.level = level
        self.variables: Sequence[Value] = []
        self.outputs: list[Any] = []

        def recorded(variables: Sequence[Value]) -> list[Any]:
            self.variables, self.outputs = variables, level(variables)
            return self.outputs

        n = len(subject.numbers)
        self.reported = np.asarray(jacobian(recorded)(list(subject.numbers)), float).reshape(-1, n)
        self.nodes = topological_order(x for x in self.outputs if isinstance(x, Value))
        self.steps: list[ComplexStep] = []
        self.finer: dict[tuple[int, float], list[Slope]] = {}
        self.centre = self._centre()
        errors = rounding_errors(self.nodes)
        self.rounding = np.array([errors[x] if isinstance(x, Value) else 0.0 for x in self.outputs])

    def at(self, k: int, x: float) -> list[float]:
        """Return the outputs, as numbers, with the k-th number of the point replaced by *x*."""
        numbers = list(self.subject.numbers)
        numbers[k] = x
        if self.order == 1:
            value: list[float] = vjp(self.level, numbers)[0]
            return value
        return self.level(numbers)

    def _centre(self) -> Any:
        subject = self.subject
        for variable, x, name in zip(
            self.variables, subject.numbers, subject.arguments, strict=True
        ):
            if variable.data != x:
                raise NotCheckable(f"{subject.name} writes to the data of its argument {name}")
        numbers = self._again()
        if self.order == 1:
            if not all(map(math.isfinite, numbers)):
                raise NotCheckable(
                    f"{subject.name} is {subject.written(numbers)} at the point, which lies "
                    "outside its domain or too far out: choose another point"
                )
            self._require_repeatable(
                [x.data if isinstance(x, Value) else float(x) for x in self.outputs], numbers
            )
        return np.array(numbers)

    def _again(self) -> list[float]:
        return self.at(0, self.subject.numbers[0])

    def _require_repeatable(self, before: Sequence[float], after: Sequence[float]) -> None:
        if list(before) != list(after):
            subject = self.subject
            raise NotCheckable(
                f"{subject.name} returns a different result each time: {subject.written(before)}, "
                f"then {subject.written(after)} at the same point; fix its random numbers, and let "
                "it keep no state"
            )

    def rows(self) -> list[CheckedDerivative]:
        """Return what is found for every output and every number of the point."""
        self.steps = [ComplexStep(self.nodes, variable) for variable in self.variables]
        columns = [self._slopes(k) for k in range(len(self.variables))]
        if self.order == 1:
            self._require_repeatable(self.centre.tolist(), self._again())
            if not self._uses_arguments() and all(s.value == 0.0 for c in columns for s in c):
                raise NotCheckable(
                    f"{self.subject.name} does not depend on its arguments, so nothing would be "
                    "checked: pass what it should be differentiated by as arguments"
                )
        return [
            self._found(i, k, column[i])
            for i in range(len(self.outputs))
            for k, column in enumerate(columns)
        ]

    def _slopes(self, k: int, finer: float = 1.0) -> list[Slope]:
        x, evaluate = self.subject.numbers[k], functools.partial(self.at, k)
        return slopes(evaluate, x, self.centre, self.rounding, finer)

    def _found(self, i: int, k: int, slope: Slope) -> CheckedDerivative:
        row = self._judged(i, k, slope)
        if row.ok:
            return row
        size = abs(self.centre[i]) + abs(slope.value) * slope.step
        second = self._judged(i, k, self._second_opinion(i, k, slope, size, row.reported))
        if second.ok:
            return second
        if 0.0 < size < abs(row.reported) * math.ulp(row.at) < math.inf:
            raise NotCheckable(
                f"{row.name} cannot be checked at {row.argument} = {row.at!r}: autograd reports "
                f"{row.reported!r}, so steep that the value changes beyond recognition from one "
                "float to the next; choose a point where it is less steep"
            )
        return row

    def _second_opinion(self, i: int, k: int, slope: Slope, size: float, reported: float) -> Slope:
        # Were autograd right, these steps would not outrun the function.
        rise = abs(reported) * slope.step
        finer = 1.0
        if math.isfinite(rise) and 0.0 < size < rise:
            finer = math.ldexp(1.0, math.frexp(size / rise)[1])
        if (k, finer) not in self.finer:
            self.finer[k, finer] = self._slopes(k, _FINER * finer)
        return self.finer[k, finer][i]

    def _uses_arguments(self) -> bool:
        # By way of operands, not parents: step(x) depends on x although its derivative is zero.
        seen = set(self.nodes)
        queue = list(seen)
        for node in queue:  # grows while it is read
            for x in node.operands:
                if isinstance(x, Value) and x not in seen:
                    seen.add(x)
                    queue.append(x)
        return not seen.isdisjoint(self.variables)

    def _judged(self, i: int, k: int, slope: Slope) -> CheckedDerivative:
        rounding = self.steps[k].rounding(self.outputs[i])
        if not math.isfinite(rounding):
            rounding = 0.0
        grows = slope.kind == "unbounded" and max(abs(slope.left), abs(slope.right)) > rounding
        if slope.kind == "edge" or grows:
            raise NotCheckable(self._refusal(i, k, slope))
        reported = float(self.reported[i, k])
        expected, oracle, sides = slope.value, "differences", None
        uncertainty = 2.0 * slope.uncertainty + rounding
        if slope.kind == "kink":
            sides, oracle = (slope.left, slope.right), "one-sided slopes"
            expected = min(max(reported, min(sides)), max(sides))
        else:
            exact = self.steps[k].derivative(self.outputs[i])
            if exact is not None and self._agree(exact, expected, uncertainty):
                expected, uncertainty, oracle = exact, rounding, "complex step"
        return CheckedDerivative(
            self._named(i, k),
            self.subject.arguments[k],
            self.subject.numbers[k],
            self.order,
            reported,
            expected,
            uncertainty,
            oracle,
            sides,
            self._agree(reported, expected, uncertainty),
        )

    def _agree(self, a: float, b: float, uncertainty: float) -> bool:
        difference = abs(a - b)
        allowed = self.rtol * max(abs(a), abs(b)) + uncertainty
        return math.isfinite(difference) and difference <= allowed

    def _named(self, i: int, k: int) -> str:
        n, positions = len(self.subject.numbers), [k]
        for _ in range(self.order - 1):
            i, j = divmod(i, n)
            positions.insert(0, j)
        below = " ".join(f"d {self.subject.arguments[j]}" for j in positions)
        power = "" if self.order == 1 else str(self.order)
        return f"d{power} {self.subject.results[i]} / {below}"

    def _refusal(self, i: int, k: int, slope: Slope) -> str:
        argument, x = self.subject.arguments[k], self.subject.numbers[k]
        name, reported = self._named(i, k), float(self.reported[i, k])
        if slope.kind == "unbounded":
            return (
                f"{name} does not exist at {argument} = {x!r}: the slopes grow without bound as "
                f"the step shrinks (at {short(slope.step)}, {slope.left:.4g} on the left and "
                f"{slope.right:.4g} on the right; autograd reports {reported!r}). There is a jump "
                "or a vertical tangent; choose another point"
            )
        lost = []
        for neighbour in (x - slope.step, x + slope.step):
            try:
                value = self.at(k, neighbour)[i]
            except (ArithmeticError, ValueError) as error:
                lost.append(f"{type(error).__name__} ({error}) at {neighbour!r}")
            else:
                if not math.isfinite(value):
                    lost.append(f"{value} at {neighbour!r}")
        return (
            f"{name} cannot be checked at {argument} = {x!r}, the edge of the domain: "
            f"{' and '.join(lost) or 'not finite nearby'} (slope {slope.left:.4g} on the left, "
            f"{slope.right:.4g} on the right; autograd reports {reported!r}); choose a point inside"
        )

    # --- what is probably wrong --------------------------------------------------------------

    def hint(self, row: CheckedDerivative) -> str:
        """Return what most probably makes *row*, one of this level, wrong."""
        if not math.isfinite(row.reported):
            return (
                "an infinite or undefined local derivative arises on the way; "
                "chainrule.detect_anomaly() names the operation"
            )
        fault = faulty_partial(self.nodes)
        if fault:
            return fault
        entries = [
            (i, k)
            for i in range(len(self.outputs))
            for k in range(len(self.variables))
            if self._named(i, k) == row.name
        ]
        i, k = entries[0]
        if self.order > 1:
            return (
                f"the derivatives of order {self.order - 1} are right, but their own derivative is "
                "not: either a partial returns a plain number where it should be written in "
                "chainrule's functions of its arguments, or an operation is exactly at its kink"
            )
        if not self.steps[k].reaches(self.outputs[i]):
            return (
                f"the result moves with {row.argument}, but its graph does not lead there: the "
                "function leaves the graph on the way (v.data, detach, a plain float, no_grad)"
            )
        exact = self.steps[k].derivative(self.outputs[i])
        if exact is not None and self._agree(exact, row.reported, row.uncertainty):
            return (
                "the recorded graph does have the derivative that autograd reports, but the "
                "function does not: part of it is computed outside the graph (v.data, detach, a "
                "plain float, no_grad)"
            )
        return ""

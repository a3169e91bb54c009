"""A function run once on fresh variables, ready to be differentiated: how all transforms begin.

Here the transforms are kept apart from one another: which nodes depend on the variables of a
differentiation in progress decides whether a transform inside it returns Values.  The C core does
the same for plain numbers in lists, tuples and dicts; what it leaves is done here, by the same
rules.  The sweeps are in :mod:`.sweep_calls`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np

from . import modes
from .backend import Value
from .native import core
from .structures import leaves, like
from .sweep_calls import pull, push
from .sweeps import linked_partials as linked_partials  # the C core asks this module for it
from .table import as_float, identity

# Any: a function of any shape may be differentiated, and what it gives may be nested.
Function = Callable[..., Any]
empty, partial = np.empty, functools.partial  # the C core makes matrices and pullbacks with them


class Scope:
    """A differentiation in progress: its variables, and which nodes are known to depend on them.

    For each node, by its serial number, the scope knows whether the node depends on a variable of
    this scope or of one around it.  So every node is visited once, however often it is asked about.
    """

    __slots__ = ("around", "known", "since")

    def __init__(self, variables: Sequence[Value], around: Scope | None) -> None:
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
        scope: Scope | None = self
        while scope is not None and node.serial < scope.since:
            scope = scope.around
        return scope is not None and scope.known.get(node.serial, False)


# A differentiation in progress: the one around it, its scope, which is made when it is first asked,
# and then its variables.
Entry = list[Any]
_AROUND, _SCOPE, _VARIABLES = range(3)

enclosing: ContextVar[Entry | None] = ContextVar("chainrule_enclosing", default=None)
"""The innermost differentiation in progress at this point of the program."""


def _scope_of(entry: Entry | None) -> Scope | None:
    if entry is None:
        return None
    if entry[_SCOPE] is None:
        entry[_SCOPE] = Scope(entry[_VARIABLES:], _scope_of(entry[_AROUND]))
    scope: Scope = entry[_SCOPE]
    return scope


def reaches(entry: Entry, outputs: Any) -> bool:
    """Return whether *outputs* depend on a variable of a differentiation around *entry*, theirs.

    What is older than its own variables was captured.
    """
    if entry[_AROUND] is None:
        return False
    scope = _scope_of(entry[_AROUND])
    return scope is not None and any(map(scope.reaches, _captured(entry[_VARIABLES:], outputs)))


def _captured(variables: Sequence[Value], outputs: Any) -> Iterator[Value]:
    """Yield the nodes older than all *variables* that *outputs* depend on."""
    since = variables[0].serial if variables else math.inf
    seen: set[Value] = set()
    todo = [x for x in leaves(outputs) if isinstance(x, Value)]
    while todo:
        node = todo.pop()
        if node not in seen:
            seen.add(node)
            if node.serial < since:
                yield node
            else:
                todo += node.parents


def check_function(function: Any) -> None:
    """Raise TypeError if *function* cannot be called."""
    if not callable(function):
        raise TypeError(
            f"expected a function to differentiate, not {function!r:.80}; for an existing graph "
            "call backward(), or gradients(output, inputs)"
        )


class Run:
    """A function run once on fresh variables, ready to be differentiated.

    *argnums*, positions, say which of *args* are varied: by default all.  *found* is what the C
    core found if it has run the function already.
    """

    __slots__ = ("linked", "name", "outputs", "primals", "result", "variables")

    primals: Sequence[Any]
    variables: list[Value]
    result: Any
    outputs: list[Any]
    linked: bool
    """Whether the derivatives may be differentiated again, so that they are Values."""

    def __init__(
        self,
        function: Function,
        args: Sequence[Any],
        argnums: Sequence[int] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        found: tuple[Any, ...] | None = None,
    ) -> None:
        if found is None:
            check_function(function)
            args = tuple(args)
            found = None if core is None else core.run(function, args, argnums, kwargs)
        if found is None:
            found = _run(function, args, range(len(args)) if argnums is None else argnums, kwargs)
        self._take(getattr(function, "__name__", "function"), *found)

    def _take(
        self,
        name: str,
        primals: Sequence[Any],
        entry: Entry,
        given: bool,
        result: Any,
        outputs: list[Any] | None = None,
    ) -> None:
        self.name, self.primals, self.result = name, primals, result
        self.variables = entry[_VARIABLES:]
        if outputs is None:
            outputs = leaves(result)
            for output in outputs:
                if not isinstance(output, Value):
                    as_float(output, f"result of {name}")
        self.outputs = outputs
        # A recorded graph may reach its inputs in any way, not only through those that were given.
        self.linked = (
            given
            or (bool(modes.active) and modes.current().tracing)
            or reaches(entry, self.outputs)
        )

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
        if isinstance(self.result, Value):
            return self.result.data if not self.linked else self.finished(self.outputs, ())[0]
        return like(self.result, iter(self.finished(self.outputs, ())))

    def pull(self, cotangents: Sequence[Any]) -> list[Any]:
        """Return the adjoint of each variable for one cotangent per output."""
        adjoints = pull(self.outputs, self.variables, list(cotangents), self.linked)
        return self.finished(adjoints, cotangents)

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """Return the tangent of each output for one tangent per variable."""
        return self.finished(push(self.outputs, self.variables, tangents, self.linked), tangents)

    def gradient(self) -> list[Any]:
        """Return the derivatives of the only output: Values wherever they depend on a variable."""
        self.scalar()
        with modes.recording():
            return pull(self.outputs, self.variables, [1.0], linked=True)

    def finished(self, found: Iterable[Any], directions: Iterable[Any]) -> list[Any]:
        """Return what was *found*, as Values if the caller may differentiate again."""
        if self.linked or any(isinstance(x, Value) for x in directions):
            linking = modes.current().linking
            return [x if isinstance(x, Value) and linking else Value(_number(x)) for x in found]
        return [_number(x) for x in found]


def gradient(
    function: Function, args: Sequence[Any], argnums: Any, kwargs: Any, with_value: bool
) -> Any:
    """Return the gradient of *function* by the arguments *argnums*, perhaps with its value before.

    This is what ``grad`` gives, and what the C core calls where it does not know better.
    """
    run = Run(function, args, positions(argnums, args), kwargs)
    return _gradient_of(run, with_value, isinstance(argnums, Integral))


def continued(
    function: Function,
    primals: tuple[Any, ...],
    entry: Entry,
    given: bool,
    result: Any,
    with_value: bool,
    single: bool,
) -> Any:
    """Return what ``grad`` gives for a function that the C core ran, whose result it left."""
    run = Run(function, (), found=(primals, entry, given, result))
    return _gradient_of(run, with_value, single)


def _gradient_of(run: Run, with_value: bool, single: bool) -> Any:
    run.scalar()
    adjoints = iter(run.pull([1.0]))
    gradients = tuple([like(primal, adjoints) for primal in run.primals])
    gradient = gradients[0] if single else gradients
    return (run.value(), gradient) if with_value else gradient


def positions(argnums: Any, args: Sequence[Any]) -> list[int]:
    """Return the positions that *argnums*, an int or several, names; TypeError if it does not."""
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
            given = f"{n} argument{'s' * (n != 1)}"
            raise TypeError(f"argnums names argument {i} of a call with {given}, counted from 0")
    found = [i % n for i in positions]
    if len(set(found)) < len(found):
        raise TypeError(f"argnums names an argument twice: {argnums!r}")
    return found


def pulled(
    function: Function, primals: tuple[Any, ...], entry: Entry, result: Any, cotangent: Any
) -> tuple[Any, ...]:
    """Return what the pullback of a function of numbers gives that the C core ran."""
    return pull_back(Run(function, (), found=(primals, entry, False, result)), cotangent)


def pull_back(run: Run, cotangent: Any) -> tuple[Any, ...]:
    """Return the cotangent of each primal of *run* for one that is shaped like its result."""
    adjoints = iter(run.pull(matched(cotangent, run.result, "vjp cotangent")))
    return tuple([like(primal, adjoints) for primal in run.primals])


def _run(
    function: Function,
    args: Sequence[Any],
    argnums: Sequence[int],
    kwargs: Mapping[str, Any] | None,
) -> tuple[Any, ...]:
    """Call *function* with variables in place of the numbers in some of *args*.

    Return the primals, the differentiation as an entry, whether a Value was given, and the result.
    """
    name = getattr(function, "__name__", "function")
    primals = [args[i] for i in argnums]
    given = leaves(primals)
    # A copy linked to the Value is varied, not the Value: in f(v, v) the arguments differ.
    variables = [
        identity(x) if isinstance(x, Value) else Value(as_float(x, f"argument of {name}"))
        for x in given
    ]
    fresh = iter(variables)
    replaced = dict(zip(argnums, (like(p, fresh) for p in primals), strict=True))
    around = enclosing.get()
    entry: Entry = [around, None, *variables]
    with modes.recording(), _differentiating(entry if variables else around):
        result = function(
            *(replaced.get(i, arg) for i, arg in enumerate(args)),
            **(kwargs or MappingProxyType({})),
        )
    return primals, entry, any(isinstance(x, Value) for x in given), result


@contextlib.contextmanager
def _differentiating(entry: Entry | None) -> Iterator[None]:
    token = enclosing.set(entry)
    try:
        yield
    finally:
        enclosing.reset(token)


def _number(x: Any) -> float:
    return x.data if isinstance(x, Value) else as_float(x, "result")


def matched(given: Any, pattern: Any, what: str) -> list[Any]:
    """Return the leaves of *given*, a structure like *pattern*; ValueError if it is not."""
    if isinstance(pattern, dict):
        if not isinstance(given, dict) or given.keys() != pattern.keys():
            raise ValueError(
                f"{what}: expected a dict with the keys {list(pattern)}, not {given!r}"
            )
        parts = [(given[key], part) for key, part in pattern.items()]
    elif _has_entries(pattern):
        if not _has_entries(given) or len(given) != len(pattern):
            entries = len(given) if _has_entries(given) else type(given).__name__
            raise ValueError(f"{what}: expected a sequence of {len(pattern)}, not {entries}")
        parts = list(zip(given, pattern, strict=True))
    else:
        return [given if isinstance(given, Value) else as_float(given, what)]
    return [leaf for pair in parts for leaf in matched(*pair, what)]


def _has_entries(x: Any) -> bool:
    """Return whether *x* is a list, a tuple or an array with dimensions."""
    return isinstance(x, (list, tuple)) or (isinstance(x, np.ndarray) and x.ndim > 0)


if core is not None:
    import sys

    core.connect_transforms(sys.modules[__name__])

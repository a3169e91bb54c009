"""One program in all its worlds: what must be the same, and by how much it may differ.

The compiled function is asked in every way for every call: the results per example, the mean and
its gradient, what ``backward`` adds to the parameters, and the gradient of single examples.
Numbers are right if they agree with the engine's to twelve digits.  If they do not, because
something cancels, fifty digits say what is right, and how far floating point may be from it at this
very point (:mod:`fifty_digits`); nothing is ever loosened.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import chainrule as cr
from chainrule.compiler import loops
from chainrule.compiler import pieces as compiled_pieces
from chainrule.engine import bodies

from . import derivatives, pieces, worlds
from . import fifty_digits as exact
from .derivatives import held
from .language import Call, Program, leaves

CLOSE = 1e-12
NOISY_RUNS = 6
MARGIN = 30.0  # times the spread of the noisy runs: six runs see a part of what can happen
FEW = 2  # examples of a call that are looked at one by one


class InvalidProgramError(Exception):
    """The engine itself does not run this program."""


@dataclass
class Failure:
    kind: str
    """What differs; programs that fail in the same way have the same kind."""
    where: str
    expected: Any = None
    found: Any = None
    derivatives: bool = False
    """Whether it was asked for further derivatives: Jacobians, Hessians, products."""

    @property
    def of_gradient(self) -> bool:
        """Whether it takes a gradient to see it."""
        return "value_and_grad" in self.where or " by " in self.where

    def __str__(self) -> str:
        told = f"{self.kind}: {self.where}"
        if self.expected is not None or self.found is not None:
            told += f"\n    expected {self.expected}\n    found    {self.found}"
        return told


@dataclass
class Outcome:
    failure: Failure | None = None
    compared: int = 0
    doubtful: int = 0
    """Numbers that fifty digits had to decide."""
    undecided: int = 0
    """Numbers that hang on a rounding, which nobody can decide."""
    precise: int = 0
    """Numbers that were compared with fifty digits as well."""


class DisagreementError(Exception):
    def __init__(self, failure: Failure):
        super().__init__(str(failure))
        self.failure = failure


def check(program: Program, precise: bool = False, further: bool = False) -> Outcome:
    """Run *program* in every world; InvalidProgramError if the engine does not run it.

    All derivatives *further* than the gradient are asked for, or none.
    """
    outcome = _checked(program, precise, further, False)
    if outcome.failure is None and ("cr.scan(" in program.text or "for " in program.text):
        again = _checked(program, precise, further, True)
        outcome = again if again.failure is not None else outcome
    return outcome


def _checked(program: Program, precise: bool, further: bool, arrays: bool) -> Outcome:
    with _short_loops(arrays):
        run = _Run(program, precise, further)
        try:
            for index, call in enumerate(program.calls):
                run.call(index, call)
        except DisagreementError as failed:
            run.outcome.failure = failed.failure
    return run.outcome


@contextlib.contextmanager
def _short_loops(arrays: bool) -> Iterator[None]:
    """Have loops of eight steps or more compiled as loops, however little they do.

    Their bodies are computed as *arrays*, or number by number, whatever their width.
    """
    before = bodies.LEAST_WORK, compiled_pieces.WIDTH, loops.MANY_GROUPS
    bodies.LEAST_WORK, compiled_pieces.WIDTH = 1, 0 if arrays else 1_000_000
    loops.MANY_GROUPS = 0
    try:
        yield
    finally:
        bodies.LEAST_WORK, compiled_pieces.WIDTH, loops.MANY_GROUPS = before


@dataclass
class _Answer:
    """What the engine says of one call: a row per example."""

    result: Any
    numbers: np.ndarray
    gradients: np.ndarray | None


@dataclass
class _Run:
    program: Program
    precise: bool
    further: bool
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        text = self.program.text
        try:
            self.engine = worlds.engine(text)
            self.library = worlds.library(text)
        except ImportError:
            raise InvalidProgramError("SciPy is not installed") from None
        except Exception as error:
            raise InvalidProgramError(f"{type(error).__name__}: {error}") from error
        self.paths = list(self.engine.parameters)
        self.compiled: dict[str, cr.compiler.Compiled] = {}
        self.graphs: dict[str, tuple[Any, list[Any]]] = {}
        self.exact: worlds.Exact | None = None

    # --- a call ----------------------------------------------------------------------------------

    def call(self, index: int, call: Call) -> None:
        for path, x in call.changes:
            self.engine.set(path, x)
            self.library.set(path, x)
        self.judge = _Judge(self, call)
        where = f"call {index}, {call.function}"
        if call.graph:
            self._graph(where, call)
            return
        answer = self._answer(call)
        batch = [np.array(x, dtype=float) for x in call.batch]
        compiled = self.compiled.get(call.function)
        if compiled is None:
            compiled = self.tried(where, cr.compile, self.library.function(call.function))
            self.compiled[call.function] = compiled
            self._recorded(where, call, compiled, batch)
        if call.source:
            self.tried(where, lambda *b: compiled.record(*b).source, *batch)
        questions = [self._results, self._gradient, self._backward, self._singly]
        turn = index % len(questions)
        for ask in questions[turn:] + questions[:turn]:
            ask(where, call, compiled, batch, answer)
        if self.further:
            self._derivatives(where, call, compiled, answer)

    def _derivatives(self, where: str, call: Call, compiled: Any, answer: _Answer) -> None:
        questions = derivatives.Questions(self, where, call, compiled)
        try:
            questions.ask(answer.numbers)
        except derivatives.UnansweredError:
            return
        except DisagreementError as failed:
            failed.failure.derivatives = True
            raise

    def _recorded(self, where: str, call: Call, compiled: Any, batch: Any) -> None:
        """Record the function; InvalidProgramError if it does not run on Values either.

        Python's own arithmetic on plain numbers in it may overflow.
        """
        try:
            self.tried(where, compiled.record, *batch)
        except DisagreementError as failed:
            try:
                self.library.function(call.function)(*held(call.example(0), []))
            except type(failed.__cause__) as error:
                raise InvalidProgramError(f"{type(error).__name__}: {error}") from error
            raise

    def _answer(self, call: Call) -> _Answer:
        wrt = list(self.engine.parameters.values())
        rows, gradients, result = [], [], None
        for n in range(call.size):
            result, numbers, gradient = self._engines(call, call.example(n), wrt)
            rows.append(numbers)
            gradients.append(gradient)
        if not rows[0]:
            raise InvalidProgramError("no result")
        one = len(rows[0]) == 1
        return _Answer(
            result,
            np.array(rows, dtype=float),
            np.array(gradients, dtype=float).reshape(call.size, len(wrt)) if one else None,
        )

    def _engines(self, call: Call, example: Any, wrt: list[Any]) -> tuple[Any, ...]:
        try:
            return worlds.answered(self.engine, call.function, example, wrt)
        except Exception as error:
            failed = error
        try:  # it may differentiate by an input, which has to be a Value for that
            return worlds.answered(self.engine, call.function, held(example, []), wrt)
        except Exception:
            raise InvalidProgramError(f"{type(failed).__name__}: {failed}") from failed

    def tried(self, where: str, function: Any, *args: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                return function(*args)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                if isinstance(error, cr.TraceError) and pieces.COMPARES in self.program.text:
                    raise InvalidProgramError("it is refused, and the message says why") from error
                failure = Failure(f"raises {type(error).__name__}", f"{where}: {told}")
                raise DisagreementError(failure) from error

    # --- the questions ---------------------------------------------------------------------------

    def _results(self, where: str, call: Call, compiled: Any, batch: Any, answer: _Answer) -> None:
        found = self.tried(f"{where}, results", compiled, *batch)
        columns: list[Any] = []
        _collect(answer.result, found, columns, where)
        for column in columns:
            if np.shape(column) != (call.size,):
                raise DisagreementError(Failure("shape", where, (call.size,), np.shape(column)))
        for k, column in enumerate(columns):
            for n in range(call.size):
                expected = answer.numbers[n, k]
                self.same(
                    f"{where}, example {n}, result {k}",
                    expected,
                    column[n],
                    ("result", n, k),
                    ask_exact=self.precise and n < FEW,
                )

    def _gradient(self, where: str, call: Call, compiled: Any, batch: Any, answer: _Answer) -> None:
        if answer.gradients is None:
            return
        cost, gradient = self.tried(f"{where}, value_and_grad", compiled.value_and_grad, *batch)
        self._same_gradient(f"{where}, value_and_grad", call, compiled, answer, cost, gradient)

    def _same_gradient(
        self,
        where: str,
        call: Call,
        compiled: Any,
        answer: _Answer,
        cost: float,
        gradient: Any,
    ) -> None:
        with np.errstate(all="ignore"):
            self.same(f"{where}, mean", answer.numbers[:, 0].mean(), cost, ("result", None, 0))
            expected = answer.gradients.mean(axis=0)
        named = self._named(where, compiled, gradient)
        for i, path in enumerate(self.paths):
            self.same(
                f"{where}, by {path}", expected[i], named.get(path, 0.0), ("gradient", None, i)
            )

    def _named(self, where: str, compiled: Any, gradient: Any) -> dict[str, float]:
        """Return {path: entry}; DisagreementError if the parameters are not the program's."""
        names = {id(leaf): path for path, leaf in self.library.parameters.items()}
        strangers = [p for p in compiled.parameters if id(p) not in names]
        if strangers:
            raise DisagreementError(
                Failure("parameters", f"{where}: a leaf that is not the program's", None, strangers)
            )
        if len(gradient) != len(compiled.parameters):
            raise DisagreementError(
                Failure("parameters", where, len(compiled.parameters), f"{len(gradient)} entries")
            )
        return {names[id(p)]: float(x) for p, x in zip(compiled.parameters, gradient, strict=True)}

    def _backward(self, where: str, call: Call, compiled: Any, batch: Any, answer: _Answer) -> None:
        if answer.gradients is None:
            return
        where = f"{where}, backward"
        leaves_ = self.library.parameters
        for leaf in leaves_.values():
            leaf.grad = 0.0
        cost = self.tried(where, compiled.backward, *batch)
        first = {path: leaf.grad for path, leaf in leaves_.items()}
        gradient = [p.grad for p in compiled.parameters]
        self._same_gradient(where, call, compiled, answer, cost, gradient)
        inside = {id(p) for p in compiled.parameters}
        self.tried(where, compiled.backward, *batch)
        for path, leaf in leaves_.items():
            if id(leaf) not in inside and leaf.grad != 0.0:
                raise DisagreementError(
                    Failure("backward", f"{where} touched {path}", 0.0, leaf.grad)
                )
            twice = 2.0 * first[path]
            if not _close(twice, leaf.grad):  # whatever was rounded was rounded twice
                raise DisagreementError(
                    Failure("backward", f"{where} twice, by {path}", twice, leaf.grad)
                )

    def _singly(self, where: str, call: Call, compiled: Any, batch: Any, answer: _Answer) -> None:
        if answer.gradients is None or (call.size == 1 and not self.precise):
            return
        for n in sorted({0, call.size - 1})[:FEW]:
            one = [x[n : n + 1] for x in batch]
            told = f"{where}, example {n} alone"
            cost, gradient = self.tried(told, compiled.value_and_grad, *one)
            self.same(f"{told}, mean", answer.numbers[n, 0], cost, ("result", n, 0))
            named = self._named(told, compiled, gradient)
            for i, path in enumerate(self.paths):
                self.same(
                    f"{told}, by {path}",
                    answer.gradients[n, i],
                    named.get(path, 0.0),
                    ("gradient", n, i),
                    ask_exact=self.precise and (i + n) % (1 + len(self.paths) // 3) == 0,
                )

    def _graph(self, where: str, call: Call) -> None:
        """Compile the graph of an example, or write to the leaves of the one compiled before."""
        example = call.example(0)
        wrt = list(self.engine.parameters.values())
        inputs: list[Any] = []
        try:
            given = held(example, inputs)
            _, numbers, gradient = worlds.answered(
                self.engine, call.function, given, [*wrt, *inputs], parameters=False
            )
        except Exception as error:
            raise InvalidProgramError(f"{type(error).__name__}: {error}") from error
        if call.function not in self.graphs:
            own: list[Any] = []
            try:
                root = self.library.function(call.function)(*held(example, own))
            except ArithmeticError as error:  # of Python's own numbers
                raise InvalidProgramError(f"{type(error).__name__}: {error}") from error
            if not any(isinstance(x, cr.Value) for _, x in leaves(root)):
                raise InvalidProgramError("no graph")
            self.graphs[call.function] = (self.tried(where, cr.compile, root), own)
        compiled, own = self.graphs[call.function]
        for leaf, x in zip(own, (x for _, x in leaves(example)), strict=True):
            leaf.data = x
        found = [float(x) for _, x in leaves(self.tried(where, compiled))]
        for k, (a, b) in enumerate(zip(numbers, found, strict=True)):
            self.same(f"{where}, graph, result {k}", a, b, ("result", 0, k))
        if gradient is None:
            return
        cost, entries = self.tried(f"{where}, graph", compiled.value_and_grad)
        self.same(f"{where}, graph, value", numbers[0], cost, ("result", 0, 0))
        position = {id(leaf): i for i, leaf in enumerate(self.library.parameters.values())}
        position.update({id(leaf): len(wrt) + i for i, leaf in enumerate(own)})
        by_position = {
            position[id(p)]: float(x)
            for p, x in zip(compiled.parameters, entries, strict=True)
            if id(p) in position  # in a graph every leaf is a parameter
        }
        for i, expected in enumerate(gradient):
            name = self.paths[i] if i < len(wrt) else f"input {i - len(wrt)}"
            self.same(
                f"{where}, graph, by {name}", expected, by_position.get(i, 0.0), ("gradient", 0, i)
            )

    # --- numbers ---------------------------------------------------------------------------------

    def same(
        self,
        where: str,
        expected: float,
        found: float,
        key: Any,
        others: Any = None,
        ask_exact: bool = False,
    ) -> None:
        """Compare a number with the engine's, or with *others* where it is not finite."""
        expected, found = float(expected), float(found)
        self.outcome.compared += 1
        if _close(expected, found):
            if not (ask_exact and math.isfinite(expected)):
                return
            kind = "precise"
        else:
            kind = key[0]
            if not (math.isfinite(expected) and math.isfinite(found)):
                if kind == "gradient" and _close(self.judge.merged(key), found):
                    return
                if others is not None and any(_close(x, found) for x in others()):
                    return
                raise DisagreementError(Failure(f"{kind}, not finite", where, expected, found))
            self.outcome.doubtful += 1
        try:
            right, may_differ = self._right(key, found)
        except exact.RoundingError:
            self.outcome.undecided += kind != "precise"
            return
        except (exact.ConventionError, exact.UnsupportedError):
            # Then the engine's number stands; but where terms cancel, neither is more exact than
            # they are.
            if kind == "precise":
                return
            if self.judge.tied_by_condition(key, found):
                self.outcome.undecided += 1
                return
            try:
                may_differ = self.judge.slack(key, on_any_side=True)
            except exact.RoundingError:
                self.outcome.undecided += 1
                return
            if not abs(found - expected) <= may_differ:
                told = f"{where} (may differ by {float(may_differ):.1e})"
                raise DisagreementError(Failure(kind, told, expected, found)) from None
            self.outcome.undecided += 1
            return
        if kind == "precise":
            self.outcome.precise += 1
        if not abs(found - right) <= may_differ:
            told = f"{where} (may differ by {float(may_differ):.1e})"
            raise DisagreementError(Failure(kind, told, right, found))

    def _right(self, key: Any, found: float) -> tuple[Any, Any]:
        """Return the right number, and by how much a float may differ from it."""
        right = self.judge.right(key)
        if abs(found - right) <= CLOSE * abs(right):
            return right, CLOSE * abs(right)
        return right, self.judge.slack(key) + 4 * math.ulp(float(right)) + 1e-300


def _close(expected: float, found: float) -> bool:
    if math.isnan(expected) or math.isnan(found):
        return math.isnan(expected) and math.isnan(found)
    if math.isinf(expected) or math.isinf(found):
        return expected == found
    return expected == found or abs(expected - found) <= CLOSE * abs(expected)


def _collect(pattern: Any, found: Any, columns: list[Any], where: str) -> None:
    """Put the numbers of *found*, which is shaped like *pattern*, into *columns*."""
    if isinstance(pattern, dict):
        if not isinstance(found, dict) or list(found) != list(pattern):
            raise DisagreementError(Failure("structure", where, pattern, found))
        for key, part in pattern.items():
            _collect(part, found[key], columns, where)
    elif isinstance(pattern, (list, tuple)):
        # Not the same class: each world makes its own named tuples.
        if type(found).__name__ != type(pattern).__name__ or len(found) != len(pattern):
            raise DisagreementError(Failure("structure", where, type(pattern), type(found)))
        for part, other in zip(pattern, found, strict=True):
            _collect(part, other, columns, where)
    elif isinstance(pattern, np.ndarray) and pattern.ndim:
        if not isinstance(found, np.ndarray) or found.shape[: pattern.ndim] != pattern.shape:
            raise DisagreementError(
                Failure("structure", where, pattern.shape, f"{type(found)} {found!r}")
            )
        for part, other in zip(pattern, found, strict=True):
            _collect(part, other, columns, where)
    else:
        columns.append(found)


# --- fifty digits --------------------------------------------------------------------------------


class _Judge:
    """What is right for the numbers of one call, and how far floats may be from it.

    A key is what is asked for ("result" or "gradient"), of which example (None for the mean over
    all), and the number of the result or of the parameter.
    """

    def __init__(self, run: _Run, call: Call):
        self.run, self.call = run, call
        self.data = {path: leaf.data for path, leaf in run.engine.parameters.items()}
        self.known: dict[Any, Any] = {}

    def right(self, key: Any) -> Any:
        kind, n, k = key
        examples = range(self.call.size) if n is None else [n]
        return sum(self._asked(kind, i, k, None) for i in examples) / len(examples)

    def merged(self, key: Any) -> float:
        """Return the engine's gradient where equal nodes are one: of all examples of the call."""
        run, call, (_, n, k) = self.run, self.call, key
        examples = range(call.size) if n is None else [n]
        graphs, inputs, outputs = worlds.Merged(), [], []
        for i in examples:
            result = run.engine.function(call.function)(*held(call.example(i), inputs))
            outputs += [graphs.of(x) for _, x in leaves(result) if isinstance(x, cr.Value)]
        leaf = [*run.engine.parameters.values(), *inputs][k]
        return cr.gradients(cr.sum(outputs), [leaf])[0] / len(examples) if outputs else 0.0

    def tied_by_condition(self, key: Any, found: float) -> bool:
        """Return whether *found* is the gradient where a constant is a Value on a tie.

        What a transform makes of a branch that a parameter chose depends on nothing, whatever was
        chosen, and the engine cannot tell it from a constant; to a compiled program it is a Value.
        """
        run, call, (kind, n, k) = self.run, self.call, key
        chooses = any(f"cr.{name}(" in run.program.text for name in ("where", "take"))
        if kind != "gradient" or not chooses or k >= len(run.paths):
            return False
        examples = range(call.size) if n is None else [n]
        wrt = list(run.engine.parameters.values())
        slopes = [
            worlds.answered(run.engine, call.function, call.example(i), wrt, parameters=False)[2][k]
            for i in examples
        ]
        return _close(sum(slopes) / len(examples), found)

    def slack(self, key: Any, on_any_side: bool = False) -> Any:
        """Return by how much floats may be wrong: what noise does to the number.

        Where it hangs on a convention, noise is looked at on either side of it; examples of which
        nothing is known have no slack.
        """
        kind, n, k = key
        examples = range(self.call.size) if n is None else [n]
        spread = exact.mpf(0)
        for i in examples:
            if on_any_side:
                spread += self._spread_on_any_side(kind, i, k)
            else:
                spread += self._spread(self._asked, kind, i, k)
        return spread / len(examples)

    def _spread(self, asked: Any, kind: str, n: int, k: int) -> Any:
        one = asked(kind, n, k, None)
        noisy = [asked(kind, n, k, seed) for seed in range(NOISY_RUNS)]
        return MARGIN * max(abs(x - one) for x in noisy) + abs(one) * 4 * exact.UNIT

    def _spread_on_any_side(self, kind: str, n: int, k: int) -> Any:
        try:
            with exact.any_side():
                spread = self._spread(self._computed, kind, n, k)
        except exact.UnsupportedError:
            return exact.mpf(0)
        return spread if exact.mp.isfinite(spread) else exact.mpf(0)

    def _asked(self, kind: str, n: int, k: int, seed: int | None) -> Any:
        key = kind, n, k, seed
        if key not in self.known:
            found = self._computed(*key)
            if exact.mp.isnan(found):
                raise exact.ConventionError("outside of a domain, or on its edge")
            self.known[key] = found
        return self.known[key]

    def _computed(self, kind: str, n: int, k: int, seed: int | None) -> Any:
        run, call, example = self.run, self.call, self.call.example(n)
        if run.exact is None:
            run.exact = worlds.Exact(run.program.text)
        with exact.rounding(seed):
            run.exact.set(self.data)
            if kind in _FURTHER:
                return _FURTHER[kind](run, call.function, example, *k)
            if kind == "result":
                return run.exact.results(call.function, example)[k]
            if k < len(run.paths):
                (found,) = run.exact.derivatives(call.function, example, run.paths[k])
            else:
                (found,) = run.exact.by_input(call.function, example, k - len(run.paths))
            return found


def _entry(run: _Run, function: str, example: Any, i: int, j: int) -> Any:
    return run.exact.by_input(function, example, j)[i]


def _by_parameter(run: _Run, function: str, example: Any, i: int, j: int) -> Any:
    return run.exact.derivatives(function, example, run.paths[j])[i]


def _pushed(run: _Run, function: str, example: Any, i: int, direction: Any) -> Any:
    return run.exact.pushed(function, example, direction)[i]


def _pulled(run: _Run, function: str, example: Any, i: int, weights: Any) -> Any:
    slopes = run.exact.by_input(function, example, i)
    return sum(x * w for x, w in zip(slopes, weights, strict=True))


def _second(run: _Run, function: str, example: Any, i: int, j: int) -> Any:
    n = len(leaves(example))
    return run.exact.pushed(function, example, worlds.unit(j, n), worlds.unit(i, n))[0]


def _product(run: _Run, function: str, example: Any, i: int, direction: Any) -> Any:
    unit = worlds.unit(i, len(direction))
    return run.exact.pushed(function, example, direction, unit)[0]


_FURTHER = {
    "jacobian": _entry,
    "by parameters": _by_parameter,
    "jvp": _pushed,
    "vjp": _pulled,
    "hessian": _second,
    "hvp": _product,
}

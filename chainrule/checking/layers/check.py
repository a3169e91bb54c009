"""``check_layer``: the gradients of one layer, each exact, approximate or wrong, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..diagnosis.reporting import Alternative, Convention, Part, PartFinding, PartsReport
from ..text import number, short
from .calling import CallError, Given, Passes
from .kinds import KINDS, RULES, Layer
from .mistakes import ANYWHERE, BY_CODE, CATEGORIES, Plant, plants

_EXACT, _APPROXIMATE = 1e-9, 1e-5
"""Relative to the largest entry: how far off is a rounding, and how far is not yet wrong."""
_SAME = 1e-8
"""How near a replay must come to what was given."""
_STEP = 1e-3


def check_layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    kind: str = "affine",
    *,
    settings: Mapping[str, Any] | None = None,
    name: str = "",
) -> PartsReport:
    """Return a report on the gradients that the backward pass of one layer gives.

    *kind* is "affine", "relu", "tanh", "sigmoid", "softmax loss", "convolution", "max pooling",
    "average pooling", "batch norm", "layer norm", "dropout", "rnn step", "lstm step" or
    "attention". *forward* is called with the layer's inputs, ``(x, W, b)`` for an affine one,
    and returns the output, or the output and a cache. *backward* is called with the gradient of
    the output and that cache (or the inputs, if there is no cache), and returns the gradients
    in the order of the inputs, or a dictionary of them; what lies between, such as ``"dP"`` and
    ``"dS"`` of an attention, is looked at as well if it is in there. A loss that returns
    ``(loss, dlogits)`` needs no *backward*.

    >>> import numpy as np
    >>> def forward(x, W, b):
    ...     return x @ W + b, (x, W)
    >>> def backward(dout, cache):
    ...     x, W = cache
    ...     return dout @ W.T, x.T @ dout / len(x), dout.sum(axis=0)
    >>> report = check_layer(forward, backward, kind="affine")
    >>> report.ok, report.codes, report.first_wrong
    (False, ('sum.mean',), 'The first wrong gradient, in backward order, is dW.')

    What is right is the derivative of *their* forward pass: where it computes what such a layer
    does, the closed form, held to a difference of theirs; else differences alone. *settings*
    overrides how the layer is defined: stride and pad of a convolution, ``scaled=False`` for an
    attention without 1/sqrt(d). ``ValueError`` if there is no such kind.
    """
    layer = KINDS.get(_kind(kind))
    if layer is None:
        raise ValueError(f"kind is {kind!r}: expected one of {', '.join(map(repr, KINDS))}")
    called = name or getattr(backward or forward, "__name__", layer.kind)
    return _Check(layer, forward, backward, dict(settings or {}), called).report()


_SPELLINGS = {
    "linear": "affine", "fullyconnected": "affine", "dense": "affine",
    "softmax": "softmax loss", "crossentropy": "softmax loss",
    "conv": "convolution", "conv2d": "convolution",
    "maxpool": "max pooling", "pooling": "max pooling", "pool": "max pooling",
    "avgpool": "average pooling", "averagepool": "average pooling",
    "meanpooling": "average pooling",
    "batchnormalization": "batch norm", "layernormalization": "layer norm",
    "rnn": "rnn step", "lstm": "lstm step", "selfattention": "attention",
}  # fmt: skip


def _kind(kind: str) -> str:
    plain = "".join(letter for letter in str(kind).lower() if letter.isalnum())
    known = {name.replace(" ", ""): name for name in KINDS}
    return known.get(plain) or _SPELLINGS.get(plain, "")


class _Check:
    """One layer's two functions, and what is found out about them."""

    def __init__(
        self,
        layer: Layer,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        settings: dict[str, Any],
        name: str,
    ) -> None:
        self._layer, self._name = layer, name
        self._settings = settings
        self._inputs = layer.drawn(settings=settings)
        shown = {
            "stride": 1, "pad": 1, "pool_height": 2, "pool_width": 2, "mode": "train", "eps": 1e-5,
            **layer.settings, **settings,
        }  # fmt: skip
        self._passes = Passes(layer, forward, backward, shown)
        self._conventions: list[Convention] = []
        self._findings: list[PartFinding] = []
        self._truth: dict[str, Any] = {}
        self._usual = False
        """Whether the forward pass is that of the layer, so that a mistake can be replayed."""

    def report(self) -> PartsReport:
        parts: list[Part] = []
        first = ""
        try:
            if self._layer.random:
                given = self._passes.backward(self._inputs)
                self._see_mask(given)
            else:
                self._look_at_forward()
                given = self._passes.backward(self._inputs)
            self._tell(given)
            self._find_truth()
            wrong = self._wrong(given)
            parts, first = self._parts(given, wrong)
        except CallError as error:
            self._add(
                error.code,
                f"the {error.which} pass",
                evidence=error.says,
                which=error.which,
                names=", ".join(self._layer.asked),
            )
        return PartsReport(
            self._name,
            f"{self._layer.kind}: {', '.join(self._shapes())}",
            tuple(self._findings),
            tuple(self._conventions),
            tuple(parts),
            first,
        )

    def _shapes(self) -> list[str]:
        return [f"{name} {_shape(shape)}" for name, shape in self._layer.inputs.items()]

    # --- the forward pass ---

    def _look_at_forward(self) -> None:
        theirs = self._forward()
        rng = np.random.default_rng(6)
        for output, array in zip(self._layer.outputs, theirs, strict=True):
            if np.shape(self._inputs[f"d{output}"]) != array.shape:
                self._inputs[f"d{output}"] = rng.normal(size=array.shape)
        settings = self._settings
        candidates = [("", {}), *self._layer.variants.items()]
        for says, variant in candidates:
            if self._same_outputs(theirs, {**variant, **settings}):
                self._settings = {**variant, **settings}
                self._usual = True
                if says:
                    self._conventions.append(Convention("definition", says))
                return
        usual = self._layer.scope(self._inputs, settings)
        lines = []
        for output, array in zip(self._layer.outputs, theirs, strict=True):
            ours = np.asarray(getattr(usual, output))
            if ours.shape != array.shape:
                lines.append(f"{output} has shape {_shape(array.shape)}, expected "
                             f"{_shape(ours.shape)}")  # fmt: skip
            else:
                at = _furthest(array, ours)
                lines.append(f"{output}{_place(at)} is {number(float(array[at]))}, expected "
                             f"{number(float(ours[at]))}")  # fmt: skip
        self._add("forward.unknown", "the forward pass", here="\n".join(lines),
                  confidence="partial")  # fmt: skip

    def _see_mask(self, given: Given) -> None:
        """Read the mask off the output of the forward pass that the backward pass followed."""
        out, x = self._passes.outputs[0], self._inputs["x"]
        mask = out / x if np.shape(out) == np.shape(x) else np.full(np.shape(x), np.nan)
        kept = mask[mask != 0]
        if kept.size in (0, mask.size) or not np.allclose(kept, kept[0], rtol=1e-9):
            says = (
                f"out/x has the values {', '.join(map(number, np.unique(mask)[:4].tolist()))}; "
                "expected 0 in some places, and one factor, 1/p or 1, in the others"
            )
            raise CallError("forward", "call.not-dropout", says)
        self._inputs["mask"] = mask
        self._inputs["theirs"] = given.gradients.get("dx", np.nan)
        self._usual = True
        if np.allclose(kept, 1.0):
            self._conventions.append(
                Convention("definition", "what is kept is not divided by p: that is left to tests")
            )

    def _forward(self) -> tuple[Any, ...]:
        try:
            return self._passes.forward(self._inputs)[0]
        except CallError:
            if "transposed" not in self._layer.settings:
                raise
            # W as (outputs, inputs), as PyTorch has it.
            self._inputs["W"] = np.ascontiguousarray(self._inputs["W"].T)
            try:
                found = self._passes.forward(self._inputs)[0]
            except CallError:
                self._inputs["W"] = np.ascontiguousarray(self._inputs["W"].T)
                raise
            self._settings["transposed"] = True
            self._conventions.append(
                Convention("definition", "W has a row for each output: out = x W^T + b")
            )
            return found

    def _same_outputs(self, theirs: tuple[Any, ...], settings: Mapping[str, Any]) -> bool:
        usual = self._layer.scope(self._inputs, settings)
        return all(
            _error(array, np.asarray(getattr(usual, name))) < 1e-9
            for name, array in zip(self._layer.outputs, theirs, strict=True)
        )

    # --- what is right ---

    def _find_truth(self) -> None:
        if self._usual:
            self._truth = self._layer.gradients(self._inputs, self._settings)
            if self._layer.random or self._holds_along_a_line():
                return
            self._usual = False
        names = {f"d{name}" if name != "logits" else "dlogits": name for name in self._layer.inputs}
        self._truth = {
            gradient: self._differences(name) for gradient, name in names.items() if name != "y"
        }

    def _holds_along_a_line(self) -> bool:
        """Whether the closed form is the derivative of theirs, in one direction of all inputs."""
        rng = np.random.default_rng(1)
        along = {
            name: rng.normal(size=np.shape(self._inputs[name]))
            for name in self._layer.inputs
            if name != "y"
        }
        slope = sum(
            float((self._truth[gradient] * along[gradient[1:]]).sum())
            for gradient in self._layer.asked
        )
        return abs(self._slope(along) - slope) <= 1e-6 * max(1.0, abs(slope))

    def _slope(self, along: Mapping[str, Any]) -> float:
        """Return the derivative of sum(out * dout) along a line, by four points."""

        def at(t: float) -> float:
            moved = {
                name: value + t * along[name] if name in along else value
                for name, value in self._inputs.items()
            }
            outputs = self._passes.forward(moved)[0]
            return sum(
                float((output * self._inputs[f"d{name}"]).sum())
                for name, output in zip(self._layer.outputs, outputs, strict=True)
            )

        h = _STEP
        return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)

    def _differences(self, name: str) -> Any:
        found = np.zeros(np.shape(self._inputs[name]))
        for place in np.ndindex(found.shape):
            one = np.zeros(found.shape)
            one[place] = 1.0
            found[place] = self._slope({name: one})
        return found

    # --- what is wrong ---

    def _tell(self, given: Given) -> None:
        if given.changed:
            self._conventions.append(
                Convention("writes", f"the backward pass writes into {', '.join(given.changed)}")
            )
        if given.others:
            self._conventions.append(
                Convention("not-read", f"not looked at: {', '.join(given.others)}")
            )
        missing = [name for name in self._layer.asked if name not in given.gradients]
        if missing:
            self._conventions.append(Convention("missing", f"not given: {', '.join(missing)}"))

    def _wrong(self, given: Given) -> dict[str, str]:
        """Return what is said of each gradient that is wrong, and add the findings."""
        says: dict[str, str] = {}
        compared: dict[str, Any] = {}
        for step in self._layer.steps:
            if step not in given.gradients or step not in self._truth:
                continue
            theirs, right = given.gradients[step], np.asarray(self._truth[step])
            if theirs.shape != right.shape and theirs.size == right.size:
                squeezed = theirs.reshape(right.shape)
                if np.squeeze(theirs).shape == np.squeeze(right).shape:
                    theirs = squeezed
            if theirs.shape != right.shape:
                says[step] = "wrong shape"
                self._add("call.wrong-shape", step, step=step,
                          evidence=f"{step} has shape {_shape(theirs.shape)}, expected "
                          f"{_shape(right.shape)}")  # fmt: skip
            elif not np.isfinite(theirs).all():
                says[step] = "not finite"
                self._add("call.not-finite", step, step=step)
            else:
                compared[step] = theirs
        wrong = [s for s in compared if _error(compared[s], self._truth[s]) > _APPROXIMATE]
        chosen: list[Plant] = []
        while wrong:
            best, fits = self._best(compared, wrong, chosen)
            if not best:
                break
            chosen.append(best[0])
            says[best[0].step if best[0].step in compared else wrong[0]] = "wrong"
            self._name_it(best, wrong, fits, compared)
            wrong = [step for step in wrong if step not in fits]
        replayed = self._replayed(chosen)
        for step in wrong:  # what nothing explains; what follows from it cannot be told
            if not any(says.get(other) == "wrong, and why is not known" for other in says):
                self._not_known(step, compared, replayed)
                says[step] = "wrong, and why is not known"
            else:
                says[step] = "wrong"
        for step in compared:
            error = _error(compared[step], self._truth[step])
            if step in says:
                continue
            if error <= (_EXACT if self._usual else 1e-7):
                says[step] = "exact"
            elif error <= _APPROXIMATE:
                says[step] = f"approximate, to {short(error)}"
            else:
                says[step] = "follows from another"
        return says

    def _replayed(self, chosen: list[Plant]) -> dict[str, Any]:
        changes: dict[str, Callable[[Any, Any], Any]] = {}
        for plant in chosen:
            before = changes.get(plant.step)
            changes[plant.step] = plant.change if before is None else _after(before, plant.change)
        return self._layer.gradients(self._inputs, self._settings, changes)

    def _best(
        self, compared: Mapping[str, Any], wrong: list[str], chosen: list[Plant]
    ) -> tuple[list[Plant], set[str]]:
        """Return the plants that explain the first wrong gradient, and most of the others."""
        best: list[Plant] = []
        explained: set[str] = set()
        if not self._usual:
            return [], explained
        order = list(self._layer.steps)
        for plant in plants(self._layer):
            if order.index(plant.step) > order.index(wrong[0]):
                continue
            with np.errstate(all="ignore"):
                replayed = self._replayed([*chosen, plant])
            fits = {
                step
                for step in wrong
                if np.shape(replayed[step]) == compared[step].shape
                and _error(compared[step], replayed[step]) < _SAME
            }
            spoilt = any(
                np.shape(replayed[step]) != compared[step].shape
                or _error(compared[step], replayed[step]) > _APPROXIMATE
                for step in compared
                if step not in wrong
            )
            if wrong[0] not in fits or spoilt or len(fits) < len(explained):
                continue
            if len(fits) > len(explained):
                best, explained = [], fits
            if fits == explained:
                best.append(plant)
        return best, explained

    def _name_it(
        self, best: list[Plant], wrong: list[str], fits: set[str], compared: Mapping[str, Any]
    ) -> None:
        plant = best[0]
        # A row that one step and the next can have is one mistake; a sign may be lost anywhere.
        others = dict.fromkeys(
            (one.code, one.step)
            for one in best
            if one.code != plant.code or (one.step != plant.step and one.code in ANYWHERE)
        )
        alternatives = tuple(
            Alternative(
                (code,),
                BY_CODE[code].says.format(step=step),
                "Both give these numbers: read the code, or return what lies between by name.",
            )
            for code, step in others
        )
        shown = plant.step if plant.step in compared else wrong[0]
        confidence = "certain"
        if alternatives:
            confidence = "one of several"
        elif set(wrong) - fits:
            confidence = "partial"
        names = ", ".join(step for step in wrong if step in fits)
        self._add(
            plant.code,
            plant.step,
            step=plant.step,
            here=self._numbers(shown, compared[shown]),
            evidence=f"The layer replayed with this mistake gives your numbers: {names}.",
            confidence=confidence,
            alternatives=alternatives,
        )

    def _not_known(
        self, step: str, compared: Mapping[str, Any], replayed: Mapping[str, Any]
    ) -> None:
        theirs = compared[step]
        right = np.asarray(replayed[step] if self._usual else self._truth[step])
        nonzero = np.abs(right) > 1e-9 * np.abs(right).max(initial=0.0)
        ratios = theirs[nonzero] / right[nonzero]
        evidence = ""
        if ratios.size and np.ptp(ratios) < 1e-6 * max(1.0, abs(float(ratios[0]))):
            evidence = f"It is {number(float(ratios[0]))} times the right one."
        self._add("unknown.gradient", step, step=step, here=self._numbers(step, theirs),
                  evidence=evidence, confidence="partial")  # fmt: skip

    def _numbers(self, step: str, theirs: Any) -> str:
        right = np.asarray(self._truth[step])
        at = _furthest(theirs, right)
        return (
            f"{step}{_place(at)} is {number(float(theirs[at]))}, expected "
            f"{number(float(right[at]))}"
        )

    def _parts(self, given: Given, says: dict[str, str]) -> tuple[list[Part], str]:
        parts: list[Part] = []
        first = ""
        for step in self._layer.steps:
            if step not in says:
                continue
            ok = says[step].startswith(("exact", "approximate"))
            parts.append(Part(step, ok, says[step]))
            if not ok and not first:
                first = f"The first wrong gradient, in backward order, is {step}."
        return parts, first

    def _add(
        self,
        code: str,
        where: str,
        *,
        step: str = "",
        which: str = "",
        names: str = "",
        **more: Any,
    ) -> None:
        row = BY_CODE[code]
        rule = RULES[self._layer.kind].get(step, "")
        self._findings.append(
            PartFinding(
                code,
                about=CATEGORIES[row.category],
                where=where,
                says=row.says.format(step=step, which=which),
                fix=row.fix.format(rule=rule, which=which, names=names),
                formula=rule,
                **more,
            )
        )


def _after(
    first: Callable[[Any, Any], Any], second: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    return lambda scope, usual: second(scope, first(scope, usual))


def _error(theirs: Any, right: Any) -> float:
    """Return the largest difference, relative to the largest entry."""
    theirs, right = np.asarray(theirs, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if theirs.shape != right.shape:
        return float("inf")
    size = max(float(np.abs(right).max(initial=0.0)), 1e-300)
    found = float(np.abs(theirs - right).max(initial=0.0)) / size
    return found if np.isfinite(found) else float("inf")


def _furthest(theirs: Any, right: Any) -> tuple[int, ...]:
    place = np.unravel_index(int(np.argmax(np.abs(theirs - right))), np.shape(right))
    return tuple(int(index) for index in place)


def _place(at: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, at))}]" if at else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"

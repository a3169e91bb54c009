"""The mistakes that people make in the backward pass of a layer: each is one row.

A row says which step of which layers comes out different, and how: a change is called with the
scope, in which everything has its name, and with what the step should have given. The rows of
``_ANY_STEP`` are tried in every step of every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from .kinds import (
    Layer,
    add_onto,
    gates,
    one_hot,
    pooled,
    put_onto,
    softmax,
    spread,
    unpadded,
    windows,
)

Change: TypeAlias = Callable[[Any, Any], Any]

CATEGORIES = MappingProxyType(
    {
        "slope": "the derivative of a function that works on each entry",
        "upstream": "what is done with the gradient that comes from above",
        "product": "the derivative of a matrix product",
        "sum": "what is summed, and over what",
        "factor": "a constant factor",
        "sign": "a sign",
        "softmax": "the derivative of the softmax",
        "dropout": "the mask of dropout",
        "norm": "the derivative of a normalisation",
        "window": "how the windows are put together",
        "gate": "the gates, or the cell",
        "forward": "the forward pass",
        "call": "how the functions behave when they are called",
        "unknown": "not in the list of mistakes",
    }
)
"""What the first half of a code stands for."""


@dataclass(frozen=True, eq=False)
class Mistake:
    """One mistake: its name, what is wrong, how to mend it, how to make it."""

    code: str
    says: str
    fix: str
    changes: Mapping[str, Mapping[str, tuple[Change, ...]]]
    """For each kind of layer and each of its steps, how that step comes out different."""

    @property
    def category(self) -> str:
        """The key of ``CATEGORIES``."""
        return self.code.partition(".")[0]


@dataclass(frozen=True, eq=False)
class Plant:
    """A mistake in one step."""

    code: str
    step: str
    change: Change


def _row(code: str, says: str, fix: str, **changes: Mapping[str, Any]) -> Mistake:
    made = {
        kind.replace("_", " "): {
            step: how if isinstance(how, tuple) else (how,) for step, how in steps.items()
        }
        for kind, steps in changes.items()
    }
    return Mistake(code, says, fix, made)


def _zeros(s: Any, usual: Any) -> Any:
    return usual * 0.0


def _last_window(s: Any, usual: Any) -> Any:
    """Keep what the last window gives to the filters, in place of the sum."""
    i, j, (down, across) = windows(s)[-1]
    return np.einsum("nf,nchw->fchw", s.dout[:, :, i, j], s.padded[:, :, down, across])


def _last_of_all(s: Any, usual: Any) -> Any:
    """Keep what the last window of the last example gives to the filters."""
    i, j, (down, across) = windows(s)[-1]
    return np.einsum("f,chw->fchw", s.dout[-1, :, i, j], s.padded[-1, :, down, across])


def _last_filter(s: Any, usual: Any) -> Any:
    """Keep what the last window and the last filter give to each entry of the input."""
    found = np.zeros_like(s.padded)
    for i, j, (down, across) in windows(s):
        found[:, :, down, across] = s.dout[:, -1, i, j][:, None, None, None] * s.w[-1]
    return unpadded(s, found)


def _last_example(s: Any, usual: Any) -> Any:
    return sum(
        np.einsum("f,chw->fchw", s.dout[-1, :, i, j], s.padded[-1, :, down, across])
        for i, j, (down, across) in windows(s)
    )


def _of_other_mask(s: Any, usual: Any) -> Any:
    """Return theirs if it is dout in some places, with the factor or without, and else 0."""
    for factor in (1.0, s.mask.max()):
        there = np.isclose(s.theirs, s.dout * factor, rtol=1e-9)
        both = there.any() and not there.all() and (there | (s.theirs == 0)).all()
        # The right mask without its factor, and the right one inverted, have rows of their own.
        if both and not any(np.array_equal(there, kept) for kept in (s.mask > 0, s.mask == 0)):
            return s.theirs
    return np.full(np.shape(usual), np.nan)


_NORMS = ("batch_norm", "layer_norm")


def _both(steps: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return dict.fromkeys(_NORMS, steps)


_TABLE: tuple[Mistake, ...] = (
    # --- entry by entry ---
    _row(
        "slope.missing",
        "{step} is passed on without the derivative of the activation.",
        "Multiply by it, entry by entry: {rule}.",
        relu={"dx": lambda s, u: s.dout},
        tanh={"dx": lambda s, u: s.dout},
        sigmoid={"dx": lambda s, u: s.dout},
        rnn_step={"dz": lambda s, u: s.dnext_h},
        lstm_step={"dc": lambda s, u: s.dnext_c + s.dtc},
    ),
    _row(
        "slope.at-input",
        "{step} has the derivative's formula for the result, and puts the input in it.",
        "Put the result of the activation there: {rule}.",
        tanh={"dx": lambda s, u: s.dout * (1 - s.x**2)},
        sigmoid={"dx": lambda s, u: s.dout * s.x * (1 - s.x)},
        rnn_step={"dz": lambda s, u: s.dnext_h * (1 - s.z**2)},
        lstm_step={"dc": lambda s, u: s.dnext_c + s.dtc * (1 - s.next_c**2)},
    ),
    _row(
        "slope.not-squared",
        "{step} misses the square in the derivative of tanh.",
        "Square it: {rule}.",
        tanh={"dx": lambda s, u: s.dout * (1 - s.out)},
        rnn_step={"dz": lambda s, u: s.dnext_h * (1 - s.next_h)},
        lstm_step={"dc": lambda s, u: s.dnext_c + s.dtc * (1 - s.tc)},
    ),
    _row(
        "slope.of-other-activation",
        "{step} has the derivative of another activation.",
        "It is {rule}.",
        tanh={"dx": lambda s, u: s.dout * s.out * (1 - s.out)},
        sigmoid={"dx": lambda s, u: s.dout * (1 - s.out**2)},
        rnn_step={"dz": lambda s, u: s.dnext_h * s.next_h * (1 - s.next_h)},
        lstm_step={
            "da": (
                lambda s, u: gates(s, g=s.g * (1 - s.g)),
                lambda s, u: gates(s, i=1 - s.i**2, f=1 - s.f**2, o=1 - s.o**2),
            )
        },
    ),
    _row(
        "slope.half-of-it",
        "{step} has one factor of the derivative of the sigmoid and misses the other.",
        "Both belong there: {rule}.",
        sigmoid={"dx": (lambda s, u: s.dout * s.out, lambda s, u: s.dout * (1 - s.out))},
        lstm_step={
            "da": (
                lambda s, u: gates(s, i=s.i, f=s.f, o=s.o),
                lambda s, u: gates(s, i=1 - s.i, f=1 - s.f, o=1 - s.o),
            )
        },
    ),
    _row(
        "slope.mask-inverted",
        "{step} passes the gradient on where the input is negative.",
        "The other way round: {rule}.",
        relu={"dx": lambda s, u: s.dout * (s.x < 0)},
    ),
    _row(
        "slope.mask-of-upstream",
        "{step} asks whether the gradient from above is positive, not the input.",
        "Ask the input: {rule}.",
        relu={
            "dx": (
                lambda s, u: np.maximum(s.dout, 0),
                lambda s, u: s.dout * (s.x > 0) * (s.dout > 0),
            )
        },
    ),
    _row(
        "dropout.mask-missing",
        "{step} has no mask: units that were dropped get a gradient.",
        "Multiply by the mask of the forward pass: {rule}.",
        dropout={"dx": (lambda s, u: s.dout * 1.0, lambda s, u: s.dout * s.mask.max())},
    ),
    _row(
        "dropout.not-rescaled",
        "{step} has the mask, but not the factor 1/p by which the forward pass makes up for it.",
        "Divide by p here as well: {rule}.",
        dropout={"dx": lambda s, u: s.dout * (s.mask > 0)},
    ),
    _row(
        "dropout.rescaled-twice",
        "{step} has the factor 1/p of dropout twice.",
        "The mask of the forward pass may have it already: {rule}.",
        dropout={"dx": lambda s, u: s.dout * s.mask * s.mask.max()},
    ),
    _row(
        "dropout.mask-inverted",
        "{step} passes the gradient on where units were dropped.",
        "The other way round: {rule}.",
        dropout={
            "dx": (
                lambda s, u: s.dout * (s.mask == 0),
                lambda s, u: s.dout * (s.mask == 0) * s.mask.max(),
            )
        },
    ),
    _row(
        "dropout.other-mask",
        "{step} has a mask, but not that of the forward pass: it is drawn anew, or of another.",
        "Keep the mask of the forward pass in the cache: {rule}.",
        dropout={"dx": _of_other_mask},
    ),
    _row(
        "slope.is-result",
        "{step} multiplies by the result where its derivative belongs.",
        "It is {rule}.",
        relu={"dx": lambda s, u: s.dout * s.out},
        tanh={"dx": lambda s, u: s.dout * s.out},
        rnn_step={"dz": lambda s, u: s.dnext_h * s.next_h},
    ),
    _row(
        "upstream.forgotten",
        "{step} is the local derivative alone: the gradient from above is missing.",
        "Multiply by it: {rule}.",
        relu={"dx": lambda s, u: (s.x > 0) * 1.0},
        tanh={"dx": lambda s, u: 1 - s.out**2},
        sigmoid={"dx": lambda s, u: s.out * (1 - s.out)},
        affine={"db": lambda s, u: np.full(u.shape, float(len(s.dout)))},
        rnn_step={"dz": lambda s, u: 1 - s.next_h**2},
        max_pooling={"dx": lambda s, u: (u != 0) * 1.0},
        average_pooling={"dx": lambda s, u: np.full(u.shape, 0.25)},
    ),
    # --- products and sums ---
    _row(
        "product.not-transposed",
        "{step} multiplies by a square matrix that should be transposed.",
        "Transpose it: {rule}.",
        rnn_step={"dprev_h": lambda s, u: s.dz @ s.Wh},
        attention={
            "dV": lambda s, u: s.P @ s.dout,
            "dK": lambda s, u: s.dS @ s.Q * s.scale,
            "dQ": lambda s, u: s.dS.T @ s.K * s.scale,
        },
    ),
    _row(
        "product.transposed",
        "{step} is the transpose of the gradient.",
        "Exchange the two factors: {rule}.",
        rnn_step={"dWh": lambda s, u: u.T},
        attention={"dP": lambda s, u: u.T, "dS": lambda s, u: u.T},
    ),
    _row(
        "product.with-next-state",
        "{step} multiplies by the new state where the previous one belongs.",
        "It is {rule}.",
        rnn_step={"dWh": lambda s, u: s.next_h.T @ s.dz},
        lstm_step={
            "dWh": lambda s, u: s.next_h.T @ s.da,
            "df": lambda s, u: s.dc * s.next_c,
        },
    ),
    _row(
        "product.operands-exchanged",
        "{step} multiplies by the wrong one of the two operands.",
        "It is {rule}.",
        attention={
            "dQ": lambda s, u: s.dS @ s.Q * s.scale,
            "dK": lambda s, u: s.dS.T @ s.K * s.scale,
            "dP": lambda s, u: s.dout @ s.K.T,
        },
    ),
    _row(
        "sum.mean",
        "{step} is averaged over the examples where it should be summed.",
        "Sum; the 1/m belongs to the loss.",
        affine={"dW": lambda s, u: u / len(s.x), "db": lambda s, u: u / len(s.x)},
        rnn_step={
            "dWx": lambda s, u: u / len(s.x),
            "dWh": lambda s, u: u / len(s.x),
            "db": lambda s, u: u / len(s.x),
        },
        lstm_step={
            "dWx": lambda s, u: u / len(s.x),
            "dWh": lambda s, u: u / len(s.x),
            "db": lambda s, u: u / len(s.x),
        },
        convolution={"dw": lambda s, u: u / len(s.x), "db": lambda s, u: u / s.dout[:, 0].size},
        batch_norm={"dgamma": lambda s, u: u / len(s.x), "dbeta": lambda s, u: u / len(s.x)},
        layer_norm={"dgamma": lambda s, u: u / len(s.x), "dbeta": lambda s, u: u / len(s.x)},
    ),
    _row(
        "sum.one-total",
        "{step} is one total for all entries.",
        "Sum over the examples alone: {rule}.",
        affine={"db": lambda s, u: np.full(u.shape, s.dout.sum())},
        rnn_step={"db": lambda s, u: np.full(u.shape, s.dz.sum())},
        lstm_step={"db": lambda s, u: np.full(u.shape, s.da.sum())},
        convolution={"db": lambda s, u: np.full(u.shape, s.dout.sum())},
        batch_norm={"dbeta": lambda s, u: np.full(u.shape, s.dout.sum())},
        layer_norm={"dbeta": lambda s, u: np.full(u.shape, s.dout.sum())},
    ),
    _row(
        "sum.one-example",
        "{step} is that of one example alone.",
        "Sum over the examples: {rule}.",
        affine={"db": (lambda s, u: s.dout[0], lambda s, u: s.dout[-1])},
        rnn_step={"db": (lambda s, u: s.dz[0], lambda s, u: s.dz[-1])},
        lstm_step={"db": (lambda s, u: s.da[0], lambda s, u: s.da[-1])},
        convolution={
            "db": lambda s, u: s.dout[-1].sum(axis=(1, 2)),
            "dw": _last_example,
        },
    ),
    # --- the softmax ---
    _row(
        "softmax.mean-missing",
        "{step} is not divided by the number of examples, and the loss is.",
        "Divide by it: {rule}.",
        softmax_loss={"dlogits": lambda s, u: u * s.n if s.mean else u},
    ),
    _row(
        "softmax.mean-twice",
        "{step} is divided by the number of examples twice, or the loss is not divided at all.",
        "Divide as often as the loss does: {rule}.",
        softmax_loss={"dlogits": lambda s, u: u / s.n},
    ),
    _row(
        "softmax.over-classes",
        "{step} is divided by the number of classes.",
        "Divide by the number of examples: {rule}.",
        softmax_loss={
            "dlogits": (
                lambda s, u: u * s.count / s.classes,
                lambda s, u: u / s.classes,
            )
        },
    ),
    _row(
        "softmax.one-missing",
        "{step} is the probabilities: the 1 of the right class is not subtracted.",
        "Subtract it: {rule}.",
        softmax_loss={
            "dlogits": (lambda s, u: s.probs / s.count, lambda s, u: s.probs)
        },
    ),
    _row(
        "softmax.right-class-only",
        "{step} is that of the right class, and 0 in the others.",
        "The others have a gradient too, through the sum in the softmax: {rule}.",
        softmax_loss={"dlogits": lambda s, u: u * one_hot(s.y, s.classes)},
    ),
    _row(
        "softmax.of-probabilities",
        "{step} is the gradient by the probabilities, -1/p, not by the logits.",
        "Go on through the softmax: {rule}.",
        softmax_loss={
            "dlogits": (
                lambda s, u: -one_hot(s.y, s.classes) / s.probs / s.count,
                lambda s, u: -one_hot(s.y, s.classes) / s.probs,
            )
        },
    ),
    _row(
        "softmax.wrong-axis",
        "{step} takes the softmax over the examples.",
        "Take it over the classes: {rule}.",
        softmax_loss={
            "dlogits": lambda s, u: (softmax(s.logits.T).T - one_hot(s.y, s.classes)) / s.count
        },
        attention={"dS": lambda s, u: s.P * (s.dP - (s.P * s.dP).sum(axis=0, keepdims=True))},
    ),
    _row(
        "softmax.logits-for-probabilities",
        "{step} subtracts the 1 from the logits.",
        "Take the softmax first: {rule}.",
        softmax_loss={"dlogits": lambda s, u: (s.logits - one_hot(s.y, s.classes)) / s.count},
    ),
    _row(
        "softmax.diagonal-only",
        "{step} has the diagonal of the softmax's Jacobian alone, P (1 - P).",
        "All entries of a row depend on one another: {rule}.",
        attention={"dS": lambda s, u: s.dP * s.P * (1 - s.P)},
    ),
    _row(
        "softmax.sum-missing",
        "{step} misses the sum that the softmax subtracts.",
        "Subtract the sum over the row: {rule}.",
        attention={"dS": lambda s, u: s.P * s.dP},
    ),
    _row(
        "softmax.not-passed",
        "{step} is passed through as if there were no softmax.",
        "Multiply by its Jacobian: {rule}.",
        attention={"dS": lambda s, u: s.dP},
    ),
    _row(
        "factor.scale-missing",
        "{step} misses the 1/sqrt(d) by which the scores were divided.",
        "Multiply by it: {rule}.",
        attention={"dQ": lambda s, u: u / s.scale, "dK": lambda s, u: u / s.scale},
    ),
    _row(
        "factor.scale-twice",
        "{step} has the 1/sqrt(d) of the scores twice, or 1/d.",
        "Once: {rule}.",
        attention={"dQ": lambda s, u: u * s.scale, "dK": lambda s, u: u * s.scale},
    ),
    # --- normalisations ---
    _row(
        "norm.variance-constant",
        "{step} takes the variance for a constant.",
        "It depends on x too: {rule}.",
        **_both({
            "dvar": lambda s, u: 0.0 * u,
            "dx": lambda s, u: s.dxhat * s.inverse + s.dmu / s.n,
        }),
    ),
    _row(
        "norm.mean-constant",
        "{step} takes the mean for a constant.",
        "It depends on x too: {rule}.",
        **_both({
            "dmu": lambda s, u: 0.0 * u,
            "dx": lambda s, u: s.dxhat * s.inverse + s.dvar * 2 * s.centred / s.divisor,
        }),
    ),
    _row(
        "norm.both-constant",
        "{step} takes mean and variance for constants.",
        "Both depend on x: {rule}.",
        **_both({"dx": lambda s, u: s.dxhat * s.inverse}),
    ),
    _row(
        "norm.gamma-missing",
        "{step} misses gamma.",
        "Multiply by it: {rule}.",
        **_both({"dxhat": lambda s, u: s.dout}),
    ),
    _row(
        "norm.of-x",
        "{step} multiplies by x where the normalised x belongs.",
        "It is {rule}.",
        **_both({
            "dgamma": (
                lambda s, u: (s.dout * s.x).sum(axis=0),
                lambda s, u: (s.dout * s.centred).sum(axis=0),
            )
        }),
    ),
    _row(
        "norm.count-missing",
        "{step} is not divided by the number of entries that the mean is over.",
        "Divide by it: {rule}.",
        **_both({
            "dx": (
                lambda s, u: s.dxhat * s.inverse + s.dvar * 2 * s.centred + s.dmu / s.n,
                lambda s, u: s.dxhat * s.inverse + s.dvar * 2 * s.centred / s.divisor + s.dmu,
                lambda s, u: s.dxhat * s.inverse + s.dvar * 2 * s.centred + s.dmu,
            )
        }),
    ),
    _row(
        "norm.two-missing",
        "{step} misses the 2 in the derivative of the square.",
        "It is {rule}.",
        **_both({
            "dx": lambda s, u: s.dxhat * s.inverse + s.dvar * s.centred / s.divisor + s.dmu / s.n
        }),
    ),
    _row(
        "norm.wrong-power",
        "{step} has the wrong power of the variance.",
        "The derivative of v^(-1/2) is -1/2 v^(-3/2): {rule}.",
        **_both({
            "dvar": (
                lambda s, u: u / s.inverse**3 * s.inverse,
                lambda s, u: u / s.inverse**3 * s.inverse**2,
                lambda s, u: u / s.inverse,
                lambda s, u: u / s.inverse**2,
            )
        }),
    ),
    _row(
        "norm.sqrt-missing",
        "{step} divides by the variance where the standard deviation belongs.",
        "It is {rule}.",
        **_both({
            "dx": lambda s, u: s.dxhat * s.inverse**2 + s.dvar * 2 * s.centred / s.divisor
            + s.dmu / s.n
        }),
    ),
    _row(
        "norm.divisor",
        "{step} is divided by n where the variance was divided by n - 1, or the other way round.",
        "Divide as the forward pass does: {rule}.",
        **_both({
            "dx": lambda s, u: s.dxhat * s.inverse
            + s.dvar * 2 * s.centred / (s.n if s.lost else s.n - 1)
            + s.dmu / s.n
        }),
    ),
    # --- windows ---
    _row(
        "window.overwrites",
        "{step} is set by each window where the windows' gradients should be added.",
        "Write += in place of =: windows overlap.",
        convolution={
            "dx": (_last_filter, lambda s, u: unpadded(s, spread(s, put_onto))),
            "dw": (_last_window, _last_of_all),
        },
    ),
    _row(
        "window.filter-flipped",
        "{step} is computed with filters that are turned round.",
        "Each window gets w times dout, as it stands: {rule}.",
        convolution={
            "dx": lambda s, u: unpadded(s, spread(s, add_onto, s.w[:, :, ::-1, ::-1])),
            "dw": lambda s, u: u[:, :, ::-1, ::-1],
        },
    ),
    _row(
        "window.padding-kept",
        "{step} is cut out of the padded gradient at the wrong place.",
        "Cut the padding off on both sides: dx = dx_padded[:, :, p:-p, p:-p].",
        convolution={
            "dx": lambda s, u: spread(s, add_onto)[:, :, : s.x.shape[2], : s.x.shape[3]]
        },
    ),
    _row(
        "window.all-entries",
        "{step} gives every entry of a window the gradient, not the largest alone.",
        "Only the entry that was the largest gets it: {rule}.",
        max_pooling={
            "dx": (
                lambda s, u: pooled(s, lambda window, top: np.ones(window.shape)),
                lambda s, u: pooled(s, lambda window, top: np.full(window.shape, 0.25)),
            )
        },
    ),
    _row(
        "window.first-entry",
        "{step} gives the gradient to a fixed entry of each window.",
        "It belongs to the entry that was the largest: {rule}.",
        max_pooling={
            "dx": tuple(
                lambda s, u, at=at: pooled(
                    s, lambda window, top: np.eye(4)[at].reshape(2, 2) * np.ones(window.shape)
                )
                for at in range(4)
            )
        },
    ),
    _row(
        "window.times-value",
        "{step} multiplies by the value of the entry.",
        "The derivative of the maximum is 1 there: {rule}.",
        max_pooling={"dx": lambda s, u: u * s.x},
        average_pooling={"dx": lambda s, u: u * s.x},
    ),
    _row(
        "window.count-missing",
        "{step} is not divided by the number of entries of a window.",
        "Divide by it: {rule}.",
        average_pooling={"dx": lambda s, u: 4 * u},
    ),
    # --- gates ---
    _row(
        "gate.cell-from-above-forgotten",
        "{step} leaves out the gradient of the cell that comes from the next step.",
        "Add it: {rule}.",
        lstm_step={"dc": lambda s, u: u - s.dnext_c},
    ),
    _row(
        "gate.cell-from-state-forgotten",
        "{step} leaves out what comes through the new state.",
        "The new state depends on the cell too: {rule}.",
        lstm_step={"dc": lambda s, u: s.dnext_c},
    ),
    _row(
        "gate.output-gate-missing",
        "{step} misses the output gate.",
        "It is {rule}.",
        lstm_step={"dtc": lambda s, u: s.dnext_h},
    ),
    _row(
        "gate.tanh-of-cell-missing",
        "{step} multiplies by the cell where its tanh belongs.",
        "It is {rule}.",
        lstm_step={"do": lambda s, u: s.dnext_h * s.next_c},
    ),
    _row(
        "gate.forget-gate-missing",
        "{step} misses the forget gate.",
        "It is {rule}.",
        lstm_step={"dprev_c": lambda s, u: s.dc},
    ),
    _row(
        "gate.without-the-state",
        "{step} takes the gradient of the cell from above alone, not what comes through the state.",
        "Use dc, the sum of both: {rule}.",
        lstm_step={
            "df": lambda s, u: s.dnext_c * s.prev_c,
            "di": lambda s, u: s.dnext_c * s.g,
            "dg": lambda s, u: s.dnext_c * s.i,
            "dprev_c": lambda s, u: s.dnext_c * s.f,
        },
    ),
    _row(
        "gate.exchanged",
        "{step} has the factor of another gate.",
        "It is {rule}.",
        lstm_step={
            "di": (lambda s, u: s.dc * s.i, lambda s, u: s.dc * s.prev_c),
            "dg": (lambda s, u: s.dc * s.g, lambda s, u: s.dc * s.f),
            "df": (lambda s, u: s.dc * s.f, lambda s, u: s.dc * s.g),
            "dprev_c": lambda s, u: s.dc * s.i,
        },
    ),
    _row(
        "gate.slopes-missing",
        "{step} misses the derivatives of the gates' activations.",
        "Multiply by them: {rule}.",
        lstm_step={
            "da": (
                lambda s, u: gates(s, i=1, f=1, o=1, g=1),
                lambda s, u: gates(s, g=1),
                lambda s, u: gates(s, i=1, f=1, o=1),
            )
        },
    ),
    _row(
        "gate.wrong-order",
        "{step} has the gates in another order than the forward pass.",
        "Join them in the order in which they were split.",
        lstm_step={
            "da": tuple(
                lambda s, u, order=order: np.concatenate(
                    [np.split(u, 4, axis=1)[place] for place in order], axis=1
                )
                for order in (
                    (0, 1, 3, 2), (1, 0, 2, 3), (0, 2, 1, 3), (1, 0, 3, 2), (2, 1, 0, 3),
                    (3, 0, 1, 2), (0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0),
                )
            )
        },
    ),
)  # fmt: skip

_ANY_STEP: tuple[tuple[str, str, str, Change], ...] = (
    ("sign.error", "{step} has the wrong sign.", "Check the sign: {rule}.", lambda s, u: -u),
    ("factor.doubled", "{step} is twice what it should be.",
     "Look for a factor 2: {rule}.", lambda s, u: 2.0 * u),
    ("factor.halved", "{step} is half of what it should be.",
     "Look for a factor 1/2: {rule}.", lambda s, u: 0.5 * u),
    ("sum.all-zero", "{step} is zero.", "Fill it in: {rule}.", _zeros),
)  # fmt: skip

_WITHOUT_REPLAY: tuple[tuple[str, str, str], ...] = (
    ("forward.unknown", "The forward pass does not compute what such a layer computes.",
     "Compare the numbers. If it is meant to be another layer, the gradients are compared with "
     "differences of your own forward pass all the same."),
    ("call.raises", "The {which} pass raises an exception.",
     "Read the last line of the exception first; the shapes in it often name the mistake."),
    ("call.no-arrays", "The {which} pass does not return the arrays that are expected.",
     "Return the gradients as a tuple, in the order of the forward pass's arguments, or as a "
     "dictionary: {names}."),
    ("call.not-dropout", "What the forward pass gives is not its input with a mask.",
     "Return x * mask / p, and keep the mask for the backward pass."),
    ("call.wrong-shape", "{step} has the wrong shape.",
     "A gradient has the shape of what it is the gradient of."),
    ("call.not-finite", "{step} has entries that are nan or infinite.",
     "Look for log(0), 0/0 and overflow in exp."),
    ("unknown.gradient", "{step} is wrong.", "Check it against {rule}."),
)  # fmt: skip

MISTAKES: tuple[Mistake, ...] = (
    *_TABLE,
    *(Mistake(code, says, fix, {}) for code, says, fix, _ in _ANY_STEP),
    *(Mistake(code, says, fix, {}) for code, says, fix in _WITHOUT_REPLAY),
)
ANYWHERE = frozenset(code for code, _, _, _ in _ANY_STEP)
"""The codes of the mistakes that can be made in every step."""
BY_CODE = MappingProxyType({row.code: row for row in MISTAKES})
"""The rows by their code."""


def plants(layer: Layer) -> Iterator[Plant]:
    """Yield every mistake that can be made in *layer*, those of its own kind first."""
    for row in _TABLE:
        for step, changes in row.changes.get(layer.kind, {}).items():
            for change in changes:
                yield Plant(row.code, step, change)
    for code, _, _, change in _ANY_STEP:
        for step in layer.steps:
            yield Plant(code, step, change)

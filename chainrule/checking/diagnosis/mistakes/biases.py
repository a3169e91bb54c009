"""The gradient of the biases."""

from __future__ import annotations

from ...problem import Array
from ..algorithm import Run
from .makers import bias_column, takes_mean
from .row import Mistake


def _before_slope(run: Run, layer: int, data: Array, *, output: bool = False) -> Array:
    """What comes back to a layer, added up; at the output the error if it is wrong there too."""
    if layer == run.last:
        sums: Array = run.error().sum(axis=0) / run.count()
        return sums if output else data[:, 0]
    back: Array = run.blame(layer).sum(axis=0) / run.count()
    return back


ROWS: tuple[Mistake, ...] = (
    Mistake(
        "bias.zero",
        "B9",
        "The gradient of the biases is zero.",
        "A bias is the weight of a unit that is always 1: its gradient is delta.",
        (bias_column(lambda run, layer, data: 0.0),),
    ),
    Mistake(
        "bias.not-summed",
        "B9",
        "The gradient of the biases is not summed over the batch.",
        "Add up the deltas of all examples.",
        (
            bias_column(lambda run, layer, data: run.delta(layer)[-1] / run.count()),
            bias_column(lambda run, layer, data: run.delta(layer)[0] / run.count()),
            bias_column(lambda run, layer, data: run.delta(layer)[-1]),
            bias_column(lambda run, layer, data: run.delta(layer)[0]),
        ),
    ),
    Mistake(
        "bias.times-m",
        "B9",
        "The gradient of the biases is summed over the batch, but not divided by m.",
        "Biases are averaged like weights: divide their sum by m too.",
        (bias_column(lambda run, layer, data: data[:, 0] * run.m),),
        takes_mean,
    ),
    Mistake(
        "bias.divided-by-m",
        "B9",
        "The gradient of the biases is divided by m once too often.",
        "Average the deltas once.",
        (bias_column(lambda run, layer, data: data[:, 0] / run.m),),
    ),
    Mistake(
        "bias.one-total",
        "B9",
        "All biases of a layer get one total: the deltas are summed over the units too.",
        "Sum over the examples only: axis=0 if rows are examples.",
        (bias_column(lambda run, layer, data: data[:, 0].sum()),),
    ),
    Mistake(
        "bias.without-slope",
        "B9",
        "The gradient of the biases lacks the factor g'(z): it adds up what comes back, not delta.",
        "Add up delta, after the multiplication by g'(z).",
        (
            bias_column(_before_slope),
            bias_column(lambda run, layer, data: _before_slope(run, layer, data, output=True)),
        ),
        lambda problem: problem.last > 0 or problem.squares,
    ),
    Mistake(
        "bias.row-sum",
        "B9",
        "The gradient of a bias is the row sum of the weights' gradient.",
        "It is the sum of the deltas: no activation enters it.",
        (bias_column(lambda run, layer, data: data[:, 1:].sum(axis=1)),),
    ),
)

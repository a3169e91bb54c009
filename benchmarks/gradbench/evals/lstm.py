"""``lstm``: a recurrent network of diagonal LSTM layers that predicts the next character's bits."""

import itertools

import numpy as np

import chainrule as cr

from .function import Function


def split(row, parts):
    size = len(row) // parts
    return [row[i * size : (i + 1) * size] for i in range(parts)]


def layer(weights, biases, hidden, cell, inputs):
    """Return the new hidden state and cell of a layer; every unit is on its own."""
    forget_w, in_w, out_w, change_w = split(weights, 4)
    forget_b, in_b, out_b, change_b = split(biases, 4)
    new_hidden, new_cell = [], []
    for i, x in enumerate(inputs):
        forget = cr.sigmoid(x * forget_w[i] + forget_b[i])
        ingate = cr.sigmoid(hidden[i] * in_w[i] + in_b[i])
        outgate = cr.sigmoid(x * out_w[i] + out_b[i])
        change = cr.tanh(hidden[i] * change_w[i] + change_b[i])
        new_cell.append(cell[i] * forget + ingate * change)
        new_hidden.append(outgate * cr.tanh(new_cell[-1]))
    return new_hidden, new_cell


def predict(main, extra, state, x):
    """Return the prediction after the character *x*, and the new state."""
    in_weight, out_weight, out_bias = extra
    flow = [a * w for a, w in zip(x, in_weight, strict=True)]
    new = []
    for i in range(0, len(main), 2):
        flow, cell = layer(main[i], main[i + 1], state[i], state[i + 1], flow)
        new += [flow, cell]
    return [a * w + b for a, w, b in zip(flow, out_weight, out_bias, strict=True)], new


def loss(main, extra, state, sequence):
    """Return the mean surprise at the bits of each character after the first."""

    def step(carried, characters):
        state, total = carried
        x, following = characters
        guess, state = predict(main, extra, state, x)
        surprise = cr.log(cr.sum([cr.exp(z) for z in guess]) + 2.0)
        terms = [y * (z - surprise) for y, z in zip(following, guess, strict=True)]
        return (state, total + cr.sum(terms)), None

    pairs = list(itertools.pairwise(sequence))
    (_, total), _ = cr.scan(step, (state, 0.0), pairs)
    return -total / (len(pairs) * len(sequence[0]))


def values(table):
    return [[cr.Value(x) for x in row] for row in table]


class Problem:
    """The parameters as Values; the text as an array, the only example."""

    def __init__(self, given):
        main, extra = values(given["main_params"]), values(given["extra_params"])
        state = given["state"]
        self.text = np.array([given["sequence"]])
        self.loss = cr.compile(
            lambda sequence: loss(main, extra, state, sequence),
            wrt=[x for row in [*main, *extra] for x in row],
        )


def objective(problem):
    return problem.loss(problem.text)[0]


def jacobian(problem):
    _, slopes = problem.loss.value_and_grad(problem.text)
    return slopes


FUNCTIONS = {
    "objective": Function(objective, Problem, float),
    "jacobian": Function(jacobian, Problem, list),
}

"""``lstm``: a recurrent network of diagonal LSTM layers that predicts the next character's bits."""

import itertools

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
    total, count = 0.0, 0
    for x, following in itertools.pairwise(sequence):
        guess, state = predict(main, extra, state, x)
        surprise = cr.log(cr.sum([cr.exp(z) for z in guess]) + 2.0)
        total = total + cr.sum([y * (z - surprise) for y, z in zip(following, guess, strict=True)])
        count += len(guess)
    return -total / count


def values(table):
    return [[cr.Value(x) for x in row] for row in table]


class Problem:
    """The graph of the loss, compiled when it is first asked for."""

    def __init__(self, given):
        self.main, self.extra = values(given["main_params"]), values(given["extra_params"])
        self.state, self.sequence = given["state"], given["sequence"]
        self.parameters = [x for row in [*self.main, *self.extra] for x in row]
        self.program = None

    def compiled(self):
        if self.program is None:
            root = loss(self.main, self.extra, self.state, self.sequence)
            self.program = cr.compile(root, wrt=self.parameters)
        return self.program


def objective(problem):
    return problem.compiled()()


def jacobian(problem):
    _, slopes = problem.compiled().value_and_grad()
    return slopes


FUNCTIONS = {
    "objective": Function(objective, Problem),
    "jacobian": Function(jacobian, Problem, list),
}

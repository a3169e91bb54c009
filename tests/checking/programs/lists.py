"""Plain lists, no array library: row + [1] puts the bias unit behind."""

# ruff: noqa: RUF005 (with arrays, row + [1] adds 1 to each entry: that is what is tested)
from math import exp


def sqerror_gradients(network, input_vector, target_vector):
    """The bias is the last weight of each neuron."""
    hidden, outputs = _outputs(network, input_vector)
    deltas = [o * (1 - o) * (o - t) for o, t in zip(outputs, target_vector, strict=True)]
    below = [
        h * (1 - h) * sum(d * n[j] for d, n in zip(deltas, network[-1], strict=True))
        for j, h in enumerate(hidden)
    ]
    return [
        [[d * value for value in input_vector + [1]] for d in below],
        [[d * value for value in hidden + [1]] for d in deltas],
    ]


def backpropagate(network, input_vector, target):
    """Changes the output's neurons before they carry the error back."""
    hidden, outputs = _outputs(network, input_vector)
    deltas = [o * (1 - o) * (o - target[i]) for i, o in enumerate(outputs)]
    for delta, neuron in zip(deltas, network[-1], strict=True):
        for j, value in enumerate(hidden + [1]):
            neuron[j] -= delta * value
    below = [
        h * (1 - h) * sum(d * n[j] for d, n in zip(deltas, network[-1], strict=True))
        for j, h in enumerate(hidden)
    ]
    for delta, neuron in zip(below, network[0], strict=True):
        for j, value in enumerate(input_vector + [1]):
            neuron[j] -= delta * value


def _outputs(network, row):
    found = []
    for layer in network:
        sums = [sum(w * v for w, v in zip(n, row + [1], strict=True)) for n in layer]
        row = [1 / (1 + exp(-z)) for z in sums]
        found.append(row)
    return found

"""A network as lists of neurons, each a dictionary; no array library."""

from math import exp


def activate(weights, row):
    total = weights[-1]
    for i in range(len(weights) - 1):
        total += weights[i] * row[i]
    return total


def forward_propagate(network, row):
    for layer in network:
        for neuron in layer:
            neuron["output"] = 1.0 / (1.0 + exp(-activate(neuron["weights"], row)))
        row = [neuron["output"] for neuron in layer]
    return row


def backward_propagate_error(network, expected):
    for i in reversed(range(len(network))):
        layer = network[i]
        if i == len(network) - 1:
            errors = [n["output"] - t for n, t in zip(layer, expected, strict=True)]
        else:
            errors = [
                sum(n["weights"][j] * n["delta"] for n in network[i + 1])
                for j in range(len(layer))
            ]  # fmt: skip
        for error, neuron in zip(errors, layer, strict=True):
            neuron["delta"] = error * neuron["output"] * (1.0 - neuron["output"])


def update_weights(network, row, l_rate):
    """The class stands behind the row."""
    for i, layer in enumerate(network):
        inputs = row[:-1] if i == 0 else [neuron["output"] for neuron in network[i - 1]]
        for neuron in layer:
            for j, value in enumerate(inputs):
                neuron["weights"][j] -= l_rate * neuron["delta"] * value
            neuron["weights"][-1] -= l_rate * neuron["delta"]

"""The same, but that hidden neurons lack the slope, and the row is not cut."""

import math


def forward_propagate(network, row):
    for layer in network:
        for neuron in layer:
            weights = neuron["weights"]
            total = sum(w * x for w, x in zip(weights[:-1], row, strict=False)) + weights[-1]
            neuron["output"] = 1.0 / (1.0 + math.exp(-total))
        row = [neuron["output"] for neuron in layer]
    return row


def backward_propagate_error(network, expected):
    for i in reversed(range(len(network))):
        for j, neuron in enumerate(network[i]):
            if i == len(network) - 1:
                slope = neuron["output"] * (1.0 - neuron["output"])
                neuron["delta"] = (neuron["output"] - expected[j]) * slope
            else:
                back = [n["weights"][j] * n["delta"] for n in network[i + 1]]
                neuron["delta"] = sum(back)


def update_weights(network, row, l_rate):
    for layer in network:
        for neuron in layer:
            for j in range(len(neuron["weights"]) - 1):
                neuron["weights"][j] -= l_rate * neuron["delta"] * row[j]
            neuron["weights"][-1] -= l_rate * neuron["delta"]
        row = [neuron["output"] for neuron in layer]

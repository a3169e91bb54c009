"""Neural networks of Values: neurons, layers, networks, losses, optimisers, weights in files.

Every weight is a ``Value`` and every neuron two nodes of the graph, z and a, so that after a
backward pass ``z.grad`` is the neuron's delta.

>>> from chainrule import nn
>>> model = nn.MLP(2, [4, 1], activation="tanh", seed=0)
>>> optimiser = nn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
>>> for _ in range(200):
...     optimiser.zero_grad()
...     for x, y in (([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 0)):
...         nn.losses.logistic(model(x), y).backward(1 / 4)
...     optimiser.step()
>>> [round(model(x).sigmoid().data) for x in ([0, 0], [0, 1], [1, 0], [1, 1])]
[0, 1, 1, 0]
"""

from . import losses, optim
from .layers import MLP, Layer, Neuron
from .module import Module
from .serialisation import load, save
from .trace import Trace

__all__ = ["MLP", "Layer", "Module", "Neuron", "Trace", "load", "losses", "optim", "save"]

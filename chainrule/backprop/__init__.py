"""Backpropagation in closed form: the delta formulas of the course notes, on NumPy arrays.

This room is the oracle. It imports NumPy and nothing else of the package, so when the gradients of
the graph and the gradients here agree, two programs that share no line agree. It is written to be
read beside the notes: each step of the algorithm is one function, and every intermediate array is
in the result.

>>> import numpy as np
>>> from chainrule import backprop
>>> Theta1 = np.array([[.35, .15, .20], [.35, .25, .30]])
>>> Theta2 = np.array([[.60, .40, .45], [.60, .50, .55]])
>>> step = backprop.gradients(
...     [Theta1, Theta2], [[.05, .10]], [[.01, .99]], loss="half_squared_error")
>>> round(step.cost, 9)
0.298371109
>>> step.delta[0].round(9).tolist()
[[0.008771355, 0.009954255]]
>>> step.D[1].round(9).tolist()
[[0.138498562, 0.082167041, 0.082667628], [-0.038098237, -0.02260254, -0.022740242]]

Where each formula of the notes lives:

============================= =====================================================================
the forward pass              ``forward`` A7, C5
the cost                      ``cost`` A1, B7; ``example_costs`` A2, B1, B3, C1, C5; ``penalty`` A1
the activations               ``activate``, ``derivative`` B2, C8
delta of the output layer     ``delta_output`` A3, A6, B4, B8, B11, C1, C7
delta of a hidden layer       ``delta_hidden`` A4, A5, B5, B6, C6, C7; all layers ``deltas`` A3
their sums Delta              ``accumulate`` B10, B4, B6, C3
the gradient D                ``regularise`` B9, B10, C2; all of it ``gradients`` B1 to C7
as one vector                 ``unroll``, ``roll`` C4
============================= =====================================================================

Printed wrong in the notes, and right here: A2 and B4 lack a minus sign, A2 its brackets too; A4
and A5 lack the factor g'(z); A7 ends in a_2, not a_1; the left side of C3 is dC0/db.
"""

from .activations import ACTIVATIONS, activate, derivative
from .cost import LOSSES, Cost
from .encoding import one_hot, roll, unroll
from .losses import delta_output, example_costs
from .network import (
    Forward,
    Gradients,
    accumulate,
    cost,
    delta_hidden,
    deltas,
    forward,
    gradients,
    penalty,
    regularise,
    with_bias,
)

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "Cost",
    "Forward",
    "Gradients",
    "accumulate",
    "activate",
    "cost",
    "delta_hidden",
    "delta_output",
    "deltas",
    "derivative",
    "example_costs",
    "forward",
    "gradients",
    "one_hot",
    "penalty",
    "regularise",
    "roll",
    "unroll",
    "with_bias",
]

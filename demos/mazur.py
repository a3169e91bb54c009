"""Matt Mazur's "A Step by Step Backpropagation Example", every published number beside ours.

Two inputs, two hidden and two output neurons, all sigmoid; half the squared error; one step of
gradient descent on the weights, with fixed biases.  The graph reproduces every number of the post
except the last, the error after the step.  You get that number if you update the output weights
before you compute the hidden deltas from them.  That is a mistake: a gradient belongs to one point.

Source: mattmazur.com/2015/03/17/a-step-by-step-backpropagation-example
"""

import chainrule as cr

INPUTS, TARGETS, RATE = [0.05, 0.10], [0.01, 0.99], 0.5
WEIGHTS, BIASES = [0.15, 0.20, 0.25, 0.30, 0.40, 0.45, 0.50, 0.55], [0.35, 0.60]

PUBLISHED = {
    "net_h1": 0.3775, "out_h1": 0.593269992, "out_h2": 0.596884378,
    "net_o1": 1.105905967, "out_o1": 0.751365070, "out_o2": 0.772928465,
    "E_o1": 0.274811083, "E_o2": 0.023560026, "E": 0.298371109,
    "dE/dout_o1": 0.741365070, "dout_o1/dnet_o1": 0.186815602, "delta_o1": 0.138498562,
    "dE/dw5": 0.082167041, "dE/dout_h1": 0.036350306, "dout_h1/dnet_h1": 0.241300709,
    "dE/dw1": 0.000438568,
    "w1 after": 0.149780716, "w2 after": 0.199561430, "w3 after": 0.249751140,
    "w4 after": 0.299502290, "w5 after": 0.358916480, "w6 after": 0.408666186,
    "w7 after": 0.511301270, "w8 after": 0.561370121,
    "E after": 0.291027924,
}  # fmt: skip


class Network:
    """The post's network as a graph: each neuron has a node net and a node out."""

    def __init__(self, weights: list[float]) -> None:
        self.w = [cr.Value(w) for w in weights]
        b1, b2 = BIASES
        self.net_h = [cr.dot(self.w[0:2], INPUTS, b1), cr.dot(self.w[2:4], INPUTS, b1)]
        self.out_h = [cr.sigmoid(net) for net in self.net_h]
        self.net_o = [cr.dot(self.w[4:6], self.out_h, b2), cr.dot(self.w[6:8], self.out_h, b2)]
        self.out_o = [cr.sigmoid(net) for net in self.net_o]
        outputs = zip(self.out_o, TARGETS, strict=True)
        self.errors = [cr.square(out - target) / 2 for out, target in outputs]
        self.error = cr.sum(self.errors)


def step(network: Network) -> list[float]:
    """Return the weights after one step down the gradient."""
    return [w.data - RATE * w.grad for w in network.w]


def step_as_published(network: Network) -> list[float]:
    """Return them with the post's mistake: hidden deltas from the new output weights."""
    after = step(network)
    for j, h in enumerate(network.out_h):
        into_h = sum(o.grad * after[4 + 2 * k + j] for k, o in enumerate(network.net_o))
        delta = into_h * h.partials[0]
        for i, x in enumerate(INPUTS):
            after[2 * j + i] = WEIGHTS[2 * j + i] - RATE * delta * x
    return after


def results() -> dict[str, float]:
    """Return our number for each of the published ones."""
    network = Network(WEIGHTS)
    network.error.backward()
    (h1, h2), (o1, o2) = network.out_h, network.out_o
    after = step(network)
    return {
        "net_h1": network.net_h[0].data, "out_h1": h1.data, "out_h2": h2.data,
        "net_o1": network.net_o[0].data, "out_o1": o1.data, "out_o2": o2.data,
        "E_o1": network.errors[0].data, "E_o2": network.errors[1].data, "E": network.error.data,
        "dE/dout_o1": o1.grad, "dout_o1/dnet_o1": o1.partials[0], "delta_o1": network.net_o[0].grad,
        "dE/dw5": network.w[4].grad, "dE/dout_h1": h1.grad, "dout_h1/dnet_h1": h1.partials[0],
        "dE/dw1": network.w[0].grad,
        **{f"w{i} after": w for i, w in enumerate(after, start=1)},
        "E after": Network(after).error.data,
    }  # fmt: skip


def main() -> None:
    """Print the table, and the cause of its one difference."""
    print(f"{'':18}{'published':>12}{'here':>20}")
    for name, ours in results().items():
        remark = "" if abs(ours - PUBLISHED[name]) < 5e-9 else "  differs"
        print(f"{name:18}{PUBLISHED[name]:12.9f}{ours:20.15f}{remark}")
    network = Network(WEIGHTS)
    network.error.backward()
    slip = Network(step_as_published(network)).error.data
    print(
        "\nThe published error after the step results from hidden deltas computed with output\n"
        f"weights that were already updated: done that way, the error comes out as {slip:.9f}."
    )


if __name__ == "__main__":
    main()

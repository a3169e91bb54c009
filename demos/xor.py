"""XOR, which a single neuron cannot compute, and three neurons can.

No line separates (0, 1) and (1, 0) from (0, 0) and (1, 1).  Two hidden neurons draw two lines, and
the third combines them.  Not every start succeeds: with some seeds the network gets stuck with one
of the four examples wrong.
"""

import chainrule as cr
from chainrule import nn

EXAMPLES = [([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 0)]


def train(model: nn.MLP, epochs: int) -> float:
    """Fit *model* to the four examples by gradient descent and return its last loss."""
    optimiser = nn.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(epochs):
        optimiser.zero_grad()
        loss = cr.mean([nn.losses.logistic(model(x), y) for x, y in EXAMPLES])
        loss.backward()
        optimiser.step()
    return float(loss.data)


def main(epochs: int = 400, seed: int = 1) -> None:
    """Train one neuron, then a 2-2-1 network, and print their outputs for the four examples."""
    for title, widths in ("one neuron", [1]), ("a 2-2-1 network", [2, 1]):
        model = nn.MLP(2, widths, activation="tanh", seed=seed)
        loss = train(model, epochs)
        print(f"{title}: loss {loss:.4f} after {epochs} epochs (log 2 is {cr.log(2.0):.4f})")
        for x, y in EXAMPLES:
            print(f"  {x[0]} xor {x[1]} = {y}    p = {cr.sigmoid(model(x)).data:.3f}")
    print("The network's hidden neurons, as lines in the plane:")
    for b, w1, w2 in model.thetas[0]:
        print(f"  {b:+.2f} {w1:+.2f} x1 {w2:+.2f} x2 = 0")


if __name__ == "__main__":
    main()

"""A page to play with: the moons network, untrained, in one HTML file that you open in a browser.

Training happens on the page, and so does everything else: choose an example and see the activations
and deltas, let the network learn and watch the boundary bend.  A second page shows the graph of a
single neuron, step by step.
"""

from pathlib import Path

import numpy as np

import chainrule as cr
from chainrule import nn, viz
from chainrule.demos.moons import moons


def main(out: Path = Path("chainrule-demo"), seed: int = 0) -> None:
    """Write the pages of a 2-6-4-1 network with 60 examples, and of one neuron."""
    rng = np.random.default_rng(seed)
    X, y = moons(60, 0.1, rng)
    model = nn.MLP(2, [6, 4, 1], activation="tanh", seed=rng)
    network = viz.explore_network(model, X.round(3), y, loss="logistic", title="Two moons")

    w, x, b = cr.Value(-3.0, "w"), cr.Value(2.0, "x"), cr.Value(6.88, "b")
    neuron = viz.explore(cr.tanh(w * x + b), title="A neuron")

    out.mkdir(parents=True, exist_ok=True)
    network.save(out / "moons.html")
    neuron.save(out / "neuron.html")
    print(f"wrote {out / 'moons.html'}: a network that learns while you watch")
    print(f"wrote {out / 'neuron.html'}: the chain rule, step by step")
    print("open them in a browser; they need neither a server nor a network")


if __name__ == "__main__":
    main()

"""Two moons: a network bends a boundary between them, and the picture shows where it went.

The example of micrograd's notebook, with two changes: the loss is logistic, and the mini-batches
are small.  The graph does the learning; the picture's 40,000 points go through the same weights in
NumPy, with :func:`chainrule.backprop.forward`.
"""

from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from chainrule import backprop, nn
from chainrule.demos._figures import COLOURS, check_matplotlib, figure

BATCH = 10


def moons(count: int, noise: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return points on two interleaving half circles, (count, 2), and the half circle of each."""
    y = np.arange(count) % 2
    angle = rng.uniform(0, np.pi, count)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    return np.where(y[:, None] == 0, upper, lower) + rng.normal(0, noise, (count, 2)), y


def main(out: Path = Path("chainrule-demo"), epochs: int = 40, seed: int = 0) -> None:
    """Train a 2-16-16-1 network on 100 points and draw the decision boundary."""
    check_matplotlib()
    rng = np.random.default_rng(seed)
    X, y = moons(100, 0.1, rng)
    model = nn.MLP(2, [16, 16, 1], activation="relu", seed=rng)
    optimiser = nn.optim.Adam(model.parameters(), nn.optim.cosine(0.02, total=epochs * 10))
    for epoch in range(1, epochs + 1):
        for rows in np.array_split(rng.permutation(len(X)), len(X) // BATCH):
            optimiser.zero_grad()
            loss = cr.mean([nn.losses.logistic(model(X[i]), y[i]) for i in rows])
            loss.backward()
            optimiser.step()
        if epoch % 10 == 0 or epoch == epochs:
            right = np.mean((probability(model, X) > 0.5) == y)
            print(f"epoch {epoch}/{epochs}  last loss {loss.data:.4f}  accuracy {right:.0%}")
    out.mkdir(parents=True, exist_ok=True)
    draw(out / "moons.png", model, X, y)
    print(f"wrote {out / 'moons.png'}: the boundary between the moons")


def probability(model: nn.MLP, X: Any) -> Any:
    """Return the probability of the lower moon for each row of *X*."""
    return backprop.forward(model.thetas, X, activation="relu").a[-1][:, 0]


def draw(path: Path, model: nn.MLP, X: Any, y: Any) -> None:
    """Draw the points over the network's probability for every point of the plane."""
    (left, bottom), (right, top) = X.min(axis=0) - 0.5, X.max(axis=0) + 0.5
    x1, x2 = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    p = probability(model, np.stack([x1.ravel(), x2.ravel()], axis=1)).reshape(x1.shape)
    with figure(path, 7, 5) as drawn:
        axes = drawn.subplots()
        shades = axes.contourf(x1, x2, p, levels=np.linspace(0, 1, 21), cmap="coolwarm", alpha=0.6)
        axes.contour(x1, x2, p, levels=[0.5], colors="black", linewidths=1.2)
        for label, colour in ((0, COLOURS["light"].blue), (1, COLOURS["light"].red)):
            axes.scatter(*X[y == label].T, color=colour, edgecolor="white", s=36)
        drawn.colorbar(shades, label="probability of the red moon", ticks=[0, 0.25, 0.5, 0.75, 1])
        axes.set(title="Decision boundary of a 2-16-16-1 network", xlabel="$x_1$", ylabel="$x_2$")
        axes.grid(visible=False)


if __name__ == "__main__":
    main()

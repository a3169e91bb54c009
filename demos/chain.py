"""A chain of single neurons, as in 3Blue1Brown's chapter on calculus: every factor printed.

Four neurons form a chain: z = w a + b with a from the neuron before, then a = sigmoid(z); the
cost at the end is C = (a - y)^2.  The chain rule makes each dC/dw and dC/db a product of local
derivatives.  The demo does not work them out again: each edge of the graph has one.
"""

import math

import chainrule as cr

LAYERS = 3
INPUT, TARGET = 0.8, 1.0
WEIGHTS, BIASES = (1.5, -0.8, 1.2), (-0.5, 0.4, 0.1)


def main() -> None:
    """Print the forward pass, then each gradient as a product of the factors on its path."""
    weights = [cr.Value(w, f"w{i}") for i, w in enumerate(WEIGHTS, start=1)]
    biases = [cr.Value(b, f"b{i}") for i, b in enumerate(BIASES, start=1)]
    z, a = [], [cr.Value(INPUT, "a0")]
    for i in range(LAYERS):
        z.append(cr.dot([weights[i]], [a[i]], biases[i]))
        a.append(cr.sigmoid(z[i]))
        z[i].label, a[i + 1].label = f"z{i + 1}", f"a{i + 1}"
    error = a[-1] - TARGET
    cost = cr.square(error)
    cost.backward()

    print("Forward\n")
    print(f"  a0 = {INPUT}")
    for i in range(LAYERS):
        print(f"  z{i + 1} = w{i + 1} a{i} + b{i + 1} = {z[i].data:9.6f}", end="")
        print(f"    a{i + 1} = sigmoid(z{i + 1}) = {a[i + 1].data:.6f}")
    print(f"  C = (a{LAYERS} - {TARGET})^2 = {cost.data:.6f}")

    print("\nBackward, from the output to the input\n")
    path = {f"dC/da{LAYERS}": cost.partials[0] * error.partials[0]}
    for i in reversed(range(LAYERS)):
        by_weight, by_input, by_bias = z[i].partials
        path[f"da{i + 1}/dz{i + 1}"] = a[i + 1].partials[0]
        show(weights[i], path | {f"dz{i + 1}/dw{i + 1}": by_weight})
        show(biases[i], path | {f"dz{i + 1}/db{i + 1}": by_bias})
        path[f"dz{i + 1}/da{i}"] = by_input


def show(leaf: cr.Value, factors: dict[str, float]) -> None:
    """Print dC/dleaf as names and as numbers, and check the product against the graph."""
    product = math.prod(factors.values())
    print(f"  dC/d{leaf.label} = {' * '.join(factors)}")
    print(f"         = {' * '.join(format(f, '.6f') for f in factors.values())}")
    print(f"         = {product:.12f}    the graph: {leaf.grad:.12f}\n")


if __name__ == "__main__":
    main()

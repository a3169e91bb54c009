"""The expression of micrograd's README, with the value and gradients published there."""

import chainrule as cr

PUBLISHED = {"g": 24.70408163265306, "dg/da": 138.83381924198252, "dg/db": 645.5772594752186}


def expression(a: cr.Value, b: cr.Value) -> cr.Value:
    """Return g, built with every operator that micrograd has."""
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g: cr.Value = f / 2.0
    g += 10.0 / f
    return g


def main() -> None:
    """Print what the expression gives here, beside what was published."""
    a, b = cr.Value(-4.0, "a"), cr.Value(2.0, "b")
    g = expression(a, b)
    g.backward()
    ours = {"g": g.data, "dg/da": a.grad, "dg/db": b.grad}
    print(f"{'':8}{'published':>20}{'here':>20}{'difference':>12}")
    for name, published in PUBLISHED.items():
        difference = ours[name] - published
        print(f"{name:8}{published:20.14f}{ours[name]:20.14f}{difference:12.1e}")


if __name__ == "__main__":
    main()

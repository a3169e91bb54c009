"""The complex step, and what the other tests compare with.

The reference cost below is written a second time, in plain complex arithmetic, so that one
evaluation at theta + ih gives the derivative to rounding: Im J(theta + ih) / h, with nothing to
subtract.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from chainrule.backprop import (
    gradients,
    one_hot,
    roll,
)


def assert_close(ours, expected, rtol=1e-12, terms=None):
    """Compare matrix by matrix, relative to the largest entry of *terms*, by default *expected*."""
    terms = expected if terms is None else terms
    for i, (found, wanted, scale) in enumerate(zip(ours, expected, terms, strict=True)):
        wanted = np.asarray(wanted)
        assert found.shape == wanted.shape, f"matrix {i}"
        assert np.isfinite(scale).all(), f"matrix {i}"
        worst = np.abs(found - wanted).max()
        assert worst <= rtol * np.abs(scale).max(), f"matrix {i}: off by {worst}"


def notes_problem(widths, m, seed=0):
    rng = np.random.default_rng(seed)
    thetas = [rng.normal(0, 1, (t, 1 + s)) for s, t in pairwise(widths)]
    return thetas, rng.normal(0, 1, (m, widths[0])), rng.integers(0, 2, (m, widths[-1]))


def close(value):
    return pytest.approx(value, rel=1e-12, abs=0)


def ng_problem():
    thetas = roll(np.arange(1, 19) / 10, [(2, 3), (4, 3)], order="F")
    X = np.cos([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    return list(thetas), X, one_hot([4, 2, 3], 4, first=1)


THETAS = [np.ones((2, 3)), np.ones((4, 3))]

X53, Y54 = np.ones((5, 2)), np.eye(5, 4) + np.eye(5, 4, -4)


def problem(**changes):
    arguments = {"thetas": THETAS, "X": X53, "Y": Y54, **changes}
    return gradients(**arguments)

"""The pytest plugin: networks to check gradients on, and an assertion that names the mistake.

It is installed with the package. ``-p no:chainrule`` turns it off::

    def test_backprop(assert_gradients_close, probe_network):
        assert_gradients_close(backprop, probe_network)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .problem import Problem


@pytest.fixture
def assert_gradients_close() -> Callable[..., None]:
    """Return the function ``checking.assert_gradients_close``."""
    from . import assert_gradients_close

    return assert_gradients_close


@pytest.fixture
def probe_network() -> Problem:
    """Return the probe network: 5-6-4-3, eight examples, lambda 1.3, the logistic loss."""
    from .problem import probe

    return probe()


@pytest.fixture
def make_probe_network() -> Callable[..., Problem]:
    """Return the function ``probe``: the same network with another loss, activation, lambda."""
    from .problem import probe

    return probe


@pytest.fixture
def mazur_example() -> Problem:
    """Return Mazur's "A Step by Step Backpropagation Example": 2-2-2, half squared error."""
    from .problem import mazur

    return mazur()


@pytest.fixture
def ng_example() -> Problem:
    """Return the 2-2-4 network of the course exercise, lambda 3."""
    from .problem import ng

    return ng()

"""Every question that a test of this room puts to a compiled program is put three times."""

import pytest

from chainrule.compiler.compiled import Compiled

from .asking import added_three_times, three_times


@pytest.fixture(autouse=True)
def asked_three_times(request, monkeypatch):
    """Ask three times, unless the test is marked ``asks_once``, with its reason."""
    if request.node.get_closest_marker("asks_once") is None:
        for name in ("__call__", "value_and_grad"):
            monkeypatch.setattr(Compiled, name, three_times(getattr(Compiled, name)))
        monkeypatch.setattr(Compiled, "backward", added_three_times(Compiled.backward))

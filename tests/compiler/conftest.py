"""Every question that a test of this room puts to a compiled program is put three times.

With ``CHAINRULE_BACKEND`` the questions are put to an array library: see :mod:`.on_library`.
"""

import pytest

import chainrule as cr
from chainrule.compiler.compiled import Compiled

from . import on_library
from .asking import added_three_times, three_times


@pytest.fixture(autouse=True)
def asked_three_times(request, monkeypatch):
    """Ask three times, unless the test is marked ``asks_once``, with its reason."""
    if request.node.get_closest_marker("asks_once") is None:
        for name in ("__call__", "value_and_grad"):
            monkeypatch.setattr(Compiled, name, three_times(getattr(Compiled, name)))
        monkeypatch.setattr(Compiled, "backward", added_three_times(Compiled.backward))


if on_library.BACKEND:
    _compile = on_library.compiled_for_tests(on_library.BACKEND)

    @pytest.fixture(autouse=True)
    def asked_of_a_library(request, monkeypatch):
        """Compile for the library."""
        if "backends" not in str(request.path):
            monkeypatch.setattr(cr, "compile", _compile)
            on_library.without_points(request.module, monkeypatch)

    def pytest_collection_modifyitems(items):
        """Leave out what is not asked of the library."""
        on_library.skip_what_is_not_asked(items)

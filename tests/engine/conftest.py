"""What tests of scripts for other ``Value`` classes share."""

import pytest

import chainrule


@pytest.fixture(params=["chainrule", "micrograd"])
def Value(request):
    """The class of a script's import: ours, and micrograd's where that is installed."""
    if request.param == "chainrule":
        return chainrule.Value
    engine = pytest.importorskip("micrograd.engine", reason="compares with micrograd if installed")
    return engine.Value

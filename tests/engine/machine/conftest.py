"""Fixtures that several of these files use."""

from __future__ import annotations

import pytest

from chainrule.compiler.plan import Plan
from chainrule.engine.native import core


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def level(request, monkeypatch):
    """Let machines be made for a level of the processor, if it is one of this processor's."""
    monkeypatch.setenv("CHAINRULE_LEVEL", request.param)
    if core.Machine(Plan()).level != request.param:
        pytest.skip("this processor has no such level")
    return request.param

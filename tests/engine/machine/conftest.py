"""Fixtures that several of these files use."""

from __future__ import annotations

import os

import pytest

from chainrule.compiler.plan import Plan
from chainrule.engine.native import core


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def level(request, monkeypatch):
    """Let machines be made for a level of the processor, if it is one of this processor's.

    CHAINRULE_ONE_LEVEL=1 leaves out all but its best one.
    """
    if os.environ.get("CHAINRULE_ONE_LEVEL") and core.Machine(Plan()).level != request.param:
        pytest.skip("CHAINRULE_ONE_LEVEL is set")
    monkeypatch.setenv("CHAINRULE_LEVEL", request.param)
    if core.Machine(Plan()).level != request.param:
        pytest.skip("this processor has no such level")
    return request.param

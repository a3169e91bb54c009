"""The libraries that tests are asked of."""

import pytest

from . import libraries


@pytest.fixture(params=libraries.ALL)
def backend(request, monkeypatch):
    return libraries.backend(request.param, monkeypatch)

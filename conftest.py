"""What all tests and doctests share."""

import gc
import importlib.util
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from chainrule.engine.table import TABLE

# Machines differ, so nothing is judged by the clock; what lands is judged by the same examples.
settings.register_profile("chainrule", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("chainrule")


@pytest.fixture(autouse=True)
def _the_table_as_it_was() -> Iterator[None]:
    """A primitive that one test or example defines is not there for the next."""
    before = dict(TABLE)
    yield
    TABLE.clear()
    TABLE.update(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the pages whose examples need more than chainrule does, where that is not installed."""
    if importlib.util.find_spec("scipy") is None:
        for item in items:
            if item.path.name == "scipy.md":
                item.add_marker(pytest.mark.skip(reason="its examples are recipes for SciPy"))


def pytest_collection_finish() -> None:
    """Leave modules and tests out of every later collection, which would look through them all."""
    gc.collect()
    gc.freeze()

"""Work with the cyclic collector off leaves it as it was."""

import gc

import pytest

from chainrule.engine.collecting import uncollected


@pytest.fixture
def collector():
    before = gc.isenabled()
    yield
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_off_inside_and_as_it_was_after_an_error(collector, enabled):
    (gc.enable if enabled else gc.disable)()
    seen = []

    def fails():
        with uncollected():
            with uncollected():
                pass
            seen.append(gc.isenabled())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert seen == [False]
    assert gc.isenabled() is enabled

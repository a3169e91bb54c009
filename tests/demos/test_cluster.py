"""Training from files, and taking it up again; the cluster itself is in ``tests/clusters``."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import chainrule as cr
from chainrule import cli
from chainrule.demos import cluster


@pytest.fixture
def small(monkeypatch):
    for name, value in {"PARTS": 3, "ROWS": 1500, "BATCH": 600, "WIDTHS": [6, 10]}.items():
        monkeypatch.setattr(cluster, name, value)


def trained(folder, stop=None, workers=2, epochs=2):
    """Return a run that went on until *stop* parts were used up, as if it were killed there."""

    class KilledError(Exception):
        pass

    def keep():
        kept()
        if run.done == stop:
            raise KilledError

    run = cluster.Run(folder, cluster.written(folder / "parts", 0), epochs, 0)
    resumed, kept, run.keep = run.resume(), run.keep, keep
    try:
        with ThreadPoolExecutor(workers) as pool:
            cluster.train(run, pool, quiet=True)
    except KilledError:
        pass
    return run, resumed


def theta(run):
    return cr.read_data(run.model.parameters()).tobytes()


def test_a_run_that_was_stopped_ends_with_the_same_numbers(small, tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    expected, resumed = trained(tmp_path / "whole")
    assert not resumed
    assert len(expected.losses) == 2 * 3 * 3  # the last batch of a part is a short one
    for stop, workers in ((1, 1), (4, 3), (None, 2)):
        run, resumed = trained(tmp_path / "stopped", stop, workers)
        assert resumed == (stop != 1)
    assert run.losses == expected.losses
    assert theta(run) == theta(expected)
    assert run.losses[-1] < run.losses[0] / 1.2


def test_a_checkpoint_of_another_run_is_left_alone(small, tmp_path):
    trained(tmp_path, stop=1)
    before = (tmp_path / cluster.CHECKPOINT).read_bytes()
    assert not cluster.Run(tmp_path, cluster.written(tmp_path / "parts", 0), 7, 0).resume()
    assert (tmp_path / cluster.CHECKPOINT).read_bytes() == before


def test_one_part_is_in_memory_at_a_time_and_all_of_it_is_used(small, tmp_path):
    paths = cluster.written(tmp_path / "parts", 0)
    found = list(cluster.batches(paths[0], np.random.default_rng(0)))
    assert [len(X) for X, _ in found] == [600, 600, 300]
    with np.load(paths[0]) as part:
        assert sorted(np.concatenate([y for _, y in found])) == sorted(part["y"])
        total = np.concatenate([X for X, _ in found]).sum() * 255.0
        assert total == pytest.approx(part["X"].sum(dtype=float), rel=1e-12)
    again = cluster.written(tmp_path / "parts", 0)
    assert [p.stat().st_mtime_ns for p in again] == [p.stat().st_mtime_ns for p in paths]


def test_pictures_are_moved_by_a_pixel_at_most():
    X = np.zeros((400, 64))
    X[:, 8 * 3 + 4] = 1.0
    found = cluster.moved(X, np.random.default_rng(0)).reshape(-1, 8, 8)
    assert (found.sum((1, 2)) == 1.0).all()
    _, rows, columns = found.nonzero()
    assert set(rows) == {2, 3, 4}
    assert set(columns) == {3, 4, 5}


def test_without_dask_it_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(cluster, "check_matplotlib", lambda: None)
    assert cli.main(["demo", "cluster", "--out", str(tmp_path)]) == 2
    assert "pip install 'chainrule[dask,demo]'" in capsys.readouterr().err

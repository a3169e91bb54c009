"""What is said of a library that is missing, of names that are none, and of what cannot be."""

import sys
import types
import warnings

import numpy as np
import pytest

import chainrule as cr


def test_an_unknown_backend_is_named_with_those_that_there_are():
    with pytest.raises(
        ValueError, match=r"backend='tensorflow'; expected one of 'native', 'numpy'"
    ):
        cr.compile(lambda x: x, backend="tensorflow")
    with pytest.raises(TypeError, match="math; expected one that follows the array API"):
        cr.compile(lambda x: x, backend=types.ModuleType("math"))


@pytest.mark.parametrize(("backend", "install"), [
    ("jax", r"pip install 'chainrule\[jax\]'"),
    ("torch", r"pip install 'chainrule\[torch\]'"),
    ("cupy", "pip install cupy"),
])  # fmt: skip
def test_a_library_that_is_not_there_is_named_with_what_to_install(backend, install, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == backend]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, backend, None)
    with pytest.raises(ImportError, match=rf"backend='{backend}' needs .*; install it: {install}"):
        cr.compile(lambda x: x, backend=backend)


def test_options_that_do_not_go_together():
    with pytest.raises(ValueError, match="dtype='float16'; expected 'float64' or 'float32'"):
        cr.compile(lambda x: x, backend="numpy", dtype="float16")
    with pytest.raises(ValueError, match="are for an array library; give its backend too"):
        cr.compile(lambda x: x, dtype="float32")
    with pytest.raises(ValueError, match="threads=2 with backend='numpy'"):
        cr.compile(lambda x: x, backend="numpy", threads=2)
    with pytest.raises(ValueError, match="device='cuda'; numpy is run where it puts its arrays"):
        cr.compile(lambda x: x, backend="numpy", device="cuda")
    with pytest.raises(TypeError, match="already a compiled function"):
        cr.compile(cr.compile(lambda x: x), backend="numpy")


def test_what_is_given_is_tested_as_on_the_machine(backend):
    w = cr.Value(2.0)
    f = cr.compile(lambda x, y: w * x[0] * y, backend=backend)
    with pytest.raises(ValueError, match=r"x has shape \(3, 2\) and y \(4,\); expected the same"):
        f(np.ones((3, 2)), np.ones(4))
    with pytest.raises(ValueError, match="mean over an empty batch"):
        f.value_and_grad(np.ones((0, 2)), np.ones(0))
    with pytest.raises(TypeError, match="needs one number as its result, not 2"):
        cr.compile(lambda x: [x, x], backend=backend).value_and_grad([1.0])
    with pytest.raises(TypeError, match="an argument holds Values"):
        f([[w, 1.0]], [1.0])
    f.record(np.ones((1, 2)), np.ones(1))
    with pytest.raises(ValueError, match=r"parameters_on_device has shape \(2,\); expected \(1,\)"):
        f.parameters_on_device = [1.0, 2.0]
    rows = [[cr.Value(1.0), cr.Value(2.0)], [cr.Value(3.0), cr.Value(4.0)]]
    taken = cr.compile(lambda i: cr.take(rows, i)[0], backend=backend)
    with pytest.raises(IndexError, match="example 1: take: there is no row 2"):
        taken([0, 2])


@pytest.mark.parametrize("given", ["float32", "float16"])
def test_a_float64_program_is_not_given_parameters_of_fewer_digits(backend, given):
    w = cr.Value(2.0)
    f = cr.compile(lambda x: w * x, backend=backend).record(np.ones(1))
    with pytest.raises(TypeError, match=f"an array of .*{given}, .* compiled for float64"):
        f.parameters_on_device = np.ones(1, given)
    assert float(f.parameters_on_device[0]) == 2.0
    short = cr.compile(lambda x: w * x, backend=backend, dtype="float32").record(np.ones(1))
    short.parameters_on_device = np.ones(1, given)
    assert float(short.parameters_on_device[0]) == 1.0


def test_what_jax_computed_outside_of_float64_is_not_taken():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    w = cr.Value(2.0)
    f = cr.compile(lambda x: w * x, backend="jax")
    _, slopes = f.value_and_grad(np.ones(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX may say that it drops digits
        less = f.parameters_on_device - 0.1 * slopes
    with pytest.raises(TypeError, match=r"float32, .*jax\.enable_x64\(True\)"):
        f.parameters_on_device = less
    with f.library.running():
        f.parameters_on_device = f.parameters_on_device - 0.1 * slopes
    f.pull()
    assert w.data == 2.0 - 0.1
    assert not jax.config.jax_enable_x64


def test_parts_of_models_are_functions_for_the_same_library():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    f = cr.compile(lambda x: x, backend="numpy")
    with pytest.raises(TypeError, match="is compiled for numpy; compile it with backend='torch'"):
        f.torch_function()
    with pytest.raises(TypeError, match="cannot be a part of a model"):
        cr.compile(cr.Value(1.0) * 2.0).torch_function()

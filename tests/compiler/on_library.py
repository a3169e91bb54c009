"""The compiler's tests, asked of an array library: what ``CHAINRULE_BACKEND`` names.

    CHAINRULE_BACKEND=jax python -m pytest tests/compiler/test_edges.py

``cr.compile`` then compiles for that library ("numpy", "torch", "jax", or the module
"array_api_strict"), and its answers come back as NumPy arrays and floats.  So every program of
this room, and every edge, is asked of the library as it is of the machine.  What cannot be asked,
because it is about the machine or about NumPy's text, stands here with its reason; so do the points
at which a library's own function differs, which docs/array-libraries.md says too.
"""

import fnmatch
import importlib
import os
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.compiler import compiled as machine
from chainrule.compiler import compiling
from chainrule.compiler.backends.compiled import CompiledForLibrary
from chainrule.compiler.backends.named import library
from chainrule.compiler.differentiable import leaves_of

BACKEND = os.environ.get("CHAINRULE_BACKEND", "")

ABOUT_THE_MACHINE = "about the machine, its plans or its threads"
ABOUT_NUMPY = "about the text for NumPy"
WITH_VALUES = "a function for a library is not called with Values"
NOT_ASKED = {
    "test_derivatives.py::*": {
        "*with_values*": WITH_VALUES,
        "*a_node_is_differentiated_again*": WITH_VALUES,
        "*both_captured_and_an_argument*": WITH_VALUES,
        "*with_such_*": WITH_VALUES,
        "*pickled_program_has*": "a pickled one records its derivatives anew",
    },
    "test_edges.py::*": {
        "*infinite_adjoints*": "half of it is " + ABOUT_NUMPY,
        "*spelled_out_in_numpy*": ABOUT_NUMPY,
    },
    "test_functions.py::*": {
        "*narrow_graph_stand_in_that_order*": ABOUT_NUMPY,
    },
    "test_loops.py::*": {
        "*both_machines*": ABOUT_THE_MACHINE,
        "*pickled_program*": ABOUT_THE_MACHINE,
        "*derivatives_of_compiled_loops*": WITH_VALUES,
    },
    "test_losses.py::*": {
        "*algorithm_of_the_notes*": ABOUT_NUMPY,
        "*gives_what_is_run*": ABOUT_NUMPY,
    },
    "test_programs.py::*": {
        "*another_process*": "it pickles what the tests put in place",
        "*loop_over_the_data*": "half of it is " + ABOUT_NUMPY,
        "*before_the_first_recording*": ABOUT_NUMPY,
        "*source_of_the_sigmoid*": ABOUT_NUMPY,
        "*source_runs_by_itself*": ABOUT_NUMPY,
        "*emitted_forms*": ABOUT_NUMPY,
        "*page_about*": ABOUT_NUMPY,
        "*thread*": ABOUT_THE_MACHINE,
    },
    "test_reached.py::*": {"*leaves_out_the_terms*": ABOUT_NUMPY},
    "test_scalars.py::*": {
        "*same_plan*": ABOUT_THE_MACHINE,
        "*very_values*": "to the last bit, which is " + ABOUT_THE_MACHINE,
        "*thread*": ABOUT_THE_MACHINE,
        "*who_asks*": ABOUT_NUMPY,
        "*index_is_checked*": "an index in a graph is not checked: it gives nan",
    },
    "test_running.py::*": {
        "*thread*": ABOUT_THE_MACHINE,
        "*no_step_makes_an_array*": ABOUT_THE_MACHINE,
    },
    "test_transforms.py::*": {"*constants_in_a_narrow_graph*": ABOUT_NUMPY},
    "test_random_programs.py::*": {
        "*are_seen*": "it puts another cr.compile in place itself",
        "*infinity_is_seen*": "it puts another cr.compile in place itself",
    },
}
SUBNORMAL = "subnormal numbers are 0 in XLA on a CPU, and in parts of PyTorch"
OVERFLOWS = "PyTorch's sinh and cosh overflow from 709.79 on, not from 710.48 on"
DIFFERS = {  # of a library: names of tests, and the reason
    "jax": {
        "*least number*": SUBNORMAL,
        "*subnormal*": SUBNORMAL,
        "*atan far out*": SUBNORMAL,
    },
    "torch": {"*minimum, tie of zeros*": "which zero is the least depends on the library"},
}
LEFT_OUT = {  # points of the tables of edges that a library does not get
    "jax": (5e-324, -1e-310, -720.0, 710.0),
    "torch": (5e-324, -1e-310, -720.0, 710.0),
}


def reason_for(node: str) -> str | None:
    """Return why the test with that name is not asked of the library, or None."""
    file, _, name = node.partition("::")
    if not Path(file).name.startswith("test_"):
        return None
    for home, tests in NOT_ASKED.items():
        if fnmatch.fnmatchcase(f"{Path(file).name}::", home.replace("*", "")):
            for pattern, reason in tests.items():
                if fnmatch.fnmatchcase(name, pattern):
                    return reason
    for pattern, reason in DIFFERS.get(BACKEND, {}).items():
        if fnmatch.fnmatchcase(name, pattern):
            return reason
    return None


class Answering(CompiledForLibrary):
    """A function for a library that answers in NumPy arrays and floats."""

    def __call__(self, *arrays):
        return self._plain(super().__call__(*arrays))

    def value_and_grad(self, *arrays):
        value, gradient = super().value_and_grad(*arrays)
        return self._plain(value), self._library.numpy(gradient)

    def jacobian(self, *arrays, **options):
        return self._host(super().jacobian(*arrays, **options))

    def hessian(self, *arrays, **options):
        return self._host(super().hessian(*arrays, **options))

    def hvp(self, *arrays, **options):
        return self._host(super().hvp(*arrays, **options))

    def jvp(self, *arrays, **options):
        return self._plain(super().jvp(*arrays, **options))

    def _plain(self, structure):
        if isinstance(structure, dict):
            return {key: self._plain(x) for key, x in structure.items()}
        if isinstance(structure, (list, tuple)):
            make = getattr(type(structure), "_make", type(structure))
            return make([self._plain(x) for x in structure])
        if isinstance(structure, np.floating):
            return float(structure)
        if not self._library.is_own(structure):
            return structure
        array = self._library.numpy(structure)
        return array if array.ndim else float(array)


def compiled_for_tests(name: str):
    """Return what stands in for ``cr.compile``: it compiles for the library of that *name*."""
    module = importlib.import_module(name) if "_" in name else name
    chosen = library(module, "float64", None)
    original = compiling.compile

    def compile(function, wrt=None, threads=1, **options):
        root = isinstance(function, (cr.Value, list, tuple, dict, np.ndarray))
        own = isinstance(function, machine.Compiled) or not (root or callable(function))
        if own or threads != 1 or options:
            return original(function, wrt, threads, **options)
        leaves = None if wrt is None else leaves_of(wrt)
        if root:
            return Answering(None, function, leaves, library=chosen)
        return Answering(function, wrt=leaves, library=chosen)

    return compile


def without_points(module, monkeypatch):
    """Put a plain number in the place of a module's points at which the library differs.

    Their number stays, so that what is drawn from them by chance is drawn as before.
    """
    left_out = LEFT_OUT.get(BACKEND, ())
    for name in ("POINTS", "PAIRS"):
        if hasattr(module, name):
            points = [0.25 if x in left_out else x for x in getattr(module, name)]
            monkeypatch.setattr(module, name, points)


def skip_what_is_not_asked(items):
    """Mark the tests that are not asked of the library."""
    for item in items:
        reason = reason_for(item.nodeid.removeprefix("tests/compiler/"))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"{BACKEND}: {reason}"))

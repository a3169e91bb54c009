"""The figures on the pages: all are measured by a script, which reads what the benchmarks print."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    not (ROOT / "benchmarks").is_dir(), reason="benchmarks stand in a checkout"
)


@pytest.fixture(scope="module")
def readme():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "benchmarks" / "readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_table_of_figures_has_its_place(readme):
    for name, (page, _) in readme.FIGURES.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        changed = readme.replaced(text, name, "figures, measured\n")
        assert changed.count("figures, measured\n") == 1
        assert readme.replaced(changed, name, "figures, measured\n") == changed
    with pytest.raises(ValueError, match="no place for eager"):
        readme.replaced("# A page\n", "eager", "")


def test_no_table_of_the_readme_stands_outside_the_figures():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rest = re.sub(r"<!-- figures: \w+ -->.*?<!-- end of figures -->", "", text, flags=re.DOTALL)
    assert not re.findall(r"^\|.*", rest, flags=re.MULTILINE)


def test_what_bench_prints_is_read(readme):
    printed = """
MLP 2-16-16-1, tanh, 20 samples: 12880 operations, forward and backward
                                ns per operation   of floats  of chainrule
plain floats, forward only                  99.9        1.00          0.54

MLP 2-16-16-1, tanh, 50 samples: 32200 operations, forward and backward
                                ns per operation   of floats  of chainrule
plain floats, forward only                  24.4        1.00          0.54
chainrule (native)                          44.9        1.84          1.00
XAD 1.5.2 (Python bindings)               1752.0       28.00         16.40
minimal __slots__ Value                   3427.2      137.09         74.89

Build, differentiate and release a graph, collector on: ns per operation
"""
    assert readme.operations(printed).splitlines()[2:] == [
        "| plain floats, forward only | 24.4 | 1 |",
        "| chainrule (native) | 44.9 | 1.84 |",
        "| XAD 1.5.2 (Python bindings) | 1,750 | 28 |",
        r"| minimal \_\_slots\_\_ Value | 3,430 | 137 |",
    ]


def test_what_the_benchmark_of_compiled_programs_prints_is_read(readme):
    printed = """
MLP 64-32-10, sigmoid, squared error; loss and all gradients; microseconds
 batch   by hand   loosely   printed  in NumPy  compiled /print  /hand /loose  products   PyTorch   JAX jit JAX+NumPy
     1     130.0      83.0      40.0      41.0       7.6   0.10   0.10   0.10       9.0     556.0      30.0         -
    32     199.0     119.0      50.0      51.0      20.0   0.10   0.10   0.10      19.0     373.0      71.0     111.0
    by hand: backprop.gradients without its checks
"""  # noqa: E501
    assert readme.networks(printed).splitlines() == [
        "| 64-32-10, the loss and 2,410 derivatives: microseconds for a batch of | 1 | 32 |",
        "| --- | --- | --- |",
        "| `cr.compile(loss).value_and_grad` | 7.6 | 20 |",
        "| NumPy by hand: `backprop.gradients` without its checks | 130 | 199 |",
        "| NumPy by hand with a(1 - a), which is 0 in the tails | 83 | 119 |",
        "| PyTorch | 556 | 373 |",
        "| JAX, `jit`, arrays on its device | 30 | 71 |",
        "| JAX, `jit`, NumPy arrays in and out | - | 111 |",
    ]


def test_what_the_league_prints_is_read(readme):
    printed = """no C++ tool takes part: none is built in the checkout
Times of the others, divided by ours; ! marks a result that differs.

                               ours, ms  first, ms        jax    pytorch
lse 2500 primal                   0.013      340.1          4      !0.677
lse 2500 gradient                 0.021       15.9          9       3.78
ht complicated_small 1 objective      0.027      143.1          -  over 60 s
det 5 primal                 ours failed: no
"""
    printed = printed.replace("      !0.677", "     !0.677")
    assert readme.evals(printed).splitlines() == [
        "| eval | cases | jax | pytorch |",
        "| --- | --- | --- | --- |",
        "| lse | 2 | 6 | 3.8 (of 1) |",
        "| ht | 1 | - | - |",
    ]

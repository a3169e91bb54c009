"""Trees of numbers: read from left to right and built again, whatever they are nested in."""

from collections import namedtuple

import numpy as np
import pytest

import chainrule as cr
from chainrule.engine import structures

Pair = namedtuple("Pair", "w b")
TREES = [
    3.0,
    [],
    (),
    {},
    [1.0, [2.0, (3.0,)], {"a": 4.0, "b": [5.0]}],
    Pair(1.0, Pair([2.0], np.array([3.0, 4.0]))),
    np.arange(6.0).reshape(2, 3),
    np.zeros((0, 3)),
    np.array(7.0),
    {"w": np.array([[cr.Value(1.0)], [cr.Value(2.0)]]), "b": cr.Value(3.0)},
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_what_is_taken_apart_is_put_together_again(tree):
    numbers = structures.leaves(tree)
    again = structures.like(tree, iter(numbers))
    if isinstance(tree, np.ndarray) and not tree.ndim:
        tree = tree[()]  # a number
    assert type(again) is type(tree)
    assert repr(again) == repr(tree)
    assert structures.leaves(again) == numbers


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_every_number_has_a_path_that_leads_to_it(tree):
    names = structures.paths(tree, "tree")
    numbers = structures.leaves(tree)
    assert len(names) == len(numbers) == len(set(names))
    for name, number in zip(names, numbers, strict=True):
        found = eval(name, {"tree": tree})
        assert found is number or float(found) == number


def test_arrays_for_the_numbers_of_an_array_add_their_axes():
    tree = [np.zeros((2, 3), int), 0]
    built = structures.mapped(tree, lambda _: np.arange(4.0))
    assert built[0].shape == (2, 3, 4)
    assert built[1].shape == (4,)
    assert type(structures.mapped(Pair(1.0, 2.0), str)) is Pair


def test_numbers_make_an_array_of_float_and_values_one_of_objects():
    assert structures.array_of([1.0, np.float64(2.0)], (2, 1)).dtype == float
    assert structures.array_of([1.0, cr.Value(2.0)], (2,)).dtype == object
    assert structures.array_of([], (0, 2)).shape == (0, 2)

"""``Module``: what holds parameters, finds them, names them, and takes them in and out as arrays.

A parameter is one scalar, a leaf ``Value``.  A module groups its parameters into named arrays (a
layer's are its matrix Theta): those names and shapes are what state dicts and files consist of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ..engine.backend import Value
from ..engine.display import html_table
from ..engine.vectors import read_data, reset_grads, write_data
from . import arguments
from .arguments import Array

T = TypeVar("T")
_NAMED = 4  # parameter arrays in the repr of a module


@dataclass(frozen=True)
class ParameterArray:
    """Parameters that belong together: *values* fill an array of *shape* row by row."""

    name: str
    values: tuple[Value, ...]
    shape: tuple[int, ...]
    weights: tuple[Value, ...]
    """Those of the values that an L2 penalty applies to: not the biases."""
    bias_first: bool = False
    """Whether the first entry of every row is a bias."""

    def listed(self, entries: Sequence[T]) -> list[T]:
        """Return *entries*, one for each value, in the order in which parameters are listed.

        Theta has the bias in column 0, as a_0 = 1; a list of parameters has each unit's weights and
        then its bias, as micrograd's has, so that the two can be read side by side.
        """
        if not self.bias_first:
            return list(entries)
        columns = self.shape[1]
        listed: list[T] = []
        for start in range(0, len(entries), columns):
            listed += entries[start + 1 : start + columns]
            listed.append(entries[start])
        return listed

    def read(self) -> Array:
        """Return a fresh array of the data."""
        return read_data(self.values).reshape(self.shape)

    def named_values(self) -> Iterator[tuple[str, Value]]:
        """Yield each value after its name: that of the array with the index, ``Theta1[2,0]``."""
        for index, value in zip(np.ndindex(self.shape), self.values, strict=True):
            yield self.name + (f"[{','.join(map(str, index))}]" if index else ""), value


class Module:
    """Base class of whatever has parameters: neurons, layers, networks, and your own.

    Its parameters are the leaf Values in its attributes, and those of the modules there; lists,
    tuples, dicts and NumPy arrays are looked into as well.  An attribute whose name begins with an
    underscore is left alone.

    >>> import chainrule as cr
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope = cr.Value(2.0)
    ...         self.offsets = [cr.Value(0.0), cr.Value(1.0)]
    ...     def __call__(self, x):
    ...         return [self.slope * x + offset for offset in self.offsets]
    >>> [name for name, parameter in Line().named_parameters()]
    ['slope', 'offsets[0]', 'offsets[1]']
    >>> Line().state_dict()
    {'slope': array(2.), 'offsets': array([0., 1.])}
    """

    def parameters(self) -> list[Value]:
        """Return every parameter once, in a fixed order: of each unit the weights, then the bias.

        The order of the entries of ``thetas`` is another one.
        """
        arrays = self.parameter_arrays()
        return list(dict.fromkeys(p for array in arrays for p in array.listed(array.values)))

    def named_parameters(self) -> list[tuple[str, Value]]:
        """Return a pair (name, parameter) for every parameter, in the order of ``parameters``.

        A parameter that can be reached in two ways has the name of the first.
        """
        names: dict[Value, str] = {}
        for array in self.parameter_arrays():
            for name, parameter in array.listed(list(array.named_values())):
                names.setdefault(parameter, name)
        return [(name, parameter) for parameter, name in names.items()]

    def parameter_arrays(self) -> list[ParameterArray]:
        """Return the parameters as the named arrays that ``state_dict`` consists of."""
        arrays = list(_arrays_in(self, ()))
        names = [array.name for array in arrays]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two parameter arrays have the name {twice!r}: rename one of them")
        return arrays

    def _own_arrays(self) -> Iterable[ParameterArray]:
        """Return the parameters that are not to be found in public attributes."""
        return ()

    def _label_parameters(self) -> None:
        for name, parameter in self.named_parameters():
            parameter.label = name

    def __repr__(self) -> str:
        names = [array.name for array in self.parameter_arrays()]
        shown = ", ".join(names[:_NAMED] + ["…"] * (len(names) > _NAMED)) or "nothing"
        count = len(self.parameters())
        return f"<{type(self).__name__}: {count} parameter{'s' * (count != 1)} in {shown}>"

    def _repr_html_(self) -> str:
        rows = []
        for array in self.parameter_arrays():
            data = array.read()
            shape = " × ".join(map(str, array.shape)) or "a number"
            size = float(np.abs(data).max(initial=0.0))
            rows.append([array.name, shape, data.size, f"{size:.4g}"])
        headings = ["parameters", "shape", "number", "largest size"]
        return html_table(repr(self), headings, rows)

    def zero_grad(self) -> None:
        """Set the gradient of every parameter back to 0.0, for the next backward pass."""
        reset_grads(self.parameters())

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of all parameters: float64 arrays by name.

        >>> from chainrule.nn import MLP
        >>> {name: array.shape for name, array in MLP(2, [3, 1]).state_dict().items()}
        {'Theta1': (3, 3), 'Theta2': (1, 4)}
        """
        return {array.name: array.read() for array in self.parameter_arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters from what ``state_dict`` of an equally built module returned.

        Names and shapes must be the same, the numbers real and finite: ValueError or TypeError if
        not.  Nothing is changed unless everything is valid.  Gradients are left as they are.
        """
        arrays = self.parameter_arrays()
        arguments.names([array.name for array in arrays], state)
        numbers: dict[Value, float] = {}
        for array in arrays:
            given = arguments.finite_array(array.name, state[array.name], array.shape)
            numbered = zip(array.named_values(), given.ravel().tolist(), strict=True)
            for (name, value), number in numbered:
                if numbers.setdefault(value, number) != number:
                    raise ValueError(
                        f"{name} is {number}, but the same parameter is {numbers[value]} under "
                        "another name: expected one number for both"
                    )
        write_data(list(numbers), list(numbers.values()))


def _arrays_in(thing: Any, inside: tuple[Any, ...]) -> Iterator[ParameterArray]:
    """Yield the parameters under *thing*, named by the way from it to them."""
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(thing, Module):
        yield from thing._own_arrays()
        parts = [(name, part) for name, part in vars(thing).items() if not name.startswith("_")]
    elif isinstance(thing, Mapping):
        parts = thing.items()
    elif isinstance(thing, (list, tuple)) or (isinstance(thing, np.ndarray) and thing.dtype == "O"):
        elements = tuple(thing.flat if isinstance(thing, np.ndarray) else thing)
        if elements and all(map(_is_parameter, elements)):
            shape = thing.shape if isinstance(thing, np.ndarray) else (len(thing),)
            yield ParameterArray("", elements, shape, elements)
        else:
            parts = enumerate(elements)
    elif _is_parameter(thing):
        yield ParameterArray("", (thing,), (), (thing,))
    inside = (*inside, thing)
    for name, part in parts:
        if not any(part is holder for holder in inside):  # such as a reference to the parent
            for array in _arrays_in(part, inside):
                yield replace(array, name=f"{name}.{array.name}" if array.name else str(name))


def _is_parameter(thing: Any) -> bool:
    return isinstance(thing, Value) and thing.primitive is None

# An array is a SupportsFloat too, for it may hold one number: so arrays stand first, and that the
# signatures overlap is true and harmless.  A row's own signature is narrower than that of rows in
# general, which takes anything.
# mypy: disable-error-code="overload-overlap, override"
"""What a row takes and gives, for type checkers: it is seen from how many partials a row has.

Plain numbers give a float, arrays an array, and whatever a primitive hands itself to (a Value, a
symbol) gives one of its own kind.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, SupportsFloat, TypedDict, TypeVar, overload

from numpy.typing import NDArray
from typing_extensions import Unpack as Unpack

from .primitive import Primitive

class Differentiable(Protocol):
    """What a primitive hands itself to: a Value, a symbol."""

    @staticmethod
    def __chainrule__(row: Primitive, args: tuple[Any, ...], /) -> Any: ...

V = TypeVar("V", bound=Differentiable)
# Of floats, or of Values: NumPy's types cannot tell arrays of objects apart.
Array = NDArray[Any]
Operand = Differentiable | Array | SupportsFloat

class Options(TypedDict, total=False):
    """What may be said of any row."""

    array: Callable[..., Any] | None
    analytic: Callable[..., complex] | None
    selects: Callable[..., int] | None
    takes: Callable[..., bool] | None
    latex: str | Callable[[Sequence[str]], str] | None
    precedence: int
    binds: Sequence[int] | None
    domain: Any  # an interval, or one for each argument

class Unary(Primitive):
    @overload
    def __call__(self, x: V, /) -> V: ...
    @overload
    def __call__(self, x: Array, /) -> Array: ...
    @overload
    def __call__(self, x: SupportsFloat, /) -> float: ...

class Binary(Primitive):
    @overload
    def __call__(self, a: Array, b: Operand, /) -> Array: ...
    @overload
    def __call__(self, a: Operand, b: Array, /) -> Array: ...
    @overload
    def __call__(self, a: SupportsFloat, b: SupportsFloat, /) -> float: ...
    @overload
    def __call__(self, a: V | SupportsFloat, b: V | SupportsFloat, /) -> V: ...

class WithParameter(Primitive):
    """Of one argument, and of a second that has a default."""

    @overload
    def __call__(self, x: Array, parameter: Operand = ..., /) -> Array: ...
    @overload
    def __call__(self, x: SupportsFloat, parameter: SupportsFloat = ..., /) -> float: ...
    @overload
    def __call__(self, x: V | SupportsFloat, parameter: V | SupportsFloat = ..., /) -> V: ...

class Ternary(Primitive):
    @overload
    def __call__(self, a: Array, b: Operand, c: Operand, /) -> Array: ...
    @overload
    def __call__(self, a: Operand, b: Array, c: Operand, /) -> Array: ...
    @overload
    def __call__(self, a: Operand, b: Operand, c: Array, /) -> Array: ...
    @overload
    def __call__(self, a: SupportsFloat, b: SupportsFloat, c: SupportsFloat, /) -> float: ...
    @overload
    def __call__(
        self, a: V | SupportsFloat, b: V | SupportsFloat, c: V | SupportsFloat, /
    ) -> V: ...

class Variadic(Primitive):
    @overload
    def __call__(self, a: Array, /, *rest: Operand) -> Array: ...
    @overload
    def __call__(self, a: Operand, b: Array, /, *rest: Operand) -> Array: ...
    @overload
    def __call__(self, a: SupportsFloat, /, *rest: SupportsFloat) -> float: ...
    @overload
    def __call__(self, a: V | SupportsFloat, /, *rest: V | SupportsFloat) -> V: ...

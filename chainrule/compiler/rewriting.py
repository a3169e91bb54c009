"""Pass 8: a printed function, rewritten so that every step writes into the array of the last run.

The printed text makes a new array in every step, because that reads best.  The rewriting knows
NumPy's calls, not their purpose: ``z2 = a1 @ Theta1.T`` becomes ::

    if _1 is None: _1 = Theta1.T
    z2 = _matmul(a1, _1, out=z2)

where ``_1`` and ``z2`` are *slots*: None in the first run, and in later runs what the first run put
there.  If NumPy cannot be told where to write the result of a step, the step stays as printed.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

_OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Add: ("+", "add"),
    ast.Sub: ("-", "subtract"),
    ast.Mult: ("*", "multiply"),
    ast.Div: ("/", "divide"),
    ast.MatMult: ("@", "matmul"),
    ast.Pow: ("**", "power"),
    ast.USub: ("-", "negative"),
    ast.Eq: ("==", "equal"),
    ast.Lt: ("<", "less"),
    ast.LtE: ("<=", "less_equal"),
    ast.Gt: (">", "greater"),
    ast.GtE: (">=", "greater_equal"),
}
_UFUNCS = {n: f for n, f in vars(np).items() if isinstance(f, np.ufunc)}
_FILLED = {"empty": None, "zeros": "0.0", "ones": "1.0"}


class Rewritten(NamedTuple):
    """A function whose first argument is a list of its slots, all None before the first run."""

    function: Callable[..., Any]
    slots: int
    text: str


def rewritten(
    node: ast.FunctionDef, changing: Collection[str], namespace: dict[str, Any]
) -> Rewritten:
    """Return function *node* with slots; *namespace* has the functions it calls.

    Its arguments are the same memory in every run, except those named in *changing*.  The arrays it
    returns are in its slots, so the next run with these slots overwrites them.
    """
    rewriter = _Rewriter(node, changing, namespace)
    text = rewriter.text(node)
    scope = {**namespace, "_where": _where, **{f"_{n}": f for n, f in _UFUNCS.items()}}
    exec(compile(text, f"<{node.name}, with kept arrays>", "exec"), scope)
    return Rewritten(scope[node.name], len(rewriter.slots), text)


class _Rewriter:
    def __init__(self, node: ast.FunctionDef, changing: Collection[str], namespace: dict[str, Any]):
        self.namespace = namespace
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.views: dict[str, str] = {}
        self.copies: dict[str, str] = {}
        self.temporaries = 0
        self.scalars: set[str] = set()
        arguments = [x.arg for x in node.args.args]
        self.kept = {x for x in arguments if x not in changing}
        self.kept.update(n for n, x in namespace.items() if isinstance(x, np.ndarray))
        self.accumulated = {_base(x.target) for x in ast.walk(node) if isinstance(x, ast.AugAssign)}

    def text(self, node: ast.FunctionDef) -> str:
        """Return the source of the rewritten function."""
        for statement in node.body:
            getattr(self, "_" + type(statement).__name__.lower())(statement)
        *lines, last = self.lines
        arguments = ", ".join(x.arg for x in node.args.args)
        slots = "".join(f"{slot}, " for slot in self.slots)
        if slots:
            lines = [f"{slots}= slots", *lines, f"slots[:] = {slots}"]
        body = "\n".join("    " + line for line in [*lines, last])
        decorators = "".join(f"@{ast.unparse(x)}\n" for x in node.decorator_list)
        return f"{decorators}def {node.name}(slots, {arguments}):\n{body}\n"

    # --- statements ------------------------------------------------------------------------------

    def _assign(self, statement: ast.Assign) -> None:
        (target,) = statement.targets
        if isinstance(target, ast.Tuple):
            assert isinstance(statement.value, ast.Call)
            self._pair(target, statement.value)
        elif isinstance(target, ast.Subscript):
            self._store(target, self.value(statement.value))
        else:
            assert isinstance(target, ast.Name)
            found = self.value(statement.value, target.id)
            if found != target.id:
                self.lines.append(f"{target.id} = {found}")
                self._is_like(target.id, found)

    def _pair(self, target: ast.Tuple, call: ast.Call) -> None:
        """Write a step with several results; one that is part of a larger array is also kept apart.

        It is read where it was computed, because NumPy is faster with contiguous arrays.  That is
        right because every place in an array is written once, unless it is added to.
        """
        slots = [self._kept(x.id if isinstance(x, ast.Name) else None) for x in target.elts]
        args = ", ".join(self.value(x) for x in call.args)
        names = ", ".join(slots)
        self.lines.append(f"{names} = {ast.unparse(call.func)}({args}, out=({names}))")
        for place, slot in zip(target.elts, slots, strict=True):
            if isinstance(place, ast.Subscript):
                part = self._store(place, slot)
                self.copies[part] = slot

    def _store(self, target: ast.Subscript, found: str) -> str:
        """Write *found* into a part of an array; return the text of that part."""
        base, end = self.value(target.value), _index(target)
        place = self._view(base, end) + "[...]" if _is_basic(target.slice) else base + end
        self.lines.append(f"{place} = {found}")
        return base + end

    def _augassign(self, statement: ast.AugAssign) -> None:
        target = statement.target
        assert isinstance(target, ast.Subscript)
        assert isinstance(statement.op, ast.Add)
        place, found = self.value(target.value), self.value(statement.value)
        # No sigmoid is computed into an array that is added to: Emitter._stored leaves these out.
        assert not any(view.startswith(f"{place}[") for view in self.copies), place
        if _is_basic(target.slice):
            place = self._view(place, _index(target))
            self.lines.append(f"_add({place}, {found}, out={place})")
        else:
            self.lines.append(f"{place}{_index(target)} += {found}")

    def _return(self, statement: ast.Return) -> None:
        def text(x: ast.expr | None) -> str:
            if isinstance(x, ast.Tuple):
                return "".join(f"{text(part)}, " for part in x.elts)
            if isinstance(x, ast.List):
                return f"[{', '.join(map(text, x.elts))}]"
            assert x is not None
            return self.value(x)

        self.lines.append(f"return {text(statement.value)}")

    # --- expressions -----------------------------------------------------------------------------

    def value(self, node: ast.expr, name: str | None = None) -> str:
        """Write the steps that *node* needs, and return the name of its value.

        *name* is the name for the slot of the last step, if it has one.
        """
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, (ast.Constant, ast.Tuple)):
            return self._scalar(ast.unparse(node))
        if isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
            return self._operator(node, name)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, name)
        if isinstance(node, ast.Attribute):
            if node.attr == "T":
                return self._view(self.value(node.value), ".T")
            return self._scalar(ast.unparse(node))  # np.inf
        assert isinstance(node, ast.Call), ast.dump(node)
        return self._call(node, name)

    def _scalar(self, text: str) -> str:
        """Return *text*, and note that it is a number or a shape, not an array."""
        self.scalars.add(text)
        return text

    def _operator(self, node: Any, name: str | None) -> str:
        parts: list[ast.expr]
        if isinstance(node, ast.UnaryOp):
            parts, sign, ufunc = [node.operand], *_OPERATORS[type(node.op)]
        elif isinstance(node, ast.BinOp):
            parts, sign, ufunc = [node.left, node.right], *_OPERATORS[type(node.op)]
        else:
            parts, sign, ufunc = [node.left, *node.comparators], *_OPERATORS[type(node.ops[0])]
        operands = [self.value(part) for part in parts]
        if self.scalars.issuperset(operands):
            infix = f" {sign} ".join(operands) if len(operands) > 1 else sign + operands[0]
            return self._scalar(f"({infix})")
        return self._step(f"_{ufunc}", operands, name)

    def _subscript(self, node: ast.Subscript, name: str | None) -> str:
        base = self.value(node.value)
        if _is_basic(node.slice):
            return self._view(base, _index(node))
        index = node.slice
        if isinstance(index, ast.Tuple) and ast.unparse(index.elts[0]) == ":":
            (index,) = index.elts[1:]
        if isinstance(index, ast.Name) and index.id in self.kept:  # addresses, so never negative
            return self._step(f"{base}.take", [index.id, "axis=-1", "mode='clip'"], name)
        return self._plain(f"{base}{_index(node)}", name)

    def _call(self, node: ast.Call, name: str | None) -> str:
        function = node.func
        args = [self.value(x) for x in node.args]
        keywords = [f"{x.arg}={ast.unparse(x.value)}" for x in node.keywords]
        if isinstance(function, ast.Name):
            if function.id == "len":
                return self._scalar(ast.unparse(node))
            if "out" in inspect.signature(self.namespace[function.id]).parameters:
                return self._step(function.id, args + keywords, name)
            return self._plain(f"{function.id}({', '.join(args + keywords)})", name)
        if isinstance(function, ast.Attribute):
            text = ast.unparse(function)
            head, _, tail = text.rpartition(".")
            if head == "np" and tail in _UFUNCS:
                return self._step(f"_{tail}", args + keywords, name)
            if head.startswith("np.") and tail in ("reduce", "reduceat"):
                return self._step(text, args + keywords, name)
            if text == "np.where":
                return self._step("_where", args, name)
            if head == "np" and tail in (*_FILLED, "full"):
                return self._new(tail, args, name)
            if head == "np" and tail == "broadcast_to":
                return self._view(args[0], f", {args[1]})", "np.broadcast_to(")
            if head == "np":
                return self._plain(f"{text}({', '.join(args + keywords)})", name)
            return self._method(self.value(function.value), tail, args + keywords, name)
        return self._plain(f"{ast.unparse(function)}({', '.join(args + keywords)})", name)

    def _method(self, base: str, method: str, args: Sequence[str], name: str | None) -> str:
        if method in ("transpose", "swapaxes"):
            return self._view(base, f".{method}({', '.join(args)})")
        if method == "reshape" and base in self.kept:
            # If the array is not contiguous this is a copy, which must be made in every run.
            slot, copied = self._slot(name), self._slot(None)
            self.lines.append(
                f"if {copied} is not False: {slot} = {base}.reshape({', '.join(args)}); "
                f"{copied} = not np.may_share_memory({slot}, {base})"
            )
            return slot
        if method == "sum":
            if args:
                return self._step("_add.reduce", [base, *args], name)
            return self._scalar(self._plain(f"_add.reduce({base}, axis=None)", name))
        return self._plain(f"{base}.{method}({', '.join(args)})", name)

    # --- steps -----------------------------------------------------------------------------------

    def _slot(self, name: str | None) -> str:
        slot = name or f"_{len(self.slots)}"
        self.slots.append(slot)
        return slot

    def _kept(self, name: str | None) -> str:
        """Return a slot whose array is the same memory in every run."""
        slot = self._slot(name)
        self.kept.add(slot)
        return slot

    def _step(self, function: str, args: Sequence[str], name: str | None) -> str:
        """Write a step that takes an array for its result."""
        if self.scalars.issuperset(args):
            return self._scalar(f"{function}({', '.join(args)})")
        slot = self._kept(name)
        self.lines.append(f"{slot} = {function}({', '.join(args)}, out={slot})")
        return slot

    def _plain(self, text: str, name: str | None) -> str:
        """Write a step that makes a new array."""
        if name is None:
            self.temporaries += 1
            name = f"_t{self.temporaries}"
        self.lines.append(f"{name} = {text}")
        return name

    def _new(self, maker: str, args: Sequence[str], name: str | None) -> str:
        slot = self._kept(name)
        self.lines.append(f"if {slot} is None: {slot} = np.{maker}({', '.join(args)})")
        if slot in self.accumulated:
            fill = args[1] if maker == "full" else _FILLED[maker]
            if fill is not None:
                self.lines.append(f"else: {slot}.fill({fill})")
        return slot

    def _view(self, base: str, end: str, start: str = "") -> str:
        """Return a view of *base*; if *base* is the same memory in every run, it is taken once."""
        view = f"{start}{base}{end}"
        if view in self.copies:
            return self.copies[view]
        if base not in self.kept:
            return view
        if view in self.views:
            return self.views[view]
        slot = self.views[view] = self._kept(None)
        self.lines.append(f"if {slot} is None: {slot} = {view}")
        return slot

    def _is_like(self, name: str, other: str) -> None:
        for names in (self.kept, self.scalars):
            if other in names:
                names.add(name)


def _where(condition: Any, x: Any, y: Any, out: Any = None) -> Any:
    """Return ``np.where`` of the arguments, in *out* if it is given."""
    if out is None:
        return np.where(condition, x, y)
    np.copyto(out, y)
    np.copyto(out, x, where=np.asarray(condition, dtype=bool))
    return out


def _index(node: ast.Subscript) -> str:
    return ast.unparse(ast.Subscript(ast.Name("x"), node.slice)).removeprefix("x")


def _is_basic(index: ast.expr) -> bool:
    """Return whether *index* selects a view."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    return all(isinstance(part, (ast.Slice, ast.Constant)) for part in parts)


def _base(node: Any) -> str:
    """Return the name of the array of which *node* is a view."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            (node, *_) = node.args  # view(x, ...), where x.reshape(...) is of its own function
        else:
            node = node.func if isinstance(node, ast.Call) else node.value
    return node.id

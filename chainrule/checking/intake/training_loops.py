"""A training loop that stands under no function, as a function that takes one turn of it.

Many a script has its whole network at the top level: weights, then a loop that changes them. One
turn of that loop is a training step on the module's own weights, and is called like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .manner import LOOP
from .names import role_of


def as_function(tree: ast.Module) -> ast.Module:
    """Return *tree* with its training loop in a function ``LOOP``; as it is, if there is none."""
    tree = _spread(tree)
    found = training_loop(tree)
    if found is None or any(getattr(node, "name", "") == LOOP for node in tree.body):
        return tree
    turn = _one_turn(found)
    names = sorted(_names_written(turn))
    function = ast.FunctionDef(
        name=LOOP,
        args=ast.arguments([], [], None, [], [], None, []),
        body=[ast.Global(names), turn],
        decorator_list=[],
        returns=None,
        type_comment=None,
    )
    if "type_params" in ast.FunctionDef._fields:
        function.type_params = []  # type: ignore[attr-defined]
    for made in (function, function.body[0], turn):
        ast.copy_location(made, found)
    # It stands where the loop stood, without it: what comes behind is the use that is made of it.
    body = [function if node is found else node for node in tree.body]
    return ast.fix_missing_locations(ast.Module(body, tree.type_ignores))


def _spread(tree: ast.Module) -> ast.Module:
    """Return *tree* with its main program at the top level, if that has the loop.

    A main program stands under if __name__ == "__main__", or in a function without parameters.
    """
    if training_loop(tree) is not None:
        return tree
    for node in reversed(tree.body):
        alone = isinstance(node, ast.FunctionDef) and not ast.unparse(node.args)
        guarded = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        if alone or guarded:
            inside = [one for one in node.body if not isinstance(one, (ast.Return, ast.Global))]  # type: ignore[attr-defined]
            body = [one for one in tree.body if one is not node]
            spread = ast.Module([*body, *inside], tree.type_ignores)
            if training_loop(spread) is not None:
                return spread
    return tree


def has_loop(tree: ast.Module) -> bool:
    """Whether there is a training loop under no function, or in the main program."""
    return training_loop(_spread(tree)) is not None


def training_loop(tree: ast.Module) -> ast.For | ast.While | None:
    """Return the last loop at the top level that changes names which were there before it."""
    before: set[str] = set()
    found: ast.For | ast.While | None = None
    for node in tree.body:
        if isinstance(node, (ast.For, ast.While)) and _moves(node, before):
            found = node
        before |= _names_written(node)
    return found


def _moves(loop: ast.For | ast.While, before: set[str]) -> bool:
    """Whether a loop writes w -= ..., or w = w - ..., to two arrays or more that were there."""
    moved: set[str] = set()
    for node in ast.walk(loop):
        if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
            moved |= _names_written(node)
            if isinstance(node.target, ast.Subscript) and isinstance(node.target.value, ast.Name):
                moved.add(node.target.value.id)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            read = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
            moved |= _names_written(node) & read
    if _steps(loop, before):
        return True
    return len(moved & before) > 1


def _steps(loop: ast.For | ast.While, before: set[str]) -> bool:
    """Whether a loop calls backward, and then an update, of objects that were there."""
    called = {
        node.func.attr.lower().replace("_", "")
        for node in ast.walk(loop)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name) and node.func.value.id in before
    }  # fmt: skip
    return any("back" in name for name in called) and any("update" in name or name == "step"
                                                          for name in called)  # fmt: skip


def _one_turn(loop: ast.For | ast.While) -> ast.stmt:
    """Return a loop of one turn, if the loop counts epochs; else it goes over the examples."""
    once = ast.List([ast.Constant(0)], ast.Load())
    if isinstance(loop, ast.While):
        return ast.For(ast.Name("_", ast.Store()), once, loop.body, [], None)
    if _counts(loop.iter):
        return ast.For(loop.target, once, loop.body, [], None)
    return loop


def _counts(iterated: ast.expr) -> bool:
    """Whether it is range(10000), range(epochs) and the like, tqdm around it or not."""
    for node in ast.walk(iterated):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) \
                in ("range", "xrange", "trange", "arange"):  # fmt: skip
            names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
            roles = {role_of(name) for name in names} - {""}
            return not roles & {"X", "Y"} and (not roles or bool(roles & {"epochs", "rate"}))
    return False


def _names_written(node: ast.stmt) -> set[str]:
    return set(_writes(node))


def _writes(node: ast.AST) -> Iterator[str]:
    """Yield the names that *node* gives something to, but for those inside functions."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((one.asname or one.name).partition(".")[0] for one in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _writes(child)

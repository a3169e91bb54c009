"""Write the JavaScript of the page from the table: values and partials of every row.

python tools/javascript.py            write rows.js of chainrule/viz/explore
python tools/javascript.py --check    write nothing; exit status 1 if it is out of date

The page calculates with plain numbers, so the functions of the table's floats and the rows' own
formulas are translated as they stand, statement by statement: they are written in a small part of
Python, and whatever is outside that part is refused.  The exceptions of Python's arithmetic do not
come: JavaScript computes what the try block says, and its answers are IEEE's.  What JavaScript's
Math lacks, and Python's way to slice a list, stand in numbers.js.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chainrule import viz
from chainrule.engine.table import BUILT_IN, floats, rows

TARGET = Path(viz.__file__).parent / "explore" / "rows.js"
HEAD = """\
// Made by `python tools/javascript.py` from the rows of the table, which explain it.
"""
WIDTH = 100

SAME = ("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "expm1", "log")
SAME += ("log10", "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh")
MATH = {
    **{name: f"Math.{name}" for name in SAME},
    "fabs": "Math.abs",
    "isfinite": "Number.isFinite",
    "pi": "Math.PI",
}
"""Python's math module in JavaScript."""
OWN = {name: name for name in ("copysign", "erf", "erfc", "fmod", "hypot", "isinf", "pow")}
OWN |= {"exp": "exponential"}
"""What numbers.js has of it: where JavaScript has nothing, or nothing so exact."""
BUILTINS = {"abs": "Math.abs", "int": "Math.trunc", "max": "Math.max", "float": ""}
HELPERS = {"accumulate", "enumerate", "range", "truthy", "zip"}
OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Eq: "===", ast.NotEq: "!==",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.And: "&&", ast.Or: "||",
}  # fmt: skip
BINDS = {"||": 1, "&&": 2, "===": 4, "!==": 4, "<": 5, "<=": 5, ">": 5, ">=": 5}
BINDS |= {"+": 6, "-": 6, "*": 7, "/": 7}
CHOICE, SIGN, ATOM = 0, 8, 9
"""How tightly a choice, a sign and an atom bind; the operators are in between."""


class UntranslatableError(Exception):
    """A piece of the table that this translator does not know."""


class Translator(ast.NodeVisitor):
    """Python's expressions and statements, over floats and lists of floats, as JavaScript."""

    def __init__(self) -> None:
        self.used: set[str] = set()

    # --- expressions -----------------------------------------------------------------------------

    def text(self, node: ast.AST, least: int = CHOICE) -> str:
        """Return an expression, in parentheses if it binds less tightly than *least*."""
        found, binds = self.visit(node)
        return f"({found})" if binds < least else found

    def generic_visit(self, node: ast.AST) -> Any:
        """Refuse what is not known here."""
        raise UntranslatableError(ast.unparse(node))

    def listed(self, nodes: Iterable[ast.AST]) -> str:
        """Return expressions in a row."""
        return ", ".join(self.text(node) for node in nodes)

    def helper(self, name: str, *nodes: ast.AST | str) -> tuple[str, int]:
        """Return a call of a function of numbers.js."""
        self.used.add(name)
        arguments = (node if isinstance(node, str) else self.text(node) for node in nodes)
        return f"{name}({', '.join(arguments)})", ATOM

    def visit_Constant(self, node: ast.Constant) -> tuple[str, int]:
        """Return a number."""
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise UntranslatableError(ast.unparse(node))
        return repr(node.value).removesuffix(".0"), ATOM

    def visit_Name(self, node: ast.Name) -> tuple[str, int]:
        """Return a name."""
        return {"inf": "Infinity", "nan": "NaN"}.get(node.id, node.id), ATOM

    def visit_Attribute(self, node: ast.Attribute) -> tuple[str, int]:
        """Return what a module of Python's, or floats, has under a name."""
        match ast.unparse(node.value):
            case "floats":
                return node.attr, ATOM
            case "math" if node.attr in MATH:
                return MATH[node.attr], ATOM
            case "math" if node.attr in OWN:
                self.used.add(OWN[node.attr])
                return OWN[node.attr], ATOM
            case "operator" if node.attr in ("add", "mul", "neg", "sub"):
                sign = {"add": "a + b", "mul": "a * b", "sub": "a - b"}.get(node.attr)
                return f"(a, b) => {sign}" if sign else "(a) => -a", CHOICE
        raise UntranslatableError(ast.unparse(node))

    def visit_UnaryOp(self, node: ast.UnaryOp) -> tuple[str, int]:
        """Return a sign, or a denial."""
        if isinstance(node.op, ast.Not):
            known = constant(node.operand)
            if known is not None:
                return ("false" if known else "true"), ATOM
            return f"!{self.condition(node.operand, ATOM)}", SIGN
        return f"-{self.text(node.operand, ATOM)}", SIGN

    def visit_BinOp(self, node: ast.BinOp) -> tuple[str, int]:
        """Return arithmetic on numbers, or on lists."""
        if is_list(node.left) and isinstance(node.op, ast.Mult):
            assert isinstance(node.left, ast.List)
            return self.helper("repeat", node.left.elts[0], node.right)
        if is_list(node.left) or is_list(node.right):
            return f"[...{self.text(node.left, ATOM)}, ...{self.text(node.right, ATOM)}]", ATOM
        if isinstance(node.op, ast.FloorDiv):
            return f"Math.floor({self.text(node.left, 7)} / {self.text(node.right, 8)})", ATOM
        if isinstance(node.op, ast.Mod) and ast.unparse(node.left).startswith("len("):
            return f"{self.text(node.left, 7)} % {self.text(node.right, 8)}", 7  # never below 0
        sign = OPERATORS[type(node.op)]
        binds = BINDS[sign]
        return f"{self.text(node.left, binds)} {sign} {self.text(node.right, binds + 1)}", binds

    def visit_BoolOp(self, node: ast.BoolOp) -> tuple[str, int]:
        """Return several conditions as one."""
        sign = OPERATORS[type(node.op)]
        binds = BINDS[sign]
        return f" {sign} ".join(self.condition(value, binds) for value in node.values), binds

    def visit_Compare(self, node: ast.Compare) -> tuple[str, int]:
        """Return a comparison, perhaps of several."""
        known = constant(node)
        if known is not None:
            return ("true" if known else "false"), ATOM
        terms = [node.left, *node.comparators]
        found = []
        for left, operation, right in zip(terms, node.ops, terms[1:], strict=False):
            if isinstance(operation, (ast.In, ast.NotIn)):
                inside, _ = self.helper("contains", right, left)
                found.append(f"{'!' * isinstance(operation, ast.NotIn)}{inside}")
                continue
            sign = OPERATORS[type(operation)]
            found.append(f"{self.text(left, BINDS[sign])} {sign} {self.text(right, 6)}")
        return " && ".join(found), (2 if len(found) > 1 else 4)

    def visit_IfExp(self, node: ast.IfExp) -> tuple[str, int]:
        """Return a choice."""
        known = constant(node.test)
        if known is not None:
            return self.text(node.body if known else node.orelse), CHOICE
        test = self.condition(node.test, 1)
        return f"{test} ? {self.text(node.body, 1)} : {self.text(node.orelse)}", CHOICE

    def condition(self, node: ast.AST, least: int = CHOICE) -> str:
        """Return whether *node* is true, as Python sees it: a nan is, and an empty list is not."""
        if isinstance(node, (ast.Compare, ast.BoolOp)) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        ):
            return self.text(node, least)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("math.isinf", "math.isfinite"):
            return self.text(node, least)
        return self.helper("truthy", node)[0]

    def visit_Subscript(self, node: ast.Subscript) -> tuple[str, int]:
        """Return an entry of a list, or a part of it."""
        place = node.slice
        if isinstance(place, ast.Slice):
            ends = [place.lower, place.upper, place.step]
            while ends and ends[-1] is None:
                ends.pop()
            return self.helper("slice", node.value, *(end or "null" for end in ends))
        if isinstance(place, ast.UnaryOp):
            return f"{self.text(node.value, ATOM)}.at({self.text(place)})", ATOM
        return f"{self.text(node.value, ATOM)}[{self.text(place)}]", ATOM

    def visit_List(self, node: ast.List) -> tuple[str, int]:
        """Return a list."""
        return f"[{self.listed(node.elts)}]", ATOM

    def visit_Tuple(self, node: ast.Tuple) -> tuple[str, int]:
        """Return a list."""
        return f"[{self.listed(node.elts)}]", ATOM

    def visit_Starred(self, node: ast.Starred) -> tuple[str, int]:
        """Return the entries of a list."""
        return f"...{self.text(node.value, ATOM)}", ATOM

    def visit_ListComp(self, node: ast.ListComp) -> tuple[str, int]:
        """Return a list made from another."""
        return self.made(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> tuple[str, int]:
        """Return a list made from another."""
        return self.made(node)

    def made(self, node: ast.ListComp | ast.GeneratorExp) -> tuple[str, int]:
        """Return a list made from another."""
        (loop,) = node.generators
        found, name = self.text(loop.iter, ATOM), self.text(loop.target)
        for test in loop.ifs:
            found += f".filter(({name}) => {self.condition(test)})"
        if ast.unparse(node.elt) != ast.unparse(loop.target):
            found += f".map(({name}) => {self.text(node.elt)})"
        return found, ATOM

    def visit_Lambda(self, node: ast.Lambda) -> tuple[str, int]:
        """Return a function."""
        return f"({parameters(node.args)}) => {self.text(node.body)}", CHOICE

    def visit_Call(self, node: ast.Call) -> tuple[str, int]:
        """Return a call."""
        function = ast.unparse(node.func)
        match function:
            case "len":
                return f"{self.text(node.args[0], ATOM)}.length", ATOM
            case "list":
                return f"[...{self.text(node.args[0], ATOM)}]", ATOM
            case "float":
                return self.text(node.args[0]), CHOICE
            case "map":
                called, first, *others = node.args
                if others:
                    zipped, _ = self.helper("zip", first, *others)
                    return f"{zipped}.map(([a, b]) => ({self.text(called)})(a, b))", ATOM
                return f"{self.text(first, ATOM)}.map({self.text(called)})", ATOM
            case "functools.reduce":
                called, terms, *start = node.args
                begin = "".join(f", {self.text(x)}" for x in start)
                return f"{self.text(terms, ATOM)}.reduce({self.text(called)}{begin})", ATOM
            case _ if function.startswith("set(range("):
                assert isinstance(node.func, ast.Attribute)
                assert isinstance(node.func.value, ast.Call)
                everything = self.text(node.func.value.args[0])
                there, _ = self.helper("contains", node.args[0], "i")
                return f"{everything}.filter((i) => !{there})", ATOM
            case _ if function.endswith(".remove"):
                assert isinstance(node.func, ast.Attribute)
                return self.helper("remove", node.func.value, *node.args)
            case _ if function.endswith(".append"):
                assert isinstance(node.func, ast.Attribute)
                return f"{self.text(node.func.value, ATOM)}.push({self.listed(node.args)})", ATOM
            case _ if function in HELPERS:
                return self.helper(function, *node.args)
        name = BUILTINS.get(function) or self.text(node.func, ATOM)
        return f"{name}({self.listed(node.args)})", ATOM

    # --- statements ------------------------------------------------------------------------------

    def function(self, node: ast.FunctionDef) -> str:
        """Return the definition of a function."""
        once = once_assigned(node)
        changing = sorted(assigned_names(node).difference(once, argument_names(node)))
        declared = [f"  let {', '.join(changing)};"] if changing else []
        body = self.block(node.body, "  ", set(changing), once)
        head = f"function {node.name}({parameters(node.args)}) {{"
        return "\n".join([head, *declared, *body, "}", ""])

    def block(
        self, body: Sequence[ast.stmt], indent: str, known: set[str], once: set[str]
    ) -> list[str]:
        """Return statements; *known* are the names that were declared before them."""
        lines: list[str] = []
        for node in body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            lines += self.statement(node, indent, known, once)
            if (
                isinstance(node, ast.If)
                and constant(node.test)
                and isinstance(node.body[-1], ast.Return)
            ):
                break  # what follows is for symbols
        return lines

    def statement(self, node: ast.stmt, indent: str, known: set[str], once: set[str]) -> list[str]:
        """Return one statement."""
        match node:
            case ast.Return(value=ast.AST() as value):
                return [f"{indent}return {self.text(value)};"]
            case ast.Try():
                return self.block(node.body, indent, known, once)
            case ast.Expr():
                return [f"{indent}{self.text(node.value)};"]
            case ast.AugAssign():
                sign = OPERATORS[type(node.op)]
                return [f"{indent}{self.text(node.target)} {sign}= {self.text(node.value)};"]
            case ast.Assign(targets=[target]):
                return [indent + self.assigned(target, node.value, known, once)]
            case ast.For():
                names = self.text(node.target)
                head = f"{indent}for (const {names} of {self.text(node.iter)}) {{"
                inner = self.block(node.body, indent + "  ", set(known), once)
                return [head, *inner, f"{indent}}}"]
            case ast.If():
                return self.branches(node, indent, known, once)
        raise UntranslatableError(ast.unparse(node))

    def assigned(self, target: ast.expr, value: ast.expr, known: set[str], once: set[str]) -> str:
        """Return an assignment; it declares names that are new."""
        names = {x.id for x in ast.walk(target) if isinstance(x, ast.Name)}
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        word = "" if names <= known else "const "
        known |= names
        return word + ", ".join(f"{self.text(a)} = {self.text(b)}" for a, b in pairs) + ";"

    def branches(self, node: ast.If, indent: str, known: set[str], once: set[str]) -> list[str]:
        """Return what happens where a condition holds, and where it does not."""
        settled = constant(node.test)
        if settled is not None:
            return self.block(node.body if settled else node.orelse, indent, known, once)
        lines = [f"{indent}if ({self.condition(node.test)}) {{"]
        lines += self.block(node.body, indent + "  ", set(known), once)
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            first, *rest = self.branches(node.orelse[0], indent, set(known), once)
            if first.lstrip().startswith("if "):
                return [*lines, f"{indent}}} else {first.lstrip()}", *rest]
        if node.orelse:
            lines += [f"{indent}}} else {{"]
            lines += self.block(node.orelse, indent + "  ", set(known), once)
        return [*lines, f"{indent}}}"]


def constant(node: ast.AST) -> bool | None:
    """Return whether a question about a type holds, since all here are numbers; None for others."""
    text = ast.unparse(node)
    if text.startswith("not "):
        known = constant(node.operand) if isinstance(node, ast.UnaryOp) else None
        return None if known is None else not known
    if text.startswith("isinstance(") and text.endswith(", float)"):
        return True
    return True if "type(" in text and text.endswith(("is float", "in xs))", "in zs))")) else None


def is_list(node: ast.AST) -> bool:
    """Return whether *node* is written as a list."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Slice)
    return isinstance(node, (ast.List, ast.ListComp))


def targets(node: ast.FunctionDef) -> list[str]:
    """Return the names that a function gives a value outside loops and lists, each time."""
    statements = [x for x in ast.walk(node) if isinstance(x, (ast.Assign, ast.AugAssign))]
    parts = [
        t for x in statements for t in (x.targets if isinstance(x, ast.Assign) else [x.target])
    ]
    return [x.id for part in parts for x in ast.walk(part) if isinstance(x, ast.Name)]


def is_number(node: ast.AST) -> bool:
    """Return whether *node* is a number, or several, and not one that has a name in JavaScript."""
    names = {x.id for x in ast.walk(node) if isinstance(x, ast.Name)}
    text = ast.unparse(node)
    return names <= {"math"} and ("math.log" in text or isinstance(node, ast.Constant))


def once_assigned(node: ast.FunctionDef) -> set[str]:
    """Return the names that a function gives a value only once."""
    return {name for name in targets(node) if targets(node).count(name) == 1}


def assigned_names(node: ast.FunctionDef) -> set[str]:
    """Return the names that a function gives a value."""
    return set(targets(node))


def argument_names(node: ast.FunctionDef) -> set[str]:
    """Return the names of a function's arguments."""
    return {argument.arg for argument in node.args.args}


def parameters(arguments: ast.arguments) -> str:
    """Return the names of a function's arguments."""
    names = [argument.arg for argument in arguments.args]
    return ", ".join([*names, f"...{arguments.vararg.arg}"] if arguments.vararg else names)


# --- the table -----------------------------------------------------------------------------------


def tree_of(module: object) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8"))


def row_definitions(tree: ast.Module) -> dict[str, ast.Call]:
    """Return the call of ``primitive`` for each name."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Call):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(node.value.func) == "primitive":
                found[ast.unparse(target)] = node.value
    return found


def wanted(tree: ast.Module, calls: Iterable[ast.Call]) -> list[ast.FunctionDef]:
    """Return the functions of the rows' module that values and partials need, in its order."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    parts: list[ast.AST] = []
    for call in calls:
        parts += call.args[1:]
        parts += [k.value for k in call.keywords if k.arg in ("variadic", "selects", "takes")]
    found: set[str] = set()
    while parts:
        for node in ast.walk(parts.pop()):
            if isinstance(node, ast.Name) and node.id in functions and node.id not in found:
                found.add(node.id)
                parts.append(functions[node.id])
    return [node for name, node in functions.items() if name in found]


def entry(translator: Translator, name: str, call: ast.Call) -> str:
    """Return the entry of a row."""
    fields = [f"value: {name}"]
    if len(call.args) > 2:
        assert isinstance(call.args[2], ast.Tuple)
        partials = []
        for partial in call.args[2].elts:
            if isinstance(partial, ast.Constant) and partial.value is None:
                partials.append("null")
            else:
                text = translator.text(partial)
                called = isinstance(partial, (ast.Lambda, ast.Name))
                partials.append(text if called else f"() => {text}")
        fields.append(f"partials: [{', '.join(partials)}]")
    fields += [
        f"{word.arg}: {translator.text(word.value)}"
        for word in call.keywords
        if word.arg in ("variadic", "selects", "takes")
    ]
    title = ast.literal_eval(call.args[0])
    line = f'  "{title}": {{{", ".join(fields)}}},'
    if len(line) <= WIDTH:
        return line
    inner = ",\n    ".join(fields)
    return f'  "{title}": {{\n    {inner},\n  }},'


def written() -> str:
    """Return rows.js."""
    translator = Translator()
    numbers, table = tree_of(floats), tree_of(rows)
    definitions = row_definitions(table)
    if {ast.literal_eval(call.args[0]) for call in definitions.values()} != BUILT_IN:
        raise UntranslatableError("a row of the table is not written as name = primitive(...)")
    named: set[str] = set()
    parts = []
    for node in [*numbers.body, *table.body]:
        if isinstance(node, ast.Assign) and is_number(node.value):
            parts.append(translator.assigned(node.targets[0], node.value, set(), set()) + "\n")
    for node in numbers.body:
        if isinstance(node, ast.FunctionDef):
            named.add(node.name)
            parts.append(translator.function(node))
    parts += [translator.function(node) for node in wanted(table, definitions.values())]
    for name, call in definitions.items():
        scalar = translator.text(call.args[1])
        if scalar == name:
            continue
        if name in named:
            raise UntranslatableError(f"{name} is a row, and another function of floats")
        if name in translator.used or (isinstance(call.args[1], ast.Name) and scalar == name):
            continue  # numbers.js has it under this name
        parts.append(f"const {name} = {scalar};\n")
    lines = [entry(translator, name, call) for name, call in definitions.items()]
    table_text = "\n".join(
        [
            "/** @type {Record<string, import('./numbers.js').Row>} */",
            "export const ROWS = {",
            *lines,
            "};",
            "",
        ]
    )
    imports = f'import {{{", ".join(sorted(translator.used))}}} from "./numbers.js";\n'
    return "\n".join([HEAD, imports, *parts, table_text])


def main() -> None:
    """Do what the command line says."""
    text = written()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        sys.exit(f"{TARGET} is out of date: python tools/javascript.py")


if __name__ == "__main__":
    main()

"""Programs of Python 2, read as Python 3: what they print does not matter, what they compute does.

Print statements are left out, and what has another spelling today gets it. ``1 / 2`` is a half, as
in Python 3: a program that was wrong by whole division alone is right here.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize

_NAMES = {"xrange": "range", "raw_input": "input", "unicode": "str", "long": "int"}
_HANDLER = re.compile(r"^(\s*except\s+[\w.()\s,]+?)\s*,\s*(\w+)\s*:", re.MULTILINE)
_RAISED = re.compile(r"^(\s*raise\s+[\w.]+)\s*,\s*(.+)$", re.MULTILINE)


def as_python3(text: str) -> str:
    r"""Return *text* as Python 3 reads it; as it is, if that does not help.

    >>> print(as_python3("for i in xrange(3):\n    print 'step', i"))
    for i in range(3):
        pass
    """
    made = text.expandtabs(8) if "\t" in text else text
    made = _RAISED.sub(r"\1(\2)", _HANDLER.sub(r"\1 as \2:", made))
    try:
        made = _rewritten(made)
        ast.parse(made)
    except (SyntaxError, ValueError, tokenize.TokenError):
        return text
    return made


def uses_python2(tree: ast.Module) -> bool:
    """Whether a program that Python 3 can read uses names that are Python 2's, and not its own.

    >>> uses_python2(ast.parse("for i in xrange(3): pass"))
    True
    >>> uses_python2(ast.parse("from past.builtins import xrange; xrange(3)"))
    False
    """
    used, own = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else own).add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            own |= {one.asname or one.name for one in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
    return bool(used & set(_NAMES) - own) and "*" not in own


def _rewritten(text: str) -> str:
    """Return *text* without print statements, and with today's names."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    lines = text.splitlines(keepends=True)
    edits: list[tuple[tuple[int, int], tuple[int, int], str]] = []
    begins, place = True, 0
    while place < len(tokens):
        token = tokens[place]
        if begins and token.type == tokenize.NAME and token.string == "print":
            end = place + 1
            while tokens[end].type not in _ENDS and tokens[end].string != ";":
                end += 1
            last = next(one for one in reversed(tokens[:end]) if one.type != tokenize.COMMENT)
            if last is token or not _is_call(tokens[place + 1 : end]):
                edits.append((token.start, last.end, "pass"))
            place, begins = end, False
            continue
        if token.type == tokenize.NAME and token.string in _NAMES:
            edits.append((token.start, token.end, _NAMES[token.string]))
        if token.type in _SILENT:
            begins = begins or token.type == tokenize.NEWLINE
        else:
            begins = token.string in (";", ":", "else") and token.type != tokenize.STRING
        place += 1
    for start, stop, new in reversed(edits):
        _edit(lines, start, stop, new)
    return "".join(lines)


_ENDS = (tokenize.NEWLINE, tokenize.ENDMARKER)
_SILENT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT)


def _is_call(behind: list[tokenize.TokenInfo]) -> bool:
    """Whether it is a call of the function, or a name that something is done with."""
    first = behind[0]
    if first.string in ("=", ".", ",", ")", "]", ":"):
        return True
    if first.string != "(":
        return False
    try:
        ast.parse("print" + "".join(f" {one.string}" for one in behind if one.type not in _SILENT))
    except SyntaxError:
        return False
    return True


def _edit(lines: list[str], start: tuple[int, int], stop: tuple[int, int], new: str) -> None:
    """Put *new* there; the lines stay as many as they are, so that their numbers stay true."""
    first, last = start[0] - 1, stop[0] - 1
    tail = lines[last][stop[1] :]
    lines[first] = lines[first][: start[1]] + new + (tail if first == last else "\n")
    for between in range(first + 1, last + 1):
        lines[between] = "\n"
    if first != last and tail.strip():
        lines[last] = tail

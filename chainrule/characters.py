r"""Stand-ins for characters that could mislead a terminal, a parser or a reader.

A label, an exception's text, the name of a file: such text comes from others, and may hold anything
that a Python string can. Before it is shown anywhere, invisible characters (control characters,
bidirectional overrides, lone surrogates) are replaced by the way Python writes them, such as
\x1b or \u202e.
"""

from __future__ import annotations

import unicodedata

JOINERS = "\u200c\u200d"
"""Emoji and several scripts need these, so they are kept."""
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def stand_in(character: str) -> str:
    r"""Return *character* itself if it can be seen, else how Python writes it.

    >>> stand_in("a"), stand_in("\u202e")
    ('a', '\\u202e')
    """
    code = ord(character)
    illegal_in_xml = code & 0xFFFE == 0xFFFE
    invisible = unicodedata.category(character) in _INVISIBLE and character not in JOINERS
    return repr(character)[1:-1] if illegal_in_xml or invisible else character


def plain(text: str, kept: str = "\n") -> str:
    r"""Return *text* with a stand-in for every character that cannot be seen, except those *kept*.

    >>> plain("\x1b[2J cleared")
    '\\x1b[2J cleared'
    """
    return "".join(one if one in kept else stand_in(one) for one in text)

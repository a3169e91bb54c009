"""The results of a class as text and as HTML: a table, the mistakes, and who made the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from ...characters import plain
from ..text import columns
from .results import Result, counts_of, groups_of

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5a6775; --line: #c8d0d9;
  --paper: #ffffff; --wash: #f4f6f8; --wrong: #c22f2f; --right: #1f7a4d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9fadba; --line: #46525f;
  --paper: #171c22; --wash: #20272f; --wrong: #ff7b72; --right: #56c48d; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 75rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.2rem .3rem 0;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; }
td { overflow-wrap: anywhere; } th, code, .short { white-space: nowrap; overflow-wrap: normal; }
.right { color: var(--right); } .wrong, .failed, .undone { color: var(--wrong); }
.soft { color: var(--soft); } a { color: inherit; }
.bar { display: inline-block; height: .7rem; background: var(--wrong); border-radius: 2px; }
"""


def as_text(results: Sequence[Result], summary: str) -> str:
    """Return the summary, and the mistakes with how often they were made, for a terminal."""
    lines = [summary]
    if counts := counts_of(results):
        rows = [("times", "mistake", "")]
        rows += [(str(len(one.names)), one.code, one.says) for one in counts]
        lines += ["", columns(rows)]
    shared = [group for group in groups_of(results) if len(group.names) > 1]
    if shared:
        lines += ["", "the same mistakes in the same places:"]
        lines += [
            f"  {', '.join(group.codes)}{f' ({group.where})' * bool(group.where)}: "
            + ", ".join(plain(name, kept="") for name in group.names)
            for group in shared
        ]
    return "\n".join(lines)


def as_report(result: Result, hints: str) -> str:
    """Return the page on one submission."""
    if result.written:
        return result.written[hints]["html"]
    body = [f"<h1>{_name(result.name)}: not right</h1>"]
    body += [f"<p>{escape(one.says)}</p>" for one in result.found]
    return _page(result.shown, body)


def as_index(results: Sequence[Result], summary: str, page_of: Callable[[str], str]) -> str:
    """Return the page on the class; *page_of* gives the name of a submission's page."""
    body = [f"<h1>{escape(summary)}</h1>"]
    heading: tuple[str, ...]
    rows: list[tuple[str, ...]]
    links = {one.name: f'<a href="reports/{escape(page_of(one.name))}">{_name(one.name)}</a>'
             for one in results}  # fmt: skip
    if counts := counts_of(results):
        most = len(counts[0].names)
        rows = [
            (
                f"<span class='short'>{len(one.names)} <span class='bar' "
                f"style='width:{9 * len(one.names) / most:.2f}rem'></span></span>",
                f"<code>{escape(one.code)}</code>",
                escape(one.says),
            )
            for one in counts
        ]
        body += ["<h2>The mistakes, and how often</h2>", _table(("times", "code", ""), rows)]
    shared = [group for group in groups_of(results) if len(group.names) > 1]
    if shared:
        rows = [
            (
                str(len(group.names)),
                "<br>".join(f"<code>{escape(code)}</code>" for code in group.codes),
                escape(group.where),
                ", ".join(links[name] for name in group.names),
            )
            for group in shared
        ]
        heading = ("submissions", "mistakes", "where", "who")
        body += ["<h2>The same mistakes in the same places</h2>", _table(heading, rows)]
    rows = [
        (
            links[one.name],
            f'<span class="short {"undone" if " " in one.status else one.status}">'
            f"{one.status}</span>",
            f'<span class="short">{100 * one.score:.0f}%</span>',
            f'<span class="short">{escape(one.first_wrong)}</span>',
            "<br>".join(escape(found.says) for found in one.found if not one.ok),
            f'<span class="soft short">{one.seconds:.1f} s</span>',
        )
        for one in results
    ]
    heading = ("submission", "", "right", "first wrong", "what", "")
    body += ["<h2>The submissions</h2>", _table(heading, rows)]
    return _page(summary, body)


def _name(name: str) -> str:
    """Return a name of any script, kept apart from what stands beside it."""
    return f"<bdi>{escape(plain(name, kept=''))}</bdi>"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heading)
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>\n" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>\n{body}</table></div>'


def _page(title: str, body: Sequence[str]) -> str:
    content = "\n".join(body)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{content}\n</body>\n</html>\n"
    )

"""The terminal, through rich: colours, tables and live parts where they can be shown, else text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["console", "printable", "table", "table_text"]

_WIDE: Final = 10_000
"""Where output is no terminal a line stays a line: programs read it."""


def console(out: TextIO) -> Console:
    """Return a console; what is no terminal gets plain text, in lines of any length."""
    if out.isatty():
        return Console(file=out, highlight=False)
    return _plain(out)


def _plain(out: TextIO) -> Console:
    # Said outright: a notebook's environment asks for colours where there is no terminal.
    return Console(
        file=out,
        width=_WIDE,
        highlight=False,
        soft_wrap=True,
        force_terminal=False,
        force_jupyter=False,
        color_system=None,
        no_color=True,
    )


def printable(text: str) -> str:
    """Return text without what moves a terminal's cursor, or cannot be written."""
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in plain
    )


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Return rows under a header, without lines."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        made.add_column(name, overflow="fold")
    for row in rows:
        # Text: brackets in it are no markup.
        made.add_row(*(Text("" if cell is None else printable(str(cell))) for cell in row))
    return made


def table_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return the same as text."""
    out = io.StringIO()
    _plain(out).print(table(header, rows))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())

"""The terminal: colours and live parts, through rich, where they can be shown; else text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TextIO

from rich.console import Console

from kinesis_source.records.lines import aligned, printable

__all__ = ["console", "table_text"]

_WIDE: Final = 10_000
"""Where output is no terminal a line stays a line: programs read it."""


def console(out: TextIO) -> Console:
    """Return a console; what is no terminal gets plain text, in lines of any length."""
    if out.isatty():
        return Console(file=out, highlight=False)
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


def table_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows under a header as text."""
    cells = [[printable(cell) for cell in row] for row in rows]
    return "\n".join(aligned([header, *cells]))

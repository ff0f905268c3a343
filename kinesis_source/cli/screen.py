"""Output that grows line by line, with one block at its end that is redrawn in place.

Where the output is no terminal nothing is ever redrawn: blocks are left out and only lines come.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any, TextIO

from kinesis_source.records.lines import aligned, cut

__all__ = ["Screen", "columns"]

_UP_AND_CLEAR = "\x1b[1A\x1b[2K"


class Screen:
    """Writes lines and a live block.

    Parameters
    ----------
    out : text file
    is_live : bool, optional
        Whether the block can be redrawn; default: ``out`` is a terminal that can.
    """

    def __init__(self, out: TextIO, *, is_live: bool | None = None) -> None:
        if is_live is None:
            is_live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.is_live = is_live
        self._out = out
        self._drawn = 0

    def say(self, text: str = "") -> None:
        """Write lines that stay, above the block."""
        self._clear()
        self._write(f"{text}\n")

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the block; does nothing where it could not be replaced later."""
        if not self.is_live:
            return
        self._clear()
        size = shutil.get_terminal_size()
        # A line that wraps would be two to go up; a block higher than the screen cannot be cleared.
        shown = [line[: size.columns - 1] for line in lines[: size.lines - 1]]
        self._write("".join(f"{line}\n" for line in shown))
        self._drawn = len(shown)

    def keep(self) -> None:
        """Leave the block where it is."""
        self._drawn = 0

    def _clear(self) -> None:
        self._write(_UP_AND_CLEAR * self._drawn)
        self._drawn = 0

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def columns(header: Sequence[str], rows: Sequence[Sequence[Any]], limit: int = 40) -> list[str]:
    """Return rows as aligned lines under a header; texts longer than ``limit`` are cut."""
    cells = [[cut("" if cell is None else str(cell), limit) for cell in row] for row in rows]
    return aligned([header, *cells])

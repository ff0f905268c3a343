"""Lines for a terminal: columns under each other, and text that moves no cursor. Pure."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["aligned", "cut", "printable"]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of as many cells each as lines, columns two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def cut(text: str, limit: int) -> str:
    """Return text of at most so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Return text without what moves a terminal's cursor, or cannot be written."""
    plain = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in plain
    )

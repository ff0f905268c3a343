"""The picture of a preview in the notebook; nothing where there is no notebook.

Runs in the caller's process, on its thread and the watcher's.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from kinesis_source.preview.drawing import to_html, to_text
from kinesis_source.preview.state import PreviewState, Table, words

__all__ = ["Panel", "forms_of", "put_out"]


class Panel:
    """The picture in the notebook, or lines in a terminal; nothing where neither is.

    Parameters
    ----------
    state : PreviewState
    is_wanted : bool or None
        None: in a notebook, but for Databricks', whose own ``display`` has its ways.
    """

    def __init__(self, state: PreviewState, is_wanted: bool | None = None) -> None:
        self._state = state
        self._handle: Any = None
        self._cell: Any = None
        self._lock = threading.Lock()
        self.table: Table | None = None
        shell = _notebook() if is_wanted is not False else None
        if shell is not None and (is_wanted or "DATABRICKS_RUNTIME_VERSION" not in os.environ):
            self._open(shell)
        elif is_wanted is not False and _is_terminal():
            sys.stderr.write(f"{words(state)}\n")

    def _open(self, shell: Any) -> None:
        self._cell = shell.execution_count
        self._handle = put_out(forms_of(self._state, self.table), is_live=True)

    @property
    def is_shown(self) -> bool:
        """Whether there is a picture."""
        return self._handle is not None

    def is_in_this_cell(self) -> bool:
        """Whether the picture is what this cell has put out already."""
        shell = _notebook()
        return (
            self._handle is not None and shell is not None and shell.execution_count == self._cell
        )

    def move_here(self) -> None:
        """Go on in the cell that runs now."""
        shell = _notebook()
        if shell is not None:
            with self._lock:
                self._open(shell)

    def redraw(self) -> None:
        """Show what is known now."""
        if self._handle is None:
            return
        with self._lock, contextlib.suppress(Exception):  # a front end that is gone
            self._handle.update(forms_of(self._state, self.table), raw=True)


def put_out(forms: Mapping[str, str], *, is_live: bool = False) -> Any:
    """Put forms of one thing out below the cell that runs.

    Returns
    -------
    IPython's display handle or None
        It redraws what is live; None where there is no notebook.
    """
    if _notebook() is None:
        return None
    return _ipython().display(dict(forms), raw=True, display_id=True if is_live else None)


def forms_of(state: PreviewState, table: Table | None) -> dict[str, str]:
    """Return the picture for front ends that show HTML, and for those that do not."""
    return {"text/html": to_html(state, table), "text/plain": to_text(state, table)}


def _ipython() -> Any:
    return importlib.import_module("IPython.display")


def _notebook() -> Any:
    """Return IPython's shell if a notebook's front end shows what it puts out."""
    if "IPython" not in sys.modules:
        return None
    shell = sys.modules["IPython"].get_ipython()
    return shell if shell is not None and hasattr(shell, "kernel") else None


def _is_terminal() -> bool:
    return hasattr(sys, "ps1") and sys.stderr.isatty()

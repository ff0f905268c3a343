"""What a preview can do beside Spark's query, and what follows it.

Runs in the caller's process. :func:`make_preview` gives Spark's own query object one more class, so
that it stays what it is (``isinstance``, classic and Connect) and can do more. A watcher thread
asks Spark once a second what the query is doing, stops it at ``max_rows``, and has the picture
redrawn; it ends with the query.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from kinesis_source.errors import OptionError, StreamError
from kinesis_source.preview.drawing import to_html, to_text
from kinesis_source.preview.hint import SchemaHint, infer_schema
from kinesis_source.preview.panel import Panel, forms_of, put_out
from kinesis_source.preview.state import OVER, PreviewState, Table, read_table, words
from kinesis_source.records.readable import read_data

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    _Query = StreamingQuery
else:
    # It becomes a class beside the query's own, classic's or Connect's.
    _Query = object

__all__ = ["PreviewQuery", "make_preview"]

_LOOK_S: Final = 1.0
_TABLE_EVERY_S: Final = 3.0
_HINT_ROWS: Final = 1_000


class _Watcher(threading.Thread):
    """Follows a query until it ends."""

    def __init__(self, query: Any, spark: SparkSession, state: PreviewState, panel: Panel) -> None:
        super().__init__(name=f"preview-{state.table_name}", daemon=True)
        self._query = query
        self._spark = spark
        self._state = state
        self._panel = panel
        self.wake = threading.Event()

    def run(self) -> None:
        looked_s = 0.0
        while True:
            try:
                self._state.observe(self._query)
            except Exception:  # noqa: BLE001 - the session is gone: nobody is there to be told
                return
            is_over = self._state.phase in OVER
            now_s = time.monotonic()
            if self._panel.is_shown and (is_over or now_s >= looked_s + _TABLE_EVERY_S):
                with contextlib.suppress(Exception):
                    self._panel.table = read_table(self._spark, self._state)
                looked_s = now_s
            self._panel.redraw()
            if is_over:
                return
            self._stop_if_full()
            self.wake.wait(_LOOK_S)

    def _stop_if_full(self) -> None:
        most = self._state.max_rows
        if most is not None and self._state.rows >= most:
            self._state.is_full = True
            with contextlib.suppress(Exception):
                self._query.stop()


class PreviewQuery(_Query):
    """What a preview's query can do beside Spark's own methods.

    A query becomes one by :func:`make_preview`.
    """

    _preview_state: PreviewState
    _preview_spark: SparkSession
    _preview_panel: Panel
    _preview_watcher: _Watcher

    def show(self, rows: int = 10) -> None:
        """Print what the preview is doing, and its newest rows."""
        state = self._preview_state
        state.observe(self)
        sys.stdout.write(to_text(state, read_table(self._preview_spark, state, newest=rows)) + "\n")

    def wait_for_rows(self, count: int = 1, timeout: float = 120) -> int:
        """Wait until the table has so many rows; return how many it has.

        Parameters
        ----------
        count : int
        timeout : float
            Seconds.

        Raises
        ------
        TimeoutError
            There are fewer; the text says what the preview is doing.
        StreamError
            ``[PREVIEW_ENDED]`` if the query ended before, with why.
        """
        until_s = time.monotonic() + timeout
        state = self._preview_state
        while True:
            is_over = not self.isActive
            found = self._preview_spark.table(state.table_name).count()
            if found >= count:
                return int(found)
            state.observe(self)
            if is_over:
                why = state.error or words(state)
                raise StreamError(
                    "PREVIEW_ENDED",
                    f"The preview {state.table_name!r} ended with {found} of {count} rows: {why}",
                    "Mend what it says, and start the preview again.",
                )
            if time.monotonic() >= until_s:
                raise TimeoutError(
                    f"{state.table_name} has {found} of {count} rows after {timeout:g} s."
                    f" {words(state)}"
                )
            time.sleep(0.2)

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as pandas' frame."""
        return self._preview_spark.table(self._preview_state.table_name).toPandas()

    def schema_hint(self) -> SchemaHint:
        """Return a schema of the JSON seen so far, and a ``post_processor`` that applies it.

        Raises
        ------
        OptionError
            ``[OPTION_CONFLICT]`` if the table has no raw records; ``[OPTION_VALUE]`` if none of
            them is a JSON object.
        """
        name = self._preview_state.table_name
        frame = self._preview_spark.table(name)
        if dict(frame.dtypes).get("data") != "binary":
            raise OptionError(
                "OPTION_CONFLICT",
                f"The table {name!r} has no raw records: the translator was applied.",
                "Start the preview with apply_translator=False.",
            )
        rows = frame.select("data").tail(_HINT_ROWS)
        hint = infer_schema(read_data(bytes(row.data)).value for row in rows)
        if not hint.records:
            kinds = sorted({read_data(bytes(row.data)).kind for row in rows}) or ["nothing"]
            raise OptionError(
                "OPTION_VALUE",
                f"None of {len(rows)} records in {name!r} is a JSON object; they are:"
                f" {', '.join(kinds)}.",
                "Wait for records (wait_for_rows), or take the data apart by its own format.",
            )
        return hint

    def stop(self) -> None:
        """Stop the query; the table stays."""
        super().stop()
        self._preview_watcher.wake.set()
        self._preview_watcher.join(5)

    def _repr_html_(self) -> str:
        return to_html(self._preview_state, self._look())

    def _look(self) -> Table | None:
        """Ask Spark; None if it does not answer any more."""
        try:
            self._preview_state.observe(self)
            return read_table(self._preview_spark, self._preview_state)
        except Exception:  # noqa: BLE001 - what was known is shown
            return None

    def _ipython_display_(self) -> None:
        panel = self._preview_panel
        if panel.is_in_this_cell():
            return
        if self._preview_watcher.is_alive() and panel.is_shown:
            panel.move_here()
            return
        put_out(forms_of(self._preview_state, self._look()))


def make_preview(
    query: StreamingQuery, spark: SparkSession, state: PreviewState, panel: Panel
) -> StreamingQuery:
    """Give a query the methods of a preview, and follow it."""
    kind = type(query)
    query.__class__ = type("PreviewQuery", (PreviewQuery, kind), {"__module__": __name__})
    made: Any = query
    made._preview_state = state
    made._preview_spark = spark
    made._preview_panel = panel
    made._preview_watcher = watcher = _Watcher(query, spark, state, panel)
    state.phase = "starting"
    watcher.start()
    return query

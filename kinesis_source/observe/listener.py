"""KinesisQueryListener: hears Spark's progress reports and hands on what concerns this source.

Runs where Spark calls listeners: in the driver's Python process, in a thread of Spark's; through
Connect in the client's. Never raises into Spark: what an output fails with is logged once.
"""

from __future__ import annotations

import logging
from typing import Any

from pyspark.sql.streaming.listener import StreamingQueryListener

from kinesis_source.errors import find_code
from kinesis_source.observe.outputs import LogLines, Output
from kinesis_source.observe.sample import report_of, sample_of

__all__ = ["KinesisQueryListener"]

_log = logging.getLogger("kinesis_source")
MOST_QUERIES = 1_000
"""Queries whose names are remembered for their ends."""


class KinesisQueryListener(StreamingQueryListener):
    """Hands samples of queries that read Kinesis to outputs.

    Parameters
    ----------
    outputs : Output
        None: log lines.

    Examples
    --------
    >>> history = History()
    >>> spark.streams.addListener(KinesisQueryListener(history, LogLines(every_s=60)))
    """

    def __init__(self, *outputs: Output) -> None:
        self._outputs = outputs or (LogLines(),)
        self._names: dict[str, str] = {}
        self._said: set[str] = set()

    def onQueryStarted(self, event: Any) -> None:  # noqa: N802 - Spark's name
        """Nothing: whether a query reads Kinesis shows with its first report."""

    def onQueryProgress(self, event: Any) -> None:  # noqa: N802 - Spark's name
        """Hand on a report."""
        try:
            sample = sample_of(report_of(event.progress))
        except Exception as error:  # noqa: BLE001 - a report of another form is no failure
            self._say("reports", error)
            return
        if sample is None:
            return
        if len(self._names) >= MOST_QUERIES:
            self._names.pop(next(iter(self._names)))
        self._names[sample.run_id] = sample.query
        for output in self._outputs:
            try:
                output.write(sample)
            except Exception as error:  # noqa: BLE001, PERF203 - no output may end a query
                self._say(type(output).__name__, error)

    def onQueryIdle(self, event: Any) -> None:  # noqa: N802 - Spark's name
        """Nothing is new."""

    def onQueryTerminated(self, event: Any) -> None:  # noqa: N802 - Spark's name
        """Hand on the end of a query that was heard of."""
        query = self._names.pop(str(event.runId), None)
        if query is None:
            return
        code = find_code(str(event.exception)) if event.exception else None
        for output in self._outputs:
            try:
                output.ended(query, code)
            except Exception as error:  # noqa: BLE001, PERF203 - as above
                self._say(type(output).__name__, error)

    def _say(self, what: str, error: Exception) -> None:
        if what not in self._said:
            self._said.add(what)
            _log.warning("Metrics: %s failed, said once: %s: %s", what, type(error).__name__, error)

"""Where samples go: log lines, CloudWatch's embedded metric format, a history for a notebook.

Runs in the process that listens. Each output has ``write(sample)`` and ``ended(query, code)``; what
it raises is logged by the listener and reaches no query. Prometheus is in observe/prometheus.py.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from datetime import datetime, timezone
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from kinesis_source.observe.sample import Sample

__all__ = ["EmbeddedMetrics", "History", "LogLines", "Output"]

_UNITS: Final = {"MsBehindLatest": "Milliseconds", "batchMs": "Milliseconds"}


class Output(Protocol):
    """What a listener writes to."""

    def write(self, sample: Sample) -> None:
        """Take a sample."""
        ...

    def ended(self, query: str, code: str | None) -> None:
        """Take note that a query has ended; ``code``: of this source's error, if it was one."""
        ...


class LogLines:
    """One line for each report, at INFO; at WARNING where something is lost or does not answer.

    Parameters
    ----------
    logger : logging.Logger or None
        None: ``kinesis_source.observe``.
    every_s : float
        Quiet reports of a query are at least so far apart.
    """

    def __init__(self, logger: logging.Logger | None = None, every_s: float = 0.0) -> None:
        self._logger = logger or logging.getLogger("kinesis_source.observe")
        self._every_s = every_s
        self._said_s: dict[str, float] = {}

    def write(self, sample: Sample) -> None:
        """Log a sample."""
        is_bad = bool(sample.total("numDataLosses") or sample.total("numUnansweredShards"))
        now_s = time.monotonic()
        if not is_bad and now_s - self._said_s.get(sample.query_id, -1e9) < self._every_s:
            return
        self._said_s[sample.query_id] = now_s
        lag_ms = sample.worst("maxMsBehindLatest")
        self._logger.log(
            logging.WARNING if is_bad else logging.INFO,
            "query %s batch %d: %d rows in %.1f s, %s behind, %d of %d open shards behind,"
            " %d throttled, %d without answer, %d losses",
            sample.query,
            sample.batch_id,
            sample.rows,
            sample.batch_ms / 1000,
            "unknown" if lag_ms is None else f"{lag_ms / 1000:.1f} s",
            sample.total("numShardsBehind"),
            sample.total("numOpenShards"),
            sample.total("numThrottledShards"),
            sample.total("numUnansweredShards"),
            sample.total("numDataLosses"),
        )

    def ended(self, query: str, code: str | None) -> None:
        """Log the end."""
        self._said_s.pop(query, None)
        level = logging.ERROR if code else logging.INFO
        self._logger.log(level, "query %s ended%s", query, f" with [{code}]" if code else "")


class EmbeddedMetrics:
    """CloudWatch's embedded metric format: one JSON line for each report and stream.

    CloudWatch makes metrics of such lines in a log group, with no further call (Embedded metric
    format, CloudWatch user guide).

    Parameters
    ----------
    to : text file, path or None
        None: standard output. A path is appended to.
    namespace : str
    """

    def __init__(
        self, to: TextIO | str | Path | None = None, namespace: str = "KinesisSource"
    ) -> None:
        self._to = to
        self._namespace = namespace

    def write(self, sample: Sample) -> None:
        """Write a sample."""
        for stream, numbers in sample.streams.items():
            values = {**numbers, "rows": sample.rows, "batchMs": sample.batch_ms}
            self._line(
                {
                    "_aws": {
                        "Timestamp": _epoch_ms(sample.timestamp),
                        "CloudWatchMetrics": [
                            {
                                "Namespace": self._namespace,
                                "Dimensions": [["query", "stream"]],
                                "Metrics": [
                                    {"Name": name, "Unit": _unit(name)} for name in sorted(values)
                                ],
                            }
                        ],
                    },
                    "query": sample.query,
                    "stream": stream,
                    "batchId": sample.batch_id,
                    **values,
                }
            )

    def ended(self, query: str, code: str | None) -> None:
        """Write the end, as a log line without metrics."""
        self._line({"query": query, "ended": True, "errorCode": code})

    def _line(self, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        if isinstance(self._to, str | Path):
            with Path(self._to).open("a", encoding="utf-8") as file:
                file.write(text + "\n")
            return
        file_like = self._to if self._to is not None else sys.stdout
        file_like.write(text + "\n")
        file_like.flush()


class History:
    """The last reports, for a notebook.

    Parameters
    ----------
    most : int
        Older ones are forgotten.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=most)

    def write(self, sample: Sample) -> None:
        """Keep a sample."""
        with self._lock:
            self._samples.append(sample)

    def ended(self, query: str, code: str | None) -> None:
        """Nothing: what was stays."""

    @property
    def samples(self) -> list[Sample]:
        """What is kept, oldest first."""
        with self._lock:
            return list(self._samples)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with a row for each report and stream."""
        pd = import_module("pandas")  # no dependency: who calls this has it
        rows = [
            {
                "timestamp": pd.Timestamp(sample.timestamp),
                "query": sample.query,
                "stream": stream,
                "batchId": sample.batch_id,
                "rows": sample.rows,
                "rowsPerSecond": sample.rows_per_s,
                "batchMs": sample.batch_ms,
                **numbers,
            }
            for sample in self.samples
            for stream, numbers in (sample.streams or {"": {}}).items()
        ]
        return pd.DataFrame(rows)


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "Count")


def _epoch_ms(timestamp: str) -> int:
    try:
        moment = datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    except ValueError:
        moment = datetime.now(timezone.utc)
    return int(moment.timestamp() * 1000)

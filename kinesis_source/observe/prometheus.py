"""Samples for Prometheus: an endpoint to be scraped, or a file for node_exporter's collector.

Runs in the process that listens. Needs ``prometheus_client`` (the extra
``kinesis-source[prometheus]``).
Labels are the query's name and the stream; a query that ended keeps its last numbers, but for
``kinesis_source_query_active``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from kinesis_source.errors import OptionError
from kinesis_source.observe.sample import Sample

__all__ = ["PrometheusEndpoint", "PrometheusFile"]

_SHARDS: Final = {
    "open": "numOpenShards",
    "closed": "numClosedShards",
    "behind": "numShardsBehind",
    "throttled": "numThrottledShards",
    "unanswered": "numUnansweredShards",
}
_LAGS: Final = {"min": "minMsBehindLatest", "avg": "avgMsBehindLatest", "max": "maxMsBehindLatest"}


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError:
        raise OptionError(
            "OPTION_PACKAGE",
            "prometheus_client is not installed, which metrics for Prometheus need.",
            "Install kinesis-source[prometheus] where the listener runs.",
        ) from None
    return prometheus_client


class _Numbers:
    """The gauges and counters of one registry."""

    def __init__(self) -> None:
        client = _client()
        self.registry = client.CollectorRegistry()

        def gauge(name: str, text: str, *labels: str) -> Any:
            return client.Gauge(f"kinesis_source_{name}", text, labels, registry=self.registry)

        self._active = gauge("query_active", "1 while the query runs", "query")
        self._batch = gauge("batch_id", "Number of the last batch", "query")
        self._rows = gauge("batch_rows", "Rows of the last batch", "query")
        self._seconds = gauge("batch_seconds", "How long the last batch took", "query")
        self._all_rows = client.Counter(
            "kinesis_source_rows",
            "Rows since the listener began",
            ["query"],
            registry=self.registry,
        )
        self._failures = client.Counter(
            "kinesis_source_query_failures",
            "Queries that ended with an error of the source, by code",
            ["query", "code"],
            registry=self.registry,
        )
        self._lag = gauge(
            "behind_latest_seconds", "How far shards are behind the tip", "query", "stream", "over"
        )
        self._shards = gauge("shards", "Shards by state", "query", "stream", "state")
        self._throttled = gauge(
            "throttled_calls", "Looks of the driver that AWS throttled", "query", "stream"
        )
        self._losses = gauge(
            "data_losses", "Losses that the driver went on from", "query", "stream"
        )
        self._counted: dict[str, int] = {}

    def write(self, sample: Sample) -> None:
        query = sample.query
        self._active.labels(query).set(1)
        self._batch.labels(query).set(sample.batch_id)
        self._rows.labels(query).set(sample.rows)
        self._seconds.labels(query).set(sample.batch_ms / 1000)
        if self._counted.get(sample.run_id, -1) < sample.batch_id:  # a report may come twice
            self._counted[sample.run_id] = sample.batch_id
            self._all_rows.labels(query).inc(sample.rows)
        for stream, numbers in sample.streams.items():
            for over, name in _LAGS.items():
                if name in numbers:
                    self._lag.labels(query, stream, over).set(numbers[name] / 1000)
            for state, name in _SHARDS.items():
                if name in numbers:
                    self._shards.labels(query, stream, state).set(numbers[name])
            if "numThrottledCalls" in numbers:
                self._throttled.labels(query, stream).set(numbers["numThrottledCalls"])
            if "numDataLosses" in numbers:
                self._losses.labels(query, stream).set(numbers["numDataLosses"])

    def ended(self, query: str, code: str | None) -> None:
        self._active.labels(query).set(0)
        if code is not None:
            self._failures.labels(query, code).inc()


class PrometheusEndpoint:
    """Serves the numbers over HTTP, at ``/metrics``.

    Parameters
    ----------
    port : int
        0: any free one, see ``port``.
    host : str
        Where to listen. The default is this machine alone; ``0.0.0.0`` for a scraper elsewhere.

    Raises
    ------
    OptionError
        ``[OPTION_PACKAGE]`` without prometheus_client.
    OSError
        The port is taken.
    """

    def __init__(self, port: int = 9_464, host: str = "127.0.0.1") -> None:
        self._numbers = _Numbers()
        self._server, self._thread = _client().start_http_server(
            port, host, registry=self._numbers.registry
        )
        self.port: int = self._server.server_address[1]
        """Where it listens."""

    def write(self, sample: Sample) -> None:
        """Take a sample."""
        self._numbers.write(sample)

    def ended(self, query: str, code: str | None) -> None:
        """Take note of the end."""
        self._numbers.ended(query, code)

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class PrometheusFile:
    """Writes the numbers into a file, for node_exporter's textfile collector.

    Parameters
    ----------
    path : str or Path
        Ends with ``.prom``. Replaced as a whole with each report.
    """

    def __init__(self, path: str | Path) -> None:
        self._numbers = _Numbers()
        self._path = Path(path)

    def write(self, sample: Sample) -> None:
        """Take a sample, and replace the file."""
        self._numbers.write(sample)
        self._replace()

    def ended(self, query: str, code: str | None) -> None:
        """Take note of the end, and replace the file."""
        self._numbers.ended(query, code)
        self._replace()

    def _replace(self) -> None:
        _client().write_to_textfile(str(self._path), self._numbers.registry)

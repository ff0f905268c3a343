"""Starts a preview: checks first, then a query into a table in memory.

Runs in the caller's process. The order is the promise: whatever can be known to be wrong (name,
directory, options, access, the user's own function) is raised before a query exists, so that no
failed call leaves one running. Access is checked where the query's driver side runs, not here: this
process may have other variables, files and network than Spark (see spark/access_check.py).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinesis_source.datasource import FORMAT_NAME, register
from kinesis_source.errors import OptionError
from kinesis_source.options.parse import parse_options
from kinesis_source.preview.checkpoint import CheckpointDirectory, check_parent
from kinesis_source.preview.config import KinesisConfig
from kinesis_source.preview.panel import Panel
from kinesis_source.preview.query import make_preview
from kinesis_source.preview.state import PreviewState, describe_error
from kinesis_source.spark.access_check import CHECK_OPTION, raise_verdict

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["check_table_name", "start_preview"]

# Whether the region is known is for Spark's environment to say, not for this process's.
_ANY_REGION: Final = {"AWS_REGION": "us-east-1"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


def start_preview(  # noqa: PLR0913 - those of the method that users call
    config: KinesisConfig,
    table_name: str,
    *,
    apply_translator: bool,
    option_overrides: Mapping[str, str | None] | None,
    checkpoint_dir: str | Path | None,
    spark: SparkSession | None,
    max_rows: int | None = None,
    live: bool | None = None,
) -> StreamingQuery:
    """Start a query that appends a stream's records to an in-memory table.

    See :meth:`kinesis_source.preview.source.StreamSource.start_stream_preview`.
    """
    check_table_name(table_name)
    _check_max_rows(max_rows)
    parent = check_parent(checkpoint_dir)
    options = config.reader_options(option_overrides)
    settings = parse_options(options, environ=_ANY_REGION)
    session = spark or _session()
    _check_unused(session, table_name)
    state = PreviewState(
        table_name,
        ", ".join(stream.key for stream in settings.read.streams),
        _position(options),
        max_rows,
    )
    # Before anything that takes its time: somebody looks at the screen.
    panel = Panel(state, live)
    try:
        query = _checked_start(
            session, config, options, table_name, parent, apply_translator=apply_translator
        )
    except BaseException as error:
        state.phase = "failed"
        state.error, state.error_code = describe_error(str(error))
        panel.redraw()
        raise
    return make_preview(query, session, state, panel)


def _checked_start(
    session: SparkSession,
    config: KinesisConfig,
    options: Mapping[str, str],
    table_name: str,
    parent: Path | None,
    *,
    apply_translator: bool,
) -> StreamingQuery:
    is_remote = type(session).__module__.startswith("pyspark.sql.connect")
    register(session)
    _check_access(session, options)
    frame = session.readStream.format(FORMAT_NAME).options(**options).load()
    if apply_translator:
        frame = _translate(frame, config)
    checkpoint = None
    if parent is not None or _has_local_state(session, is_remote=is_remote):
        checkpoint = CheckpointDirectory(parent)
    try:
        query = _start(session, frame, table_name, checkpoint)
    except BaseException:
        if checkpoint is not None:
            checkpoint.remove()
        raise
    if checkpoint is not None:
        checkpoint.remove_after(query)
    return query


def check_table_name(table_name: str) -> None:
    """Check that a name can be used in SQL without quotes.

    Spark notices a bad name only when the query runs already, and leaves it running.

    Raises
    ------
    TypeError
        Not a str.
    OptionError
        (a ValueError) Not a letter or underscore followed by letters, digits and underscores.
    """
    if not isinstance(table_name, str):
        raise TypeError(f"table_name must be a str, got {type(table_name).__name__}.")
    if not _IDENTIFIER.fullmatch(table_name):
        raise OptionError(
            "OPTION_VALUE",
            f"table_name {table_name[:200]!r} is no plain SQL name.",
            "Write up to 128 letters (a-z, A-Z), digits and underscores, not starting with a digit,"
            " for example 'clicks_preview'.",
        )


def _check_max_rows(max_rows: int | None) -> None:
    if max_rows is None:
        return
    if not isinstance(max_rows, int) or isinstance(max_rows, bool):
        raise TypeError(f"max_rows must be an int or None, got {type(max_rows).__name__}.")
    if max_rows < 1:
        raise OptionError(
            "OPTION_RANGE",
            f"max_rows is {max_rows}; the table needs room for a row.",
            "Give at least 1, or None for no limit.",
        )


def _position(options: Mapping[str, str]) -> str:
    """Return where the preview starts, for the eye."""
    folded = {name.lower(): text for name, text in options.items()}
    names = ("initialposition", "startingposition", "kinesis.startingposition")
    text = next((folded[name] for name in names if name in folded), "latest")
    return text if len(text) <= 60 else "the places given"


def _session() -> SparkSession:
    from pyspark.sql import SparkSession

    return SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()


def _check_unused(session: SparkSession, table_name: str) -> None:
    # Without regard to case: Spark would allow the query, and its view would hide the other's.
    for query in session.streams.active:
        if (query.name or "").lower() == table_name.lower():
            raise OptionError(
                "OPTION_CONFLICT",
                f"table_name {table_name!r} belongs to the running query {query.name!r}"
                f" (id {query.id}).",
                "Stop that query with its stop(), or take another name.",
            )


def _check_access(session: SparkSession, options: Mapping[str, str]) -> None:
    """Ask once for each stream, as the identity and from the place that the query will have."""
    question = {**options, CHECK_OPTION: "true"}
    raise_verdict(session.read.format(FORMAT_NAME).options(**question).load().schema)


def _translate(frame: DataFrame, config: KinesisConfig) -> DataFrame:
    function: Callable[[Any], Any] | None = config.post_processor
    if function is not None:
        frame = function(frame)
        if not hasattr(frame, "writeStream"):
            raise TypeError(
                f"post_processor returned {type(frame).__name__}, not a DataFrame."
                " Return the frame it made."
            )
    if config.deduplication_columns:
        frame = frame.dropDuplicates(list(config.deduplication_columns))
    return frame


def _has_local_state(session: SparkSession, *, is_remote: bool) -> bool:
    """Whether driver and executors are one machine, so that a local directory serves both."""
    if is_remote:
        return False
    return (session.sparkContext.master or "").startswith("local")


def _start(
    session: SparkSession, frame: DataFrame, table_name: str, checkpoint: CheckpointDirectory | None
) -> StreamingQuery:
    writer = frame.writeStream.format("memory").queryName(table_name).outputMode("append")
    if checkpoint is not None:
        writer = writer.option("checkpointLocation", checkpoint.location)
    try:
        return writer.start()
    except BaseException:
        # Spark makes the table's view after it started the query: if that fails, or the caller
        # presses Ctrl-C, the query would run on without anybody knowing it.
        with contextlib.suppress(Exception):
            for query in session.streams.active:
                if query.name == table_name:
                    query.stop()
        raise

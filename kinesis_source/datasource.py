"""KinesisDataSource: what Spark finds under ``format("tecton-kinesis")``.

Runs in driver-side Python workers, made anew for each ``load()``. Checks the options there, before
anything runs and without any call to AWS; then hands out readers. Pickled: plain values only. One
kind of load is no read but the preview's question, see spark/access_check.py.

Spark imports this module in each session that uses any Python data source, whichever: it imports
next to nothing, and what a load needs when it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    DataSourceStreamWriter,
    DataSourceWriter,
)

from kinesis_source.errors import OptionError
from kinesis_source.spark.access_check import answer, is_question
from kinesis_source.spark.importable import expect_dependencies, missing_text, reduce_portably

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    from kinesis_source.options.settings import SourceSettings

__all__ = ["FORMAT_NAME", "KinesisDataSource", "register"]

FORMAT_NAME = "tecton-kinesis"


class KinesisDataSource(DataSource):
    """The data source. Spark makes it; users write ``spark.readStream.format("tecton-kinesis")``.

    Raises
    ------
    OptionError
        When made, so at ``load()``: a missing, unknown, wrong or contradicting option.
    """

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        _expect_dependencies()
        from kinesis_source.options.parse import parse_options

        self._question = is_question(options)
        try:
            if not self._question:
                self.settings = parse_options(options)
        except OptionError:
            # Spark prints this frame's variables with SPARK_TRACEBACK_WITH_LOCALS.
            del options
            raise

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return FORMAT_NAME

    def schema(self) -> StructType:
        """Return all columns, in their documented order."""
        if self._question:
            return answer(self.options)
        from kinesis_source.records.schema import spark_schema

        return spark_schema()

    def streamReader(self, schema: StructType) -> DataSourceStreamReader:  # noqa: N802 - Spark's
        """Return the reader of a streaming query."""
        from kinesis_source.records.schema import resolve_columns
        from kinesis_source.spark.stream import KinesisStreamReader

        try:
            _expect_to_read(self.settings)
            _expect_a_stream(self.settings.bounded.given)
            columns = resolve_columns(schema)
        except OptionError as error:
            return KinesisStreamReader(self.settings, (), schema_error=error)
        return KinesisStreamReader(self.settings, columns)

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return the reader of a batch query."""
        from kinesis_source.records.schema import resolve_columns
        from kinesis_source.spark.batch import batch_reader

        _expect_to_read(self.settings)
        return batch_reader(self.settings, resolve_columns(schema))

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceWriter:
        """Return the writer of a batch."""
        from kinesis_source.spark.sink import KinesisBatchWriter
        from kinesis_source.write.rows import columns_of

        if overwrite:
            raise OptionError(
                "OPTION_UNSUPPORTED",
                "mode('overwrite') was asked for, and a stream keeps what is in it.",
                "Write mode('append').",
            )
        _expect_one_stream(self.settings)
        return KinesisBatchWriter(self.settings, columns_of(schema))

    def streamWriter(  # noqa: N802 - Spark's
        self,
        schema: StructType,
        overwrite: bool,
    ) -> DataSourceStreamWriter:
        """Return the writer of a streaming query, for one micro-batch."""
        from kinesis_source.spark.sink import stream_writer
        from kinesis_source.write.rows import columns_of

        if overwrite:
            raise OptionError(
                "OPTION_UNSUPPORTED",
                "outputMode('complete') was asked for, and a stream keeps what is in it.",
                "Write outputMode('append'), or outputMode('update') for changed rows.",
            )
        _expect_one_stream(self.settings)
        return stream_writer(self.settings, columns_of(schema))

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The options hold secrets as plain text; the settings hold all that is needed.
        return reduce_portably(_restore, (type(self), getattr(self, "settings", None)))


def _expect_dependencies() -> None:
    try:
        expect_dependencies()
    except ModuleNotFoundError as error:
        raise OptionError(
            "OPTION_PACKAGE",
            f"{missing_text(error.name)}, which the source needs there.",
            "Install kinesis-source and what it needs in the Python of the driver and of every "
            "executor (PYSPARK_PYTHON).",
        ) from None


def _expect_one_stream(settings: SourceSettings) -> None:
    """Refuse several streams as the one that rows without streamName go to."""
    if len(settings.read.streams) > 1:
        names = ", ".join(stream.key for stream in settings.read.streams)
        raise OptionError(
            "OPTION_CONFLICT",
            f"The options name {len(settings.read.streams)} streams to write to: {names}.",
            "Name one, and others row by row in a column 'streamName'.",
        )


def _expect_to_read(settings: SourceSettings) -> None:
    """Refuse to read with options that only writing has."""
    for name in settings.write.given:
        raise OptionError(
            "OPTION_UNSUPPORTED",
            f"Option {name!r} is for writing.",
            "Leave it out.",
        )


def _expect_a_stream(given: Iterable[str]) -> None:
    """Refuse a stream with options that only a batch read has."""
    for name in given:
        raise OptionError(
            "OPTION_UNSUPPORTED",
            f"Option {name!r} is for spark.read; spark.readStream does not end.",
            "Leave it out, or use spark.read.",
        )


def _restore(cls: type[KinesisDataSource], settings: Any) -> KinesisDataSource:
    source = cls.__new__(cls)
    DataSource.__init__(source, {})
    source.settings = settings
    source._question = False
    return source


def register(spark: SparkSession, aliases: Iterable[str] = ()) -> None:
    """Make the format known to a session.

    Not needed where Spark's look-up of ``pyspark_*`` modules works. Harmless to repeat.

    Parameters
    ----------
    spark : SparkSession
    aliases : iterable of str
        Further format names, so that programs written for another connector run unchanged, for
        example ``("kinesis",)``. On Databricks that name belongs to the built-in source: an alias
        hides it for this session.

    Raises
    ------
    OptionError
        ``[OPTION_VALUE]`` for a text as ``aliases`` or a name that cannot be a format.
    """
    names = _checked(aliases)
    _register_format(spark)
    for name in names:
        spark.dataSource.register(_alias(name))


def _register_format(spark: SparkSession) -> None:
    from pyspark.errors import AnalysisException

    try:
        spark.dataSource.register(KinesisDataSource)
    except AnalysisException as error:
        # Spark 4.0.5 refuses a name that its look-up of pyspark_* modules has found: it is ours.
        if "DATA_SOURCE_ALREADY_EXISTS" not in str(error):
            raise


def _checked(aliases: Iterable[str]) -> list[str]:
    names = [aliases] if isinstance(aliases, str) else list(aliases)
    for name in names:
        if isinstance(aliases, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise OptionError(
                "OPTION_VALUE",
                f"aliases={aliases!r} is not a list of format names.",
                'Write for example aliases=("kinesis",).',
            )
    return names


def _alias(name: str) -> type[KinesisDataSource]:
    """Make a source of another name. It travels to Spark's workers by value, being in no module."""

    class Alias(KinesisDataSource):
        @classmethod
        def name(cls) -> str:
            return name

    Alias.__name__ = Alias.__qualname__ = f"KinesisDataSource_{name}"
    return Alias

"""doctor: ``kinesis_source.doctor(...)``, for notebooks. Called in the user's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kinesis_source.diagnosis.diagnosis import Diagnosis

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["doctor"]


def doctor(
    source: Any = None,
    spark: SparkSession | None = None,
    *,
    tasks: int | None = None,
    shown: int = 3,
    **options: str,
) -> Diagnosis:
    """Find out whether a stream can be read, and if not, exactly why.

    Asks step by step: options, endpoint, clock, credentials, roles, each call of a read, the
    encryption's key; then takes a sample. With a session it asks the same at Spark's driver and in
    a task on every executor: their identity can differ from this process's.

    Parameters
    ----------
    source : StreamSource, KinesisConfig or mapping of str to str, optional
        What is to be read.
    spark : SparkSession, optional
    tasks : int, optional
        How many tasks ask; default: the session's default parallelism, through Connect 8.
    shown : int
        Records to show; 0: none are read for that.
    **options : str
        Options of the source, beside or instead of ``source``.

    Returns
    -------
    Diagnosis
        Prints as a table, shows as one in a notebook; ``ok``, ``failures``, ``to_dict()``.

    Examples
    --------
    >>> import kinesis_source
    >>> kinesis_source.doctor(
    ...     spark=spark, streamName="clicks", region="us-west-2", roleArn=role
    ... )  # doctest: +SKIP
    """
    given = {**_options_of(source), **options}
    from kinesis_source.diagnosis.examine import examine

    here = examine(given, shown=shown, with_java=spark is None)
    if spark is None:
        return Diagnosis((here,))
    from kinesis_source.diagnosis.everywhere import ask_spark

    return Diagnosis((here, *ask_spark(given, spark, tasks)))


def _options_of(source: Any) -> dict[str, str]:
    config = getattr(source, "stream_config", source)
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if hasattr(config, "reader_options"):
        found: dict[str, str] = config.reader_options()
        return found
    if hasattr(config, "dataSource"):
        raise TypeError("The session goes into spark=..., what is to be read before it.")
    raise TypeError(
        f"source must be a StreamSource, a KinesisConfig or options, got {type(config).__name__}."
    )

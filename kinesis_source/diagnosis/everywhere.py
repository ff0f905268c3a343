"""The same checks in the driver's workers and on the executors.

Called in the user's process. Spark is reached by a small data source of its own, so that it works
in a classic session and through Connect, without a SparkContext: making the frame runs a check in a
worker at the driver, which Spark asks for a schema; reading it runs one in each task. An executor's
identity, network and packages can differ from the driver's, and both from the notebook's.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from kinesis_source.diagnosis.examine import examine
from kinesis_source.diagnosis.findings import FAILED, Finding, Report
from kinesis_source.errors import find_code
from kinesis_source.spark.importable import reduce_portably

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

__all__ = ["DiagnosisSource", "ask_spark"]

_FORMAT: Final = "tecton-kinesis-diagnosis"
_REPORT: Final = "kinesis_source.report"
_TASKS: Final = "kinesis_source.tasks"
_OWN: Final = "kinesis_source."
_DEFAULT_TASKS: Final = 8
_MOST_TASKS: Final = 256
# So long a task keeps its slot, for the next one to go to another executor.
_HOLD_S: Final = 1.0
_ROW: Final = "executor string, report string"


class DiagnosisSource(DataSource):
    """What Spark loads for a diagnosis; not for users."""

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return _FORMAT

    def schema(self) -> StructType:
        """Run the checks at the driver; the report is in the schema's metadata."""
        from pyspark.sql.types import StringType, StructField, StructType

        report = examine(_own_left_out(self.options), f"driver {socket.gethostname()}", shown=0)
        metadata = {_REPORT: report.to_json()}
        return StructType(
            [
                StructField("executor", StringType(), metadata=metadata),
                StructField("report", StringType()),
            ]
        )

    def reader(self, schema: StructType) -> DataSourceReader:  # noqa: ARG002 - Spark's signature
        """Return what runs the checks in tasks."""
        return _DiagnosisReader(_own_left_out(self.options), int(self.options[_TASKS]))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_portably(_source, (dict(self.options),))


class _DiagnosisReader(DataSourceReader):
    def __init__(self, options: Mapping[str, str], tasks: int) -> None:
        self._options = dict(options)
        self._tasks = tasks

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(number) for number in range(self._tasks)]

    def read(self, partition: InputPartition) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        began_s = time.monotonic()
        report = examine(self._options, f"executor {socket.gethostname()}", shown=0)
        time.sleep(max(0.0, began_s + _HOLD_S - time.monotonic()))
        # Python workers of one executor have one parent, the daemon that Spark forks them from.
        yield f"{socket.gethostname()}/{os.getppid()}", report.to_json()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return reduce_portably(_DiagnosisReader, (self._options, self._tasks))


def _source(options: dict[str, str]) -> DiagnosisSource:
    return DiagnosisSource(options)


def _own_left_out(options: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in options.items() if not name.startswith(_OWN)}


def ask_spark(
    options: Mapping[str, str], spark: SparkSession, tasks: int | None = None
) -> list[Report]:
    """Return the reports of a worker at the driver and of each executor that a task ran on.

    Parameters
    ----------
    options : mapping of str to str
        As for ``spark.readStream``.
    spark : SparkSession
    tasks : int or None
        How many tasks ask; None: the session's default parallelism, through Connect 8.
    """
    tasks = min(tasks or _default_tasks(spark), _MOST_TASKS)
    spark.dataSource.register(DiagnosisSource)
    given = {**options, _TASKS: str(tasks)}
    try:
        frame = spark.read.format(_FORMAT).options(**given).load()
        driver = Report.from_json(frame.schema.fields[0].metadata[_REPORT])
    except Exception as error:  # noqa: BLE001 - the finding is what Spark says
        return [_failed("driver", error)]
    try:
        rows = {row.executor: row.report for row in frame.collect()}
    except Exception as error:  # noqa: BLE001 - the finding is what Spark says
        return [driver, _failed("executors", error)]
    return [driver, *(Report.from_json(text) for _, text in sorted(rows.items()))]


def _failed(place: str, error: Exception) -> Report:
    """Return the report of a place where Spark could not run the checks."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    missing = [line for line in lines if "ModuleNotFoundError" in line or "OPTION_PACKAGE" in line]
    said = (missing or lines or [type(error).__name__])[-1 if missing else 0]
    todo = "Look into Spark's log."
    if missing:
        todo = "Install kinesis-source in the Python of the driver and of every executor."
    code = find_code(error) or ("OPTION_PACKAGE" if missing else "")
    return Report(place, (Finding("Spark", FAILED, said[:500], todo, code),))


def _default_tasks(spark: SparkSession) -> int:
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        return _DEFAULT_TASKS
    return max(2, spark.sparkContext.defaultParallelism)

"""``kinesis-source demo``: a stream of another account, previewed live, resharded meanwhile.

Runs on the user's machine, without AWS and without any network but loopback: the emulator and the
feeder live in this process, Spark in a JVM and Python workers under it. All of them end with it,
also after Ctrl-C.
"""

from __future__ import annotations

import logging
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kinesis_source.cli.clicks import Feeder, parse_clicks
from kinesis_source.cli.local_spark import check_tools, start_spark, stop_spark
from kinesis_source.cli.screen import Screen, columns
from kinesis_source.emulator import Emulator, StreamHandle
from kinesis_source.errors import KinesisSourceError, StreamError
from kinesis_source.policies.documents import READ_ACTIONS
from kinesis_source.preview.config import KinesisConfig
from kinesis_source.preview.source import StreamSource
from kinesis_source.preview.state import describe_error

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kinesis_source.preview.query import PreviewQuery

__all__ = ["run_demo"]

_OWNER: Final = "222222222222"
_READER: Final = "111111111111"
_EXTERNAL_ID: Final = "demo-7f3a"
_REGION: Final = "us-east-1"
_TABLE: Final = "clicks_preview"
_SHARDS: Final = 4
# A laptop starts its first Spark tasks within seconds; a busy CI machine may need more.
_FIRST_ROWS_S: Final = 180.0
_CATCH_UP_S: Final = 120.0
_LOOK_S: Final = 1.0
_SHOWN: Final = 8
_NEXT = """
What to try next
  kinesis-source emulator --account 222222222222 --stream clicks:4
      the same Kinesis for your own code, with any AWS SDK
  kinesis-source policy --stream-arn ARN --reader-arn ARN --external-id ID
      the IAM policies for a real cross-account role
  notebooks/01_quickstart.ipynb
      the preview step by step, errors and a durable query included"""


class DemoError(KinesisSourceError):
    """The demo did not get where it should."""


def run_demo(screen: Screen, *, watch_s: int = 20, rate: int = 300) -> int:
    """Run the demo.

    Parameters
    ----------
    screen : Screen
    watch_s : int
        How long to watch the table grow, seconds.
    rate : int
        Click events per second.

    Returns
    -------
    int
        0 if every event put came out of the preview exactly once, else 1.

    Raises
    ------
    KinesisSourceError
        A tool is missing, or the preview did not get under way.
    """
    check_tools()
    with ExitStack() as stack:
        # py4j logs each call that Ctrl-C interrupts, with its stack.
        logging.disable(logging.CRITICAL)
        stack.callback(logging.disable, logging.NOTSET)
        directory = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="kinesis-demo-", ignore_cleanup_errors=True)
            )
        )
        aws = stack.enter_context(Emulator())
        log = directory / "spark.log"
        screen.say("Starting the embedded Kinesis and a local Spark ...")
        spark = start_spark(directory, log)
        stack.callback(stop_spark, spark, log)
        try:
            demo = _Demo(screen, spark, aws, rate)
            stack.callback(demo.feeder.stop)
            return demo.run(watch_s)
        except DemoError:
            _keep_log(screen, log)
            raise


def _keep_log(screen: Screen, log: Path) -> None:
    kept = Path(tempfile.gettempdir()) / f"kinesis-demo-{time.strftime('%Y%m%d-%H%M%S')}.log"
    kept.write_bytes(log.read_bytes())
    screen.say(f"Spark's log is in {kept}.")


@dataclass
class _Look:
    """What the table shows at one moment."""

    at_s: float
    rows: int
    latest: list[tuple[object, ...]] = field(default_factory=list)


class _Demo:
    """One run: the two accounts, the preview, what was seen of it."""

    def __init__(self, screen: Screen, spark: SparkSession, aws: Emulator, rate: int) -> None:
        self._screen = screen
        self._spark = spark
        owner = aws.account(_OWNER)
        self.stream: StreamHandle = owner.create_stream("clicks", shards=_SHARDS, region=_REGION)
        reader = aws.account(_READER).create_user("etl", allow=["sts:AssumeRole"])
        role = owner.create_role(
            "kinesis-reader",
            trusts=[reader.arn],
            external_id=_EXTERNAL_ID,
            allow=[(list(READ_ACTIONS), [self.stream.arn])],
        )
        self._source = StreamSource(
            name="clicks",
            stream_config=KinesisConfig(
                "clicks",
                _REGION,
                parse_clicks,
                "ts",
                "trim_horizon",
                options={
                    "endpointUrl": aws.endpoint_url,
                    "stsEndpoint": aws.endpoint_url,
                    "awsAccessKey": reader.access_key,
                    "awsSecretKey": reader.secret_key,
                    "roleArn": role.arn,
                    "roleExternalId": _EXTERNAL_ID,
                },
            ),
        )
        self.feeder = Feeder(self.stream.put_many, rate)
        screen.say(f"  stream   {self.stream.arn} ({_SHARDS} shards)")
        screen.say(f"  reader   {reader.arn}")
        screen.say(f"  through  {role.arn}, external id {_EXTERNAL_ID}")

    def run(self, watch_s: int) -> int:
        """Preview, watch, reshard, count."""
        query = self._source.start_stream_preview(_TABLE, spark=self._spark, max_rows=None)
        self.feeder.start()
        self._screen.say(
            f"Preview {_TABLE!r} runs: KinesisConfig + StreamSource.start_stream_preview()."
            " Waiting for the first rows ..."
        )
        self._wait_for_rows(query, 1, _FIRST_ROWS_S)
        self._watch(query, watch_s)
        self.feeder.stop()
        self._wait_for_rows(query, self.feeder.put_count, _CATCH_UP_S)
        query.stop()
        return self._sum_up()

    def _watch(self, query: PreviewQuery, watch_s: int) -> None:
        before = self._look()
        started_s = before.at_s
        if self._screen.is_live:
            self._screen.draw(self._table(before))
        else:
            self._screen.say("\n".join(self._table(before)) + "\n")
        is_split = False
        while (now_s := time.monotonic()) < started_s + watch_s:
            if not is_split and now_s >= started_s + watch_s / 2:
                self._split()
                is_split = True
            time.sleep(max(0.0, before.at_s + _LOOK_S - now_s))
            _check_running(query)
            look = self._look()
            self._show(look, before, look.at_s - started_s)
            before = look
        self._screen.keep()

    def _split(self) -> None:
        parent = self.stream.open_shard_ids()[0]
        children = self.stream.split(parent)
        self._screen.say(f">> {parent} is split into {children[0]} and {children[1]}")

    def _look(self) -> _Look:
        rows = self._spark.table(_TABLE).count()
        newest = self._spark.table(_TABLE).orderBy("event_id", ascending=False).limit(_SHOWN)
        latest = newest.selectExpr(
            "date_format(ts, 'HH:mm:ss.SSS')",
            "session_id",
            "right(shardId, 3)",
            "regexp_extract(user_agent, '(Firefox|Chrome|Safari)/', 1)",
            "replace(url, 'https://', '')",
            "replace(coalesce(referrer, '-'), 'https://', '')",
        )
        return _Look(time.monotonic(), rows, [tuple(row) for row in latest.collect()])

    def _show(self, look: _Look, before: _Look, elapsed_s: float) -> None:
        pace = (look.rows - before.rows) / (look.at_s - before.at_s)
        line = (
            f"{elapsed_s:5.0f} s   put {self.feeder.put_count:>8,}   in the table"
            f" {look.rows:>8,}   {pace:>7,.0f} rows/s"
        )
        if self._screen.is_live:
            self._screen.draw([line, "", *self._table(look)])
        else:
            self._screen.say(line)

    @staticmethod
    def _table(look: _Look) -> list[str]:
        header = ("ts", "session_id", "shard", "browser", "url", "referrer")
        return columns(header, look.latest, limit=36)

    def _wait_for_rows(self, query: PreviewQuery, wanted: int, limit_s: float) -> None:
        try:
            query.wait_for_rows(wanted, limit_s)
        except TimeoutError as slow:
            hint = "Look into Spark's log, or try again with a lower --rate."
            raise DemoError("DEMO_SLOW", str(slow), hint) from None
        except StreamError as ended:
            raise DemoError("DEMO_QUERY", ended.problem, "Look into Spark's log.") from None

    def _sum_up(self) -> int:
        events = self._spark.table(_TABLE)
        put, rows = self.feeder.put_count, events.count()
        distinct = events.select("event_id").distinct().count()
        lost, duplicate = put - distinct, rows - distinct
        per_shard = {
            row["shardId"]: row["count"] for row in events.groupBy("shardId").count().collect()
        }
        first = {f"shardId-{number:012d}" for number in range(_SHARDS)}
        self._screen.say(
            f"\nrecords put        {put:,}"
            f"\nrows in the table  {rows:,}   (lost {lost}, duplicate {duplicate})"
            f"\nshards read        {len(per_shard)}, of them {len(set(per_shard) - first)} from the"
            " split"
        )
        for shard_id, count in sorted(per_shard.items()):
            self._screen.say(f"  {shard_id}  {count:>8,}{'' if shard_id in first else '  (child)'}")
        is_right = not lost and not duplicate and set(per_shard) - first
        if not is_right:
            self._screen.say("This is not what should come out: each record once, children too.")
        self._screen.say(_NEXT)
        return 0 if is_right else 1


def _check_running(query: PreviewQuery) -> None:
    error = query.exception()
    if error is None and query.isActive:
        return
    why, _ = describe_error(str(error))
    raise DemoError("DEMO_QUERY", f"The query ended: {why}.", "Look into Spark's log.")

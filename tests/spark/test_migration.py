"""Moving in: a query goes on exactly where another connector's checkpoint says it stopped."""

from __future__ import annotations

import json

import pyspark
import pytest

from kinesis_source.cli.main import main
from tests.peer_checkpoints import PeerCheckpoint, after
from tests.spark.support import BatchLog, source_options

HAS_ADMISSION_CONTROL = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)


def write_qubole(old: PeerCheckpoint, last: dict[str, str], parent: str, name: str) -> None:
    ends = {shard: after(number) for shard, number in last.items()}
    ends[parent] = {"iteratorType": "SHARD_END", "iteratorPosition": ""}
    starts = {shard: {"iteratorType": "TRIM_HORIZON", "iteratorPosition": ""} for shard in ends}
    old.qubole(3, starts, ends, stream=name)


def write_awslabs(old: PeerCheckpoint, last: dict[str, str], parent: str, name: str) -> None:
    # What was read to its end is in the batch's files, and no more in the next batch's offset.
    ends = {shard: after(number) for shard, number in last.items()}
    old.awslabs(4, {shard: after("0") for shard in last}, ends, stream=name)


def write_databricks(old: PeerCheckpoint, last: dict[str, str], parent: str, name: str) -> None:
    numbers = {(name, shard): number for shard, number in last.items()}
    old.databricks(3, numbers, closed=(parent,))


@pytest.mark.parametrize("connector", ["qubole", "awslabs", "databricks"])
def test_nothing_is_lost_and_nothing_read_twice(
    spark, aws, make_stream, tmp_path, capsys, connector
):
    stream = make_stream(shards=2)
    read_before = stream.put(60, prefix="before")
    parent = stream.split()
    read_after_split = stream.put(60, prefix="split")
    left = stream.put(60, prefix="left")
    last: dict[str, str] = {}
    for shard, number in read_before + read_after_split:
        last[shard] = max(number, last.get(shard, ""))
    known = {**last}
    if connector != "databricks":
        del known[parent]
    old = PeerCheckpoint(tmp_path / "old")
    globals()[f"write_{connector}"](old, known, parent, stream.name)

    assert main(["migrate", str(old.path), "--json"]) == 0
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert source["connector"] == connector
    log = BatchLog()
    given = {**source_options(aws), **source["options"]}

    def run() -> None:
        query = (
            spark.readStream.format("tecton-kinesis")
            .options(**given)
            .load()
            .writeStream.foreachBatch(log)
            .option("checkpointLocation", str(tmp_path / "new"))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(90)
        assert query.exception() is None, str(query.exception())

    run()
    if not HAS_ADMISSION_CONTROL:  # one batch a run: the parent's end, and then its children
        run()
    assert sorted(log.rows) == sorted(left)

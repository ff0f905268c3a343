"""The sink: rows become records, all of them, each at least once, by the role that was named."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from kinesis_source.emulator import Emulator
from kinesis_source.errors import find_code
from tests.spark.support import kinesis_client, source_options


def sink_options(aws, **options: str) -> dict[str, str]:
    given = source_options(aws, **options)
    for name in ("initialPosition", "pollInterval", "shardFetchInterval"):
        del given[name]
    return given


def write(frame, aws, **options: str) -> None:
    frame.write.format("tecton-kinesis").options(**sink_options(aws, **options)).mode(
        "append"
    ).save()


def stored(aws, name: str = "events") -> list[dict]:
    """Return what is in the stream, shard by shard, each in its order."""
    stream = aws.account().stream(name)
    return [
        {**record, "ShardId": shard["ShardId"]}
        for shard in stream.shards()
        for record in stream.records(shard["ShardId"])
    ]


def numbers(spark, count: int, parts: int = 2):
    return spark.range(0, count, 1, parts).select(
        F.concat(F.lit("value "), F.col("id")).alias("data"),
        F.concat(F.lit("key "), (F.col("id") % 10)).alias("partitionKey"),
    )


def test_rows_of_a_batch_are_in_the_stream_once(spark, aws, make_stream):
    make_stream(shards=3)
    write(numbers(spark, 2_000), aws)
    records = stored(aws)
    assert Counter(r["Data"] for r in records) == Counter(
        f"value {n}".encode() for n in range(2_000)
    )
    for record in records:
        number = int(record["Data"].split()[1])
        assert record["PartitionKey"] == f"key {number % 10}"


def test_data_may_be_binary_and_keys_random_or_hashed(spark, aws, make_stream):
    stream = make_stream(shards=2)
    frame = spark.createDataFrame(
        [(bytearray(b"\xf3\x00"), None, "0"), (bytearray(b""), "k", None)],
        "DATA binary, partitionkey string, explicitHashKey string",
    )
    write(frame, aws)
    write(frame.select("DATA"), aws)
    records = stored(aws)
    assert Counter(r["Data"] for r in records) == {b"\xf3\x00": 2, b"": 2}
    first = next(s for s in stream.shards() if s["HashKeyRange"]["StartingHashKey"] == "0")
    hashed = [r for r in records if r["Data"] and r["ShardId"] == first["ShardId"]]
    assert hashed, "the hash key 0 belongs to the first shard"
    keys = {r["PartitionKey"] for r in records}
    assert len(keys) == 4, "three random ones and 'k'"


def test_a_stream_is_written_and_resumes(spark, aws, make_stream, tmp_path):
    make_stream("in", shards=2).put(100)
    make_stream("events", shards=2)

    def run() -> None:
        frame = (
            spark.readStream.format("tecton-kinesis").options(**source_options(aws, "in")).load()
        )
        query = (
            frame.select("data", "partitionKey")
            .writeStream.format("tecton-kinesis")
            .options(**sink_options(aws))
            .option("checkpointLocation", str(tmp_path))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(120)
        assert query.exception() is None, str(query.exception())

    run()
    assert len(stored(aws)) == 100
    aws.account().stream("in").put(b"one more", "key")
    run()
    assert len(stored(aws)) == 101


def test_a_row_may_name_its_stream(spark, aws, make_stream):
    make_stream("events", shards=1)
    make_stream("other", shards=1)
    frame = spark.createDataFrame(
        [("a", "other"), ("b", None), ("c", "other")], "data string, streamName string"
    )
    write(frame, aws)
    assert [r["Data"] for r in stored(aws)] == [b"b"]
    assert sorted(r["Data"] for r in stored(aws, "other")) == [b"a", b"c"]


def test_executors_write_in_the_role(spark, aws):
    owner = aws.account("222222222222")
    owner.create_stream("events", shards=2)
    user = aws.account("111111111111").create_user("etl")
    role = owner.create_role("writer", trusts=[user.arn], external_id="agreed", allow=["kinesis:*"])
    options = {
        **sink_options(aws),
        "stsEndpoint": aws.endpoint_url,
        "awsAccessKey": user.access_key,
        "awsSecretKey": user.secret_key,
        "roleArn": role.arn,
        "roleExternalId": "agreed",
    }
    numbers(spark, 50).write.format("tecton-kinesis").options(**options).mode("append").save()
    stream = owner.stream("events")
    count = sum(len(stream.records(shard["ShardId"])) for shard in stream.shards())
    assert count == 50


def test_leave_to_put_is_enough(spark, aws):
    """Without leave to look at the stream nothing is known of its shards, and all is written."""
    owner = aws.account("222222222222")
    stream = owner.create_stream("events", shards=3)
    user = owner.create_user("putter", allow=["kinesis:PutRecords"])
    options = {
        **sink_options(aws),
        "awsAccessKey": user.access_key,
        "awsSecretKey": user.secret_key,
    }
    numbers(spark, 1_200).write.format("tecton-kinesis").options(**options).mode("append").save()
    count = sum(len(stream.records(shard["ShardId"])) for shard in stream.shards())
    assert count == 1_200
    other = owner.create_stream("other", shards=2)
    named = numbers(spark, 300).withColumn("streamName", F.lit("other"))
    named.write.format("tecton-kinesis").options(**options).mode("append").save()
    assert sum(len(other.records(shard["ShardId"])) for shard in other.shards()) == 300


@pytest.mark.parametrize("aggregate", ["false", "true"])
def test_ordered_keeps_the_order_of_each_key_through_rejections(spark, aws, make_stream, aggregate):
    make_stream(shards=2)
    aws.faults.add("partial_put", fraction=0.3, count=12)
    write(numbers(spark, 600, parts=1), aws, ordered="true", aggregate=aggregate)
    rows = (
        spark.read.format("tecton-kinesis")
        .options(**sink_options(aws))
        .load()
        .select("data", "partitionKey", "shardId", "sequenceNumber", "subSequenceNumber")
        .collect()
    )
    by_key = defaultdict(list)
    for row in sorted(rows, key=lambda r: (int(r.sequenceNumber), r.subSequenceNumber or 0)):
        by_key[row.partitionKey].append(int(bytes(row.data).split()[1]))
    assert by_key == {f"key {k}": list(range(k, 600, 10)) for k in range(10)}


def test_aggregates_are_fewer_records_and_the_same_rows(spark, aws, make_stream):
    stream = make_stream(shards=4)
    write(numbers(spark, 3_000), aws, aggregate="true")
    assert len(stored(aws)) < 30
    rows = spark.read.format("tecton-kinesis").options(**sink_options(aws)).load().collect()
    assert Counter(bytes(r.data) for r in rows) == Counter(
        f"value {n}".encode() for n in range(3_000)
    )
    ranges = {s["ShardId"]: s["HashKeyRange"] for s in stream.shards()}
    for row in rows:
        key = int(hashlib.md5(row.partitionKey.encode()).hexdigest(), 16)
        own = ranges[row.shardId]
        assert int(own["StartingHashKey"]) <= key <= int(own["EndingHashKey"]), (
            "a consumer that filters by hash range would drop it"
        )


def test_what_aws_rejects_is_sent_again_and_nothing_else(spark, aws, make_stream):
    make_stream(shards=2)
    aws.faults.add("partial_put", fraction=0.5, count=5)
    write(numbers(spark, 1_000), aws)
    assert Counter(r["Data"] for r in stored(aws)) == Counter(
        f"value {n}".encode() for n in range(1_000)
    )


def test_a_shards_limits_are_kept(spark):
    with Emulator(strict_limits=True) as aws:
        client = kinesis_client(aws)
        client.create_stream(StreamName="events", ShardCount=4)
        write(numbers(spark, 9_000), aws)
        assert len(stored(aws)) == 9_000
        puts = [call for call in aws.call_log() if call.operation == "PutRecords"]
        assert len(puts) < 1_500, "not in requests of a few records"


def test_a_stream_that_is_split_meanwhile_takes_all(spark, aws, make_stream):
    stream = make_stream(shards=1)
    write(numbers(spark, 100), aws, aggregate="true")
    stream.split()
    write(numbers(spark, 100), aws, aggregate="true")
    rows = spark.read.format("tecton-kinesis").options(**sink_options(aws)).load()
    assert rows.count() == 200


@pytest.mark.parametrize(
    ("sql", "code", "says"),
    [
        ("SELECT 1 AS value", "OPTION_SCHEMA", "Column 'value' (int) cannot be written"),
        ("SELECT 'x' AS dta", "OPTION_SCHEMA", "Did you mean 'data'"),
        ("SELECT 'x' AS partitionKey", "OPTION_SCHEMA", "no column 'data'"),
        ("SELECT 5 AS data", "OPTION_SCHEMA", "must be binary or string, got int"),
        ("SELECT 'x' AS data, 5 AS partitionKey", "OPTION_SCHEMA", "must be string, got int"),
        (
            "SELECT CAST(NULL AS STRING) AS data, 'user-7' AS partitionKey",
            "RECORD_NULL",
            "with partition key 'user-7'",
        ),
        (
            "SELECT repeat('x', 1048576) AS data, 'user-7' AS partitionKey",
            "RECORD_SIZE",
            "with partition key 'user-7' has 1,048,582 bytes",
        ),
        ("SELECT 'x' AS data, '' AS partitionKey", "RECORD_KEY", "0 characters"),
        ("SELECT 'x' AS data, repeat('k', 257) AS partitionKey", "RECORD_KEY", "257 characters"),
        ("SELECT 'x' AS data, '-1' AS explicitHashKey", "RECORD_HASH_KEY", "'-1'"),
        ("SELECT 'x' AS data, '' AS streamName", "RECORD_STREAM", "empty streamName"),
        ("SELECT 'x' AS data, 'nowhere' AS streamName", "STREAM_NOT_FOUND", "nowhere"),
    ],
)
def test_what_cannot_be_written_is_said(spark, aws, make_stream, sql, code, says):
    make_stream(shards=1)
    with pytest.raises(Exception, match=r"\[[A-Z_]+\]") as caught:
        write(spark.sql(sql), aws, retryBudget="2s")
    assert find_code(caught.value) == code
    assert says in str(caught.value)
    assert "xxxxxxxx" not in str(caught.value), "no data in messages"


def test_overwriting_and_several_streams_are_refused(spark, aws, make_stream):
    make_stream(shards=1)
    frame = numbers(spark, 1)
    with pytest.raises(Exception, match="a stream keeps what is in it") as caught:
        frame.write.format("tecton-kinesis").options(**sink_options(aws)).mode("overwrite").save()
    assert find_code(caught.value) == "OPTION_UNSUPPORTED"
    with pytest.raises(Exception, match="2 streams to write to") as caught:
        write(frame, aws, streamName="events,other")
    assert find_code(caught.value) == "OPTION_CONFLICT"
    with pytest.raises(Exception, match="is for writing") as caught:
        spark.read.format("tecton-kinesis").options(
            **sink_options(aws, ordered="true")
        ).load().count()
    assert find_code(caught.value) == "OPTION_UNSUPPORTED"


def test_a_record_that_is_rejected_for_too_long_fails_the_write(spark, aws, make_stream):
    make_stream(shards=1)
    aws.faults.add("partial_put", fraction=1.0)
    with pytest.raises(Exception, match="rejected a record with partition key") as caught:
        write(numbers(spark, 10), aws, retryBudget="1s")
    assert find_code(caught.value) == "SERVICE_THROTTLED"


def test_large_records_go_where_the_stream_takes_them(spark, aws, make_stream):
    stream = make_stream(shards=1)
    arn = stream.client.describe_stream_summary(StreamName="events")["StreamDescriptionSummary"][
        "StreamARN"
    ]
    stream.client.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10_240)
    frame = spark.sql("SELECT repeat('x', 5000000) AS data FROM range(3)")
    write(frame, aws)
    assert [len(r["Data"]) for r in stored(aws)] == [5_000_000] * 3


def test_secrets_of_the_options_are_in_no_message(spark, aws, make_stream):
    make_stream(shards=1)
    with pytest.raises(Exception, match="CREDENTIAL_INVALID") as caught:
        write(
            numbers(spark, 1),
            aws,
            streamName="gone",
            awsSecretKey="hunter2hunter2",
            retryBudget="1s",
        )
    assert "hunter2" not in str(caught.value)

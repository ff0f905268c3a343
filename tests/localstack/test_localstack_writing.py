"""What the sink and a batch read do is there for LocalStack's own clients to see."""

from collections import Counter, defaultdict

import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from kinesis_source.records.kpl import AGGREGATE_PREFIX
from tests.localstack.localstack_stream import OWNER


def _numbers(spark, count: int, keys: int = 10):
    number = F.col("id")
    return spark.range(0, count, 1, 2).select(
        F.format_string("%06d", number).alias("data"),
        F.concat(F.lit("key "), number % keys).alias("partitionKey"),
    )


def _write(frame, options: dict[str, str], **more: str) -> None:
    reading = ("initialPosition", "pollInterval", "shardFetchInterval")
    given = {name: text for name, text in options.items() if name not in reading}
    frame.write.format("tecton-kinesis").options(**given, **more).mode("append").save()


def _read(spark, options: dict[str, str]):
    given = {name: text for name, text in options.items() if name != "initialPosition"}
    return spark.read.format("tecton-kinesis").options(**given).load()


@pytest.mark.parametrize("ordered", ["false", "true"])
def test_rows_are_records(spark, make_stream, options, ordered):
    stream = make_stream(shards=3)
    _write(_numbers(spark, 1_200).coalesce(1), options, ordered=ordered)
    stored = stream.stored()
    assert Counter(stored) == Counter((f"key {n % 10}", b"%06d" % n) for n in range(1_200))
    if ordered == "true":
        by_key = defaultdict(list)
        for key, data in stored:
            by_key[key].append(data)
        assert all(values == sorted(values) for values in by_key.values())


def test_what_was_written_is_read_in_a_batch(spark, make_stream, options):
    stream = make_stream(shards=2)
    stream.put(100, "before")
    _write(_numbers(spark, 300), options)
    rows = _read(spark, options).select("data").collect()
    assert Counter(bytes(row.data) for row in rows) == Counter(
        [b"before-%d" % n for n in range(100)] + [b"%06d" % n for n in range(300)]
    )


def test_packed_records_are_few_and_come_back_whole(spark, make_stream, options):
    stream = make_stream(shards=2)
    _write(_numbers(spark, 2_000, keys=50), options, aggregate="true")
    stored = stream.stored()
    assert len(stored) < 100
    assert all(data.startswith(AGGREGATE_PREFIX) for _, data in stored)
    rows = _read(spark, options).select("partitionKey", "data").collect()
    assert Counter((row.partitionKey, bytes(row.data)) for row in rows) == Counter(
        (f"key {n % 50}", b"%06d" % n) for n in range(2_000)
    )


def test_the_role_s_account_is_written(spark, make_stream, options, role):
    theirs = make_stream(account=OWNER)
    _write(_numbers(spark, 100), options | role)
    assert sorted(data for _, data in theirs.stored()) == [b"%06d" % n for n in range(100)]


def test_a_query_copies_a_stream(spark, localstack, make_stream, options, role, tmp_path):
    own, theirs = make_stream(), make_stream(account=OWNER)
    own.put(200)
    frame = spark.readStream.format("tecton-kinesis").options(**options).load()
    writing = {name: options[name] for name in options if name not in ("initialPosition",)}
    for name in ("pollInterval", "shardFetchInterval"):
        del writing[name]
    query = (
        frame.select("data", "partitionKey")
        .writeStream.format("tecton-kinesis")
        .options(**writing, **role)
        .option("checkpointLocation", str(tmp_path))
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(120)
    assert query.exception() is None, str(query.exception())
    copied = Counter(data for _, data in theirs.stored())
    assert copied == Counter(data for _, _, data in own.written)

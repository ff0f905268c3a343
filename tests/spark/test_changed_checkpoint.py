"""A query that is started with a changed copy of its checkpoint reads from the places in it."""

from __future__ import annotations

from kinesis_source.cli.main import main
from tests.spark.support import BatchLog, source_options


def test_a_query_goes_on_from_a_changed_copy(spark, aws, make_stream, tmp_path):
    stream = make_stream(shards=2)
    first = stream.put(40, prefix="a")
    old, new = tmp_path / "old", tmp_path / "new"

    def run(checkpoint) -> list[tuple[str, str]]:
        log = BatchLog()
        query = (
            spark.readStream.format("tecton-kinesis")
            .options(**source_options(aws))
            .load()
            .writeStream.foreachBatch(log)
            .option("checkpointLocation", str(checkpoint))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(90)
        assert query.exception() is None, str(query.exception())
        return log.rows

    assert sorted(run(old)) == sorted(first)
    shard = first[0][0]
    assert main(["offsets", str(old), "--set", f"{shard}=trim_horizon", "--output", str(new)]) == 0
    second = stream.put(40, prefix="b")
    again = [row for row in first if row[0] == shard]
    assert sorted(run(new)) == sorted([*again, *second]), "one shard from its beginning"
    assert sorted(run(old)) == sorted(second), "the old one goes on as if nothing had been"

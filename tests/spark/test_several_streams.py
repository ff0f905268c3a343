"""One reader over streams of several accounts and regions."""

from __future__ import annotations

import json

import pyspark
import pytest

from kinesis_source.errors import find_code
from tests.spark.support import BatchLog, wait_for_rows, wait_until

HAS_ADMISSION_CONTROL = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)
ACCOUNTS = {"111111111111": "us-east-1", "222222222222": "eu-west-1", "333333333333": "us-west-2"}
CALLER = "111111111111"


class House:
    """A stream in each account, a user in one of them, and roles for him in the others."""

    def __init__(self, aws) -> None:
        self.aws = aws
        self.user = aws.account(CALLER).create_user("etl")
        self.streams, self.roles, self.ids = {}, {}, {}
        for account, region in ACCOUNTS.items():
            owner = aws.account(account)
            self.streams[account] = owner.create_stream("events", shards=2, region=region)
            if account != CALLER:
                self.ids[account] = f"id-of-{account}"
                self.roles[account] = owner.create_role(
                    "reader",
                    trusts=[self.user.arn],
                    external_id=self.ids[account],
                    allow=["kinesis:*"],
                ).arn

    def options(self, **options: str) -> dict[str, str]:
        return {
            "streamARN": ",".join(stream.arn for stream in self.streams.values()),
            "endpointUrl": self.aws.endpoint_url,
            "stsEndpoint": self.aws.endpoint_url,
            "awsAccessKey": self.user.access_key,
            "awsSecretKey": self.user.secret_key,
            "roleArn": json.dumps(self.roles),
            "roleExternalId": json.dumps(self.ids),
            "pollInterval": "200ms",
            **options,
        }

    def put(self, count: int) -> None:
        for account, stream in self.streams.items():
            for number in range(count):
                stream.put(f"{account}-{number}".encode(), f"key-{number}")


@pytest.fixture
def house(aws) -> House:
    return House(aws)


def rows_by_account(rows) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        account = row.streamName.split(":")[4]
        assert row.data.startswith(account.encode()), "a record under another stream's name"
        found[account] = found.get(account, 0) + 1
    return found


def test_a_stream_query_reads_all_of_them(spark, house, tmp_path):
    house.put(20)
    log = BatchLog()
    query = (
        spark.readStream.format("tecton-kinesis")
        .options(**house.options(initialPosition="trim_horizon"))
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(tmp_path))
        .start()
    )
    wait_for_rows(query, log, 60)
    house.put(5)
    wait_for_rows(query, log, 75)
    query.stop()
    assert len(log.rows) == len(set(log.rows)) == 75


def test_a_batch_read_reads_all_of_them(spark, house):
    house.put(20)
    frame = spark.read.format("tecton-kinesis").options(**house.options()).load()
    assert rows_by_account(frame.collect()) == dict.fromkeys(ACCOUNTS, 20)


def test_a_stream_whose_account_has_no_role_is_read_by_the_caller_himself(spark, house):
    house.put(3)
    some = {account: arn for account, arn in house.roles.items() if account[0] == "2"}
    ids = {account: house.ids[account] for account in some}
    options = house.options(roleArn=json.dumps(some), roleExternalId=json.dumps(ids))
    with pytest.raises(Exception, match="333333333333") as caught:
        spark.read.format("tecton-kinesis").options(**options).load().count()
    assert (find_code(caught.value) or "").startswith(("ACCESS_", "STREAM_"))


def test_a_stream_may_be_added_and_taken_out_between_runs(spark, house, tmp_path):
    """What is added begins at initialPosition; what was taken out keeps its place."""
    one, other, third = (stream.arn for stream in house.streams.values())
    log = BatchLog()

    def run(*arns: str) -> None:
        accounts = {arn.split(":")[4] for arn in arns}
        roles = {account: arn for account, arn in house.roles.items() if account in accounts}
        ids = {account: house.ids[account] for account in roles}
        options = house.options(
            streamARN=",".join(arns),
            initialPosition="trim_horizon",
            roleArn=json.dumps(roles),
            roleExternalId=json.dumps(ids),
        )
        query = (
            spark.readStream.format("tecton-kinesis")
            .options(**options)
            .load()
            .writeStream.foreachBatch(log)
            .option("checkpointLocation", str(tmp_path))
            .trigger(availableNow=True)
            .start()
        )
        assert query.awaitTermination(90)
        assert query.exception() is None

    house.put(10)
    run(one, other)
    wait_until(lambda: len(log.rows) == 20, 10, "two streams")
    house.put(10)
    run(other, third)
    if not HAS_ADMISSION_CONTROL:  # a run is one batch there: it gives the new stream its place
        run(other, third)
    assert len(log.rows) == 20 + 10 + 20, "one waits, third is read from its beginning"
    run(one, other, third)
    assert len(log.rows) == 60, "one goes on where it was"
    assert len(set(log.rows)) == 60

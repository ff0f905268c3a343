"""A stream of another account through a role, and every way in which that can fail."""

from __future__ import annotations

import time

import pytest

from kinesis_source import find_code
from tests.spark.support import REGION, BatchLog, Stream, kinesis_client, wait_for_rows, wait_until

OWNER, CALLER = "222222222222", "111111111111"


class Accounts:
    """A stream in one account, a user in another, and a role between them."""

    def __init__(self, aws) -> None:
        self.aws = aws
        self.owner = aws.account(OWNER)
        self.owner.create_stream("clicks", shards=2, region=REGION)
        self.caller = aws.account(CALLER).create_user("etl")
        self.role = self.owner.create_role(
            "reader", trusts=[self.caller.arn], external_id="agreed-id", allow=["kinesis:*"]
        )
        admin = self.owner.create_user("admin")
        client = kinesis_client(aws, admin.access_key, admin.secret_key)
        self.stream = Stream(aws, "clicks", client)

    def options(self, **options: str) -> dict[str, str]:
        return {
            "streamName": "clicks",
            "region": REGION,
            "endpointUrl": self.aws.endpoint_url,
            "stsEndpoint": self.aws.endpoint_url,
            "awsAccessKey": self.caller.access_key,
            "awsSecretKey": self.caller.secret_key,
            "roleArn": self.role.arn,
            "roleExternalId": "agreed-id",
            "initialPosition": "trim_horizon",
            "pollInterval": "200ms",
            "retryBudget": "5s",
            **options,
        }


@pytest.fixture
def accounts(aws) -> Accounts:
    return Accounts(aws)


def start(spark, options: dict[str, str], log: BatchLog, checkpoint):
    return (
        spark.readStream.format("tecton-kinesis")
        .options(**options)
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(checkpoint))
        .start()
    )


def failure(spark, options: dict[str, str], checkpoint) -> str:
    query = start(spark, options, BatchLog(), checkpoint)
    began = time.monotonic()
    wait_until(lambda: not query.isActive, 60, "the query must fail")
    assert time.monotonic() - began < 30
    return str(query.exception())


def without(options: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in options.items() if name not in names}


def test_the_role_makes_the_stream_readable(spark, accounts, tmp_path):
    accounts.stream.put(50)
    log = BatchLog()
    query = start(spark, accounts.options(), log, tmp_path)
    wait_for_rows(query, log, 50)
    query.stop()
    assert sorted(log.rows) == sorted(accounts.stream.written)


def test_without_the_role_the_stream_is_not_there(spark, accounts, tmp_path):
    options = without(accounts.options(), "roleArn", "roleExternalId", "stsEndpoint")
    text = failure(spark, options, tmp_path)
    assert find_code(text) == "STREAM_NOT_FOUND"
    for fact in ("clicks", REGION, CALLER, "roleArn"):
        assert fact in text


@pytest.mark.parametrize("external_id", ["wrong-id", None])
def test_a_wrong_or_missing_external_id_is_named(spark, accounts, tmp_path, external_id):
    options = without(accounts.options(), "roleExternalId")
    if external_id is not None:
        options["roleExternalId"] = external_id
    text = failure(spark, options, tmp_path)
    assert find_code(text) == "CREDENTIAL_ASSUME_ROLE"
    assert accounts.role.arn in text
    assert accounts.caller.arn in text
    assert "external id" in text.lower()
    assert "trust policy" in text


def test_a_permission_that_is_missing_is_named(spark, accounts, tmp_path):
    narrow = accounts.owner.create_role(
        "narrow",
        trusts=[accounts.caller.arn],
        allow=["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:GetShardIterator"],
    )
    options = without(accounts.options(roleArn=narrow.arn), "roleExternalId")
    text = failure(spark, options, tmp_path)
    assert find_code(text) == "ACCESS_DENIED"
    assert "kinesis:GetRecords" in text
    assert "role/narrow" in text


def test_a_chain_of_roles(spark, accounts, tmp_path):
    hub = accounts.aws.account("333333333333").create_role(
        "hub", trusts=[accounts.caller.arn], allow=["sts:*"]
    )
    far = accounts.owner.create_role(
        "far", trusts=[hub.arn], external_id="far-id", allow=["kinesis:*"]
    )
    accounts.stream.put(10)
    log = BatchLog()
    options = accounts.options(roleArn=f"{hub.arn},{far.arn}", roleExternalId="far-id")
    query = start(spark, options, log, tmp_path)
    wait_for_rows(query, log, 10)
    query.stop()


def test_credentials_that_live_for_seconds_are_refreshed(spark, accounts, tmp_path):
    """On driver and executors: the query lives through several lives of its credentials."""
    accounts.aws.credential_lifetime_s = 2.0
    log = BatchLog()
    query = start(spark, accounts.options(), log, tmp_path)
    rounds = 0
    # Driver and executors each hold a session, so five are several lives of both.
    while accounts.aws.calls.count("AssumeRole") < 5:
        accounts.stream.put(10, prefix=f"r{rounds}")
        rounds += 1
        wait_for_rows(query, log, 10 * rounds)
        assert rounds < 100, "the sessions are not renewed"
        time.sleep(0.5)  # spread the rounds over the credentials' lives
    query.stop()
    assert sorted(log.rows) == sorted(accounts.stream.written)
    expired = [call for call in accounts.aws.call_log() if call.error == "ExpiredTokenException"]
    assert len(expired) <= rounds, "credentials are renewed before they expire"


def test_unknown_keys_are_named_but_masked(spark, accounts, tmp_path):
    options = without(
        accounts.options(awsAccessKey="AKIANOBODYKNOWSME0", awsSecretKey="very-secret-text"),
        "roleArn",
        "roleExternalId",
        "stsEndpoint",
    )
    text = failure(spark, options, tmp_path)
    assert find_code(text) == "CREDENTIAL_INVALID"
    assert "very-secret-text" not in text
    assert "AKIANOBODYKNOWSME0" not in text


def test_a_wrong_endpoint_is_named_within_seconds(spark, accounts, tmp_path):
    options = without(
        accounts.options(endpointUrl="http://127.0.0.1:9", retryBudget="3s"),
        "roleArn",
        "roleExternalId",
        "stsEndpoint",
    )
    text = failure(spark, options, tmp_path)
    assert find_code(text) == "SERVICE_ENDPOINT"
    assert "http://127.0.0.1:9" in text
    assert "endpointUrl" in text


def test_a_wrong_option_fails_at_load(spark, accounts):
    with pytest.raises(Exception, match=r"\[OPTION_UNKNOWN\].*streamName") as caught:
        spark.readStream.format("tecton-kinesis").options(
            **accounts.options(streamNmae="clicks")
        ).load()
    assert find_code(caught.value) == "OPTION_UNKNOWN"

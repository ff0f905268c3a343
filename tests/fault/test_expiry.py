"""What runs out while a query runs: iterators, tokens of listings, credentials."""

from __future__ import annotations

import time

import boto3
import pytest

from kinesis_source.emulator import Emulator
from kinesis_source.errors import AccessDeniedError, CredentialError, ServiceError
from tests.fault.support import REGION, assert_exactly_once, fill

OWNER, CALLER = "222222222222", "111111111111"


# Iterators


@pytest.mark.usefixtures("quick_calls")
@pytest.mark.parametrize("nth", range(1, 8))
def test_an_iterator_that_expires_at_any_page_repeats_nothing(aws, start_query, nth: int):
    """Trap 3: reading goes on after the last record READ, not at a checkpoint or LATEST."""
    stream = aws.account().create_stream("events")
    fill(stream, 50)
    query = start_query(maxRecordsPerFetch="10")
    rules = []

    def begin() -> None:
        rules.append(aws.faults.add("expired_iterator", operation="GetRecords", nth=nth))

    query.run(50, before_tasks=begin)
    if not rules[0].hits:
        query.read(query.plan())  # the driver's call after the last page of the task
    assert rules[0].hits == 1
    assert_exactly_once(query, stream)


@pytest.mark.usefixtures("quick_calls")
def test_iterators_that_expire_all_the_time_only_slow_down(aws, start_query):
    stream = aws.account().create_stream("events", shards=2)
    fill(stream, 200)
    expiry = aws.faults.add("expired_iterator", operation="GetRecords", probability=0.4)
    query = start_query(maxRecordsPerFetch="20")
    query.run(200)
    fill(stream, 50, prefix="later")
    query.run(250)
    assert expiry.hits >= 5
    assert_exactly_once(query, stream)


@pytest.mark.usefixtures("quick_calls")
def test_iterators_that_are_really_too_old(start_query):
    """The server's clock moves on by six minutes between two polls, and within a task."""
    ahead_s = [0.0]
    with Emulator(clock=lambda: time.time() + ahead_s[0]) as aws:
        from tests.fault.support import Query, query_options

        stream = aws.account().create_stream("events")
        fill(stream, 50)
        query = Query(query_options(aws, maxRecordsPerFetch="10"))
        try:
            query.run(50)
            ahead_s[0] += 360
            fill(stream, 50, prefix="later")
            partitions = query.plan()
            ahead_s[0] += 360
            query.read(partitions)
            query.run(100)
        finally:
            query.close()
        assert any(call.error == "ExpiredIteratorException" for call in aws.call_log("GetRecords"))
        assert_exactly_once(query, stream)


# Listings


@pytest.fixture
def small_listings(monkeypatch):
    """Three shards on a page of ListShards."""
    monkeypatch.setattr("kinesis_source.aws.client._SHARDS_PER_PAGE", 3)


@pytest.mark.usefixtures("small_listings")
def test_a_listing_whose_token_expires_begins_anew(aws, start_query):
    stream = aws.account().create_stream("events", shards=16)
    fill(stream, 160)
    rules = [aws.faults.add("expired_next_token", nth=number) for number in (3, 7)]
    query = start_query(shardsPerTask="16")
    query.run(160)
    assert [rule.hits for rule in rules] == [1, 1]
    assert_exactly_once(query, stream)


@pytest.mark.usefixtures("small_listings")
def test_tokens_that_always_expire_are_an_error(aws, start_query):
    aws.account().create_stream("events", shards=16)
    expiry = aws.faults.add("expired_next_token", operation="ListShards")
    with pytest.raises(ServiceError, match="'events' in us-east-1 could not be listed") as caught:
        start_query().plan()
    assert caught.value.code == "SERVICE_LISTING"
    assert expiry.hits == 3


# Static keys


def test_static_keys_whose_token_expires_end_the_query_with_advice(aws, start_query):
    stream = aws.account(OWNER).create_stream("events")
    fill(stream, 20)
    user = aws.account(CALLER).create_user("etl")
    role = aws.account(OWNER).create_role("reader", trusts=[user.arn])
    sts = boto3.client(
        "sts",
        endpoint_url=aws.endpoint_url,
        region_name=REGION,
        aws_access_key_id=user.access_key,
        aws_secret_access_key=user.secret_key,
    )
    keys = sts.assume_role(RoleArn=role.arn, RoleSessionName="laptop")["Credentials"]
    query = start_query(
        awsAccessKey=keys["AccessKeyId"],
        awsSecretKey=keys["SecretAccessKey"],
        awsSessionToken=keys["SessionToken"],
    )
    query.run(20)
    fill(stream, 20, prefix="later")
    partitions = query.plan()
    aws.expire_sessions(role)
    for attempt in (lambda: query.read(partitions), query.plan):
        with pytest.raises(CredentialError, match="has expired") as caught:
            attempt()
        assert caught.value.code == "CREDENTIAL_EXPIRED"
        assert "roleArn" in caught.value.hint
        assert keys["SecretAccessKey"] not in str(caught.value)
        assert keys["SessionToken"] not in str(caught.value)


def test_a_token_that_is_called_expired_by_mistake_is_tried_again(aws, start_query):
    stream = aws.account().create_stream("events")
    fill(stream, 20)
    mistake = aws.faults.add("expired_token", operation="GetRecords", nth=2)
    query = start_query()
    query.run(20)
    assert mistake.hits == 1
    assert_exactly_once(query, stream)


def test_a_deleted_static_key_ends_the_query_with_advice(aws, start_query):
    stream = aws.account(CALLER).create_stream("events")
    fill(stream, 20)
    user = aws.account(CALLER).create_user("etl")
    query = start_query(awsAccessKey=user.access_key, awsSecretKey=user.secret_key)
    query.run(20)
    aws.delete_access_key(user)
    fill(stream, 20, prefix="later")
    with pytest.raises(CredentialError, match="does not know the access key") as caught:
        query.run(40)  # a look may have been under way
    assert caught.value.code == "CREDENTIAL_INVALID"
    assert user.secret_key not in str(caught.value)


def test_a_permission_that_is_taken_away_is_named(aws, start_query):
    stream = aws.account(CALLER).create_stream("events")
    fill(stream, 20)
    user = aws.account(CALLER).create_user("etl")
    query = start_query(awsAccessKey=user.access_key, awsSecretKey=user.secret_key)
    query.run(20)
    fill(stream, 20, prefix="later")
    partitions = query.plan()
    user.set_permissions(["kinesis:List*", "kinesis:Describe*"])
    with pytest.raises(AccessDeniedError, match="may not call kinesis:GetShardIterator") as caught:
        query.read(partitions)
    assert caught.value.code == "ACCESS_DENIED"
    user.set_permissions(["kinesis:*"])
    query.restart()  # the driver may have been denied a look too
    query.read(partitions)
    query.run(40)
    assert_exactly_once(query, stream)


# Roles


@pytest.fixture
def role_query(aws, start_query):
    """A stream, a role to read it with, and a query that assumes that role."""
    stream = aws.account(OWNER).create_stream("events", shards=2)
    user = aws.account(CALLER).create_user("etl")
    role = aws.account(OWNER).create_role("reader", trusts=[user.arn], external_id="tenant")
    query = start_query(
        awsAccessKey=user.access_key,
        awsSecretKey=user.secret_key,
        roleArn=role.arn,
        roleExternalId="tenant",
        stsEndpoint=aws.endpoint_url,
    )
    fill(stream, 100)
    query.run(100)
    fill(stream, 100, prefix="later")
    return stream, role, query


def test_an_expired_role_session_is_replaced_on_driver_and_executors(aws, role_query):
    """Trap 23."""
    stream, role, query = role_query
    aws.expire_sessions(role)
    partitions = query.plan()
    aws.expire_sessions(role)
    query.read(partitions)
    query.run(200)
    assert any(call.error == "ExpiredTokenException" for call in aws.call_log())
    assert_exactly_once(query, stream)


def test_a_revoked_role_session_is_replaced(aws, role_query):
    """What the console's button "Revoke active sessions" does: new sessions are welcome."""
    stream, role, query = role_query
    aws.revoke_sessions(role)
    time.sleep(0.01)  # sessions of the same millisecond are revoked too
    query.run(200)
    assert any(call.error == "AccessDeniedException" for call in aws.call_log())
    assert_exactly_once(query, stream)


def test_a_role_that_lost_its_permission_is_an_error_and_no_loop(aws, role_query):
    _, role, query = role_query
    role.set_permissions(["kinesis:Describe*"])
    before = aws.calls.count("AssumeRole")
    with pytest.raises(AccessDeniedError, match="may not call kinesis:"):
        query.plan()
    assert aws.calls.count("AssumeRole") - before <= 16  # one for each of the polling threads


def test_sessions_that_live_for_two_seconds_are_renewed_in_time(aws, role_query):
    stream, role, query = role_query
    aws.credential_lifetime_s = 2.0
    aws.expire_sessions(role)
    for turn in range(3):
        query.run(200 + 50 * turn)
        fill(stream, 50, prefix=str(turn))
        time.sleep(0.7)
    query.run(350)
    assert aws.calls.count("AssumeRole") >= 4
    assert_exactly_once(query, stream)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "sts_failure"},
        {"kind": "throttle", "operation": "AssumeRole"},
        {"kind": "http_error", "operation": "AssumeRole", "status": 503, "html": True},
        {"kind": "reset_before_work", "operation": "AssumeRole"},
        {"kind": "cut_body", "operation": "AssumeRole"},
        {"kind": "delay", "operation": "AssumeRole", "delay_s": 1.0},
    ],
    ids=lambda fault: fault["kind"],
)
def test_sts_that_fails_while_a_session_is_replaced_is_asked_again(aws, role_query, fault):
    stream, role, query = role_query
    failing = aws.faults.add(**fault, count=2)
    aws.expire_sessions(role)
    query.run(200)
    assert failing.hits == 2
    assert_exactly_once(query, stream)


def test_a_role_that_is_deleted_ends_the_query_with_who_and_what(aws, role_query):
    _, role, query = role_query
    aws.delete_role(role)
    with pytest.raises(CredentialError) as caught:
        query.plan()
    assert caught.value.code in {"CREDENTIAL_ASSUME_ROLE", "CREDENTIAL_INVALID"}

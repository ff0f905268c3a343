"""Observations: who the caller is, roles, and what each account sees."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

from botocore.exceptions import ClientError

from .witness import Witness, observation, outcome

_OTHER = "222233334444"


def _assume(witness: Witness, arn: str, session: str = "parity", **more: Any) -> dict[str, Any]:
    sts = witness.connect("sts")
    return dict(sts.assume_role(RoleArn=arn, RoleSessionName=session, **more))


def _role(witness: Witness, external_id: str | None = None) -> str:
    return witness.make_role(_OTHER, f"reader-{uuid.uuid4().hex[:8]}", external_id)


@observation
def the_caller_is_its_key_s_account(witness: Witness) -> object:
    accounts = (witness.account, _OTHER)
    replies = [
        witness.connect("sts", account=account).get_caller_identity() for account in accounts
    ]
    return [(reply["Account"], reply["Arn"]) for reply in replies]


@observation
def accounts_do_not_see_each_other_s_streams(witness: Witness) -> object:
    stream = witness.stream(account=_OTHER)
    ours, theirs = (witness.connect("kinesis", account=a) for a in (witness.account, _OTHER))
    return {
        "other": outcome(theirs.describe_stream_summary, StreamName=stream.name),
        "own": outcome(ours.describe_stream_summary, StreamName=stream.name),
        "account_in_arn": stream.arn.split(":")[4],
    }


@observation
def an_assumed_role_has_temporary_keys(witness: Witness) -> object:
    arn = _role(witness)
    reply = _assume(witness, arn, DurationSeconds=900)
    keys, user = reply["Credentials"], reply["AssumedRoleUser"]
    life = keys["Expiration"] - datetime.now(timezone.utc)
    return {
        "has_token": bool(keys["SessionToken"]),
        "life": timedelta(seconds=840) < life <= timedelta(seconds=901),
        "arn": user["Arn"].replace(arn.rpartition("/")[2], "NAME"),
        "id": bool(re.fullmatch(r"AROA\w+:parity", user["AssumedRoleId"])),
    }


@observation
def a_temporary_key_shows_in_its_first_letters(witness: Witness) -> object:
    return _assume(witness, _role(witness))["Credentials"]["AccessKeyId"][:4]


@observation
def through_a_role_the_caller_is_the_role_s_session(witness: Witness) -> object:
    arn = _role(witness)
    keys = _assume(witness, arn, session="spark")["Credentials"]
    reply = witness.connect("sts", role=keys).get_caller_identity()
    return reply["Account"], reply["Arn"].replace(arn.rpartition("/")[2], "NAME")


@observation
def through_a_role_its_account_s_stream_is_read(witness: Witness) -> object:
    stream = witness.stream(account=_OTHER)
    stream.put_all(2)
    through = witness.connect("kinesis", role=_assume(witness, _role(witness))["Credentials"])
    iterator = through.get_shard_iterator(
        StreamName=stream.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records = through.get_records(ShardIterator=iterator)["Records"]
    return [record["Data"].decode() for record in records]


@observation
def through_a_role_the_own_account_s_stream_is_not_there(witness: Witness) -> object:
    stream = witness.stream()
    through = witness.connect("kinesis", role=_assume(witness, _role(witness))["Credentials"])
    return outcome(through.describe_stream_summary, StreamName=stream.name)


@observation
def a_role_in_the_own_account(witness: Witness) -> object:
    arn = witness.make_role(witness.account, f"reader-{uuid.uuid4().hex[:8]}", None)
    keys = _assume(witness, arn)["Credentials"]
    return witness.connect("sts", role=keys).get_caller_identity()["Account"] == witness.account


def _assuming(witness: Witness, arn: str, **more: Any) -> str:
    try:
        _assume(witness, arn, **more)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


@observation
def the_right_external_id_opens_a_role(witness: Witness) -> object:
    return _assuming(witness, _role(witness, "tenant-1"), ExternalId="tenant-1")


@observation
def a_wrong_or_missing_external_id_is_refused(witness: Witness) -> object:
    arn = _role(witness, "tenant-1")
    return _assuming(witness, arn, ExternalId="tenant-2"), _assuming(witness, arn)


@observation
def a_role_that_is_not_there_is_refused(witness: Witness) -> object:
    return _assuming(witness, f"arn:aws:iam::{_OTHER}:role/no-such-role-{uuid.uuid4().hex[:8]}")


@observation
def a_session_lasts_no_longer_than_its_role_allows(witness: Witness) -> object:
    arn = _role(witness)
    lives = (900, 3600, 3601)
    return [_assuming(witness, arn, DurationSeconds=life) for life in lives]


@observation
def a_bad_session_name_is_refused(witness: Witness) -> object:
    return _assuming(witness, _role(witness), session="not a name")


@observation
def a_made_up_session_token_is_refused(witness: Witness) -> object:
    keys = dict(_assume(witness, _role(witness))["Credentials"])
    keys["SessionToken"] = "made-up"
    through = witness.connect("kinesis", role=keys)
    return outcome(through.list_streams)


@observation
def a_key_of_nobody_is_refused(witness: Witness) -> object:
    keys = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "nobody"}
    return {
        service: outcome(getattr(witness.connect(service, role=keys), call))
        for service, call in (("kinesis", "list_streams"), ("sts", "get_caller_identity"))
    }

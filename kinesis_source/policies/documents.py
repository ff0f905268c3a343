"""IAM policy documents for reading, writing and fan-out: what is called, and nothing else.

Pure. Actions and the resources that they take are those of the service authorization reference for
Amazon Kinesis Data Streams, AWS KMS and AWS STS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = [
    "FAN_OUT_ACTIONS",
    "READ_ACTIONS",
    "WRITE_ACTIONS",
    "assume_policy",
    "key_policy_statement",
    "permissions_policy",
    "stream_policy",
    "trust_policy",
]

READ_ACTIONS: Final = (
    "kinesis:DescribeStreamSummary",
    "kinesis:ListShards",
    "kinesis:GetShardIterator",
    "kinesis:GetRecords",
)
"""All that reading by polling calls."""
WRITE_ACTIONS: Final = (
    "kinesis:DescribeStreamSummary",
    "kinesis:ListShards",
    "kinesis:PutRecords",
)
"""All that the sink calls. It writes with PutRecords alone, too, and packs less well."""
FAN_OUT_ACTIONS: Final = (
    "kinesis:DescribeStreamConsumer",
    "kinesis:RegisterStreamConsumer",
    "kinesis:SubscribeToShard",
)
"""What enhanced fan-out needs beside the actions for reading, on streams and their consumers."""
_VERSION: Final = "2012-10-17"


def permissions_policy(
    stream_arns: Sequence[str],
    kms_key_arn: str | None = None,
    access: Iterable[str] = ("read",),
) -> dict[str, Any]:
    """Return what an identity must be allowed.

    Parameters
    ----------
    stream_arns : sequence of str
    kms_key_arn : str or None
        The customer managed key that encrypts the streams.
    access : iterable of str
        Of ``read``, ``write``, ``fan-out``; ``fan-out`` holds ``read``.
    """
    wanted = set(access)
    statements: list[dict[str, Any]] = []
    if wanted & {"read", "fan-out"}:
        statements.append(_allow("ReadStream", READ_ACTIONS, stream_arns))
    if "fan-out" in wanted:
        # Consumers are resources of their own: stream/<name>/consumer/<name>:<creation time>.
        consumers = [f"{arn}/consumer/*" for arn in stream_arns]
        statements.append(_allow("FanOut", FAN_OUT_ACTIONS, [*stream_arns, *consumers]))
    if "write" in wanted:
        statements.append(_allow("WriteStream", WRITE_ACTIONS, stream_arns))
    if kms_key_arn:
        if wanted & {"read", "fan-out"}:
            statements.append(_allow("DecryptRecords", ("kms:Decrypt",), [kms_key_arn]))
        if "write" in wanted:
            statements.append(_allow("EncryptRecords", ("kms:GenerateDataKey",), [kms_key_arn]))
    return _document(statements)


def trust_policy(reader_arn: str, external_id: str | None = None) -> dict[str, Any]:
    """Return who may assume the role, and under which external id."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": reader_arn},
        "Action": "sts:AssumeRole",
    }
    if external_id:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return _document([statement])


def assume_policy(role_arn: str) -> dict[str, Any]:
    """Return what the reader itself must be allowed, to assume the role."""
    return _document([{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": role_arn}])


def stream_policy(
    stream_arn: str, reader_arn: str, access: Iterable[str] = ("read",)
) -> dict[str, Any]:
    """Return a stream's own policy, for a reader of another account without a role.

    The stream must then be named by its ARN; a customer managed key must allow the reader too.
    """
    wanted = set(access)
    actions = [*READ_ACTIONS] if wanted & {"read", "fan-out"} else []
    if "fan-out" in wanted:
        actions += [a for a in FAN_OUT_ACTIONS if a != "kinesis:SubscribeToShard"]
    if "write" in wanted:
        actions += [action for action in WRITE_ACTIONS if action not in actions]
    return _document(
        [
            {
                "Sid": "OtherAccount",
                "Effect": "Allow",
                "Principal": {"AWS": reader_arn},
                "Action": actions,
                "Resource": stream_arn,
            }
        ]
    )


def key_policy_statement(principal_arn: str, access: Iterable[str] = ("read",)) -> dict[str, Any]:
    """Return the statement that a customer managed key's own policy needs."""
    wanted = set(access)
    actions = ["kms:Decrypt"] if wanted & {"read", "fan-out"} else []
    if "write" in wanted:
        actions.append("kms:GenerateDataKey")
    return {
        "Sid": "KinesisRecords",
        "Effect": "Allow",
        "Principal": {"AWS": principal_arn},
        "Action": actions,
        "Resource": "*",
    }


def _allow(sid: str, actions: Iterable[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": _VERSION, "Statement": statements}

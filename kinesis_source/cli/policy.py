"""``kinesis-source policy``: the IAM policies that reading a stream needs, ready to paste.

Pure text; no call to AWS. With a reader of another account: the role's trust policy, the role's
permissions, and the reader's own permission to assume it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, TextIO

from kinesis_source.options.identity import read_external_id
from kinesis_source.options.values import BadValueError
from kinesis_source.policies.documents import assume_policy, permissions_policy, trust_policy

__all__ = ["add_command", "write_policies"]

_STREAM = re.compile(
    r"arn:(aws[a-z-]*):kinesis:[a-z0-9-]+:([0-9]{12}):stream/[a-zA-Z0-9_.-]{1,128}"
)
_READER = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):(?:root|(?:user|role)/[!-~]{1,512})")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]{1,64}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = "Print the IAM policies for reading streams, from the same or from another account."
    parser = commands.add_parser("policy", help="print the IAM policies needed", description=text)
    parser.add_argument(
        "--stream-arn",
        action="append",
        required=True,
        type=_stream_arn,
        metavar="ARN",
        help="stream to be read; may be repeated for streams of one account",
    )
    parser.add_argument(
        "--reader-arn",
        type=_reader_arn,
        metavar="ARN",
        help="role or user that Spark runs as, if it is to read through a role",
    )
    parser.add_argument(
        "--external-id",
        type=_external_id,
        metavar="ID",
        help="shared with whoever assumes the role",
    )
    parser.add_argument(
        "--role-name",
        type=_role_name,
        default="kinesis-reader",
        metavar="NAME",
        help="of the role in the streams' account (default: kinesis-reader)",
    )
    parser.add_argument(
        "--kms-key-arn", type=_key_arn, metavar="ARN", help="key that encrypts the streams"
    )
    parser.set_defaults(run=lambda given: _run(parser, given))


def _run(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    if given.external_id and not given.reader_arn:
        parser.error("--external-id belongs to a role's trust policy: give --reader-arn as well")
    if len({_owner(arn) for arn in given.stream_arn}) > 1:
        parser.error("the streams belong to several accounts: each account needs a role of its own")
    if problem := _partition_problem(given) or _key_problem(given):
        parser.error(problem)
    write_policies(given, sys.stdout)
    return 0


def _partition_problem(given: argparse.Namespace) -> str | None:
    """Say what cannot work because AWS keeps its partitions (aws, aws-cn, ...) apart."""
    partition = _partition_of(given.stream_arn[0])
    for name, arn in (("reader", given.reader_arn), ("KMS key", given.kms_key_arn)):
        if arn is not None and _partition_of(arn) != partition:
            problem = (
                f"the stream is in partition {partition!r}, the {name} {arn} in"
                f" {_partition_of(arn)!r}"
            )
            if name != "reader":
                return f"{problem}: give the ARN of the key that encrypts the stream"
            return (
                f"{problem}: identities of one partition mean nothing in another, so no role can be"
                f" assumed across. Read with keys of a user in {partition!r} itself (options"
                " awsAccessKey and awsSecretKey), and leave --reader-arn out"
            )
    return None


def _key_problem(given: argparse.Namespace) -> str | None:
    """Say which stream a key cannot encrypt: keys serve their own region."""
    if given.kms_key_arn is None:
        return None
    region = _region_of(given.kms_key_arn)
    for arn in given.stream_arn:
        if _region_of(arn) != region:
            return (
                f"the KMS key is in region {region!r} and cannot encrypt {arn}: run the command"
                " once for each region"
            )
    return None


def write_policies(given: argparse.Namespace, out: TextIO) -> None:
    """Write the policies that the arguments ask for, each after a line that says where it goes."""
    permissions = permissions_policy(given.stream_arn, given.kms_key_arn)
    if given.reader_arn is None:
        _write(out, "Permissions for the identity that Spark runs as", permissions)
    else:
        partition, account = _owner(given.stream_arn[0])
        role_arn = f"arn:{partition}:iam::{account}:role/{given.role_name}"
        trust = trust_policy(given.reader_arn, given.external_id)
        _write(out, f"1. Account {account}: trust policy of role {given.role_name}", trust)
        _write(out, f"2. Account {account}: permissions of role {given.role_name}", permissions)
        _write(
            out,
            f"3. Account {_account_of(given.reader_arn)}: permissions for {given.reader_arn}",
            assume_policy(role_arn),
        )
        options = {"roleArn": role_arn}
        if given.external_id:
            options["roleExternalId"] = given.external_id
        print(f"# Options for the reader: {json.dumps(options)}", file=out)
    if given.kms_key_arn is None:
        print(
            "# If the stream is encrypted with a customer managed key, give --kms-key-arn: then\n"
            "# reading needs kms:Decrypt as well, and the key's own policy must allow it.",
            file=out,
        )


def _write(out: TextIO, heading: str, document: dict[str, Any]) -> None:
    print(f"# {heading}\n{json.dumps(document, indent=2)}\n", file=out)


def _owner(stream_arn: str) -> tuple[str, str]:
    _, partition, _, _, account, _ = stream_arn.split(":", 5)
    return partition, account


def _partition_of(arn: str) -> str:
    return arn.split(":")[1]


def _region_of(arn: str) -> str:
    return arn.split(":")[3]


def _account_of(iam_arn: str) -> str:
    return iam_arn.split(":")[4]


def _matching(text: str, pattern: re.Pattern[str], wanted: str) -> str:
    if not pattern.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no {wanted}")
    return text


def _stream_arn(text: str) -> str:
    example = "arn:aws:kinesis:us-west-2:222222222222:stream/clicks"
    return _matching(text, _STREAM, f"ARN of a stream, such as {example}")


def _reader_arn(text: str) -> str:
    if ":assumed-role/" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is a session: give the ARN of its role, arn:aws:iam::<account>:role/<name>"
        )
    example = "arn:aws:iam::111111111111:role/spark"
    return _matching(text, _READER, f"ARN of a role or user, such as {example}")


def _key_arn(text: str) -> str:
    example = "arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    return _matching(text, _KEY, f"ARN of a KMS key, such as {example}")


def _role_name(text: str) -> str:
    return _matching(text, _ROLE_NAME, "name of a role: 1 to 64 letters, digits or _+=,.@-")


def _external_id(text: str) -> str:
    try:
        return read_external_id(text)
    except BadValueError as error:
        raise argparse.ArgumentTypeError(f"the external id {error.problem}") from None

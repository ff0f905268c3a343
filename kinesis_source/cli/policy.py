"""``kinesis-source policy``: the IAM policies that reading a stream needs, ready to paste.

Pure text; no call to AWS without ``--check``. With a reader of another account: the role's trust
policy, the role's permissions, and the reader's own permission to assume it.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, TextIO

from kinesis_source.cli.policy_check import check_policies
from kinesis_source.cli.reading import add_option_argument
from kinesis_source.options.identity import read_external_id
from kinesis_source.options.values import BadValueError
from kinesis_source.policies.documents import (
    assume_policy,
    permissions_policy,
    stream_policy,
    trust_policy,
)
from kinesis_source.policies.templates import cloudformation, terraform

__all__ = ["add_command", "write_policies"]

_STREAM = re.compile(
    r"arn:(aws[a-z-]*):kinesis:[a-z0-9-]+:([0-9]{12}):stream/[a-zA-Z0-9_.-]{1,128}"
)
_READER = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):(?:root|(?:user|role)/[!-~]{1,512})")
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[a-zA-Z0-9-]{1,64}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    text = (
        "Print the IAM policies for reading and writing streams, from the same or from another"
        " account; or, with --check, compare them with what an identity may do."
    )
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
        "--access",
        action="append",
        choices=("read", "write", "fan-out"),
        help="what for (default: read); may be repeated",
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
    parser.add_argument(
        "--on-stream",
        action="store_true",
        help="policies of the streams themselves instead of a role, for --reader-arn",
    )
    parser.add_argument(
        "--format",
        choices=("json", "cloudformation", "terraform"),
        default="json",
        help="(default: json)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="ask IAM, or Kinesis itself, what the identity of the options may do",
    )
    add_option_argument(parser, "an option of the source for --check, such as roleArn=...")
    parser.set_defaults(run=lambda given: _run(parser, given))


def _run(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    given.access = given.access or ["read"]
    if given.external_id and not given.reader_arn:
        parser.error("--external-id belongs to a role's trust policy: give --reader-arn as well")
    if given.on_stream and not given.reader_arn:
        parser.error("--on-stream allows somebody: give --reader-arn as well")
    if given.on_stream and (given.external_id or given.format != "json"):
        parser.error("--on-stream has no --external-id, and is printed as JSON only")
    if given.option and not given.check:
        parser.error("--option is for --check")
    if len({_owner(arn) for arn in given.stream_arn}) > 1:
        parser.error("the streams belong to several accounts: each account needs a role of its own")
    if problem := _partition_problem(given) or _key_problem(given):
        parser.error(problem)
    if given.check:
        return check_policies(given.stream_arn, given.access, dict(given.option), sys.stdout)
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
    permissions = permissions_policy(given.stream_arn, given.kms_key_arn, given.access)
    partition, account = _owner(given.stream_arn[0])
    if given.on_stream:
        for arn in given.stream_arn:
            document = stream_policy(arn, given.reader_arn, given.access)
            _write(out, f"Account {account}: resource policy of {arn}", document)
        heading = f"Account {_account_of(given.reader_arn)}: permissions for {given.reader_arn}"
        _write(out, heading, permissions)
        print(f"# Option for the reader: streamARN={','.join(given.stream_arn)}", file=out)
    elif given.reader_arn is None:
        _hand_over(out, given, "Permissions for the identity that Spark runs as", permissions)
    else:
        role_arn = f"arn:{partition}:iam::{account}:role/{given.role_name}"
        _write_role(out, given, role_arn, permissions)
    if given.kms_key_arn is None:
        print(
            "# If the stream is encrypted with a customer managed key, give --kms-key-arn: then\n"
            "# reading needs kms:Decrypt as well, and the key's own policy must allow it.",
            file=out,
        )


def _write_role(
    out: TextIO, given: argparse.Namespace, role_arn: str, permissions: dict[str, Any]
) -> None:
    account = _account_of(role_arn)
    trust = trust_policy(given.reader_arn, given.external_id)
    if given.format == "json":
        _write(out, f"1. Account {account}: trust policy of role {given.role_name}", trust)
        _write(out, f"2. Account {account}: permissions of role {given.role_name}", permissions)
        heading = f"3. Account {_account_of(given.reader_arn)}: permissions for {given.reader_arn}"
        _write(out, heading, assume_policy(role_arn))
    else:
        heading = f"1. Account {account}: role {given.role_name}"
        _hand_over(out, given, heading, permissions, trust)
        heading = f"2. Account {_account_of(given.reader_arn)}: permissions for {given.reader_arn}"
        _hand_over(out, given, heading, assume_policy(role_arn), name="assume-kinesis-reader")
    options = {"roleArn": role_arn}
    if given.external_id:
        options["roleExternalId"] = given.external_id
    print(f"# Options for the reader: {json.dumps(options)}", file=out)


def _hand_over(
    out: TextIO,
    given: argparse.Namespace,
    heading: str,
    permissions: dict[str, Any],
    trust: dict[str, Any] | None = None,
    name: str | None = None,
) -> None:
    name = name or given.role_name
    if given.format == "json":
        _write(out, heading, permissions)
        return
    make = cloudformation if given.format == "cloudformation" else terraform
    print(f"# {heading}\n{make(name, permissions, trust)}\n", file=out)


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

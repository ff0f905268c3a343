"""What commands that read a stream take: which stream, where, as whom."""

from __future__ import annotations

import argparse
from typing import Final

__all__ = ["add_option_argument", "add_reading_options", "reading_options"]

_NAMES: Final = {
    "stream_name": "streamName",
    "stream_arn": "streamARN",
    "region": "region",
    "profile": "awsProfile",
    "role_arn": "roleArn",
    "external_id": "roleExternalId",
    "endpoint_url": "endpointUrl",
}


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which stream, where and as whom."""
    parser.add_argument("stream", nargs="?", help="name or ARN of the stream")
    parser.add_argument("--stream-name", metavar="NAME", help="the same, as an option")
    parser.add_argument("--stream-arn", metavar="ARN", help="the same, by its ARN")
    parser.add_argument("--region", help="default: that of the ARN, else AWS_REGION")
    parser.add_argument("--profile", metavar="NAME", help="of the shared AWS configuration")
    parser.add_argument("--role-arn", metavar="ARN", help="role to assume")
    parser.add_argument("--external-id", metavar="ID", help="that the role asks for")
    parser.add_argument("--endpoint-url", metavar="URL", help="of an emulator or a VPC endpoint")
    add_option_argument(parser, "any other option of the source")


def add_option_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--option NAME=VALUE``; ``what`` says for what."""
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=_named_option,
        metavar="NAME=VALUE",
        help=f"{what}; may be repeated",
    )


def reading_options(given: argparse.Namespace) -> dict[str, str]:
    """Return the arguments as options of the source."""
    options = dict(given.option)
    for name, option in _NAMES.items():
        value = getattr(given, name)
        if value is not None:
            options[option] = value
    if given.stream is not None:
        options["streamARN" if given.stream.startswith("arn:") else "streamName"] = given.stream
    return options


def _named_option(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value

"""``kinesis-source emulator``: the embedded Kinesis as a server of its own, until Ctrl-C.

Runs on the user's machine. The keys it prints open nothing but this emulator.
"""

from __future__ import annotations

import argparse
import threading
from typing import TextIO

from kinesis_source.emulator import Emulator
from kinesis_source.emulator.server import DEFAULT_ACCOUNT

__all__ = ["serve"]


def serve(given: argparse.Namespace, out: TextIO, stop: threading.Event | None = None) -> int:
    """Serve until interrupted.

    Parameters
    ----------
    given : argparse.Namespace
        host, port, account, stream, region, strict_limits.
    out : text file
        Gets the endpoint, the keys and a first command to try.
    stop : threading.Event, optional
        Ends the server as well.

    Returns
    -------
    int
        The exit code, 0.
    """
    settings = {"host": given.host, "port": given.port, "strict_limits": given.strict_limits}
    with Emulator(**settings) as emulator:
        lines = [f"Kinesis and STS at {emulator.endpoint_url}"]
        for account_id in dict.fromkeys(given.account):
            user = emulator.account(account_id).create_user("admin")
            lines += _account_lines(account_id, user.access_key, user.secret_key)
        if not given.account:
            lines += _account_lines(DEFAULT_ACCOUNT, "test", "test")
        owner = emulator.account(given.account[0] if given.account else DEFAULT_ACCOUNT)
        for name, shards in given.stream:
            stream = owner.create_stream(name, shards=shards, region=given.region)
            lines.append(f"Stream {stream.arn} with {shards} shard(s)")
        lines.append(
            f"Try: aws kinesis list-streams --endpoint-url {emulator.endpoint_url}"
            f" --region {given.region}"
        )
        lines += ["In Spark:", *_spark_lines(given, emulator.endpoint_url)]
        lines.append("Ready. Ctrl-C ends it.")
        print("\n".join(lines), file=out, flush=True)
        (stop or threading.Event()).wait()
    return 0


def _spark_lines(given: argparse.Namespace, endpoint_url: str) -> list[str]:
    """Return a query that reads the first stream; keys of other accounts are printed above."""
    name = given.stream[0][0] if given.stream else "<stream>"
    options = {"streamName": name, "region": given.region, "endpointUrl": endpoint_url}
    if not given.account:
        options |= {"awsAccessKey": "test", "awsSecretKey": "test"}
    lines = [f'      .option("{option}", "{value}")' for option, value in options.items()]
    return ['  spark.readStream.format("tecton-kinesis")', *lines, "      .load()"]


def _account_lines(account_id: str, access_key: str, secret_key: str) -> list[str]:
    return [
        f"Account {account_id}",
        f"  export AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key}",
    ]

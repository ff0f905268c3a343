"""The soak's Kinesis, a process of its own: one stream, its owner, and a role that others assume.

Prints one JSON line with what the other processes need, then serves until SIGTERM. Faults come
over HTTP (``/_emulator/faults``). AWS's limits are enforced, and the role's credentials live for
seconds.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from kinesis_source.emulator import Emulator

STREAM = "soak"
REGION = "us-east-1"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--credential-lifetime-s", type=float, required=True)
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Emulator(
        strict_limits=True, seed=given.seed, credential_lifetime_s=given.credential_lifetime_s
    ) as aws:
        owner = aws.account("222222222222")
        stream = owner.create_stream(STREAM, shards=given.shards, region=REGION)
        writer = owner.create_user("writer")
        reader = aws.account("111111111111").create_user("reader")
        role = owner.create_role(
            "soak-reader",
            trusts=[reader.arn],
            external_id="soak-id",
            allow=[
                "kinesis:DescribeStreamSummary",
                "kinesis:ListShards",
                "kinesis:GetShardIterator",
                "kinesis:GetRecords",
            ],
        )
        facts = {
            "endpoint": aws.endpoint_url,
            "stream": stream.name,
            "region": REGION,
            "writer": [writer.access_key, writer.secret_key],
            "reader": [reader.access_key, reader.secret_key],
            "role": role.arn,
            "external_id": "soak-id",
        }
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()

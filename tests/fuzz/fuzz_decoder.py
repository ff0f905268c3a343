"""Fuzzes the native decoder: it takes a body as the Python way and botocore do, or not at all.

    python -m tests.fuzz.fuzz_decoder --seconds 60 [--seed 1]

Prints the seed first; with it, a run repeats. Ends with exit code 1 at the first difference, and
shows the body.
"""

from __future__ import annotations

import argparse
import base64
import json
import sys
import time
from random import Random, SystemRandom

from kinesis_source.errors import OptionError
from kinesis_source.native import NativeDecoder, find_decoder
from tests.fuzz.agreement import check_body, check_rows
from tests.fuzz.odd_replies import PREFIXES, payload, reply_body, spoil


def fuzz(native: NativeDecoder, random: Random, seconds: float) -> dict[str, int]:
    """Check bodies for so long; return what was done."""
    done = {"bodies": 0, "taken natively": 0, "pages of aggregates": 0, "rows": 0}
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        body = spoil(random, reply_body(random))
        for prefix in PREFIXES:
            done["bodies"] += 1
            done["taken natively"] += check_body(native, body, prefix)
        if random.random() < 0.3:
            done["pages of aggregates"] += 1
            done["rows"] += check_rows(
                native,
                sound_body([payload(random) for _ in range(random.randrange(6))]),
                max_rows=random.choice((1, 2, 3, 10_000)),
                max_bytes=random.choice((1, 10, 300, 1 << 24)),
                deaggregate=random.random() < 0.9,
            )
    return done


def sound_body(data: list[bytes]) -> bytes:
    """Return a reply as AWS writes it, with this data."""
    records = [
        {
            "SequenceNumber": str(100 + number),
            "ApproximateArrivalTimestamp": 1_767_225_600.123 + number,
            "Data": base64.b64encode(part).decode(),
            "PartitionKey": f"kéy-{number}",
        }
        for number, part in enumerate(data)
    ]
    return json.dumps({"Records": records, "MillisBehindLatest": 0}).encode()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    try:
        native = find_decoder("native")
    except OptionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    assert native is not None
    say(f"seed {arguments.seed}")
    try:
        done = fuzz(native, Random(arguments.seed), arguments.seconds)  # noqa: S311 - repeatable
    except AssertionError as error:
        sys.stderr.write(f"The decoders differ: {error}\n")
        return 1
    say(", ".join(f"{count:,} {what}" for what, count in done.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

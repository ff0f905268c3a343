"""Which hosts are AWS's, and which of them is Kinesis in which region.

Pure, in every process; the one place that knows. Taken from the data that botocore finds its
endpoints by (``botocore/data/partitions.json``), so that a new partition is known as soon as
botocore knows it. Only that file is read: botocore itself is not imported here.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from pathlib import Path

__all__ = ["is_aws_host", "region_of_kinesis_host"]


def is_aws_host(host: str) -> bool:
    """Say whether a host name is below one of AWS's DNS suffixes."""
    return host.lower().endswith(_suffixes())


def region_of_kinesis_host(host: str) -> str | None:
    """Return the region of one of AWS's hosts of Kinesis; None if it is none."""
    match = _kinesis_host().fullmatch(host.lower())
    return match.group(1) if match is not None else None


@functools.cache
def _suffixes() -> tuple[str, ...]:
    """Return AWS's DNS suffixes, each with its dot in front, of all partitions."""
    spec = importlib.util.find_spec("botocore")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, "data", "partitions.json")
        if path.is_file():
            partitions = json.loads(path.read_text(encoding="utf-8"))["partitions"]
            names = {
                partition["outputs"][kind]
                for partition in partitions
                for kind in ("dnsSuffix", "dualStackDnsSuffix")
                if partition["outputs"].get(kind)
            }
            return tuple(sorted(f".{name}" for name in names))
    # Without botocore nothing can be called; then no host is known, and a URL names its scheme.
    return ()


@functools.cache
def _kinesis_host() -> re.Pattern[str]:
    # Standard, FIPS, dual-stack, account-based and VPC hosts, after AWS's endpoint rules.
    suffixes = "|".join(map(re.escape, _suffixes())) or r"(?!)"
    return re.compile(
        r"(?:.+\.)?(?:control-|data-)?kinesis(?:-fips)?\.([a-z0-9-]+)(?:\.vpce)?"
        rf"(?:{suffixes})"
    )

"""An embedded Amazon Kinesis Data Streams and STS for tests, demos and trying things out.

Standard library only; speaks HTTP on 127.0.0.1 to any AWS SDK. Accounts, users, roles with trust
and external id, temporary credentials that expire, signatures that are checked, resharding with
lineage, retention, strict limits and scripted faults.

    from kinesis_source.emulator import Emulator

    with Emulator() as aws:
        owner = aws.account("222222222222")
        stream = owner.create_stream("clicks", shards=4)
        etl = aws.account("111111111111").create_user("etl")
        role = owner.create_role("reader", trusts=[etl.arn], external_id="abc",
                                 allow=["kinesis:*"])
        stream.put(b"hello", "key")
        aws.faults.add("throttle", operation="GetRecords", count=3)
        # boto3.client("kinesis", endpoint_url=aws.endpoint_url, region_name="us-east-1",
        #              aws_access_key_id=etl.access_key, aws_secret_access_key=etl.secret_key)

The default account 000000000000 has the key pair ``test``/``test``. Streams belong to an account
and a region; the region of a call is the one its signature names. Not emulated: enhanced fan-out,
encryption, metrics, resource policies.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calls import Call
    from .clock import ManualClock
    from .faults import Fault
    from .handles import AccountHandle, StreamHandle
    from .iam import Role, User
    from .limits import Limits
    from .server import Emulator

__all__ = [
    "AccountHandle",
    "Call",
    "Emulator",
    "Fault",
    "Limits",
    "ManualClock",
    "Role",
    "StreamHandle",
    "User",
]

# Loaded on first use: pytest imports this package for the plugin in every run, used or not.
_HOMES = {
    "AccountHandle": "handles",
    "Call": "calls",
    "Emulator": "server",
    "Fault": "faults",
    "Limits": "limits",
    "ManualClock": "clock",
    "Role": "iam",
    "StreamHandle": "handles",
    "User": "iam",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)

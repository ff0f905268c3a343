"""One Kinesis call under way: its parameters, its caller, and the stream it is about.

Resolves StreamName and StreamARN, checks the caller's permission, and reads parameters with AWS's
own refusals. Every operation gets a Context and returns a reply.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from .errors import AwsError, invalid_argument, not_found
from .faults import Fault
from .iam import Credential, refuse_unless
from .limits import LimitKeeper
from .store import Store, stream_arn
from .streams import Stream

_ARN = re.compile(r"arn:aws[-a-z]*:kinesis:([-a-z0-9]+):(\d{12}):stream/([\w.-]{1,128})", re.ASCII)
_NAME = re.compile(r"[\w.-]{1,128}", re.ASCII)


@dataclass
class Context:
    """What an operation works with.

    `stream_name`, `shard_id`, `records` and the client's `port` end up in the log.
    """

    operation: str
    params: dict[str, Any]
    caller: Credential
    region: str
    store: Store
    limits: LimitKeeper
    faults: list[Fault] = field(default_factory=list)
    stream_name: str | None = None
    shard_id: str | None = None
    records: int = 0
    port: int | None = None

    def __post_init__(self) -> None:
        self.now_ms = self.store.now_ms()

    @property
    def now_s(self) -> float:
        """The moment of the call, epoch seconds."""
        return self.now_ms / 1000

    @property
    def account_id(self) -> str:
        """The caller's account."""
        return self.caller.identity.account_id

    def fault(self, kind: str) -> Fault | None:
        """Return the rule of a kind that strikes this call, or None."""
        return next((f for f in self.faults if f.kind == kind), None)

    def faults_of(self, kind: str) -> list[Fault]:
        """Return every rule of a kind that strikes this call."""
        return [f for f in self.faults if f.kind == kind]

    # -- streams ------------------------------------------------------------------------------

    def named_stream(self) -> tuple[str, str, str]:
        """Return account, region and name of the stream the parameters point to."""
        name, arn = self.params.get("StreamName"), self.params.get("StreamARN")
        if arn is not None:
            match = _ARN.fullmatch(str(arn))
            if not match:
                raise invalid_argument(f"StreamARN '{arn}' is not the ARN of a stream.")
            region, account_id, arn_name = match.groups()
            if name is not None and name != arn_name:
                raise invalid_argument(
                    f"StreamName '{name}' and StreamARN '{arn}' name different streams."
                )
            return account_id, region, arn_name
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid_argument(
                "Either StreamName or StreamARN must be given, and StreamName must be 1 to 128 "
                f"characters of [a-zA-Z0-9_.-]; got {name!r}."
            )
        return self.account_id, self.region, name

    def stream(self) -> Stream:
        """Return the stream named by the parameters, permission checked first as AWS does."""
        account_id, region, name = self.named_stream()
        self.authorize(stream_arn(account_id, region, name), account_id)
        if region != self.region:
            raise not_found(f"Stream {name} under account {account_id} not found.")
        stream = self.store.find(account_id, region, name)
        self.limits.take_control(self.operation, stream, self.now_s)
        return stream

    def stream_of_token(self, incarnation: int, name: str) -> Stream:
        """Return the stream a token was made for, permission checked."""
        stream = self.store.by_incarnation(incarnation)
        if stream is None:
            raise not_found(f"Stream {name} under account {self.account_id} not found.")
        self.authorize(stream.arn, stream.account_id)
        self.limits.take_control(self.operation, stream, self.now_s)
        return stream

    def authorize(self, resource: str, account_id: str | None = None) -> None:
        """Refuse with AccessDeniedException unless the caller may do this on `resource`."""
        same = account_id is None or account_id == self.account_id
        refusal = refuse_unless(
            self.caller, f"kinesis:{self.operation}", resource, same_account=same
        )
        if refusal is not None:
            raise AwsError("AccessDeniedException", refusal)

    # -- parameters ---------------------------------------------------------------------------

    def text(self, name: str) -> str:
        """Return a required, non-empty string parameter."""
        value = self.params.get(name)
        if not isinstance(value, str) or not value:
            raise missing(name)
        return value

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """Return an integer parameter within its documented range."""
        value = self.params.get(name, default)
        if value is None:
            raise missing(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise invalid_argument(
                f"1 validation error detected: Value '{value}' at '{name[0].lower()}{name[1:]}' "
                f"failed to satisfy constraint: Member must have value between {low} and {high}"
            )
        return int(value)

    def timestamp_ms(self, name: str, holder: dict[str, Any] | None = None) -> int | None:
        """Return an optional timestamp parameter in epoch milliseconds."""
        value: Any = (self.params if holder is None else holder).get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AwsError("SerializationException", f"{name} must be a number of epoch seconds.")
        # Precision is a millisecond; the small term undoes what a float loses at today's epoch.
        return math.floor(float(value) * 1000 + 0.001)


def missing(name: str) -> AwsError:
    """Return the refusal of a call without a required parameter."""
    return invalid_argument(
        f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' failed to "
        "satisfy constraint: Member must not be null"
    )

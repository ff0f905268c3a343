"""Scripted faults: rules that make chosen calls fail, limp or hang, the same way on every run.

A rule names a kind of fault and which calls it hits: by operation, stream, shard, account, by the
number of the call, by count or by a seeded probability. Rules come from Python
(``aws.faults.add("throttle", operation="GetRecords", count=3)``) or over HTTP
(``POST /_emulator/faults`` with the same names as JSON). Several rules may hit one call; they
compose (a delay and then a throttle), and the first refusal wins.

Kinds
-----
=====================  ==========================================================================
throttle               refused as over its rate (`code` overrides the usual one)
error                  refused with `code`, `message`, `status`
http_error             `status` 500 or 503 with a body in JSON or, with ``html=True``, HTML
reset_before_read      connection reset once the head of the request is in; by operation only
reset_before_work      connection reset after the request was read, nothing done
reset_after_work       the work is done, the reply is lost
reset_mid_body         half of the reply, then a reset
cut_body               half of the reply as a complete HTTP 200, Content-Length of the half
delay                  `delay_s` seconds before the work
hang                   no reply for `delay_s` (default 60) seconds, then a reset
expired_iterator       ExpiredIteratorException
expired_next_token     ExpiredNextTokenException
expired_token          ExpiredTokenException
sts_failure            InternalFailure from STS actions only
no_records             a GetRecords reply without `Records`
no_next_iterator       a GetRecords reply with neither NextShardIterator nor ChildShards
empty_page             no records, MillisBehindLatest > 0, an iterator to the same place
short_page             at most `limit` records (default 1)
iterator_at_end        the last page of a closed shard still has an iterator, and no children
partial_put            a `fraction` of a PutRecords' records is refused with `code`
hide_shard             ListShards leaves out `shard_id`
=====================  ==========================================================================
"""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from random import Random
from typing import Any, NamedTuple

from .errors import AwsError

STS_OPERATIONS = frozenset({"AssumeRole", "GetCallerIdentity", "GetSessionToken"})
_LIMIT_OPERATIONS_PREFIXES = ("List", "Describe", "Create", "Delete", "Update", "Split", "Merge")

# The kinds that make sense for one operation only match that one.
_ONLY_FOR = {
    "expired_iterator": frozenset({"GetRecords"}),
    "expired_next_token": frozenset({"ListShards", "ListStreams"}),
    "sts_failure": STS_OPERATIONS,
    "no_records": frozenset({"GetRecords"}),
    "no_next_iterator": frozenset({"GetRecords"}),
    "empty_page": frozenset({"GetRecords"}),
    "short_page": frozenset({"GetRecords"}),
    "iterator_at_end": frozenset({"GetRecords"}),
    "partial_put": frozenset({"PutRecords"}),
    "hide_shard": frozenset({"ListShards"}),
}
REFUSALS = frozenset(
    {"throttle", "error", "expired_iterator", "expired_next_token", "expired_token", "sts_failure"}
)
TRANSPORT = frozenset(
    {
        "http_error",
        "reset_before_read",
        "reset_before_work",
        "reset_after_work",
        "reset_mid_body",
        "cut_body",
        "delay",
        "hang",
    }
)
KINDS = REFUSALS | TRANSPORT | frozenset(_ONLY_FOR)


class Target(NamedTuple):
    """The call a rule is held against; None where the call has no such thing."""

    operation: str
    account_id: str | None = None
    stream: str | None = None
    shard_id: str | None = None


@dataclass
class Fault:
    """One rule. Empty conditions match every call.

    Parameters
    ----------
    kind : str
        See the module's table.
    operation, stream, shard_id, account_id : str, optional
        Which calls.
    nth : int, optional, >= 1
        Only the n-th call that the conditions above match.
    after : int, default 0
        Let this many matching calls pass first.
    count : int, optional
        Hit at most this many calls, then rest.
    probability : float, 0..1, default 1
        Hit this share of the matching calls; seeded, so that runs repeat.
    """

    kind: str
    operation: str | None = None
    stream: str | None = None
    shard_id: str | None = None
    account_id: str | None = None
    nth: int | None = None
    after: int = 0
    count: int | None = None
    probability: float = 1.0
    code: str | None = None
    message: str | None = None
    status: int | None = None
    html: bool = False
    delay_s: float | None = None
    limit: int = 1
    fraction: float = 0.5
    rule_id: int = 0
    seen: int = 0
    hits: int = 0
    random: Random = field(default_factory=Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Unknown fault kind '{self.kind}'. Known: {', '.join(sorted(KINDS))}")
        if self.kind == "reset_before_read" and (self.stream or self.shard_id or self.account_id):
            raise ValueError(
                "reset_before_read happens before stream and shard are known: match it by "
                "operation only, or use reset_before_work."
            )
        if self.kind == "hide_shard" and not self.shard_id:
            raise ValueError("hide_shard needs shard_id: the shard ListShards shall leave out.")

    def hit(self, target: Target) -> bool:
        """Count a call and return whether this rule strikes it."""
        if not self._matches(target):
            return False
        self.seen += 1
        wanted = self.seen == self.nth if self.nth is not None else self.seen > self.after
        if not wanted or (self.count is not None and self.hits >= self.count):
            return False
        if self.probability < 1.0 and self.random.random() >= self.probability:
            return False
        self.hits += 1
        return True

    def _matches(self, target: Target) -> bool:
        only = _ONLY_FOR.get(self.kind)
        shard_id = None if self.kind == "hide_shard" else self.shard_id
        return (
            (only is None or target.operation in only)
            and self.operation in {None, target.operation}
            and self.stream in {None, target.stream}
            and shard_id in {None, target.shard_id}
            and self.account_id in {None, target.account_id}
        )

    def error(self, operation: str) -> AwsError:
        """Return the refusal this rule stands for."""
        codes = {
            "throttle": _throttle_code(operation),
            "expired_iterator": "ExpiredIteratorException",
            "expired_next_token": "ExpiredNextTokenException",
            "expired_token": "ExpiredTokenException",
        }
        code = self.code or codes.get(self.kind, "InternalFailureException")
        server_fault = code in {"InternalFailureException", "InternalFailure"}
        status = self.status or (500 if server_fault else 400)
        return AwsError(code, self.message or _MESSAGES.get(self.kind, "Injected fault."), status)

    def show(self) -> dict[str, Any]:
        """Return the rule as JSON values."""
        hidden = {"random"}
        return {k: v for k, v in asdict(self).items() if k not in hidden and v is not None}


_MESSAGES = {
    "throttle": "Rate exceeded for this call (injected).",
    "expired_iterator": "Iterator expired (injected).",
    "expired_next_token": "NextToken expired (injected).",
    "expired_token": "The security token included in the request is expired",
    "sts_failure": "STS failed (injected).",
}
_SETTABLE = {f.name for f in fields(Fault)} - {"rule_id", "seen", "hits", "random"}


def _throttle_code(operation: str) -> str:
    if operation in STS_OPERATIONS:
        return "Throttling"
    if operation.startswith(_LIMIT_OPERATIONS_PREFIXES):
        return "LimitExceededException"
    return "ProvisionedThroughputExceededException"


class Faults:
    """The rules in force, thread-safe.

    Parameters
    ----------
    seed : int
        Seeds the probabilities; each rule has its own generator, made from seed and rule id.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._lock = threading.Lock()
        self._rules: dict[int, Fault] = {}
        self._last_id = 0

    def add(self, kind: str, **conditions: Any) -> Fault:
        """Add a rule; see `Fault` for the conditions."""
        return self.add_rule({"kind": kind, **conditions})

    def add_rule(self, settings: Mapping[str, Any]) -> Fault:
        """Add a rule given as a mapping, as the HTTP interface does."""
        unknown = sorted(set(settings) - _SETTABLE)
        if unknown or "kind" not in settings:
            raise ValueError(
                f"A fault needs 'kind' and knows {sorted(_SETTABLE)}; not known: {unknown}."
            )
        fault = Fault(**settings)
        with self._lock:
            self._last_id += 1
            fault.rule_id = self._last_id
            fault.random = Random(f"{self._seed}:{fault.rule_id}")  # noqa: S311 - no secret
            self._rules[fault.rule_id] = fault
        return fault

    def remove(self, rule: Fault | int) -> bool:
        """Remove a rule; return whether it was there."""
        rule_id = rule if isinstance(rule, int) else rule.rule_id
        with self._lock:
            return self._rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        """Remove every rule and begin the seeded sequence anew."""
        with self._lock:
            self._rules.clear()
            self._last_id = 0

    def select(self, target: Target, *, early: bool = False) -> list[Fault]:
        """Return the rules that strike this call and count it.

        `early` asks for the rules that act before the request's body is read, else for the rest.
        """
        if not self._rules:
            return []
        with self._lock:
            return [
                fault
                for fault in self._rules.values()
                if (fault.kind == "reset_before_read") == early and fault.hit(target)
            ]

    def rules(self) -> list[Fault]:
        """Return the rules in the order they were added."""
        with self._lock:
            return [*self._rules.values()]

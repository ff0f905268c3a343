"""All streams of all accounts and regions, found by name or ARN.

Thread-safe. Time comes from the injected clock only. Nothing here knows HTTP, signatures or
permissions.
"""

import secrets
import threading

from .clock import Clock, milliseconds
from .errors import AwsError, not_found
from .streams import ArrivalHook, Stream
from .tokens import TokenSealer

ON_DEMAND_SHARDS = 4  # AWS documentation: a new on-demand stream starts with four shards.
DEFAULT_SHARD_LIMIT = 20_000
ON_DEMAND_STREAM_LIMIT = 50


def partition_of(region: str) -> str:
    """Return the ARN partition of a region."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def stream_arn(account_id: str, region: str, name: str) -> str:
    """Return the ARN of a stream."""
    return f"arn:{partition_of(region)}:kinesis:{region}:{account_id}:stream/{name}"


class Store:
    """The streams of one emulator.

    Parameters
    ----------
    clock : callable
        Epoch seconds.
    delay_s : float, seconds, default 0
        How long CREATING, UPDATING and DELETING last.
    shard_limit : int
        Open shards an account may have in a region.
    """

    def __init__(
        self, clock: Clock, *, delay_s: float = 0.0, shard_limit: int = DEFAULT_SHARD_LIMIT
    ) -> None:
        self.clock = clock
        self.shard_limit = shard_limit
        self.sealer = TokenSealer(secrets.token_bytes(16))
        self.arrival_hook: ArrivalHook | None = None
        self._delay_ms = round(delay_s * 1000)
        self._lock = threading.RLock()
        self._streams: dict[tuple[str, str, str], Stream] = {}
        self._by_incarnation: dict[int, Stream] = {}
        self._incarnations = 0

    def now_ms(self) -> int:
        """Return the clock in epoch milliseconds."""
        return milliseconds(self.clock)

    def create(
        self, account_id: str, region: str, name: str, shard_count: int, mode: str = "PROVISIONED"
    ) -> Stream:
        """Create a stream; ResourceInUseException when the name is taken."""
        with self._lock:
            if self._find(account_id, region, name) is not None:
                raise AwsError(
                    "ResourceInUseException",
                    f"Stream {name} under account {account_id} already exists.",
                )
            self.require_room(account_id, region, shard_count)
            self._incarnations += 1
            stream = Stream(
                name,
                account_id,
                stream_arn(account_id, region, name),
                self._incarnations,
                shard_count,
                self.now_ms(),
                mode=mode,
                delay_ms=self._delay_ms,
            )
            stream.arrival_hook = self._arrival
            self._streams[account_id, region, name] = stream
            self._by_incarnation[stream.incarnation] = stream
            return stream

    def require_free(self, incarnation: int) -> None:
        """Refuse a snapshot's incarnation that a stream here has: tokens would be ambiguous."""
        taken = self.by_incarnation(incarnation)
        if taken is not None:
            raise ValueError(f"Stream {taken.name} has the snapshot's number {incarnation}.")

    def renumber(self, stream: Stream, incarnation: int) -> None:
        """Give a new stream the incarnation of a snapshot; later streams get higher ones."""
        with self._lock:
            del self._by_incarnation[stream.incarnation]
            stream.incarnation = incarnation
            self._by_incarnation[incarnation] = stream
            self._incarnations = max(self._incarnations, incarnation)

    def delete(self, stream: Stream) -> None:
        """Begin to delete a stream."""
        stream.mark_deleted(self.now_ms())

    def find(self, account_id: str, region: str, name: str) -> Stream:
        """Return a stream by name; ResourceNotFoundException when there is none."""
        with self._lock:
            stream = self._find(account_id, region, name)
        if stream is None:
            raise not_found(f"Stream {name} under account {account_id} not found.")
        return stream

    def by_incarnation(self, incarnation: int) -> Stream | None:
        """Return the very stream a token was made for, even if its name has been taken over."""
        with self._lock:
            stream = self._by_incarnation.get(incarnation)
            if stream is None or not stream.is_gone(self.now_ms()):
                return stream
            del self._by_incarnation[incarnation]
            return None

    def of_account(self, account_id: str, region: str) -> list[Stream]:
        """Return an account's streams by name."""
        with self._lock:
            names = sorted(n for a, r, n in self._streams if (a, r) == (account_id, region))
            found = (self._find(account_id, region, name) for name in names)
            return [stream for stream in found if stream is not None]

    def require_room(self, account_id: str, region: str, more: int) -> None:
        """Refuse to go over the account's shard limit."""
        used = sum(len(s.open_shards()) for s in self.of_account(account_id, region))
        if used + more > self.shard_limit:
            raise AwsError(
                "LimitExceededException",
                f"This request would exceed the shard limit for the account {account_id} in "
                f"{region}. Current shard count for the account: {used}. "
                f"Limit: {self.shard_limit}. Number of additional shards that would have resulted "
                f"from this request: {more}.",
            )

    def clear(self) -> None:
        """Forget every stream; numbers given to new ones stay new."""
        with self._lock:
            self._streams.clear()
            self._by_incarnation.clear()

    def _arrival(self, name: str, shard_id: str, now_ms: int) -> int:
        hook = self.arrival_hook
        return now_ms if hook is None else hook(name, shard_id, now_ms)

    def _find(self, account_id: str, region: str, name: str) -> Stream | None:
        stream = self._streams.get((account_id, region, name))
        if stream is not None and stream.is_gone(self.now_ms()):
            del self._streams[account_id, region, name]
            self._by_incarnation.pop(stream.incarnation, None)
            return None
        return stream

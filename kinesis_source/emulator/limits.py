"""Strict limits, off by default: the call and byte rates AWS documents, kept to the letter.

Read side, per shard: 5 GetRecords calls/s, 2 MiB/s, and a page beyond that blocks the shard for as
long as its bytes would have taken (10 MiB: 5 s); 5 GetShardIterator calls/s. Write side, per shard:
1000 records/s and 1 MiB/s. Control side: ListShards per stream, DescribeStream and
DescribeStreamSummary per account. Refused calls do not count against a rate.

Time is the emulator's clock: with a clock that stands still a limit never clears.
"""

import threading
from collections import deque
from dataclasses import dataclass

from .errors import AwsError, limit_exceeded, throttled
from .streams import Stream

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Rates per second. The defaults are AWS's; None of them applies unless limits are strict."""

    get_records_per_shard: int = 5
    read_bytes_per_shard: int = 2 * MIB
    get_shard_iterator_per_shard: int = 5
    list_shards_per_stream: int = 100
    describe_stream_per_account: int = 10
    describe_stream_summary_per_account: int = 20
    put_records_per_shard: int = 1000
    put_bytes_per_shard: int = MIB


class _CallRate:
    """At most `limit` (weighted) calls in any window of one second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._calls: deque[tuple[float, int]] = deque()
        self._sum = 0

    def has_room(self, now_s: float, weight: int = 1) -> bool:
        while self._calls and self._calls[0][0] <= now_s - 1.0:
            self._sum -= self._calls.popleft()[1]
        return self._sum + weight <= self._limit

    def take(self, now_s: float, weight: int = 1) -> None:
        self._calls.append((now_s, weight))
        self._sum += weight


class _ByteRate:
    """Bytes per second, counted in windows that begin with a call; excess blocks what follows."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._window_start_s = float("-inf")
        self._used = 0
        self._blocked_until_s = float("-inf")

    def is_blocked(self, now_s: float) -> bool:
        return now_s < self._blocked_until_s

    def has_room(self, now_s: float, size: int) -> bool:
        # A lone record larger than the rate passes and blocks the shard for longer instead:
        # AWS takes records of up to 10 MiB on shards of 1 MiB/s.
        if self.is_blocked(now_s):
            return False
        fresh = now_s >= self._window_start_s + 1.0
        return fresh or self._used == 0 or self._used + size <= self._rate

    def take(self, now_s: float, size: int) -> None:
        if now_s >= self._window_start_s + 1.0:
            self._window_start_s, self._used = now_s, 0
        self._used += size
        if self._used >= self._rate:
            self._blocked_until_s = self._window_start_s + self._used / self._rate


class LimitKeeper:
    """Enforces limits; every method returns at once when `limits` is None."""

    def __init__(self, limits: Limits | None) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._calls: dict[tuple[object, ...], _CallRate] = {}
        self._bytes: dict[tuple[object, ...], _ByteRate] = {}

    def clear(self) -> None:
        """Forget what was used."""
        with self._lock:
            self._calls.clear()
            self._bytes.clear()

    def take_control(self, operation: str, stream: Stream, now_s: float) -> None:
        """Count a control call, or refuse it with LimitExceededException."""
        if self.limits is None:
            return
        rates = {
            "ListShards": (self.limits.list_shards_per_stream, stream.arn),
            "DescribeStream": (self.limits.describe_stream_per_account, stream.account_id),
            "DescribeStreamSummary": (
                self.limits.describe_stream_summary_per_account,
                stream.account_id,
            ),
        }
        if operation in rates:
            limit, owner = rates[operation]
            refusal = limit_exceeded(
                f"Rate exceeded for stream {stream.name} under account {stream.account_id}."
            )
            self._take((operation, owner), limit, now_s, refusal)

    def take_iterator(self, stream: Stream, shard_id: str, now_s: float) -> None:
        """Count a GetShardIterator call of a shard, or refuse it."""
        if self.limits is not None:
            limit = self.limits.get_shard_iterator_per_shard
            key = ("GetShardIterator", stream.incarnation, shard_id)
            self._take(key, limit, now_s, _shard_refusal(stream, shard_id))

    def take_read(self, stream: Stream, shard_id: str, now_s: float) -> None:
        """Count a GetRecords call of a shard, or refuse it, by calls or by bytes read before."""
        if self.limits is None:
            return
        key = ("GetRecords", stream.incarnation, shard_id)
        refusal = _shard_refusal(stream, shard_id)
        with self._lock:
            if self._byte_rate(key, self.limits.read_bytes_per_shard).is_blocked(now_s):
                raise refusal
        self._take(key, self.limits.get_records_per_shard, now_s, refusal)

    def add_read_bytes(self, stream: Stream, shard_id: str, size: int, now_s: float) -> None:
        """Charge the bytes of a page to its shard."""
        if self.limits is None:
            return
        key = ("GetRecords", stream.incarnation, shard_id)
        with self._lock:
            self._byte_rate(key, self.limits.read_bytes_per_shard).take(now_s, size)

    def try_put(self, stream: Stream, shard_id: str, size: int, now_s: float) -> bool:
        """Count one record on its way into a shard; False when the shard is over its rate."""
        if self.limits is None:
            return True
        key = ("Put", stream.incarnation, shard_id)
        with self._lock:
            calls = self._call_rate(key, self.limits.put_records_per_shard)
            volume = self._byte_rate(key, self.limits.put_bytes_per_shard)
            if not (calls.has_room(now_s) and volume.has_room(now_s, size)):
                return False
            calls.take(now_s)
            volume.take(now_s, size)
            return True

    def _take(self, key: tuple[object, ...], limit: int, now_s: float, refusal: AwsError) -> None:
        with self._lock:
            rate = self._call_rate(key, limit)
            if not rate.has_room(now_s):
                raise refusal
            rate.take(now_s)

    def _call_rate(self, key: tuple[object, ...], limit: int) -> _CallRate:
        return self._calls.setdefault(key, _CallRate(limit))

    def _byte_rate(self, key: tuple[object, ...], rate: int) -> _ByteRate:
        return self._bytes.setdefault(key, _ByteRate(rate))


def _shard_refusal(stream: Stream, shard_id: str) -> AwsError:
    return throttled(
        f"Rate exceeded for shard {shard_id} in stream {stream.name} "
        f"under account {stream.account_id}."
    )


def put_refusal(stream: Stream, shard_id: str) -> AwsError:
    """Return the refusal of a put over the shard's rate."""
    return _shard_refusal(stream, shard_id)

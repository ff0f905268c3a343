"""StreamApi: what the source asks of Kinesis, as one small interface.

Runs on driver and executors. The rooms above see only this Protocol and its values, so that the
frontier and the reader can be tested against a simulated stream. The one implementation that speaks
to AWS is :class:`kinesis_source.aws.client.BotoStreamApi`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.positions import Position
from kinesis_source.model.shards import Shard
from kinesis_source.native import total_length
from kinesis_source.options.settings import StreamSettings

__all__ = [
    "ALL_DATA",
    "NO_DATA",
    "IteratorExpiredError",
    "Page",
    "PositionRefusedError",
    "RecordApi",
    "StreamApi",
    "StreamDescription",
]


ALL_DATA: Final = b""
NO_DATA: Final = None
"""Values of ``data_prefix``, see :meth:`StreamApi.get_page`."""


class IteratorExpiredError(Exception):
    """A shard iterator is older than five minutes: ask for a new one after the last record read."""


class PositionRefusedError(Exception):
    """AWS refused a position: a moment in the future, or a sequence number of another stream."""


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """A stream, as DescribeStreamSummary shows it.

    Parameters
    ----------
    arn : str
    status : str
        CREATING, DELETING, ACTIVE or UPDATING.
    created_ms : int
        Tells a re-created stream from its predecessor.
    retention_ms : int
    most_record_bytes : int
        Of data and partition key.
    kms_key : str
        Id, ARN or alias of the key that encrypts the records; "" if none does.
    """

    arn: str
    status: str
    created_ms: int
    retention_ms: int
    most_record_bytes: int = 1024 * 1024
    kms_key: str = ""


@dataclass(frozen=True)
class Page:
    """One GetRecords reply, as columns: index i of each is record i.

    They are lists, or columns of the native decoder, of which only what is looked at becomes
    Python objects.

    Parameters
    ----------
    sequence_numbers, partition_keys : sequence of str
    arrival_ms : sequence of int
        Approximate arrival times; not necessarily rising.
    data : sequence of bytes
        Empty if nobody wants it, see :meth:`StreamApi.get_page`.
    next_iterator : str or None
        None at the end of a closed shard, and in damaged replies.
    millis_behind_latest : int
        0: nothing newer was there.
    child_shard_ids : tuple of str
        Set only in the reply that ends a closed shard.
    skipped_bytes : int
        How much data was not decoded; two bytes a record more at most.
    """

    sequence_numbers: Sequence[str]
    partition_keys: Sequence[str]
    arrival_ms: Sequence[int]
    data: Sequence[bytes]
    next_iterator: str | None
    millis_behind_latest: int
    child_shard_ids: tuple[str, ...] = ()
    skipped_bytes: int = 0

    def __len__(self) -> int:
        return len(self.sequence_numbers)

    @cached_property
    def data_bytes(self) -> int:
        """How much data the records hold, decoded or not."""
        return self.skipped_bytes or total_length(self.data)

    @cached_property
    def size_bytes(self) -> int:
        """What AWS counts of a page: its data, and about a byte for each character of its keys."""
        return self.data_bytes + total_length(self.partition_keys)

    @property
    def is_shard_end(self) -> bool:
        """Whether the reply proves that the shard is closed and read to its end."""
        return self.next_iterator is None and bool(self.child_shard_ids)


class StreamApi(Protocol):
    """The calls the source makes. Thread-safe.

    Every call repeats what can be repeated (throttling, 5xx, broken connections, cut replies,
    expired credentials) with jittered back-off inside the retry budget, and raises an error of
    :mod:`kinesis_source.errors` when that is spent, or at once when repeating cannot help.
    The error's ``is_worth_repeating`` says which: True where the same call may succeed later with
    nothing changed. ``IteratorExpiredError`` and ``PositionRefusedError`` are answers, and final.
    """

    def trying_once(self) -> StreamApi:
        """Return this api with calls that make one try each.

        Connection, identity and clock are the same. What can be repeated is raised at once, with no
        sleep, as an error whose ``is_worth_repeating`` is True: "later" for a caller that looks
        again anyway. Only credentials that AWS calls expired (or a signature that AWS calls old)
        are still renewed, and the call made again, once.

        Returns
        -------
        StreamApi
            The same object each time; itself if it is one that tries once.
        """
        ...

    def describe(self, stream: StreamSettings) -> StreamDescription:
        """Describe a stream."""
        ...

    def list_shards(
        self, stream: StreamSettings, open_at_ms: int | None = None
    ) -> tuple[Shard, ...]:
        """List shards, all pages: all that are kept, or those that were open at a moment.

        Raises
        ------
        PositionRefusedError
            AWS does not take ``open_at_ms`` (older than the retention, or in the future).
        """
        ...

    def get_iterator(
        self,
        stream: StreamSettings,
        shard_id: str,
        position: Position,
        *,
        inclusive: bool = False,
    ) -> str:
        """Return an iterator for the records behind a position (END is not allowed).

        With ``inclusive``, one that begins with the record of the position itself.

        Raises
        ------
        PositionRefusedError
            AWS does not take the position.
        """
        ...

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = ALL_DATA,
    ) -> Page:
        """Read one page of 1 to ``limit`` (at most 10,000) records, or an empty one.

        Decoding data costs most. With ``data_prefix`` it is left out, unless some record's data
        begins so; NO_DATA: always. A page may have it all the same.

        Raises
        ------
        IteratorExpiredError
            The iterator is too old.
        """
        ...

    def now_ms(self) -> int:
        """Return a lower bound of AWS's clock, ms since 1970: never ahead of it.

        The largest, over all replies so far, of the reply's Date header plus the time that passed
        since by this machine's monotonic clock (the Date header has whole seconds, so the bound is
        at most about a second late). Makes one call if there was no reply yet.
        """
        ...

    def refute_now(self, moment_ms: int) -> None:
        """Take note that AWS refused a moment as future which ``now_ms`` had called past.

        What the clock believed is disproved: it forgets it and takes the next replies anew, and
        until later replies bear it out, ``now_ms`` returns no moment that lies at or behind
        ``moment_ms`` and the time passed since. ``get_iterator`` does this by itself. No effect if
        ``now_ms`` never promised that moment.
        """
        ...


class RecordApi(StreamApi, Protocol):
    """The calls of who writes, too. Thread-safe; repeated as those of StreamApi."""

    def trying_once(self) -> RecordApi:
        """Return this api with calls that make one try each, see StreamApi."""
        ...

    def put_records(self, stream: StreamSettings, records: Sequence[OutRecord]) -> list[PutOutcome]:
        """Put up to 500 records; each stands or falls alone.

        A call that fails as a whole is repeated, and may have been obeyed before: at least once.
        """
        ...

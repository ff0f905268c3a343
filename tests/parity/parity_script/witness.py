"""A place that speaks Kinesis and STS, and what the script asks it with.

Runs in the process of pytest, over HTTP, through plain boto3: nothing of the project is involved.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from botocore.exceptions import ClientError

__all__ = ["OBSERVATIONS", "Connect", "Observation", "Stream", "Witness", "observation", "outcome"]

WAIT_S = 20.0

Shard = dict[str, Any]
Page = dict[str, Any]


class Connect(Protocol):
    """Makes a boto3 client for an account, or for the credentials of a role."""

    def __call__(
        self, service: str, account: str | None = None, role: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the client."""
        ...


@dataclass(frozen=True)
class Witness:
    """One emulator.

    Parameters
    ----------
    name : str
        Its column in :mod:`~.differences`.
    endpoint_url : str
    account, region : str
        Of callers that name none.
    connect : Connect
    make_role : callable
        Account, name and external id (or None) -> ARN of a role there that ``account`` may assume.
    """

    name: str
    endpoint_url: str
    account: str
    region: str
    connect: Connect
    make_role: Callable[[str, str, str | None], str]

    def stream(self, shards: int = 1, account: str | None = None) -> Stream:
        """Create a stream and wait until it is ACTIVE."""
        # A name that comes back within a second can bring old sequence numbers with it.
        stream = Stream(self.connect("kinesis", account=account), f"parity-{uuid.uuid4().hex[:12]}")
        stream.client.create_stream(StreamName=stream.name, ShardCount=shards)
        stream.wait_active()
        return stream


@dataclass(frozen=True)
class Stream:
    """A stream and short forms of the calls on it."""

    client: Any
    name: str

    def summary(self) -> dict[str, Any]:
        """Describe the stream."""
        reply = self.client.describe_stream_summary(StreamName=self.name)
        return dict(reply["StreamDescriptionSummary"])

    def wait_active(self) -> None:
        """Wait while it is CREATING or UPDATING."""
        wait_for(lambda: self.summary()["StreamStatus"] == "ACTIVE", f"{self.name} is ACTIVE")

    @cached_property
    def arn(self) -> str:
        """The stream's ARN."""
        return str(self.summary()["StreamARN"])

    def put(self, data: str, shard: Shard | None = None, key: str = "key") -> Any:
        """Put a record, into a shard or by its key; return the reply."""
        place = {"ExplicitHashKey": shard["HashKeyRange"]["StartingHashKey"]} if shard else {}
        return self.client.put_record(
            StreamName=self.name, Data=data.encode(), PartitionKey=key, **place
        )

    def put_all(self, count: int, shard: Shard | None = None) -> list[str]:
        """Put records "0", "1", ... into a shard; return their sequence numbers."""
        return [self.put(str(n), shard)["SequenceNumber"] for n in range(count)]

    def shards(self, **filters: Any) -> list[Shard]:
        """List shards, first page only."""
        return list(self.client.list_shards(StreamName=self.name, **filters)["Shards"])

    def split(self, shard: Shard, at: int | None = None) -> list[Shard]:
        """Split a shard (in the middle); return its children by hash range."""
        low, high = hash_range(shard)
        self.client.split_shard(
            StreamName=self.name,
            ShardToSplit=shard["ShardId"],
            NewStartingHashKey=str((low + high) // 2 + 1 if at is None else at),
        )
        self.wait_active()
        children = [s for s in self.shards() if s.get("ParentShardId") == shard["ShardId"]]
        return sorted(children, key=hash_range)

    def merge(self, first: Shard, second: Shard) -> Shard:
        """Merge two shards; return the child."""
        self.client.merge_shards(
            StreamName=self.name,
            ShardToMerge=first["ShardId"],
            AdjacentShardToMerge=second["ShardId"],
        )
        self.wait_active()
        return next(s for s in self.shards() if s.get("ParentShardId") == first["ShardId"])

    def iterator(self, shard: Shard, kind: str = "TRIM_HORIZON", **where: Any) -> str:
        """Get an iterator."""
        reply = self.client.get_shard_iterator(
            StreamName=self.name, ShardId=shard["ShardId"], ShardIteratorType=kind, **where
        )
        return str(reply["ShardIterator"])

    def page(self, iterator: str, limit: int = 1000) -> Page:
        """Get one page."""
        return dict(self.client.get_records(ShardIterator=iterator, Limit=limit))

    def pages(self, iterator: str | None, limit: int = 1000) -> list[Page]:
        """Get pages until the shard's end or an empty page that is caught up."""
        pages: list[Page] = []
        deadline = time.monotonic() + WAIT_S
        while iterator is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: no end of pages within {WAIT_S:.0f} s")
            pages.append(self.page(iterator, limit))
            iterator = pages[-1].get("NextShardIterator")
            if not pages[-1]["Records"] and pages[-1]["MillisBehindLatest"] == 0:
                break
        return pages

    def read(self, shard: Shard, kind: str = "TRIM_HORIZON", **where: Any) -> list[str]:
        """Return the data of all records from a position on."""
        pages = self.pages(self.iterator(shard, kind, **where))
        return [text for page in pages for text in texts(page)]


def texts(page: Page) -> list[str]:
    """Return the data of a page's records."""
    return [record["Data"].decode() for record in page["Records"]]


def hash_range(shard: Shard) -> tuple[int, int]:
    """Return a shard's hash keys, first and last."""
    keys = shard["HashKeyRange"]
    return int(keys["StartingHashKey"]), int(keys["EndingHashKey"])


def wait_for(is_true: Callable[[], bool], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT_S:.0f} s: {what}")
        time.sleep(0.05)


def outcome(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """Return "ok" or the code of the error that a call was answered with."""
    try:
        call(*arguments, **named)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


Observation = Callable[[Witness], object]

OBSERVATIONS: dict[str, Observation] = {}
"""The script: every observation by its name."""


def observation(look: Observation) -> Observation:
    """Add a function to the script."""
    if look.__name__ in OBSERVATIONS:
        raise ValueError(f"two observations are named {look.__name__}")
    OBSERVATIONS[look.__name__] = look
    return look

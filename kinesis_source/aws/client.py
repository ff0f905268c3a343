"""BotoStreamApi: the StreamApi that speaks to AWS, through botocore.

Runs on driver and executors. Pickles as its settings alone; :func:`stream_api` keeps one for each
process and settings. In: settings and positions. Out: values of :mod:`kinesis_source.aws.api`, or
an error of :mod:`kinesis_source.errors` that names operation, stream, region, shard, tries and
request id.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from botocore import exceptions as boto

from kinesis_source.aws.api import (
    ALL_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamDescription,
)
from kinesis_source.aws.caller import Caller, MappedErrors
from kinesis_source.aws.credentials import Identity
from kinesis_source.aws.decode import (
    decode_body,
    decode_iterator,
    decode_outcomes,
    page_from_reply,
)
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.failures import aws_text, error_code
from kinesis_source.aws.replies import LIST_REPLY_BYTES, page_bytes
from kinesis_source.aws.retry import IncompleteReplyError, RetryPolicy
from kinesis_source.aws.shapes import (
    description_of,
    entry_of,
    incomplete,
    iterator_type,
    member,
    named,
    outcomes_of,
    shard_of,
)
from kinesis_source.aws.timestamps import from_epoch_ms, told_time_ms
from kinesis_source.errors import KinesisSourceError, ServiceError
from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.positions import AtTimestamp, Position
from kinesis_source.model.shards import Shard
from kinesis_source.native import find_decoder
from kinesis_source.options.settings import ClientSettings, StreamSettings

__all__ = ["BotoStreamApi", "stream_api"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# AWS's most for one page of ListShards.
_SHARDS_PER_PAGE: Final = 1_000
# A token lives 300 s; 20,000 shards take 20 pages.
_LISTING_RESTARTS: Final = 3
# A million shards: AWS's largest streams have some ten thousand.
_MOST_PAGES: Final = 1_000
# AWS's listings may hold an empty page before the last one; not many in a row.
_FRUITLESS_PAGES: Final = 10
# Clients kept in one process; each holds its settings, keys included.
_CLIENTS_KEPT: Final = 32

_clients: dict[ClientSettings, BotoStreamApi] = {}
_clients_lock = threading.Lock()


def stream_api(settings: ClientSettings) -> BotoStreamApi:
    """Return this process's client for the settings. Thread-safe."""
    with _clients_lock:
        api = _clients.pop(settings, None) or BotoStreamApi(settings)
        _clients[settings] = api  # the last used comes last
        while len(_clients) > _CLIENTS_KEPT:
            del _clients[next(iter(_clients))]
    return api


def _stream_api_trying_once(settings: ClientSettings) -> BotoStreamApi:
    return stream_api(settings).trying_once()


def _forget_after_fork() -> None:
    """Let a forked worker make clients of its own."""
    global _clients_lock  # noqa: PLW0603 - the old lock may be held by a thread that is not here
    _clients_lock = threading.Lock()
    _clients.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(after_in_child=_forget_after_fork)


class BotoStreamApi:
    """Kinesis through botocore. Thread-safe; connects with the first call.

    Parameters
    ----------
    settings : ClientSettings
    policy : RetryPolicy or None
        None: one with the settings' budget.
    caller : Caller or None
        What another api for the same settings holds; None: an own one.
    """

    def __init__(
        self,
        settings: ClientSettings,
        policy: RetryPolicy | None = None,
        caller: Caller | None = None,
    ) -> None:
        self.settings = settings
        self._policy = policy or RetryPolicy(settings.retry_budget_ms)
        self._caller = caller or Caller(settings, self._policy)
        self._native = find_decoder(settings.decoder)

    def __reduce__(self) -> tuple[Callable[[ClientSettings], BotoStreamApi], tuple[ClientSettings]]:
        """Pickle as the settings: connections and credentials stay in their process."""
        get = _stream_api_trying_once if self._policy.tries_once else stream_api
        return (get, (self.settings,))

    def __repr__(self) -> str:
        return f"BotoStreamApi(region={self.settings.region!r})"

    @property
    def identity(self) -> Identity:
        """Who calls."""
        return self._caller.identity

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        self._caller.close()

    def trying_once(self) -> BotoStreamApi:
        """Return the api that repeats nothing, see StreamApi."""
        if self._policy.tries_once:
            return self
        return self._trying_once

    @functools.cached_property
    def _trying_once(self) -> BotoStreamApi:
        policy = dataclasses.replace(self._policy, tries_once=True)
        return BotoStreamApi(self.settings, policy, self._caller)

    def describe(self, stream: StreamSettings) -> StreamDescription:
        """Describe a stream, see StreamApi."""
        return self._call(
            "DescribeStreamSummary",
            lambda to: description_of(to.client.describe_stream_summary(**named(stream))),
            stream,
        )

    def list_shards(
        self, stream: StreamSettings, open_at_ms: int | None = None
    ) -> tuple[Shard, ...]:
        """List shards, see StreamApi."""
        first: dict[str, Any] = {**named(stream), "MaxResults": _SHARDS_PER_PAGE}
        if open_at_ms is not None:
            moment = from_epoch_ms(open_at_ms)
            first["ShardFilter"] = {"Type": "AT_TIMESTAMP", "Timestamp": moment}
        for _ in range(_LISTING_RESTARTS):
            shards = self._list_all_pages(stream, first)
            if shards is not None:
                return shards
        raise ServiceError(
            "SERVICE_LISTING",
            f"The shards of stream {stream.key!r} in {self.settings.region} could not be listed: "
            f"{_LISTING_RESTARTS} times the token of the next page expired, or the pages had no "
            "end (the same token again, or no further shards).",
            "Where the calls take minutes, look at the network and at throttling; where the pages "
            "have no end, look for something else than Kinesis at that endpoint.",
        )

    def get_iterator(
        self,
        stream: StreamSettings,
        shard_id: str,
        position: Position,
        *,
        inclusive: bool = False,
    ) -> str:
        """Return an iterator, see StreamApi."""
        start = iterator_type(position, inclusive=inclusive)
        request = {**named(stream), "ShardId": shard_id, **start}

        def call(connection: Connection) -> str:
            return connection.ask("GetShardIterator", request, decode_iterator, _iterator_of)

        try:
            return self._call(
                "GetShardIterator",
                call,
                stream,
                shard_id=shard_id,
                mapped={"InvalidArgumentException": _refused},
            )
        except PositionRefusedError as refusal:
            if isinstance(position, AtTimestamp):
                self._caller.clock.refute(position.epoch_ms, told_time_ms(str(refusal)))
            raise

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = ALL_DATA,
    ) -> Page:
        """Read one page, see StreamApi."""
        request: dict[str, Any] = {"ShardIterator": iterator, "Limit": limit}
        if stream.arn is not None:
            request["StreamARN"] = stream.arn

        def read(reply: dict[str, Any]) -> Page:
            try:
                return page_from_reply(reply, data_prefix, self._native)
            except IncompleteReplyError as error:
                raise incomplete(reply, error.missing) from None

        def call(connection: Connection) -> Page:
            return connection.ask(
                "GetRecords",
                request,
                lambda body: decode_body(body, data_prefix, self._native),
                read,
            )

        return self._call(
            "GetRecords",
            call,
            stream,
            shard_id=shard_id,
            mapped={"ExpiredIteratorException": _expired},
            most_bytes=page_bytes(limit),
        )

    def put_records(self, stream: StreamSettings, records: Sequence[OutRecord]) -> list[PutOutcome]:
        """Put up to 500 records; each stands or falls alone.

        A call that fails as a whole is repeated, and may have been obeyed before: at least once.
        """
        request = {**named(stream), "Records": [entry_of(record) for record in records]}

        def call(connection: Connection) -> list[PutOutcome]:
            return connection.ask(
                "PutRecords",
                request,
                lambda body: decode_outcomes(body, len(records)),
                lambda reply: outcomes_of(reply, len(records)),
            )

        return self._call("PutRecords", call, stream)

    def now_ms(self) -> int:
        """Return a lower bound of AWS's clock, see StreamApi.

        Without a reply yet: describes the stream last asked about, or else lists one stream name. A
        refusal will do: it has a Date header too.
        """
        clock = self._caller.clock
        now_ms = clock.now_ms()
        if now_ms is None:
            try:
                self._ask_anything()
            except KinesisSourceError:
                if clock.now_ms() is None:
                    raise
            now_ms = clock.now_ms()
        if now_ms is None:
            raise ServiceError(
                "SERVICE_CLOCK",
                f"No reply of {self._caller.endpoint_text()} had a Date header and AWS's request "
                "id, so AWS's time is not known.",
                "Look for a proxy that drops the headers Date and x-amzn-RequestId, or that "
                "answers itself.",
            )
        return now_ms

    def refute_now(self, moment_ms: int) -> None:
        """Take note that AWS called a moment of ``now_ms`` future, see StreamApi."""
        self._caller.clock.refute(moment_ms)

    def _ask_anything(self) -> None:
        if self._caller.last_stream is not None:
            self.describe(self._caller.last_stream)
        else:
            self._call("ListStreams", lambda to: to.client.list_streams(Limit=1))

    def _list_all_pages(
        self, stream: StreamSettings, first: dict[str, Any]
    ) -> tuple[Shard, ...] | None:
        """List all pages; None if a token expired on the way, or the pages have no end."""
        shards: dict[str, Shard] = {}
        tokens: set[str] = set()
        fruitless = 0
        request = first
        for _ in range(_MOST_PAGES):
            page = self._list_page(stream, request)
            if page is None:
                return None
            known = len(shards)
            shards.update((shard.shard_id, shard) for shard in page[0])
            token = page[1]
            if token is None:
                return tuple(shards.values())
            fruitless = fruitless + 1 if len(shards) == known else 0
            if token in tokens or fruitless >= _FRUITLESS_PAGES:
                break
            tokens.add(token)
            # NextToken excludes StreamName (ListShards in the API model), not the ARN, which
            # access by resource policy needs.
            request = {"NextToken": token, "MaxResults": _SHARDS_PER_PAGE}
            if stream.arn is not None:
                request["StreamARN"] = stream.arn
        _log.warning(
            "The pages of ListShards of stream %r have no end: %d shards so far. Listing anew",
            stream.key,
            len(shards),
        )
        return None

    def _list_page(
        self, stream: StreamSettings, request: dict[str, Any]
    ) -> tuple[list[Shard], str | None] | None:
        def call(connection: Connection) -> tuple[list[Shard], str | None] | None:
            try:
                reply = connection.client.list_shards(**request)
            except boto.ClientError as error:
                if error_code(error) == "ExpiredNextTokenException":
                    return None
                raise
            try:
                shards = [shard_of(shard) for shard in member(reply, "Shards", list)]
            except KeyError as error:
                raise incomplete(reply, str(error.args[0])) from None
            return shards, reply.get("NextToken") or None

        mapped: MappedErrors = (
            {"InvalidArgumentException": _refused} if "ShardFilter" in request else {}
        )
        return self._call("ListShards", call, stream, mapped=mapped, most_bytes=LIST_REPLY_BYTES)

    def _call(
        self,
        operation: str,
        call: Callable[[Connection], _T],
        stream: StreamSettings | None = None,
        **facts: Any,
    ) -> _T:
        return self._caller.call(operation, call, self._policy, stream=stream, **facts)


def _iterator_of(reply: dict[str, Any]) -> str:
    return member(reply, "ShardIterator", str)


def _refused(error: Exception) -> PositionRefusedError:
    return PositionRefusedError(aws_text(error))


def _expired(error: Exception) -> IteratorExpiredError:
    return IteratorExpiredError(aws_text(error))

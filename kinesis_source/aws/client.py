"""BotoStreamApi: the StreamApi that speaks to AWS, through botocore.

Runs on driver and executors. Pickles as its settings alone; :func:`stream_api` keeps one for each
process and settings. In: settings and positions. Out: values of :mod:`kinesis_source.aws.api`, or
an error of :mod:`kinesis_source.errors` that names operation, stream, region, shard, tries and
request id.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeVar

from botocore import exceptions as boto

from kinesis_source.aws.api import (
    ALL_DATA,
    IteratorExpiredError,
    Page,
    PositionRefusedError,
    StreamDescription,
)
from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.connection import connect
from kinesis_source.aws.credentials import Identity, is_aws_url
from kinesis_source.aws.decode import decode_body, decode_iterator, page_from_reply
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.failures import (
    CallFacts,
    aws_text,
    error_code,
    explain,
    quotable_cause,
)
from kinesis_source.aws.retry import CallFailedError, IncompleteReplyError, RetryPolicy
from kinesis_source.aws.shapes import (
    description_of,
    incomplete,
    iterator_type,
    member,
    named,
    shard_of,
)
from kinesis_source.aws.timestamps import from_epoch_ms
from kinesis_source.errors import KinesisSourceError, ServiceError
from kinesis_source.model.positions import Position
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import ClientSettings, StreamSettings

__all__ = ["BotoStreamApi", "stream_api"]

_T = TypeVar("_T")
_Mapped = dict[str, Callable[[Exception], Exception]]

# AWS's most for one page of ListShards.
_SHARDS_PER_PAGE: Final = 1_000
# A token lives 300 s; 20,000 shards take 20 pages.
_LISTING_RESTARTS: Final = 3
# Clients kept in one process; each holds its settings, keys included.
_CLIENTS_KEPT: Final = 32

_clients: dict[ClientSettings, BotoStreamApi] = {}
_clients_lock = threading.Lock()
_alive: weakref.WeakSet[BotoStreamApi] = weakref.WeakSet()


def stream_api(settings: ClientSettings) -> BotoStreamApi:
    """Return this process's client for the settings. Thread-safe."""
    with _clients_lock:
        api = _clients.pop(settings, None) or BotoStreamApi(settings)
        _clients[settings] = api  # the last used comes last
        while len(_clients) > _CLIENTS_KEPT:
            del _clients[next(iter(_clients))]
    return api


def _forget_after_fork() -> None:
    """Let a forked worker start anew: sockets and held locks belong to the parent."""
    global _clients_lock  # noqa: PLW0603 - the old lock may be held by a thread that is not here
    _clients_lock = threading.Lock()
    _clients.clear()
    for api in list(_alive):
        api._start_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(after_in_child=_forget_after_fork)


class BotoStreamApi:
    """Kinesis through botocore. Thread-safe; connects with the first call.

    Parameters
    ----------
    settings : ClientSettings
    policy : RetryPolicy or None
        None: one with the settings' budget.
    """

    def __init__(self, settings: ClientSettings, policy: RetryPolicy | None = None) -> None:
        self.settings = settings
        self._policy = policy or RetryPolicy(settings.retry_budget_ms)
        _alive.add(self)
        self._start_anew()

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._has_answered = False
        self._last_stream: StreamSettings | None = None
        self._clock = ServerClock(self._policy.clock)
        settings = self.settings
        self.identity = Identity(
            settings.identity,
            settings.region,
            self._policy,
            is_aws=is_aws_url(settings.endpoint_url),
        )

    def __reduce__(self) -> tuple[Callable[[ClientSettings], BotoStreamApi], tuple[ClientSettings]]:
        """Pickle as the settings: connections and credentials stay in their process."""
        return (stream_api, (self.settings,))

    def __repr__(self) -> str:
        return f"BotoStreamApi(region={self.settings.region!r})"

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.client.close()

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
            f"the token of the next page expired {_LISTING_RESTARTS} times.",
            "Something slows the calls down to minutes: look at the network and at throttling.",
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

        return self._call(
            "GetShardIterator", call, stream, shard_id, {"InvalidArgumentException": _refused}
        )

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
                return page_from_reply(reply, data_prefix)
            except IncompleteReplyError as error:
                raise incomplete(reply, error.missing) from None

        def call(connection: Connection) -> Page:
            return connection.ask(
                "GetRecords", request, lambda body: decode_body(body, data_prefix), read
            )

        return self._call(
            "GetRecords", call, stream, shard_id, {"ExpiredIteratorException": _expired}
        )

    def now_ms(self) -> int:
        """Return a lower bound of AWS's clock, see StreamApi.

        Without a reply yet: describes the stream last asked about, or else lists one stream name. A
        refusal will do: it has a Date header too.
        """
        now_ms = self._clock.now_ms()
        if now_ms is None:
            try:
                self._ask_anything()
            except KinesisSourceError:
                if self._clock.now_ms() is None:
                    raise
            now_ms = self._clock.now_ms()
        if now_ms is None:
            raise ServiceError(
                "SERVICE_CLOCK",
                f"The replies of {self._endpoint_text()} have no Date header, so AWS's time is not "
                "known.",
                "Look for a proxy that drops the header.",
            )
        return now_ms

    def _ask_anything(self) -> None:
        if self._last_stream is not None:
            self.describe(self._last_stream)
        else:
            self._call("ListStreams", lambda to: to.client.list_streams(Limit=1))

    def _list_all_pages(
        self, stream: StreamSettings, first: dict[str, Any]
    ) -> tuple[Shard, ...] | None:
        """List all pages; None if the token expired on the way."""
        shards: list[Shard] = []
        request = first
        while True:
            page = self._list_page(stream, request)
            if page is None:
                return None
            shards.extend(page[0])
            if page[1] is None:
                return tuple(shards)
            # NextToken excludes StreamName (ListShards in the API model), not the ARN, which
            # access by resource policy needs.
            request = {"NextToken": page[1], "MaxResults": _SHARDS_PER_PAGE}
            if stream.arn is not None:
                request["StreamARN"] = stream.arn

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

        mapped: _Mapped = {"InvalidArgumentException": _refused} if "ShardFilter" in request else {}
        return self._call("ListShards", call, stream, mapped=mapped)

    def _call(
        self,
        operation: str,
        call: Callable[[Connection], _T],
        stream: StreamSettings | None = None,
        shard_id: str | None = None,
        mapped: _Mapped | None = None,
    ) -> _T:
        """Make a call with retries, and turn what fails into the source's errors."""
        if stream is not None:
            self._last_stream = stream
        try:
            connection = self._connect()
            result = self._policy.run(
                lambda: call(connection), self.identity.renew, lambda: self._has_answered
            )
        except CallFailedError as failed:
            cause = quotable_cause(failed.error)
            code = error_code(failed.error)
            if mapped is not None and code in mapped:
                failure = mapped[code](failed.error)
            else:
                facts = self._facts(operation, stream, shard_id)
                failure = explain(failed, facts, self.identity.masked_access_key())
        else:
            self._has_answered = True
            return result
        # Here, where neither botocore's words nor its frames are left: they may hold a secret.
        raise failure from cause

    def _facts(
        self, operation: str, stream: StreamSettings | None, shard_id: str | None
    ) -> CallFacts:
        return CallFacts(
            operation=operation,
            region=self.settings.region,
            endpoint=self._endpoint_text(),
            who=self.identity.who,
            account=self.identity.account,
            stream_status=lambda: self._status(stream),
            stream=stream,
            shard_id=shard_id,
        )

    def _status(self, stream: StreamSettings | None) -> str | None:
        """Return a stream's status for the text of another error; None if it cannot be had."""
        if stream is None:
            return None
        try:
            reply = self._connect().client.describe_stream_summary(**named(stream))
            return description_of(reply).status
        except (boto.ClientError, boto.BotoCoreError, IncompleteReplyError, KinesisSourceError):
            return None

    def _endpoint_text(self) -> str:
        if self.settings.endpoint_url is not None:
            return self.settings.endpoint_url
        connection = self._connection
        return connection.client.meta.endpoint_url if connection else "AWS's own endpoint"

    def _connect(self) -> Connection:
        connection = self._connection
        if connection is not None:
            return connection
        with self._lock:
            if self._connection is None:
                self._connection = connect(
                    self.identity.session, self.settings, self._clock.observe
                )
            return self._connection


def _iterator_of(reply: dict[str, Any]) -> str:
    return member(reply, "ShardIterator", str)


def _refused(error: Exception) -> PositionRefusedError:
    return PositionRefusedError(aws_text(error))


def _expired(error: Exception) -> IteratorExpiredError:
    return IteratorExpiredError(aws_text(error))

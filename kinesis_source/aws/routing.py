"""One StreamApi over the streams of several regions and accounts.

Runs on driver and executors. Keeps no connection of its own: each stream's calls go to this
process's client for that stream's settings. In and out: as aws/client.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final

from kinesis_source.aws.api import (
    ALL_DATA,
    Page,
    PositionRefusedError,
    RecordApi,
    StreamDescription,
)
from kinesis_source.aws.client import stream_api
from kinesis_source.model.outgoing import OutRecord, PutOutcome
from kinesis_source.model.positions import AtTimestamp, Position
from kinesis_source.model.shards import Shard
from kinesis_source.options.settings import ClientSettings, SourceSettings, StreamSettings

__all__ = ["RoutedStreamApi", "source_api"]

_KEPT: Final = 32
"""As many sources of several regions a process remembers; what they hold is settings."""


def source_api(settings: SourceSettings) -> RecordApi:
    """Return this process's client for all streams of a source. Thread-safe."""
    if not settings.clients:
        return stream_api(settings.client)
    return _routed(settings.client, settings.clients)


@functools.lru_cache(_KEPT)
def _routed(
    client: ClientSettings, clients: tuple[tuple[str, ClientSettings], ...]
) -> RoutedStreamApi:
    return RoutedStreamApi(client, dict(clients), stream_api)


class RoutedStreamApi:
    """Hands each call to the client of its stream. Thread-safe.

    Parameters
    ----------
    client : ClientSettings
        Of every stream that is not named.
    clients : dict of stream key to ClientSettings
    make : callable
        Returns the api for settings; the same one for the same settings.
    """

    def __init__(
        self,
        client: ClientSettings,
        clients: dict[str, ClientSettings],
        make: Callable[[ClientSettings], RecordApi],
    ) -> None:
        self._client = client
        self._clients = clients
        self._make = make
        self._once: RoutedStreamApi | None = None

    def trying_once(self) -> RecordApi:
        """Return the same with apis that try once."""
        if self._once is None:
            self._once = RoutedStreamApi(
                self._client, self._clients, lambda client: self._make(client).trying_once()
            )
        return self._once

    def describe(self, stream: StreamSettings) -> StreamDescription:
        """Describe a stream."""
        return self._of(stream).describe(stream)

    def list_shards(
        self, stream: StreamSettings, open_at_ms: int | None = None
    ) -> tuple[Shard, ...]:
        """List a stream's shards."""
        return self._of(stream).list_shards(stream, open_at_ms)

    def get_iterator(
        self, stream: StreamSettings, shard_id: str, position: Position, *, inclusive: bool = False
    ) -> str:
        """Return an iterator; a moment that AWS refuses is one for all clients."""
        try:
            return self._of(stream).get_iterator(stream, shard_id, position, inclusive=inclusive)
        except PositionRefusedError:
            if isinstance(position, AtTimestamp):
                self.refute_now(position.epoch_ms)
            raise

    def get_page(
        self,
        stream: StreamSettings,
        shard_id: str,
        iterator: str,
        limit: int,
        data_prefix: bytes | None = ALL_DATA,
    ) -> Page:
        """Read one page."""
        return self._of(stream).get_page(stream, shard_id, iterator, limit, data_prefix)

    def put_records(self, stream: StreamSettings, records: Sequence[OutRecord]) -> list[PutOutcome]:
        """Put records; a stream that the options do not name goes the way of the first."""
        return self._of(stream).put_records(stream, records)

    def now_ms(self) -> int:
        """Return what the client that knows most says: each has a lower bound of one clock."""
        return max(api.now_ms() for api in self._all())

    def refute_now(self, moment_ms: int) -> None:
        """Tell all clients."""
        for api in self._all():
            api.refute_now(moment_ms)

    def _of(self, stream: StreamSettings) -> RecordApi:
        return self._make(self._clients.get(stream.key, self._client))

    def _all(self) -> list[RecordApi]:
        return [self._make(client) for client in {self._client, *self._clients.values()}]

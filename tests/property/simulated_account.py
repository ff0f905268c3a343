"""Several streams behind one api, and streams that are deleted and created again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simulated_stream import SimulatedStream
from simulated_weather import OneTry

from kinesis_source.options.settings import StreamSettings

__all__ = ["SimulatedAccount"]


class SimulatedAccount:
    """Implements StreamApi for streams that share a clock.

    Parameters
    ----------
    streams : iterable of SimulatedStream
    """

    def __init__(self, streams: Iterable[SimulatedStream]) -> None:
        self.streams = {stream.key: stream for stream in streams}
        self.created: dict[tuple[str, int], SimulatedStream] = {
            (stream.key, stream.created_ms): stream for stream in self.streams.values()
        }
        """All that ever were, by key and creation time."""
        self.clock = next(iter(self.streams.values())).clock

    def add(self, stream: SimulatedStream) -> None:
        self.streams[stream.key] = stream
        self.created[stream.key, stream.created_ms] = stream

    def recreate(self, key: str, shards: int = 1) -> SimulatedStream:
        """Delete a stream and create one of the same name: the same shard ids, other numbers."""
        old = self.streams[key]
        new = SimulatedStream(
            old.random.randrange(2**32),
            old.nastiness,
            old.clock,
            shards,
            key,
            old.last_number + 1_000,
            old.server_ms,
        )
        old.delete()
        self.add(new)
        return new

    # StreamApi

    def trying_once(self) -> Any:
        return OneTry(self, self.clock)

    def restart_process(self) -> None:
        for stream in self.streams.values():
            stream.restart_process()

    def now_ms(self) -> int:
        return min(stream.now_ms() for stream in self.streams.values())

    def refute_now(self, moment_ms: int) -> None:
        """Nothing to take back: the clock here is never ahead."""

    def describe(self, stream: StreamSettings) -> Any:
        return self.streams[stream.key].describe(stream)

    def list_shards(self, stream: StreamSettings, open_at_ms: int | None = None) -> Any:
        return self.streams[stream.key].list_shards(stream, open_at_ms)

    def get_iterator(self, stream: StreamSettings, *arguments: Any, **options: Any) -> str:
        return self.streams[stream.key].get_iterator(stream, *arguments, **options)

    def get_page(self, stream: StreamSettings, *arguments: Any, **options: Any) -> Any:
        return self.streams[stream.key].get_page(stream, *arguments, **options)

"""The typed settings that the rest of the source works with.

Runs in every process: made once at ``load()`` by :mod:`kinesis_source.options.parse`, pickled into
every task. Frozen, hashable, and safe to print: secrets are :class:`Secret`, access keys masked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp, Position
from kinesis_source.options.secret import Secret

__all__ = [
    "LATEST",
    "BoundedSettings",
    "ClientSettings",
    "EndingPosition",
    "IdentitySettings",
    "InitialPosition",
    "Latest",
    "NumberedRecord",
    "ReadSettings",
    "RoleSettings",
    "ShardStart",
    "ShardStarts",
    "SourceSettings",
    "StreamSettings",
    "StreamStart",
    "StreamStarts",
    "WriteSettings",
]


class Latest(Enum):
    """The start "latest": no position until it is resolved, so it never enters a checkpoint."""

    LATEST = "latest"

    def __repr__(self) -> str:
        return self.name


LATEST: Final = Latest.LATEST


@dataclass(frozen=True, slots=True)
class NumberedRecord:
    """A place that a user names by a record; when it arrived is not known yet.

    Parameters
    ----------
    sequence_number : str
        Decimal digits.
    is_read : bool
        Whether the place is behind the record; else the record is the next one.
    """

    sequence_number: str
    is_read: bool = True


ShardStart = Latest | Position | NumberedRecord


@dataclass(frozen=True, slots=True)
class ShardStarts:
    """Places in the shards of one stream.

    Parameters
    ----------
    shards : tuple of (shard id, ShardStart)
        At least one, sorted by shard.
    """

    shards: tuple[tuple[str, ShardStart], ...]


StreamStart = Latest | Position | ShardStarts


@dataclass(frozen=True, slots=True)
class StreamStarts:
    """A place for each stream.

    Parameters
    ----------
    streams : tuple of (str, StreamStart)
        By name or ARN as the user gave them, sorted; the empty name stands for the only stream.
    """

    streams: tuple[tuple[str, StreamStart], ...]

    def of(self, stream: StreamSettings) -> StreamStart | None:
        """Return what is said of a stream; None: nothing."""
        known = dict(self.streams)
        return next((known[name] for name in (stream.key, stream.name, "") if name in known), None)

    def moments(self) -> tuple[AtTimestamp, ...]:
        """Return all moments that are named, of streams and of shards."""
        places: list[object] = [place for _, place in self.streams]
        for place in tuple(places):
            if isinstance(place, ShardStarts):
                places += [start for _, start in place.shards]
        return tuple(place for place in places if isinstance(place, AtTimestamp))


InitialPosition = Latest | Position | StreamStarts
EndingPosition = Latest | AtTimestamp | StreamStarts


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream to read.

    Parameters
    ----------
    key : str
        Name or ARN exactly as the user gave it: the key in offsets, the value of ``streamName``.
    name : str
        The stream's name.
    arn : str or None
        The ARN, if that is how the user named it.
    """

    key: str
    name: str
    arn: str | None = None

    @classmethod
    def from_key(cls, key: str) -> StreamSettings:
        """Return a stream by its key in an offset: a name, or an ARN that ends in ``/name``."""
        if key.startswith("arn:"):
            return cls(key, key.rpartition("/")[2], key)
        return cls(key, key)


@dataclass(frozen=True, slots=True)
class RoleSettings:
    """One role to assume.

    Parameters
    ----------
    arn : str
    session_name : str or None
        None: one is made up.
    external_id : str or None
        By AWS's own word no secret.
    """

    arn: str
    session_name: str | None = None
    external_id: str | None = None


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Who calls AWS: a base identity, and roles assumed over it in order.

    At most one of keys, profile, provider and service credential is set; none means botocore's
    default chain.

    Parameters
    ----------
    access_key : str or None
    secret_key, session_token : Secret or None
    profile : str or None
        Profile of the shared AWS configuration, on driver and executors.
    provider : str or None
        Dotted path (``package.module.callable``) of what returns botocore credentials.
    service_credential : str or None
        Name of a service credential of Unity Catalog.
    roles : tuple of RoleSettings
    sts_endpoint : str or None
        URL; None: the regional endpoint.
    """

    access_key: str | None = field(default=None, repr=False)
    secret_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = None
    provider: str | None = None
    service_credential: str | None = None
    roles: tuple[RoleSettings, ...] = ()
    sts_endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to call Kinesis. Hashable: one client per process is kept for each value.

    Parameters
    ----------
    region : str
    endpoint_url : str or None
        None: AWS's own endpoint of the region.
    identity : IdentitySettings
    connect_timeout_ms, read_timeout_ms : int
        For one HTTP request.
    retry_budget_ms : int
        How long one call may be repeated in all.
    decoder : str
        ``auto``, ``python`` or ``native``: what decodes replies, see kinesis_source/native.py.
    """

    region: str
    endpoint_url: str | None = None
    identity: IdentitySettings = IdentitySettings()
    connect_timeout_ms: int = 5_000
    read_timeout_ms: int = 20_000
    retry_budget_ms: int = 120_000
    decoder: str = "auto"


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """What to read, and how.

    Parameters
    ----------
    streams : tuple of StreamSettings
        At least one; keys are unique.
    initial_position : Latest or Position
        Where a query without checkpoint starts: LATEST, TRIM_HORIZON or AtTimestamp, or such a
        place for each stream or shard.
    fail_on_data_loss : bool
    deaggregate : bool
        Take apart records that the Kinesis Producer Library aggregated.
    shard_fetch_interval_ms : int
        Time between two listings of the shards.
    poll_interval_ms : int
        Time between two looks of the driver at a shard.
    max_records_per_fetch : int
        1 to 10,000; largest Limit of a GetRecords call.
    max_fetch_bytes_per_s : int or None
        What executors read of one shard in a second; None: as fast as replies come.
    shards_per_task : int
        How many shards one Spark task reads side by side.
    max_records_per_trigger, max_bytes_per_trigger : int or None
        What one micro-batch may hold of all streams together. Both None: 128 MiB of each shard.
    loaded_ms : int or None
        When ``load()`` was called, by the clock of the driver's machine.
    """

    streams: tuple[StreamSettings, ...]
    initial_position: InitialPosition = LATEST
    fail_on_data_loss: bool = True
    deaggregate: bool = True
    shard_fetch_interval_ms: int = 10_000
    poll_interval_ms: int = 1_000
    max_records_per_fetch: int = 10_000
    max_fetch_bytes_per_s: int | None = 2_000_000
    shards_per_task: int = 5
    max_records_per_trigger: int | None = None
    max_bytes_per_trigger: int | None = None
    loaded_ms: int | None = field(default=None, compare=False)

    def initial_of(self, stream: StreamSettings) -> StreamStart:
        """Return where a query without checkpoint starts in a stream."""
        if isinstance(self.initial_position, StreamStarts):
            return self.initial_position.of(stream) or TRIM_HORIZON
        return self.initial_position


@dataclass(frozen=True, slots=True)
class BoundedSettings:
    """What a batch read (``spark.read``) has beside the settings of reading.

    Parameters
    ----------
    start : InitialPosition
        As the user gave it, else the oldest record.
    end : EndingPosition
        Exclusive for a moment; LATEST: the moment of ``load()``.
    min_partitions : int or None
        Into how many tasks at least long ranges are split.
    pushes_filters : bool
        Whether filters that Spark pushes down narrow what is read.
    given : tuple of str
        The options that were given and make no sense for a stream.
    """

    start: InitialPosition = TRIM_HORIZON
    end: EndingPosition = LATEST
    min_partitions: int | None = None
    pushes_filters: bool = False
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """How records are written.

    Parameters
    ----------
    ordered : bool
        Whether the records of one partition key come in their order.
    aggregate : bool
        Whether user records are packed as the Kinesis Producer Library does.
    requests_in_flight : int
        PutRecords calls of one task at a time.
    given : tuple of str
        The options that were given and make no sense for reading.
    """

    ordered: bool = False
    aggregate: bool = False
    requests_in_flight: int = 4
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """All settings of one ``load()``.

    Parameters
    ----------
    client : ClientSettings
        How Kinesis is called for every stream that has no client of its own.
    read : ReadSettings
    bounded : BoundedSettings
    clients : tuple of (stream key, ClientSettings)
        Of streams in other regions, or that are read in another role.
    write : WriteSettings
    """

    client: ClientSettings
    read: ReadSettings
    bounded: BoundedSettings = BoundedSettings()
    clients: tuple[tuple[str, ClientSettings], ...] = ()
    write: WriteSettings = WriteSettings()

    def with_patience(self, most_ms: int) -> SourceSettings:
        """Return settings for somebody who waits: no call is repeated for longer than that."""

        def hasty(client: ClientSettings) -> ClientSettings:
            return replace(client, retry_budget_ms=min(client.retry_budget_ms, most_ms))

        clients = tuple((key, hasty(client)) for key, client in self.clients)
        return replace(self, client=hasty(self.client), clients=clients)

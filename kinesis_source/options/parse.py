"""Options as text -> :class:`SourceSettings`: eager, typed, without network.

Runs in Spark's driver-side worker at ``load()``, so that a mistake shows where it was made. Unknown
options are reported first, then wrong values in the table's order, then what does not go together.
No message holds a secret, whatever is wrong with it.
"""

from __future__ import annotations

import difflib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kinesis_source.errors import OptionError
from kinesis_source.model.positions import AtTimestamp
from kinesis_source.options.identity import RolesOfAccounts, choose_identity
from kinesis_source.options.peers import FROM_SPARK, NO_EFFECT, UNSUPPORTED, PeerOption
from kinesis_source.options.settings import (
    BoundedSettings,
    ClientSettings,
    ReadSettings,
    SourceSettings,
    StreamSettings,
    StreamStarts,
    WriteSettings,
)
from kinesis_source.options.streams import (
    account_of,
    choose_region,
    choose_streams,
    region_of,
)
from kinesis_source.options.table import OPTIONS, PREFIX, Option
from kinesis_source.options.values import BadValueError, shown

__all__ = ["parse_options"]

_LOG = logging.getLogger("kinesis_source")

# Option -> field, where nothing but the value counts; options that were not given keep the
# dataclass's default.
_CLIENT_FIELDS: Final = {
    "endpointUrl": "endpoint_url",
    "connectTimeout": "connect_timeout_ms",
    "readTimeout": "read_timeout_ms",
    "retryBudget": "retry_budget_ms",
    "decoder": "decoder",
}
_READ_FIELDS: Final = {
    "initialPosition": "initial_position",
    "failOnDataLoss": "fail_on_data_loss",
    "deaggregate": "deaggregate",
    "shardFetchInterval": "shard_fetch_interval_ms",
    "pollInterval": "poll_interval_ms",
    "maxRecordsPerFetch": "max_records_per_fetch",
    "maxFetchRate": "max_fetch_bytes_per_s",
    "maxRecordsPerTrigger": "max_records_per_trigger",
    "maxBytesPerTrigger": "max_bytes_per_trigger",
    "shardsPerTask": "shards_per_task",
}
_BOUNDED_FIELDS: Final = {
    "initialPosition": "start",
    "endingPosition": "end",
    "minPartitions": "min_partitions",
    "filterPushdown": "pushes_filters",
}
_BOUNDED_ONLY: Final = ("endingPosition", "minPartitions", "filterPushdown")
_WRITE_FIELDS: Final = {
    "ordered": "ordered",
    "aggregate": "aggregate",
    "requestsInFlight": "requests_in_flight",
}
_POSITIONS: Final = ("initialPosition", "endingPosition")


@dataclass(frozen=True)
class _Name:
    """A name that means an option: what to call it in messages, and the option."""

    spelling: str
    option: Option


@dataclass(frozen=True)
class _Given:
    """An option as it was given. Not for messages: the text may be a secret."""

    label: str
    spelling: str
    text: str


_NAMES: Final[Mapping[str, _Name]] = {
    spelling.lower(): _Name(spelling, option)
    for option in OPTIONS
    for spelling in (option.name, *(synonym.name for synonym in option.synonyms))
}
_NO_EFFECT: Final[Mapping[str, PeerOption]] = {peer.name.lower(): peer for peer in NO_EFFECT}
_UNSUPPORTED: Final[Mapping[str, PeerOption]] = {peer.name.lower(): peer for peer in UNSUPPORTED}
_UNKNOWN_OPTIONS: Final = next(option for option in OPTIONS if option.name == "unknownOptions")


def parse_options(
    options: Mapping[str, str],
    *,
    warn: Callable[[str], None] | None = None,
    now_ms: Callable[[], int] | None = None,
    environ: Mapping[str, str] | None = None,
) -> SourceSettings:
    """Check all options of one ``load()`` and return them as settings.

    Parameters
    ----------
    options : mapping of str to str
        As Spark hands them over: names in any case. A value of None counts as not given.
    warn : callable, optional
        Takes one sentence about an option that has no effect; default: the log of
        ``kinesis_source``, at level WARNING.
    now_ms : callable, optional
        The time, in milliseconds since 1970; default: this machine's clock.
    environ : mapping of str to str, optional
        Where AWS_REGION is looked up; default: the process's environment.

    Returns
    -------
    SourceSettings

    Raises
    ------
    OptionError
        ``OPTION_UNKNOWN``, ``OPTION_UNSUPPORTED``, ``OPTION_VALUE``, ``OPTION_RANGE``,
        ``OPTION_MISSING`` or ``OPTION_CONFLICT``; the first mistake found.
    """
    try:
        return _parse(options, warn or _LOG.warning, now_ms, environ)
    except OptionError as error:
        refusal = error
    # Without the frames below, and without this one's options: Spark prints the variables of each
    # frame with SPARK_TRACEBACK_WITH_LOCALS, and the options hold secrets as plain text.
    del options, environ
    raise refusal.with_traceback(None)


def _parse(
    options: Mapping[str, str],
    warn: Callable[[str], None],
    now_ms: Callable[[], int] | None,
    environ: Mapping[str, str] | None,
) -> SourceSettings:
    given = _collect(options, warn)
    values: dict[str, Any] = {}
    for option in OPTIONS:
        if option.name in given:
            values[option.name] = _read_agreeing(option, given[option.name])
    now = now_ms() if now_ms else time.time_ns() // 1_000_000
    for name in _POSITIONS:
        _check_past(values.get(name), given.get(name, []), now)
    return _assemble(values, now, os.environ if environ is None else environ)


def _collect(options: Mapping[str, str], warn: Callable[[str], None]) -> dict[str, list[_Given]]:
    """Sort the options by what they mean; warn of those without effect."""
    given: dict[str, list[_Given]] = {}
    unknown: list[str] = []
    peers: list[tuple[str, str]] = []
    for label, text in options.items():
        key = label.lower().removeprefix(PREFIX)
        if text is None or key in FROM_SPARK:
            continue
        if key in _NAMES:
            name = _NAMES[key]
            label_shown = name.spelling if label.lower() == key else label
            given.setdefault(name.option.name, []).append(_Given(label_shown, name.spelling, text))
        elif key in _NO_EFFECT or key in _UNSUPPORTED:
            peers.append((label, key))
        else:
            unknown.append(label)
    _report_unknown(unknown, given, warn)
    _report_peers(peers, warn)
    return given


def _report_unknown(
    unknown: list[str], given: Mapping[str, list[_Given]], warn: Callable[[str], None]
) -> None:
    if not unknown:
        return
    mode = _read_agreeing(_UNKNOWN_OPTIONS, given.get("unknownOptions", []))
    for label in unknown:
        problem = f"Option {shown(label)} is not known."
        suggestion = _suggest(label)
        if mode != "warn":
            raise OptionError(
                "OPTION_UNKNOWN",
                problem + suggestion,
                "Correct or remove it, or set 'unknownOptions' to 'warn' to go on without it.",
            )
        warn(f"{problem}{suggestion} It is left out.")


def _suggest(label: str) -> str:
    """Return " Did you mean ...?", or nothing where no name is near."""
    # Long names are cut: difflib's time grows with the product of the lengths.
    wanted = label[:80].lower().removeprefix(PREFIX)
    near = difflib.get_close_matches(wanted, [*_NAMES, *_NO_EFFECT], n=1, cutoff=0.6)
    if not near:
        return ""
    spelling = _NAMES[near[0]].spelling if near[0] in _NAMES else _NO_EFFECT[near[0]].name
    return f" Did you mean {spelling!r}?"


def _report_peers(peers: list[tuple[str, str]], warn: Callable[[str], None]) -> None:
    for _, key in peers:
        if key in _UNSUPPORTED:
            peer = _UNSUPPORTED[key]
            raise OptionError(
                "OPTION_UNSUPPORTED", f"Option {peer.name!r} is not supported.", f"{peer.reason}."
            )
    for _, key in peers:
        peer = _NO_EFFECT[key]
        warn(f"Option {peer.name!r} has no effect here: {peer.reason}.")


def _read_agreeing(option: Option, given: list[_Given]) -> Any:
    """Return an option's value, given once or several times with the same meaning."""
    first: Any = None
    for at, one in enumerate(given):
        value = _read(option, one)
        if at and value != first:
            raise OptionError(
                "OPTION_CONFLICT",
                f"Options {given[0].label!r} and {one.label!r} mean the same,"
                " but have different values.",
                "Set only one of them.",
            )
        first = value
    return first


def _read(option: Option, given: _Given) -> Any:
    default = (
        f" Leave it out for the default ({option.default})." if option.default is not None else ""
    )
    if not isinstance(given.text, str):
        raise OptionError(
            "OPTION_VALUE",
            f"Option {given.label!r} must be text, got {type(given.text).__name__}.",
            f"Put the value in quotes.{default}",
        )
    text = given.text.strip()
    if not text:
        raise OptionError(
            "OPTION_VALUE",
            f"Option {given.label!r} is empty.",
            f"Give it a value, or leave it out.{default}",
        )
    try:
        return option.reader_of(given.spelling)(text)
    except BadValueError as error:
        # Without the cause: it says the same, and Spark would print it as well.
        raise OptionError(
            error.code, f"Option {given.label!r} {error.problem}", error.hint + default
        ) from None


def _check_past(position: Any, given: list[_Given], now_ms: int) -> None:
    # Kinesis refuses an AT_TIMESTAMP in the future, but only once the query runs.
    moments = position.moments() if isinstance(position, StreamStarts) else (position,)
    for moment in moments:
        if isinstance(moment, AtTimestamp) and moment.epoch_ms > now_ms:
            raise OptionError(
                "OPTION_RANGE",
                f"Option {given[0].label!r} is {shown(given[0].text)}, which lies"
                f" {(moment.epoch_ms - now_ms) / 1000:.0f} s in the future.",
                "Write a time that is past (one without time zone is UTC), or 'latest'.",
            )


def _check_streams(name: str, position: Any, streams: tuple[StreamSettings, ...]) -> None:
    """Make sure that places per stream name each stream that is read, and no other."""
    if not isinstance(position, StreamStarts):
        return
    named = {stream for stream, _ in position.streams}
    known = {label for stream in streams for label in (stream.key, stream.name)}
    if "" in named and (len(named) > 1 or len(streams) > 1):
        raise OptionError(
            "OPTION_CONFLICT",
            f"Option {name!r} has shards without their stream, and {len(streams)} streams are"
            " read.",
            'Write {"<stream>": {"<shard id>": <place>}}.',
        )
    for stream in sorted(named - {""}):
        if stream not in known:
            raise OptionError(
                "OPTION_CONFLICT",
                f"Option {name!r} has places in stream {shown(stream)}, which is not read.",
                f"Name the streams that are read: {', '.join(sorted(s.key for s in streams))}.",
            )
    for one in streams:
        if name == "initialPosition" and position.of(one) is None:
            raise OptionError(
                "OPTION_CONFLICT",
                f"Option {name!r} has places of streams, but none of stream {one.key!r}.",
                f'Add one, for example {{"{one.key}": "trim_horizon"}}.',
            )


def _assemble(values: Mapping[str, Any], now_ms: int, environ: Mapping[str, str]) -> SourceSettings:
    arns: tuple[str, ...] = values.get("streamARN", ())
    streams = choose_streams(values.get("streamName", ()), arns)
    region = choose_region(values.get("region"), arns, values.get("endpointUrl"), environ)
    for name in _POSITIONS:
        _check_streams(name, values.get(name), streams)
    _check_roles(values, streams)
    clients = {stream.key: _client_of(stream, region, values) for stream in streams}
    client = clients[streams[0].key]
    return SourceSettings(
        client=client,
        clients=tuple((key, other) for key, other in clients.items() if other != client),
        read=ReadSettings(streams=streams, loaded_ms=now_ms, **_fields(_READ_FIELDS, values)),
        bounded=BoundedSettings(
            given=tuple(name for name in _BOUNDED_ONLY if name in values),
            **_fields(_BOUNDED_FIELDS, values),
        ),
        write=WriteSettings(
            given=tuple(name for name in _WRITE_FIELDS if name in values),
            **_fields(_WRITE_FIELDS, values),
        ),
    )


def _client_of(stream: StreamSettings, region: str, values: Mapping[str, Any]) -> ClientSettings:
    """Return how a stream is called: in its own region, in the role for its account."""
    return ClientSettings(
        region=region_of(stream.arn) if stream.arn else region,
        identity=choose_identity(values, account_of(stream.arn) if stream.arn else None),
        **_fields(_CLIENT_FIELDS, values),
    )


def _check_roles(values: Mapping[str, Any], streams: tuple[StreamSettings, ...]) -> None:
    """Make sure that roles by account have streams of known accounts."""
    roles = values.get("roleArn")
    external_ids = values.get("roleExternalId", "")
    if not isinstance(roles, RolesOfAccounts):
        if external_ids.startswith("{"):
            raise OptionError(
                "OPTION_CONFLICT",
                "Option 'roleExternalId' has ids by account, and 'roleArn' has no roles by"
                " account.",
                'Write \'roleArn\' as {"<account of 12 digits>": "<role ARN>", ...}, too.',
            )
        return
    named = next((stream.key for stream in streams if stream.arn is None), None)
    if named is not None:
        raise OptionError(
            "OPTION_CONFLICT",
            f"Option 'roleArn' has roles by account, and the account of stream {named!r} is not"
            " known.",
            "Name the streams by 'streamARN'.",
        )
    accounts = {account_of(stream.arn) for stream in streams if stream.arn}
    unused = sorted(set(roles.roles) - accounts)
    if unused:
        raise OptionError(
            "OPTION_CONFLICT",
            f"Option 'roleArn' has a role for account {unused[0]}, in which no stream is read.",
            f"Take it out, or name a stream there; streams are in {', '.join(sorted(accounts))}.",
        )


def _fields(fields: Mapping[str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {field: values[name] for name, field in fields.items() if name in values}

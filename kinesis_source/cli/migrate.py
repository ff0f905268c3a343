"""``kinesis-source migrate``: from another connector's checkpoint to options of this source.

Runs on the user's machine, on a copy or a mount of the checkpoint, which is never written. Without
``--check`` it makes no call; with it, it asks Kinesis whether what the checkpoint names is still
there, as the identity that the options name.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from kinesis_source.aws.api import PositionRefusedError, RecordApi
from kinesis_source.aws.routing import source_api
from kinesis_source.checkpoints.files import Checkpoint, OffsetLog
from kinesis_source.checkpoints.peers import PeerSource, Place, read_peer
from kinesis_source.cli.reading import add_option_argument
from kinesis_source.cli.terminal import table_text
from kinesis_source.cursor.naming import name_age, name_time
from kinesis_source.errors import OffsetError
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import StreamSettings
from kinesis_source.options.start import read_timestamp
from kinesis_source.plan.named_starts import find_record

__all__ = ["add_command"]

_GONE: Final = "no longer listed"
Places = Mapping[str, Mapping[str, Place]]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``migrate`` to the commands."""
    text = (
        "Read where a query of Databricks', awslabs' or Qubole's Kinesis connector is, from its"
        " checkpoint, and print the options with which this source goes on there: nothing lost,"
        " and nothing read twice but what is said. The query must be stopped. Nothing is written."
    )
    parser = commands.add_parser(
        "migrate", help="go on where another connector stopped", description=text
    )
    parser.add_argument("checkpoint", help="what the query has as checkpointLocation; a local path")
    parser.add_argument("--batch", type=int, help="begin behind this batch (default: the last one)")
    parser.add_argument(
        "--metadata",
        metavar="DIRECTORY",
        help="where its tasks write how far they came, if not below the checkpoint (metadataPath)",
    )
    parser.add_argument(
        "--unknown",
        choices=("trim_horizon", "latest", "end"),
        help="where to begin in shards of which the checkpoint does not say it",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="ask Kinesis whether the records that are named are still there",
    )
    add_option_argument(parser, "an option of the source for --check, such as region=us-west-2")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    if given.option and not given.check:
        raise OffsetError(
            "OFFSET_PLACE", "--option is given without --check.", "Add --check, or leave it out."
        )
    log, sources = read_peer(
        Checkpoint(given.checkpoint),
        batch_id=given.batch,
        unknown=given.unknown,
        metadata=given.metadata,
    )
    checked = {
        number: _check(source, dict(given.option)) if given.check else source.streams
        for number, source in sources.items()
    }
    if given.json:
        json.dump(_document(log, sources, checked), sys.stdout, indent=2)
        print()
        return 0
    options = {number: _stream_options(places) for number, places in checked.items()}
    print(_heading(given.checkpoint, log))
    for number, source in sources.items():
        _print_source(number, source, checked[number], options[number])
    return 0


def _check(source: PeerSource, options: Mapping[str, str]) -> Places:
    """Ask Kinesis about each place; what needs no place any more is left out."""
    settings = parse_options({**options, **_stream_options(source.streams)})
    api = source_api(settings)
    found = {}
    for stream in settings.read.streams:
        places = source.streams.get(stream.key) or source.streams[stream.name]
        retention_ms = api.describe(stream).retention_ms
        listed = {shard.shard_id for shard in api.list_shards(stream)}
        found[stream.key] = {
            shard_id: checked
            for shard_id, place in places.items()
            if (checked := _check_place(api, stream, shard_id, place, retention_ms, listed))
        }
    return found


def _check_place(
    api: RecordApi,
    stream: StreamSettings,
    shard_id: str,
    place: Place,
    retention_ms: int,
    listed: set[str],
) -> Place | None:
    if shard_id not in listed:
        if place.value == "end":
            return None  # its children begin at their oldest records, named or not
        raise OffsetError(
            "OFFSET_GONE",
            f"Shard {shard_id!r} of stream {stream.key!r} is not listed any more, and the"
            " checkpoint has not read it to its end: the rest of it is lost, or the stream is"
            " another one of that name.",
            "If the loss is known, say --unknown or write the places without this shard by hand;"
            " its children begin at their oldest records.",
        )
    if not isinstance(place.value, dict):
        return place
    kind, value = next(iter(place.value.items()))
    if kind == "at_timestamp":
        return _noted(place, _age(read_timestamp(value).epoch_ms, retention_ms))
    try:
        record = find_record(api, stream, shard_id, value)
    except PositionRefusedError:
        raise OffsetError(
            "OFFSET_GONE",
            f"Kinesis does not know sequence number {value} in shard {shard_id!r} of stream"
            f" {stream.key!r}: the checkpoint is of another stream of that name.",
            "Check the region and the account that --option names; a stream that was deleted and"
            " created again begins anew.",
        ) from None
    if record is None:
        return _noted(place, "that record is older than the retention; nothing is behind it")
    if record.sequence_number != value:
        arrived = name_time(record.arrival_ms)
        return _noted(
            place,
            f"that record is gone; the oldest behind it arrived {arrived}: records between may be"
            " lost",
        )
    return _noted(place, _age(record.arrival_ms, retention_ms))


def _age(at_ms: int, retention_ms: int) -> str:
    age_ms = max(0, time.time_ns() // 1_000_000 - at_ms)
    share = round(100 * age_ms / retention_ms)
    return f"there: {name_age(age_ms)} old, {share} % of the retention"


def _noted(place: Place, note: str) -> Place:
    return Place(place.value, f"{place.note}; {note}" if place.note else note)


def _stream_options(streams: Places) -> dict[str, str]:
    """Return the options of this source that say what to read, and from where."""
    kinds = {stream.startswith("arn:") for stream in streams}
    if len(kinds) > 1:
        raise OffsetError(
            "OFFSET_UNREADABLE",
            f"The checkpoint names some streams by ARN and some by name: {', '.join(streams)}.",
            "Read them in two queries, or write the places by hand: option initialPosition.",
        )
    name = "streamARN" if kinds == {True} else "streamName"
    places: dict[str, Any] = {
        stream: {shard_id: place.value for shard_id, place in sorted(shards.items())}
        for stream, shards in sorted(streams.items())
    }
    position = places if len(places) > 1 else next(iter(places.values()))
    if not all(places.values()):
        position = {stream: shards or "trim_horizon" for stream, shards in places.items()}
    return {name: ",".join(sorted(streams)), "initialPosition": json.dumps(position)}


def _document(
    log: OffsetLog, sources: Mapping[int, PeerSource], checked: Mapping[int, Places]
) -> dict[str, Any]:
    return {
        "batch": log.batch_id,
        "committed": log.is_committed,
        "sources": [
            {
                "number": number,
                "connector": source.connector,
                "notes": list(source.notes),
                "options": _stream_options(checked[number]),
                "shards": [
                    {"stream": stream, "shard": shard_id, "begin": place.value, "note": place.note}
                    for stream, shard_id, place in _rows(checked[number])
                ],
            }
            for number, source in sources.items()
        ],
    }


def _heading(path: str, log: OffsetLog) -> str:
    when = f", begun {name_time(log.begun_ms)}" if log.begun_ms else ""
    state = "committed" if log.is_committed else "begun, not committed"
    return f"{path}\nLast batch looked at: {log.batch_id} ({state}){when}"


def _print_source(
    number: int, source: PeerSource, places: Places, options: Mapping[str, str]
) -> None:
    print(f"\nSource {number}, by {source.title}\n")
    rows = [(stream, shard, _words(place), place.note) for stream, shard, place in _rows(places)]
    print(table_text(("stream", "shard", "begin", "note"), rows))
    for note in source.notes:
        print(f"\n! {note}")
    print("\nTo go on there, with a new checkpointLocation:\n")
    print('    spark.readStream.format("tecton-kinesis")')
    for name, value in options.items():
        print(f"        .option({json.dumps(name)}, {_literal(value)})")
    print(
        "\nOther options keep their names: this source knows those of the other connectors, and"
        " says\nwhat it does not. Begin only after the old query has stopped for good."
    )


def _rows(places: Places) -> list[tuple[str, str, Place]]:
    return [
        (stream, shard_id, place)
        for stream, shards in sorted(places.items())
        for shard_id, place in sorted(shards.items())
    ]


def _words(place: Place) -> str:
    if isinstance(place.value, str):
        return place.value
    kind, value = next(iter(place.value.items()))
    return f"{kind.replace('_', ' ')} {value}"


def _literal(value: str) -> str:
    return repr(value) if '"' in value else json.dumps(value)

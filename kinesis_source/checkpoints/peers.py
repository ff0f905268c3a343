"""Checkpoints of other connectors: what they say about where a query is, and what they leave open.

Runs where a person runs a command, on a copy or a mount of the directory, without Spark and AWS.
Known are three forms of a source's line in Spark's offset log:

- Qubole's kinesis-sql, and AWS Glue's, which descends from it: ``{"metadata": {"batchId": ...,
  "streamName": ...}, "<shard>": {"iteratorType": ..., "iteratorPosition": ...}}``. These are the
  places where the batch BEGAN. Where it ended its tasks wrote into
  ``sources/<n>/shard-commit/<batchId>/<shard>`` (class HDFSMetadataCommitter).
- awslabs' spark-sql-kinesis-connector: the same with ``subSequenceNumber`` and ``isLast``; the ends
  are in ``sources/<n>/shard-source/<batchId>/<shard>`` (1.0 to 2.1), or in DynamoDB.
- Databricks': a list of shards, each with its stream, ``lastSeqNum`` and ``closed``: the places
  where the batch ended. The directory's form is not documented; this is what the query's progress
  is documented to hold ("Monitor Kinesis metrics"), and no cluster of theirs has confirmed it.

What a form does not say is not guessed: it is an error that names what is missing, and how the
user, who knows, can say it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kinesis_source.checkpoints.files import Checkpoint, OffsetLog, read_text
from kinesis_source.cursor.naming import name_time
from kinesis_source.errors import OffsetError
from kinesis_source.options.places import is_sequence_number, user_records_read
from kinesis_source.options.streams import is_stream

__all__ = ["PeerSource", "Place", "read_peer"]

_SHARD: Final = re.compile(r"shardId-[0-9]{1,20}")
_BATCH: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_SUB_SEQUENCE_NUMBER: Final = re.compile(r"-1|0|[1-9][0-9]{0,17}")
_EPOCH_MS: Final = re.compile(r"[1-9][0-9]{0,12}")
AWSLABS: Final = "awslabs"
QUBOLE: Final = "qubole"
DATABRICKS: Final = "databricks"
_ENDS_FOLDERS: Final = {AWSLABS: "shard-source", QUBOLE: "shard-commit"}
_TITLES: Final = {
    AWSLABS: "awslabs' spark-sql-kinesis-connector",
    QUBOLE: "Qubole's kinesis-sql or AWS Glue",
    DATABRICKS: "Databricks",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a shard is to be read from.

    Parameters
    ----------
    value : str or dict
        As option ``initialPosition`` takes it.
    note : str
        What is read again because of it, or what it rests on; empty: it continues exactly.
    """

    value: str | dict[str, str]
    note: str = ""


_UNTOUCHED: Final = "nothing was read there yet"
_WORDS: Final = {"TRIM_HORIZON": Place("trim_horizon", _UNTOUCHED), "SHARD_END": Place("end")}


@dataclass(frozen=True, slots=True)
class PeerSource:
    """One source of a query, as another connector left it.

    Parameters
    ----------
    connector : str
        awslabs, qubole or databricks.
    streams : mapping of stream to (shard to Place)
    notes : tuple of str
        What holds for the source as a whole.
    """

    connector: str
    streams: Mapping[str, Mapping[str, Place]]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The connector's name, for people."""
        return _TITLES[self.connector]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a person says about a checkpoint beside its files."""

    unknown: str | None
    metadata: str | None


@dataclass(slots=True)
class _Found:
    """Places in the making."""

    batch_id: int
    begun_ms: int | None
    is_committed: bool
    unknown: str | None
    places: dict[str, dict[str, Place]] = field(default_factory=dict)
    open_shards: list[str] = field(default_factory=list)

    def add(self, stream: str, shard_id: str, place: Place | None) -> None:
        # They are printed, and pasted into programs.
        if not is_stream(stream):
            raise _unreadable(f"{stream[:100]!r} is no name and no ARN of a stream")
        if not _SHARD.fullmatch(shard_id):
            raise _unreadable(f"{shard_id[:100]!r} is no id of a shard")
        if place is None:
            if self.unknown is None:
                self.open_shards.append(shard_id)
                return
            place = Place(self.unknown, "said by --unknown; the checkpoint has no place in it")
        self.places.setdefault(stream, {})[shard_id] = place


def read_peer(
    checkpoint: Checkpoint,
    *,
    batch_id: int | None = None,
    unknown: str | None = None,
    metadata: str | None = None,
) -> tuple[OffsetLog, dict[int, PeerSource]]:
    """Return where another connector's query is, in each of its sources.

    Parameters
    ----------
    checkpoint : Checkpoint
    batch_id : int or None
        The batch to look at; None: the last one.
    unknown : str or None
        A place for shards of which the checkpoint says none: ``trim_horizon``, ``latest`` or
        ``end``.
    metadata : str or None
        Where the ends of batches are, if not below the checkpoint (options ``metadataPath``,
        ``executor.metadata.path``).

    Returns
    -------
    OffsetLog
    dict of int to PeerSource
        By the source's number in the query, from 0.

    Raises
    ------
    OffsetError
        ``[OFFSET_UNREADABLE]`` if no source's form is known, or a part of it is not.
        ``[OFFSET_INCOMPLETE]`` if a place cannot be told from what is there.
    """
    log = checkpoint.log(batch_id)
    given = _Given(unknown, metadata)
    found = {
        number: source
        for number, document in log.documents.items()
        if (source := _source(checkpoint, log, number, document, given)) is not None
    }
    if not found:
        raise OffsetError(
            "OFFSET_UNREADABLE",
            f"No source of the query in {str(checkpoint.path)!r} has a form that is known: Kinesis"
            " by Databricks, awslabs or Qubole.",
            "Checkpoints of this source need no migration: start the query with them.",
        )
    return log, found


def _source(
    checkpoint: Checkpoint, log: OffsetLog, number: int, document: Any, given: _Given
) -> PeerSource | None:
    found = _Found(log.batch_id, log.begun_ms, log.is_committed, given.unknown)
    if isinstance(document, dict) and isinstance(document.get("metadata"), dict):
        source = _read_starts(checkpoint, number, document, given, found)
    elif (entries := _databricks_entries(document)) is not None:
        source = _read_databricks(entries, found)
    else:
        return None
    if found.open_shards:
        names = ", ".join(sorted(found.open_shards)[:10])
        raise OffsetError(
            "OFFSET_INCOMPLETE",
            f"The offset of batch {log.batch_id} has no sequence number for {names}: whether"
            " anything of it was read cannot be told.",
            "Say where to begin in such shards: --unknown trim_horizon loses nothing and may read"
            " again, --unknown latest skips what is there.",
        )
    return source


def _read_starts(
    checkpoint: Checkpoint,
    number: int,
    document: dict[str, Any],
    given: _Given,
    found: _Found,
) -> PeerSource:
    """Read awslabs' and Qubole's form: places where a batch began, and files with its ends."""
    shards = {name: value for name, value in document.items() if name != "metadata"}
    metadata = document["metadata"]
    stream, own_batch = metadata.get("streamName"), str(metadata.get("batchId", ""))
    if not isinstance(stream, str) or not stream or not _BATCH.fullmatch(own_batch):
        raise _unreadable("its metadata has no streamName or no batchId")
    if not all(isinstance(value, dict) for value in shards.values()):
        raise _unreadable("a shard's entry is no object")
    is_awslabs = any("subSequenceNumber" in value for value in shards.values())
    connector = AWSLABS if is_awslabs else QUBOLE
    ends = {}
    notes = []
    if found.is_committed:
        folder = _ends_folder(checkpoint, number, connector, given) / own_batch
        if not folder.is_dir() and not is_awslabs:
            # Where all shards are closed an offset has none that tells the connectors apart.
            other = _ends_folder(checkpoint, number, AWSLABS, given) / own_batch
            connector, folder = (AWSLABS, other) if other.is_dir() else (connector, folder)
        ends = _read_ends(folder)
        if not ends and shards:
            raise OffsetError(
                "OFFSET_INCOMPLETE",
                f"Batch {found.batch_id} was committed, but where it ended is not in"
                f" {str(folder)!r}: the offset itself only says where it began.",
                "Its tasks wrote that where option metadataPath or executor.metadata.path says:"
                " copy that folder, too, and name it with --metadata. Ends in DynamoDB are not"
                " read. With --batch you can begin behind an earlier batch whose ends are there.",
            )
        if missing := sorted(set(shards) - set(ends)):
            notes.append(
                f"{len(missing)} of {len(shards)} shards wrote no end of batch {found.batch_id}:"
                " they are read from where it began."
            )
    elif shards:
        notes.append(
            f"Batch {found.batch_id} was begun and not finished: it is read again, from its"
            " beginning. What it has written before it was stopped is written twice, unless the"
            " sink knows it."
        )
    for shard_id in sorted({*shards, *ends}):
        entry = ends.get(shard_id) or shards[shard_id]
        found.add(stream, shard_id, _iterator_place(shard_id, entry, found))
    if not found.places and not found.open_shards:
        raise OffsetError(
            "OFFSET_INCOMPLETE",
            f"The offset of batch {found.batch_id} names no shard of stream {stream!r}.",
            "Begin at a moment instead: option initialPosition with at_timestamp.",
        )
    return PeerSource(connector, found.places, tuple(notes))


def _ends_folder(checkpoint: Checkpoint, number: int, connector: str, given: _Given) -> Path:
    base = Path(given.metadata) if given.metadata else checkpoint.path / "sources" / str(number)
    name = _ENDS_FOLDERS[connector]
    return base if base.name == name else base / name


def _read_ends(folder: Path) -> dict[str, dict[str, Any]]:
    if not folder.is_dir():
        return {}
    ends = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue  # checksums
        try:
            entry = json.loads(read_text(file))
        except (ValueError, RecursionError):
            raise _unreadable(f"{str(file)!r} is no JSON") from None
        if not isinstance(entry, dict) or entry.get("shardId", file.name) != file.name:
            raise _unreadable(f"{str(file)!r} is not about shard {file.name}")
        ends[file.name] = entry
    return ends


def _iterator_place(shard_id: str, entry: Mapping[str, Any], found: _Found) -> Place | None:
    kind = str(entry.get("iteratorType", "")).upper()
    position = str(entry.get("iteratorPosition", "") or "")
    if kind in ("AFTER_SEQUENCE_NUMBER", "AT_SEQUENCE_NUMBER"):
        if not is_sequence_number(position):
            raise _unreadable(f"{shard_id[:100]!r} has {kind} without a sequence number")
        return _numbered_place(entry, position, is_read=kind == "AFTER_SEQUENCE_NUMBER")
    if kind in _WORDS:
        return _WORDS[kind]
    if kind == "AT_TIMESTAMP" and _EPOCH_MS.fullmatch(position):
        return Place({"at_timestamp": name_time(int(position))}, _UNTOUCHED)
    if kind != "LATEST":
        raise _unreadable(f"{shard_id[:100]!r} has the iterator type {kind[:40]!r}")
    if found.begun_ms is None:
        return None
    moment = {"at_timestamp": name_time(found.begun_ms)}
    return Place(moment, f"{_UNTOUCHED}: from when the batch began")


def _numbered_place(entry: Mapping[str, Any], number: str, *, is_read: bool) -> Place:
    if not is_read:
        return Place({"from": number})
    sub_sequence_number = str(entry.get("subSequenceNumber", -1))
    if not _SUB_SEQUENCE_NUMBER.fullmatch(sub_sequence_number):
        raise _unreadable(f"a subSequenceNumber is {sub_sequence_number[:40]!r}")
    read = user_records_read(sub_sequence_number, entry.get("isLast"))
    if read is not None:
        return Place(
            {"from": number},
            f"stopped within a record of the Producer Library: its first {read} user records"
            " are read again",
        )
    return Place({"after": number})


def _databricks_entries(document: Any) -> list[Mapping[str, Any]] | None:
    """Return the shards of Databricks' form; None if it is another one."""
    if isinstance(document, dict) and set(document) == {"shards"}:
        document = document["shards"]
    if not isinstance(document, list) or not document:
        return None
    entries: list[Mapping[str, Any]] = []
    for entry in document:
        if not isinstance(entry, dict) or "lastSeqNum" not in entry:
            return None
        shard = entry.get("shard")
        entries.append({**entry, **shard} if isinstance(shard, dict) else entry)
    return entries


def _read_databricks(entries: list[Mapping[str, Any]], found: _Found) -> PeerSource:
    notes = ["Databricks does not document the form of its checkpoints; check what is shown here."]
    if not found.is_committed:
        raise OffsetError(
            "OFFSET_NOT_COMMITTED",
            f"Batch {found.batch_id} was planned and not finished; its offset says where it was"
            " to end.",
            _earlier(found.batch_id),
        )
    for entry in entries:
        shard_id, stream = entry.get("shardId"), entry.get("stream")
        if not isinstance(shard_id, str) or not isinstance(stream, str):
            raise _unreadable("an entry has no shardId or no stream")
        number = entry["lastSeqNum"]
        if number is not None and not is_sequence_number(number):
            raise _unreadable(f"{shard_id[:100]!r} has a lastSeqNum that is no number")
        if shard_id in found.places.get(stream, {}):
            raise _unreadable(f"{shard_id[:100]!r} stands there twice")
        place = None if number is None else Place({"after": str(number)})
        if place is not None and entry.get("closed") is True:
            place = Place(place.value, "closed; what may be left of it is read")
        found.add(stream, shard_id, place)
    return PeerSource(DATABRICKS, found.places, tuple(notes))


def _earlier(batch_id: int) -> str:
    if batch_id == 0:
        return "Let the old query finish it; or begin at a moment, with option initialPosition."
    return (
        f"Begin behind the batch before it: --batch {batch_id - 1}. What batch {batch_id} has"
        " written before it was stopped is then written twice, unless the sink knows it. Or let the"
        " old query finish it."
    )


def _unreadable(problem: str) -> OffsetError:
    return OffsetError(
        "OFFSET_UNREADABLE",
        f"The checkpoint has a part of another form: {problem}.",
        "Begin at a moment instead: option initialPosition with at_timestamp. If the connector"
        " wrote it, please report it.",
    )

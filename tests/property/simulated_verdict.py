"""The verdict on losses: what is missing was said, and what was said is missing.

1. *Every missing row was reported.* A row is missing when a committed batch passed it without
   giving it, or when it is gone (the retention took it, or its stream was deleted) and was never
   read. The report names the stream and, by id, the row's shard or one that it descends from or
   that descends from it (what is gone may never have been seen in a listing); it came when the row
   was old enough to be gone. The re-creation of a stream reports all of the old one.
2. *Nothing was reported where nothing is missing.* When a report is made, some row of the shards
   that it names (as above) must be gone unread. The one exception is a text that says "may be" or
   "may have been", where the query cannot know. For one shard, let K ("known") be the latest of

   - the arrival of the last record that a logged offset had come to in it (nothing behind a
     record arrives before it);
   - the last moment at which an empty page with MillisBehindLatest 0 showed the driver that nothing
     was left in it; for a shard that was never read, the same of its parents, and the last moment
     at which a listing showed a parent open: the shard was not there yet.

   Planning knows of these moments what they were when the last offset was logged; a reader, what
   they were when the offset was logged that its batch begins at. They may say "may be" once
   ``now - K`` is at least the shortest retention since K, less ``SLACK_MS``: offsets note such
   moments at least hourly (60 minutes), and arrival times and clocks are not exact to ten minutes,
   with five for what is on its way. Down or late for less than that, nothing can have come and gone
   unseen, and even "may be" is a false alarm. A query that began at a moment has that for its first
   K. Where it began at the horizon K is not known at first: ``START_GRACE_MS`` after its start it
   may say so. Of a shard that vanished it may say so at any time.

Rows that fall out within ``START_GRACE_MS`` after a query was told to begin at the horizon, or at a
moment older than that, need not be reported: nobody was promised them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simulated_shard import SimulatedShard
from simulated_stream import Sightings, SimulatedStream

from kinesis_source.model.positions import AtTimestamp, Position

__all__ = ["SLACK_MS", "START_GRACE_MS", "Beginning", "Place", "Report", "Verdict"]

SLACK_MS = 75 * 60_000
START_GRACE_MS = 60_000
DISORDER_MS = 2_000
_SHARD_ID = re.compile(r"shardId-\d{12}")
_STREAM = re.compile(r"[Ss]tream '([^']*)'")
_CODE = re.compile(r"\[(DATA_LOSS_[A-Z_]+)\]")
_MAY = re.compile(r"\bmay (?:be|have)\b")

Place = tuple[SimulatedStream, str]
"""A stream, not only by name, and a shard of it."""


@dataclass(frozen=True)
class Report:
    """A loss that was reported, as its text tells."""

    code: str
    stream_key: str
    shard_ids: frozenset[str]
    is_sure: bool
    at_ms: int
    text: str

    @classmethod
    def parse(cls, text: str, at_ms: int) -> Report:
        code, stream = _CODE.search(text), _STREAM.search(text)
        assert code is not None, f"no code: {text}"
        assert stream is not None, f"a loss of no stream: {text}"
        shard_ids = frozenset(_SHARD_ID.findall(text))
        return cls(code[1], stream[1], shard_ids, not _MAY.search(text), at_ms, text)

    @property
    def is_of_all(self) -> bool:
        return self.code == "DATA_LOSS_STREAM_RECREATED"


@dataclass(frozen=True)
class Knowledge:
    """What a process can know.

    Parameters
    ----------
    seen : mapping of SimulatedStream to Sightings
    arrivals : mapping of Place to int
        Of the last record that an offset had come to.
    """

    seen: Mapping[SimulatedStream, Sightings]
    arrivals: Mapping[Place, int]


@dataclass(frozen=True)
class Beginning:
    """Where and when a query began to read a stream.

    Parameters
    ----------
    positions : mapping of shard id to Position
        Those of the first logged offset that has the stream.
    trimmed : mapping of shard id to int
        How many records were gone when it began.
    at_ms : int
    """

    positions: Mapping[str, Position]
    trimmed: Mapping[str, int]
    at_ms: int


class Verdict:
    """Judges the reports of one query, and remembers them.

    Parameters
    ----------
    beginnings : dict of SimulatedStream to Beginning
        Filled by the engine.
    read_up_to : dict of Place to int
        How many records of a shard the committed batches have passed; kept by the engine.
    """

    def __init__(
        self, beginnings: dict[SimulatedStream, Beginning], read_up_to: dict[Place, int]
    ) -> None:
        self._beginnings = beginnings
        self._read_up_to = read_up_to
        self._arrivals: dict[Place, int] = {}
        self._logs: list[Knowledge] = []  # by batch: what its end offset may tell
        self.reader_batch: int | None = None
        """Which batch's readers are at work."""
        self.reports: list[Report] = []

    # Scope

    def is_in_scope(self, stream: SimulatedStream, shard_id: str) -> bool:
        """Whether the query must read a shard: it began there, or at an elder of it."""
        if stream not in self._beginnings:
            return False
        if shard_id in self._beginnings[stream].positions:
            return True
        return any(self.is_in_scope(stream, parent) for parent in stream.shards[shard_id].parents)

    def first_index(self, stream: SimulatedStream, shard: SimulatedShard) -> int:
        """Return the index of the first record of a shard in scope that is to be read."""
        beginning = self._beginnings[stream]
        position = beginning.positions.get(shard.shard_id)
        if position is None:
            return 0
        if getattr(position, "sequence_number", None) is not None:
            return shard.index_behind(position)
        first = beginning.trimmed.get(shard.shard_id, 0)
        if isinstance(position, AtTimestamp):
            arrivals = shard.arrivals
            while first < len(arrivals) and arrivals[first] < position.epoch_ms:
                first += 1
        return first

    def passed(self, stream: SimulatedStream, shard: SimulatedShard) -> int:
        """Return how many records of a shard are read, or need not be."""
        place = (stream, shard.shard_id)
        if place in self._read_up_to:
            return self._read_up_to[place]
        return self.first_index(stream, shard)

    def owes(self, stream: SimulatedStream, shard: SimulatedShard, index: int) -> bool:
        """Say whether a row that is gone must be reported."""
        beginning = self._beginnings[stream]
        retention_ms = stream.shortest_retention_ms(beginning.at_ms)
        return shard.arrivals[index] > beginning.at_ms - retention_ms + START_GRACE_MS

    # What the query can know

    def note_logged(self, positions: Mapping[SimulatedStream, Mapping[str, Position]]) -> None:
        """Note that an offset was logged: from here a new process knows on."""
        for stream, shards in positions.items():
            for shard_id, position in shards.items():
                arrival_ms = getattr(position, "arrival_ms", None)
                if arrival_ms is not None:
                    self._arrivals[stream, shard_id] = arrival_ms
        seen = {stream: stream.sightings.copy() for stream in positions}
        self._logs.append(Knowledge(seen, dict(self._arrivals)))

    def note_new_process(self, streams: Iterable[SimulatedStream]) -> None:
        """Let what only the process knew be forgotten."""
        last = self._logs[-1] if self._logs else Knowledge({}, {})
        for stream in streams:
            stream.sightings = last.seen.get(stream, Sightings()).copy()

    def _knowledge(self, is_reader: bool) -> Knowledge:
        if is_reader and self.reader_batch is not None:
            return self._logs[self.reader_batch - 1] if self.reader_batch else Knowledge({}, {})
        # Not what the process has seen since: the look that ends a gap does not undo it.
        return self._logs[-1] if self._logs else Knowledge({}, {})

    def known_ms(
        self, stream: SimulatedStream, shard_id: str, of: Knowledge, *, is_gone: bool = False
    ) -> int:
        """Return K, see the module's text; ``is_gone``: of a shard that vanished, or its parent."""
        shard, beginning = stream.shards[shard_id], self._beginnings[stream]
        seen = of.seen.get(stream, Sightings())
        moments = [seen.at_tip_ms.get(shard_id, 0), of.arrivals.get((stream, shard_id), 0)]
        if shard_id in beginning.positions:
            moments.append(self._begun_ms(stream, shard, is_gone=is_gone or shard.is_gone))
        else:
            for parent in shard.parents:
                moments.append(seen.open_ms.get(parent, 0))
                if self.is_in_scope(stream, parent):
                    gone = is_gone or shard.is_gone
                    moments.append(self.known_ms(stream, parent, of, is_gone=gone))
        return max(moments, default=0)

    def _begun_ms(self, stream: SimulatedStream, shard: SimulatedShard, *, is_gone: bool) -> int:
        """Return K of a shard that a query began with, of which nothing else is known."""
        beginning = self._beginnings[stream]
        position = beginning.positions[shard.shard_id]
        if isinstance(position, AtTimestamp):
            return min(position.epoch_ms, beginning.at_ms)
        if is_gone:  # nobody can see any more that it was empty
            return 0
        retention_ms = stream.shortest_retention_ms(beginning.at_ms)
        return beginning.at_ms - retention_ms + SLACK_MS + START_GRACE_MS

    def may_doubt(self, stream: SimulatedStream, shard_id: str, of: Knowledge) -> bool:
        """Say whether something may have come to a shard and gone unseen."""
        if stream.shards[shard_id].is_gone:
            return True  # nobody can see any more that it was empty
        known_ms = self.known_ms(stream, shard_id, of)
        retention_ms = stream.shortest_retention_ms(known_ms)
        return stream.server_ms - known_ms >= retention_ms - SLACK_MS

    # Verdicts

    def note_report(
        self,
        text: str,
        at_ms: int,
        streams: Iterable[SimulatedStream],
        replayed: Mapping[Place, int],
        *,
        is_reader: bool,
    ) -> None:
        """Judge a report (verdict 2).

        Parameters
        ----------
        text : str
        at_ms : int
        streams : iterable of SimulatedStream
            All that ever were.
        replayed : mapping of Place to int
            While a batch is replayed: how many records were passed before it.
        is_reader : bool
        """
        report = Report.parse(text, at_ms)
        self.reports.append(report)
        concerned = [stream for stream in streams if stream.key == report.stream_key]
        known = self._knowledge(is_reader)
        assert concerned, f"a loss of an unknown stream: {text}"
        if not any(stream in self._beginnings for stream in concerned):
            return  # an offset of the test's own making
        for stream in concerned:
            if stream not in self._beginnings:
                continue
            if report.is_of_all:
                if stream.is_deleted:
                    return
                continue
            stream.trim()
            for shard_id in related(stream, report.shard_ids):
                if not self.is_in_scope(stream, shard_id):
                    continue
                shard = stream.shards[shard_id]
                passed = replayed.get((stream, shard_id), self.passed(stream, shard))
                if shard.trimmed > passed:
                    return
                if not report.is_sure and self.may_doubt(stream, shard_id, known):
                    return
        raise AssertionError(f"reported, and nothing is missing: {text}{self._explain(report)}")

    def expect_report(
        self, stream: SimulatedStream, shard: SimulatedShard, missing: list[int]
    ) -> None:
        """Judge rows that were passed (verdict 1).

        Parameters
        ----------
        stream : SimulatedStream
        shard : SimulatedShard
        missing : list of int
            Indices.
        """
        stream.trim()
        still_there = [index for index in missing if index >= shard.trimmed]
        assert not still_there, (
            f"{shard.shard_id}: {len(still_there)} rows were skipped that are still there, "
            f"the first is number {still_there[0]}"
        )
        owed = [index for index in missing if self.owes(stream, shard, index)]
        for index in owed:
            arrival_ms = shard.arrivals[index]
            gone_ms = arrival_ms + stream.shortest_retention_ms(arrival_ms) - DISORDER_MS
            assert any(self._covers(report, stream, shard, gone_ms) for report in self.reports), (
                f"{shard.shard_id} of {stream.key!r}: {len(owed)} rows are gone and nobody said "
                f"so; the first is number {index}, gone for {stream.server_ms - gone_ms} ms, begun "
                f"{stream.server_ms - self._beginnings[stream].at_ms} ms ago; reports: "
                f"{[r.text for r in self.reports]}"
            )

    @staticmethod
    def _covers(
        report: Report, stream: SimulatedStream, shard: SimulatedShard, gone_ms: int
    ) -> bool:
        if report.stream_key != stream.key:
            return False
        if stream.is_deleted and (report.is_of_all or shard.shard_id in report.shard_ids):
            return True
        is_named = shard.shard_id in related(stream, report.shard_ids)
        return is_named and report.at_ms >= gone_ms

    def _explain(self, report: Report) -> str:
        return f" (reported at {report.at_ms}, {len(self.reports) - 1} reports before)"


def related(stream: SimulatedStream, shard_ids: Iterable[str]) -> set[str]:
    """Return shards with all that they descend from and all that descend from them."""
    found: set[str] = set()
    for next_of in ("parents", "children"):
        seen: set[str] = set()
        pending = [shard_id for shard_id in shard_ids if shard_id in stream.shards]
        while pending:
            shard_id = pending.pop()
            if shard_id not in seen:
                seen.add(shard_id)
                pending.extend(getattr(stream.shards[shard_id], next_of))
        found |= seen
    return found

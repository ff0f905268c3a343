"""What the reader wrote, held against what was written."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

Row = tuple[str, str, bytes]
Batch = tuple[Row, ...]


@dataclass
class Output:
    """The batches below a work directory."""

    work: Path
    _committed: dict[int, Batch] = field(default_factory=dict)

    def last_committed(self) -> int:
        """Return the last batch in Spark's commit log, -1 if there is none."""
        folder = self.work / "checkpoint" / "commits"
        names = (path.name for path in folder.glob("*")) if folder.exists() else ()
        return max((int(name) for name in names if name.isdecimal()), default=-1)

    def committed(self) -> dict[int, Batch]:
        """Return the rows of every committed batch, in the order in which they were written."""
        for batch_id in range(self.last_committed() + 1):
            if batch_id not in self._committed:
                self._committed[batch_id] = self._read(batch_id)
        return self._committed

    def unfinished(self) -> tuple[int, Batch] | None:
        """Return a batch that was written to its end but never committed: it will be replayed."""
        batch_id = self.last_committed() + 1
        if (self.work / "out" / str(batch_id) / "_SUCCESS").exists():
            return batch_id, self._read(batch_id)
        return None

    def attempts(self) -> list[int]:
        """Return the batch id of every attempt."""
        path = self.work / "attempts"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[0]) for line in lines]

    def _read(self, batch_id: int) -> Batch:
        rows: list[Row] = []
        for part in sorted((self.work / "out" / str(batch_id)).glob("part-*.parquet")):
            table = pq.ParquetFile(part).read()
            rows.extend(zip(*(column.to_pylist() for column in table.columns), strict=True))
        return tuple(rows)


@dataclass
class Verdict:
    """The comparison, by what may be wrong."""

    written: int
    read: int
    lost: int
    duplicated: int
    unknown: int
    damaged: int
    out_of_order: int
    early_children: int

    @property
    def faults(self) -> list[str]:
        names = ("lost", "duplicated", "unknown", "damaged", "out_of_order", "early_children")
        return [
            f"{getattr(self, name)} {name.replace('_', ' ')}"
            for name in names
            if getattr(self, name)
        ]


def judge(
    written: dict[tuple[str, str], bytes],
    batches: dict[int, Batch],
    parents: dict[str, list[str]],
) -> Verdict:
    """Compare; invariants 2, 3 and 4."""
    rows = [row for batch_id in sorted(batches) for row in batches[batch_id]]
    counts = Counter((shard, number) for shard, number, _ in rows)
    return Verdict(
        written=len(written),
        read=len(rows),
        lost=len(written.keys() - counts.keys()),
        duplicated=sum(count - 1 for count in counts.values()),
        unknown=len(counts.keys() - written.keys()),
        damaged=sum(written.get((shard, number), data) != data for shard, number, data in rows),
        out_of_order=_out_of_order(rows),
        early_children=_early_children(batches, parents),
    )


def _out_of_order(rows: list[Row]) -> int:
    last: dict[str, int] = {}
    wrong = 0
    for shard, number, _ in rows:
        wrong += int(number) <= last.get(shard, -1)
        last[shard] = int(number)
    return wrong


def _early_children(batches: dict[int, Batch], parents: dict[str, list[str]]) -> int:
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for batch_id in sorted(batches):
        for shard in {row[0] for row in batches[batch_id]}:
            first.setdefault(shard, batch_id)
            last[shard] = batch_id
    return sum(
        last.get(parent, -1) >= first[shard] for shard in first for parent in parents.get(shard, ())
    )


def offset_bytes(work: Path) -> int:
    """Return the size of the last offset, as JSON."""
    logged = [p for p in (work / "checkpoint" / "offsets").glob("*") if p.name.isdecimal()]
    newest = max(logged, key=lambda path: int(path.name))
    return len(json.dumps(json.loads(newest.read_text().splitlines()[2])))

"""Checkpoints of other connectors, written by hand in the forms that they are known to have.

The forms: class KinesisV2SourceOffset and HDFSMetadataCommitter of awslabs' connector 2.x,
KinesisSourceOffset and HDFSMetadataCommitter of Qubole's kinesis-sql, and the members of a query's
progress that Databricks documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGUN_MS = 1_735_732_800_000
"""2025-01-01T12:00:00Z"""


def after(number: str, **more: object) -> dict[str, object]:
    return {"iteratorType": "AFTER_SEQUENCE_NUMBER", "iteratorPosition": number, **more}


class PeerCheckpoint:
    """A directory as Spark makes one, with one source."""

    def __init__(self, path: Path, begun_ms: int = BEGUN_MS) -> None:
        self.path = path
        self.begun_ms = begun_ms
        for folder in ("offsets", "commits", "sources/0"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        (path / "metadata").write_text('{"id":"6b1d6f5c-4f6f-4a4f-9a70-6f1a3a6f6a11"}')

    def offset(self, batch_id: int, document: object, *, committed: bool = True) -> None:
        heading = json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": self.begun_ms, "conf": {}})
        text = "\n".join(("v1", heading, json.dumps(document)))
        (self.path / "offsets" / str(batch_id)).write_text(text)
        if committed:
            commit = self.path / "commits" / str(batch_id)
            commit.write_text('v1\n{"nextBatchWatermarkMs":0}')

    def ends(self, folder: str, batch_id: int, shards: Mapping[str, Mapping[str, object]]) -> None:
        """Write what tasks write: one file for each shard."""
        directory = self.path / "sources" / "0" / folder / str(batch_id)
        directory.mkdir(parents=True, exist_ok=True)
        for shard_id, entry in shards.items():
            (directory / shard_id).write_text(json.dumps({"shardId": shard_id, **entry}))

    def qubole(
        self,
        batch_id: int,
        starts: Mapping[str, Mapping[str, object]],
        ends: Mapping[str, Mapping[str, object]],
        *,
        stream: str = "clicks",
        committed: bool = True,
    ) -> None:
        metadata = {"batchId": str(batch_id), "streamName": stream}
        self.offset(batch_id, {"metadata": metadata, **starts}, committed=committed)
        if ends:
            self.ends("shard-commit", batch_id, ends)

    def awslabs(
        self,
        batch_id: int,
        starts: Mapping[str, Mapping[str, Any]],
        ends: Mapping[str, Mapping[str, Any]],
        *,
        stream: str = "clicks",
        committed: bool = True,
    ) -> None:
        more = {"subSequenceNumber": -1, "isLast": True}
        as_text = {
            shard: {name: _text(value) for name, value in {**more, **entry}.items()}
            for shard, entry in starts.items()
        }
        metadata = {"batchId": str(batch_id), "streamName": stream}
        self.offset(batch_id, {"metadata": metadata, **as_text}, committed=committed)
        if ends:
            self.ends("shard-source", batch_id, {k: {**more, **v} for k, v in ends.items()})

    def databricks(
        self,
        batch_id: int,
        last: Mapping[tuple[str, str], str | None],
        *,
        closed: tuple[str, ...] = (),
        committed: bool = True,
    ) -> None:
        document = [
            {
                "shard": {"stream": stream, "shardId": shard_id},
                "firstSeqNum": None,
                "lastSeqNum": number,
                "closed": shard_id in closed,
                "msBehindLatest": "0",
                "lastRecordSeqNum": number,
            }
            for (stream, shard_id), number in last.items()
        ]
        self.offset(batch_id, document, committed=committed)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

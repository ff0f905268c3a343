"""``kinesis-source offsets``: a checkpoint for people, and a changed copy of it.

Runs on the user's machine, on a copy or a mount of the checkpoint, without Spark and AWS. The
checkpoint that is named is never written.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from kinesis_source.checkpoints.files import Checkpoint, LoggedOffset
from kinesis_source.checkpoints.places import changed, read_place
from kinesis_source.cli.terminal import table_text
from kinesis_source.cursor.naming import name_age, name_time
from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamPosition
from kinesis_source.model.position_texts import position_to_json
from kinesis_source.model.positions import AfterRecord, AtTimestamp, Position, empty_at_ms

__all__ = ["add_command"]


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``offsets`` to the commands."""
    text = (
        "Show where a query is in each shard, by its checkpoint, and how old that is against the"
        " stream's retention. With --set and --output: write a copy of the checkpoint in which some"
        " shards are elsewhere; the query that is started with it goes on from there. The query"
        " must be stopped."
    )
    parser = commands.add_parser("offsets", help="show or move a checkpoint", description=text)
    parser.add_argument("checkpoint", help="what the query has as checkpointLocation; a local path")
    parser.add_argument("--batch", type=int, help="the end of this batch (default: the last one)")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SHARD=PLACE",
        help="at:TIME, after:SEQUENCE_NUMBER@ARRIVAL_TIME, trim_horizon or end; may be repeated",
    )
    parser.add_argument("--output", metavar="DIRECTORY", help="where the changed copy goes")
    parser.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    checkpoint = Checkpoint(given.checkpoint)
    if bool(given.set) != bool(given.output):
        raise OffsetError(
            "OFFSET_PLACE",
            "--set and --output go together: the checkpoint itself is never changed.",
            "Write for example --set shardId-000000000000=trim_horizon --output NEW_DIRECTORY.",
        )
    if given.set:
        return _write_copy(checkpoint, given)
    logged = checkpoint.read(given.batch)
    rows = [
        _row(key, stream, shard_id, position)
        for offset in logged.sources.values()
        for key, stream in sorted(offset.streams.items())
        for shard_id, position in sorted(stream.shards.items())
    ]
    if given.json:
        document = {
            "batch": logged.batch_id,
            "committed": logged.is_committed,
            "shards": [{**row, "position": position_to_json(row["position"])} for row in rows],
        }
        json.dump(document, sys.stdout, indent=2)
        print()
        return 0
    print(_heading(checkpoint, logged))
    print(_table(rows))
    return 0


def _write_copy(checkpoint: Checkpoint, given: argparse.Namespace) -> int:
    logged = checkpoint.read(given.batch)
    while (
        not logged.is_committed
        and given.batch is None
        and logged.batch_id - 1 in (checkpoint.batch_ids)
    ):
        logged = checkpoint.read(logged.batch_id - 1)
    if not logged.is_committed:
        raise OffsetError(
            "OFFSET_NOT_COMMITTED",
            f"Batch {logged.batch_id} is not committed: Spark will run it again as it was planned.",
            "Let the query finish a batch; or start a new one with a new checkpoint directory and"
            " places in option initialPosition.",
        )
    places = [read_place(text) for text in given.set]
    path = checkpoint.copy_to(given.output, logged, changed(logged.sources, places))
    print(f"Written: {path}, behind batch {logged.batch_id}.")
    left_out = [batch for batch in checkpoint.batch_ids if batch > logged.batch_id]
    if left_out:
        print(f"Not in it: batch {left_out[0]}, which was planned and not finished.")
    if checkpoint.is_stateful:
        print(
            "The query keeps state (aggregates, de-duplication), which is copied as it is: what is"
            " read again counts again, what is skipped is missing in it."
        )
    print("Start the query with it as checkpointLocation. The old one is as it was.")
    return 0


def _row(key: str, stream: StreamPosition, shard_id: str, position: Position) -> dict[str, Any]:
    at_ms = position.arrival_ms if isinstance(position, AfterRecord) else empty_at_ms(position)
    if isinstance(position, AtTimestamp):
        at_ms = position.epoch_ms
    known_ms = empty_at_ms(position) or at_ms
    age_ms = None if known_ms is None else max(0, time.time_ns() // 1_000_000 - known_ms)
    share = None
    if age_ms is not None and stream.retention_ms:
        share = round(100 * age_ms / stream.retention_ms)
    return {
        "stream": key,
        "shard": shard_id,
        "position": position,
        "arrived": name_time(at_ms) if at_ms is not None else None,
        "age_s": None if age_ms is None else age_ms // 1000,
        "retention_used_percent": share,
    }


def _heading(checkpoint: Checkpoint, logged: LoggedOffset) -> str:
    state = "committed" if logged.is_committed else "planned, not committed: it will run again"
    when = f", begun {name_time(logged.begun_ms)}" if logged.begun_ms else ""
    return f"{checkpoint.path}\nEnd of batch {logged.batch_id} ({state}){when}\n"


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            row["stream"],
            row["shard"],
            _place(row["position"]),
            row["arrived"] or "-",
            _age(row["age_s"]),
            "-" if row["retention_used_percent"] is None else f"{row['retention_used_percent']} %",
        )
        for row in rows
    ]
    return table_text(("stream", "shard", "position", "arrived", "age", "of retention"), cells)


def _place(position: Position) -> str:
    text = position_to_json(position)
    if isinstance(text, str):
        return text
    if "after" in text:
        return f"after {text['after']}"
    name = next(name for name in ("at", "oldest", "end") if name in text)
    return {"at": "at a moment", "oldest": "oldest record", "end": "end"}[name]


def _age(age_s: int | None) -> str:
    return "-" if age_s is None else name_age(age_s * 1_000)

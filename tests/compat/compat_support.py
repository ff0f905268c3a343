"""Frozen checkpoints: how they are written and how they are resumed.

One folder for each case below ``tests/compat/<release>/``::

    case.json      description, options, what must still come, and the batch that was not committed
    stream.json    the stream when the query had ended (kinesis_source.emulator.snapshot)
    checkpoint/    what Spark and the release wrote: metadata, offsets, commits

scripts/write_compat_checkpoints.py writes them for the release it is run with; they are never
written again afterwards.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesis_source.emulator import Emulator
from tests.spark.support import BatchLog, Stream, kinesis_client, source_options

Row = tuple[str, str]
STREAM = "events"
CHECKPOINT_PARTS = ("offsets", "commits")


class ShiftedClock:
    """The clock of this machine, some time ahead or behind."""

    def __init__(self, shift_s: float = 0.0) -> None:
        self.shift_s = shift_s

    def __call__(self) -> float:
        return time.time() + self.shift_s

    def advance(self, seconds: float) -> None:
        self.shift_s += seconds


@dataclass(frozen=True)
class Case:
    """One frozen checkpoint.

    Parameters
    ----------
    description : str
    options : dict of str to str
        Without those that say where the emulator is.
    rest : list of (shard id, sequence number)
        What the resumed query must read.
    logged : dict or None
        ``batch`` and ``rows`` of a batch that was planned and not committed; rows None: the query
        was stopped before the batch ran.
    """

    description: str
    options: dict[str, str]
    rest: list[Row]
    logged: dict[str, Any] | None

    @classmethod
    def load(cls, folder: Path) -> Case:
        document = json.loads((folder / "case.json").read_text())
        logged = document["logged"]
        if logged is not None and logged["rows"] is not None:
            logged["rows"] = [tuple(row) for row in logged["rows"]]
        rest = [tuple(row) for row in document["rest"]]
        return cls(document["description"], document["options"], rest, logged)

    def save(self, folder: Path) -> None:
        write_json(folder / "case.json", {**vars(self), "rest": sorted(self.rest)})


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def open_stream(aws: Emulator) -> Stream:
    return Stream(aws, STREAM, kinesis_client(aws))


def start(spark: Any, aws: Emulator, options: dict[str, str], log: BatchLog, place: Path) -> Any:
    given = source_options(aws, **options)
    if "streamARN" in options:
        del given["streamName"]
    return (
        spark.readStream.format("tecton-kinesis")
        .options(**given)
        .load()
        .writeStream.foreachBatch(log)
        .option("checkpointLocation", str(place))
        .start()
    )


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy what a checkpoint is made of, without Hadoop's checksum files."""
    target.mkdir(parents=True)
    shutil.copy(source / "metadata", target / "metadata")
    for part in CHECKPOINT_PARTS:
        (target / part).mkdir()
        for path in (source / part).glob("*") if (source / part).exists() else ():
            if path.name.isdecimal():
                shutil.copy(path, target / part / path.name)


def batch_ids(checkpoint: Path, part: str) -> list[int]:
    folder = checkpoint / part
    names = [path.name for path in folder.glob("*")] if folder.exists() else []
    return sorted(int(name) for name in names if name.isdecimal())

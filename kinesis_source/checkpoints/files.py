"""A checkpoint directory of Structured Streaming, as far as the source is concerned.

Runs where a person runs a command, on a copy or a mount of the directory. Reads ``offsets/<batch>``
and ``commits/<batch>`` (Spark's OffsetSeqLog and CommitLog: a line with the version, one with the
query's metadata, one with the offset of each source) and finds the lines that are this source's.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kinesis_source.errors import OffsetError
from kinesis_source.model.offsets import StreamOffset

__all__ = ["Checkpoint", "LoggedOffset", "OffsetLog", "read_text"]

_BATCH: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_LATEST_MS: Final = 4_102_444_800_000
"""The year 2100: what is later is no time in milliseconds."""
_VERSION: Final = "v1"
_NO_OFFSET: Final = "-"
_HEADING_LINES: Final = 2
_REMOTE: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):/")


@dataclass(frozen=True)
class OffsetLog:
    """What Spark logged of one batch before it ran.

    Parameters
    ----------
    batch_id : int
    is_committed : bool
        Whether the batch is done; else Spark will run it again.
    lines : tuple of str
        Of the file, without line breaks.
    """

    batch_id: int
    is_committed: bool
    lines: tuple[str, ...]

    @property
    def begun_ms(self) -> int | None:
        """When the batch was planned."""
        found = _json(self.lines[1]) if len(self.lines) > 1 else None
        at_ms = found.get("batchTimestampMs") if isinstance(found, dict) else None
        if not isinstance(at_ms, int) or isinstance(at_ms, bool):
            return None
        return at_ms if 0 < at_ms < _LATEST_MS else None

    @property
    def documents(self) -> dict[int, Any]:
        """The offsets as JSON, by the number of their source, from 0."""
        return {
            number: document
            for number, line in enumerate(self.lines[2:])
            if line != _NO_OFFSET and (document := _json(line)) is not None
        }


@dataclass(frozen=True)
class LoggedOffset(OffsetLog):
    """The end of one batch of a query that reads with this source.

    Parameters
    ----------
    sources : mapping of line number to StreamOffset
        Those that are this source's.
    """

    sources: dict[int, StreamOffset]


class Checkpoint:
    """A checkpoint directory.

    Parameters
    ----------
    path : str
        A local path, or one that begins with ``file:``.

    Raises
    ------
    OffsetError
        ``[OFFSET_NO_CHECKPOINT]`` if there is none.
    """

    def __init__(self, path: str) -> None:
        self.path = _local(path)
        if not (self.path / "offsets").is_dir():
            raise OffsetError(
                "OFFSET_NO_CHECKPOINT",
                f"{str(self.path)!r} is no checkpoint directory: it has no folder 'offsets'.",
                "Give what the query has as checkpointLocation.",
            )

    @property
    def batch_ids(self) -> list[int]:
        """The batches whose ends are logged, in order."""
        return _batches(self.path / "offsets")

    @property
    def is_stateful(self) -> bool:
        """Whether the query keeps state beside its offsets."""
        state = self.path / "state"
        return state.is_dir() and any(state.iterdir())

    def log(self, batch_id: int | None = None) -> OffsetLog:
        """Return what is logged of a batch, of the last one by default.

        Raises
        ------
        OffsetError
            ``[OFFSET_NO_CHECKPOINT]`` if it is not there, ``[OFFSET_UNREADABLE]`` if Spark's own
            part of it is of another version.
        """
        known = self.batch_ids
        if not known or (batch_id is not None and batch_id not in known):
            which = f"batch {batch_id}" if batch_id is not None else "any batch"
            raise OffsetError(
                "OFFSET_NO_CHECKPOINT",
                f"{str(self.path)!r} has no offset of {which}; it has {_span(known)}.",
                "Spark keeps the last hundred or so (spark.sql.streaming.minBatchesToRetain).",
            )
        batch_id = known[-1] if batch_id is None else batch_id
        file = self.path / "offsets" / str(batch_id)
        # As Spark does: other separators of lines may stand within an offset.
        lines = tuple(read_text(file).removesuffix("\n").split("\n"))
        if not lines or lines[0] != _VERSION:
            version = lines[0][:20] if lines else ""
            raise OffsetError(
                "OFFSET_UNREADABLE",
                f"The offset log in {str(self.path)!r} has version {version!r}; {_VERSION!r} is"
                " known.",
                "Use a release of this package that knows the Spark that wrote it.",
            )
        return OffsetLog(batch_id, batch_id in _batches(self.path / "commits"), lines)

    def read(self, batch_id: int | None = None) -> LoggedOffset:
        """Return the end of a batch, of the last one by default.

        Raises
        ------
        OffsetError
            As of :meth:`log`; ``[OFFSET_UNREADABLE]`` also if it is no offset of a query that
            reads with this source.
        """
        log = self.log(batch_id)
        sources = {
            number + _HEADING_LINES: StreamOffset.from_json(document)
            for number, document in log.documents.items()
            if isinstance(document, dict) and {"v", "streams"} <= document.keys()
        }
        if not sources:
            raise OffsetError(
                "OFFSET_UNREADABLE",
                f"No source of the query in {str(self.path)!r} reads Kinesis with this package.",
                "For a checkpoint of another connector: kinesis-source migrate.",
            )
        return LoggedOffset(log.batch_id, log.is_committed, log.lines, sources)

    def copy_to(self, target: str, logged: LoggedOffset, sources: dict[int, StreamOffset]) -> Path:
        """Write a copy that goes on behind a batch, from other offsets.

        The copy is made under another name and renamed when it is whole. Batches behind that one
        are not in it.

        Parameters
        ----------
        target : str
            A directory that does not exist.
        logged : LoggedOffset
            Of a batch that was committed.
        sources : mapping of line number to StreamOffset
            Instead of those that it had.
        """
        path = _local(target)
        if path.exists():
            raise OffsetError(
                "OFFSET_TARGET",
                f"{str(path)!r} is there already.",
                "Name a directory that does not exist: nothing is written over.",
            )
        if self.path.resolve() in path.resolve().parents:
            raise OffsetError(
                "OFFSET_TARGET",
                f"{str(path)!r} is within the checkpoint.",
                "Name a directory beside it: nothing is written into the checkpoint.",
            )
        draft = path.with_name(f".{path.name}.incomplete")
        if draft.exists():
            shutil.rmtree(draft)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.path, draft)
        for log in ("offsets", "commits"):
            for batch_id in _batches(draft / log):
                if batch_id > logged.batch_id:
                    _remove(draft / log / str(batch_id))
        lines = list(logged.lines)
        for number, offset in sources.items():
            lines[number] = json.dumps(offset.to_json())
        file = draft / "offsets" / str(logged.batch_id)
        _remove(file)  # with its checksum, which would not hold
        file.write_text("\n".join(lines), "utf-8")
        draft.rename(path)
        return path


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_name(f".{file.name}.crc").unlink(missing_ok=True)


def _batches(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(file.name) for file in folder.iterdir() if _BATCH.fullmatch(file.name))


def _span(batches: list[int]) -> str:
    return f"{batches[0]} to {batches[-1]}" if batches else "none"


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def read_text(file: Path) -> str:
    """Return a file's text.

    Raises
    ------
    OffsetError
        ``[OFFSET_UNREADABLE]`` if it is no text.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise OffsetError(
            "OFFSET_UNREADABLE",
            f"{str(file)!r} is no text in UTF-8: it is damaged, or no part of a checkpoint.",
            "Copy the checkpoint anew, or take an earlier batch with --batch.",
        ) from None


def _local(path: str) -> Path:
    bare = re.sub(r"^file:(//)?", "", path)
    remote = _REMOTE.match(bare)
    if remote is not None:
        raise OffsetError(
            "OFFSET_TARGET",
            f"{path!r} is on {remote[1]!r}, and only local directories are read and written.",
            "Copy the directory here first, for example with 'aws s3 cp --recursive' or"
            " 'dbutils.fs.cp', while the query is stopped.",
        )
    return Path(bare).expanduser()

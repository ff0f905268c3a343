"""Findings: what a diagnosis has to say, as values that travel between processes as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = ["FAILED", "OK", "SKIPPED", "WARNING", "Finding", "Report", "ShownRecord", "StreamSample"]

OK: Final = "ok"
WARNING: Final = "warning"
FAILED: Final = "failed"
SKIPPED: Final = "not asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    step : str
        What was asked, in a word or two; AWS's name for a call.
    state : str
        ``ok``, ``warning``, ``failed`` or ``not asked``.
    text : str
        What was found, with names and values.
    todo : str
        What to do about it; "" if nothing.
    code : str
        The error's, as in docs/reference/errors.md; "" if there is none.
    paste : str
        A policy or a command to copy, that would mend it.
    alike : str
        What must be equal for two places to agree; "": the text.
    took_ms : int
    """

    step: str
    state: str
    text: str
    todo: str = ""
    code: str = ""
    paste: str = ""
    alike: str = ""
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """A record, for the eye."""

    shard_id: str
    partition_key: str
    sequence_number: str
    arrived: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class StreamSample:
    """What is in a stream just now.

    Parameters
    ----------
    stream : str
    open_shards, closed_shards, looked_at : int
        ``looked_at`` of the open ones were read from.
    records_per_s, bytes_per_s : float
        Of late, in those shards together.
    newest_age_s : float or None
        Of the newest record that was seen; None: there was none.
    records_shown : tuple of ShownRecord
    """

    stream: str
    open_shards: int
    closed_shards: int
    looked_at: int
    records_per_s: float
    bytes_per_s: float
    newest_age_s: float | None
    records_shown: tuple[ShownRecord, ...] = ()


@dataclass(frozen=True)
class Report:
    """All findings of one process.

    Parameters
    ----------
    place : str
        ``here``, ``driver`` or ``executor <host>``.
    findings : tuple of Finding
    samples : tuple of StreamSample
    """

    place: str
    findings: tuple[Finding, ...]
    samples: tuple[StreamSample, ...] = field(default=())

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return all(finding.state != FAILED for finding in self.findings)

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {**asdict(self), "ok": self.is_well}

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return what :meth:`to_json` wrote."""
        document = json.loads(text)
        return cls(
            document["place"],
            tuple(Finding(**finding) for finding in document["findings"]),
            tuple(_sample(sample) for sample in document["samples"]),
        )


def _sample(document: Mapping[str, Any]) -> StreamSample:
    shown = tuple(ShownRecord(**record) for record in document["records_shown"])
    return StreamSample(**{**document, "records_shown": shown})

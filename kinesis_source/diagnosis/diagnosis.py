"""Diagnosis: the reports of all places as one, for people and for programs. Pure."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any, Final

from kinesis_source.diagnosis.findings import (
    FAILED,
    OK,
    SKIPPED,
    WARNING,
    Finding,
    Report,
    StreamSample,
)
from kinesis_source.records.lines import aligned

__all__ = ["Diagnosis", "sample_lines"]

# A word beside every colour.
_COLOURS: Final = {OK: "#1a7f37", WARNING: "#9a6700", FAILED: "#cf222e", SKIPPED: "#57606a"}

_CELL: Final = "padding:2px 10px 2px 0;vertical-align:top;text-align:left;white-space:normal"


@dataclass(frozen=True)
class _Line:
    """A finding, and the places that share it."""

    places: tuple[str, ...]
    finding: Finding


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Whether a stream can be read, from each place that was asked.

    Parameters
    ----------
    reports : tuple of Report
        Of this process first; then the driver's and one of each executor.
    """

    reports: tuple[Report, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed anywhere."""
        return all(report.is_well for report in self.reports)

    @property
    def failures(self) -> list[tuple[str, Finding]]:
        """What failed, with its place."""
        return [
            (report.place, finding)
            for report in self.reports
            for finding in report.findings
            if finding.state == FAILED
        ]

    @property
    def differences(self) -> list[str]:
        """The steps that not all places answer alike."""
        return [step for step in self._steps() if len(self._lines(step)) > 1]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "ok": self.ok,
            "differences": self.differences,
            "places": [report.to_dict() for report in self.reports],
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def verdict(self) -> str:
        """Return the outcome in a sentence."""
        asked = len(self.reports) - 1
        who = "this process" if not asked else f"this process and {asked} in Spark"
        if self.ok:
            return f"All is well: {who} can read."
        place, finding = self.failures[0]
        count = len(self.failures)
        more = f", and {count - 1} more" if count > 1 else ""
        return f"Not well: {finding.step} failed ({place}){more}."

    def lines(self) -> list[tuple[str, Finding]]:
        """Return findings in order, those that several places share once, with their places."""
        return [
            (self._name(line.places), line.finding)
            for step in self._steps()
            for line in self._lines(step)
        ]

    def _steps(self) -> list[str]:
        steps: dict[str, None] = {}
        for report in self.reports:
            steps.update((finding.step, None) for finding in report.findings)
        return list(steps)

    def _lines(self, step: str) -> list[_Line]:
        found: dict[tuple[str, str], tuple[list[str], Finding]] = {}
        for report in self.reports:
            for finding in report.findings:
                if finding.step == step:
                    key = (finding.state, finding.alike or finding.text)
                    group = found.setdefault(key, ([], finding))
                    group[0].append(report.place)
        return [_Line(tuple(places), finding) for places, finding in found.values()]

    def _name(self, places: tuple[str, ...]) -> str:
        if len(self.reports) == 1:
            return ""
        if len(places) == len(self.reports):
            return "everywhere"
        kinds: dict[str, list[str]] = {}
        for place in places:
            kind, _, host = place.partition(" ")
            kinds.setdefault(kind, []).append(host)
        named = [
            f"{len(hosts)} executors" if kind == "executor" and len(hosts) > 1 else f"{kind} {h}"
            for kind, hosts in kinds.items()
            for h in hosts[:1]
        ]
        return ", ".join(name.strip() for name in named)

    def __str__(self) -> str:
        out = []
        lines = self.lines()
        cells = [(one.state, one.step, place, one.text) for place, one in lines]
        for (_, finding), line in zip(lines, aligned(cells), strict=True):
            out.append(line)
            if finding.state != OK:
                code = f"[{finding.code}] " if finding.code else ""
                if finding.todo or code:
                    out.append(f"      {code}{finding.todo}".rstrip())
                out += [f"      {line}" for line in finding.paste.splitlines()]
        for report in self.reports:
            for sample in report.samples:
                out += ["", *sample_lines(sample)]
        return "\n".join([*out, "", self.verdict()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(_html_row(place, finding) for place, finding in self.lines())
        head = "".join(
            f'<th style="{_CELL}">{name}</th>' for name in ("state", "step", "where", "found")
        )
        samples = "".join(
            f"<pre>{html.escape(chr(10).join(sample_lines(sample)))}</pre>"
            for report in self.reports
            for sample in report.samples
        )
        return (
            '<div class="kinesis-doctor" style="font-family:sans-serif;font-size:13px">'
            f"<p><b>{html.escape(self.verdict())}</b></p>"
            '<table style="border-collapse:collapse;text-align:left">'
            f"<thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table>{samples}</div>"
        )


def _html_row(place: str, finding: Finding) -> str:
    colour = _COLOURS[finding.state]
    more = ""
    if finding.state != OK and (finding.todo or finding.code):
        code = f"[{finding.code}] " if finding.code else ""
        more = f"<br><i>{html.escape(code + finding.todo)}</i>"
    if finding.paste and finding.state != OK:
        paste = html.escape(finding.paste)
        more += f"<details><summary>to paste</summary><pre>{paste}</pre></details>"
    cells = (
        f'<b style="color:{colour}">{finding.state}</b>',
        html.escape(finding.step),
        html.escape(place),
        f"{html.escape(finding.text)}{more}",
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"


def sample_lines(sample: StreamSample) -> list[str]:
    """Return a sample as text."""
    age = "none was found" if sample.newest_age_s is None else f"{sample.newest_age_s:,.0f} s old"
    lines = [
        f"{sample.stream}: {sample.open_shards} shards open, {sample.closed_shards} closed"
        f" ({sample.looked_at} looked at), {sample.records_per_s:,.1f} records/s,"
        f" {sample.bytes_per_s / 1024:,.1f} KiB/s; newest record: {age}"
    ]
    for record in sample.records_shown:
        lines.append(
            f"  {record.arrived}  {record.shard_id}  key {record.partition_key!r}  {record.kind}"
        )
        lines.append(f"    {record.text}")
    return lines

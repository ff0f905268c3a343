"""A preview drawn: as HTML with inline SVG, that every notebook shows, and as text. Pure.

Nothing of a record is taken as markup. Each colour has its word beside it; the chart has its
numbers in text.
"""

from __future__ import annotations

import html
import itertools
from typing import Final

from kinesis_source.preview.state import PreviewState, Table, words
from kinesis_source.records.lines import aligned, cut

__all__ = ["to_html", "to_text"]

_COLOURS: Final = {
    "checking access": "#0969da",
    "starting": "#0969da",
    "waiting": "#9a6700",
    "running": "#1a7f37",
    "stopped": "#57606a",
    "full": "#9a6700",
    "failed": "#cf222e",
}
_WIDTH, _HEIGHT = 260, 46
_CELL: Final = "padding:2px 10px 2px 0;text-align:left;vertical-align:top;white-space:pre-wrap"
_MOST_SHARDS: Final = 12
_TEXT_CELL: Final = 60


def to_html(state: PreviewState, table: Table | None = None) -> str:
    """Return the preview as HTML."""
    colour = _COLOURS[state.phase]
    parts = [
        f'<p style="margin:4px 0"><b>{html.escape(state.table_name)}</b>'
        f' <span style="border:1px solid {colour};color:{colour};border-radius:8px;'
        f'padding:0 7px">{html.escape(state.phase)}</span> {html.escape(words(state))}</p>'
    ]
    if state.error:
        parts.append(
            f'<p role="alert" style="margin:4px 0;border-left:3px solid {_COLOURS["failed"]};'
            f'padding-left:8px"><b>Error</b> {html.escape(state.error)}</p>'
        )
    parts.append(f'<p style="margin:4px 0">{html.escape(_numbers(state, table))}</p>')
    if chart := _chart(state):
        parts.append(chart)
    if table is not None and table.shards:
        parts.append(f'<p style="margin:4px 0">{html.escape(_by_shard(table))}</p>')
    if table is not None and table.newest:
        parts.append(_html_table(table))
    body = "".join(parts)
    return (
        f'<div class="kinesis-preview" style="font-family:sans-serif;font-size:13px">{body}</div>'
    )


def to_text(state: PreviewState, table: Table | None = None) -> str:
    """Return the preview as text."""
    lines = [f"{state.table_name} [{state.phase}] {words(state)}"]
    if state.error:
        lines.append(f"  {state.error}")
    lines.append(f"  {_numbers(state, table)}")
    if table is not None and table.shards:
        lines.append(f"  {_by_shard(table)}")
    if table is not None and table.newest:
        lines += ["", *_text_table(table)]
    return "\n".join(lines)


def _numbers(state: PreviewState, table: Table | None) -> str:
    rows = table.rows if table is not None else state.rows
    said = [f"{rows:,} rows", f"{state.rate_per_s():,.1f} rows/s"]
    behind_ms = state.history[-1].behind_ms if state.history else None
    if behind_ms is not None:
        said.append(f"{behind_ms / 1000:,.1f} s behind the stream's end")
    return ", ".join(said)


def _by_shard(table: Table) -> str:
    shards = table.shards or {}
    shown = [f"{shard.removeprefix('shardId-')}: {n:,}" for shard, n in shards.items()]
    more = f" and {len(shown) - _MOST_SHARDS} more" if len(shown) > _MOST_SHARDS else ""
    return f"rows by shard  {'   '.join(shown[:_MOST_SHARDS])}{more}"


def _chart(state: PreviewState) -> str:
    """Return the last two minutes' rows a second as a line, with what it says in words."""
    points = state.history
    if len(points) < 3:
        return ""
    rates = [
        max(0.0, (after.rows - before.rows) / max(0.05, after.at_s - before.at_s))
        for before, after in itertools.pairwise(points)
    ]
    top = max(rates) or 1.0
    step = _WIDTH / max(1, len(rates) - 1)
    path = " ".join(
        f"{number * step:.1f},{_HEIGHT - 4 - rate / top * (_HEIGHT - 8):.1f}"
        for number, rate in enumerate(rates)
    )
    span_s = points[-1].at_s - points[0].at_s
    label = f"rows a second over the last {span_s:.0f} s: at most {max(rates):,.1f}"
    return (
        f'<svg role="img" aria-label="{html.escape(label)}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' style="vertical-align:middle"><polyline fill="none" stroke="#0969da" stroke-width="1.5"'
        f' points="{path}"/></svg> <small>{html.escape(label)}</small>'
    )


def _html_table(table: Table) -> str:
    head = "".join(f'<th style="{_CELL}">{html.escape(name)}</th>' for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in reversed(table.newest)
    )
    return (
        '<table style="border-collapse:collapse"><caption style="text-align:left">newest rows'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _text_table(table: Table) -> list[str]:
    rows = [table.columns, *reversed(table.newest)]
    return aligned([[cut(" ".join(cell.split()), _TEXT_CELL) for cell in row] for row in rows])

"""Turns to figures, and figures to what is printed; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.peers.contenders import OURS
from bench.peers.turn import SHARDS, Load, Turn
from bench.report import Figure, figure_of

__all__ = ["exactness_of", "figures_of_turns", "missing_text", "ratios"]


def figures_of_turns(load: Load, name: str, turns: Sequence[Turn]) -> list[Figure]:
    """Return the medians of a contender's turns on one load."""
    subject = f"{load.name}, {name}"
    steady = [turn.steady_ms_per_mb for turn in turns if turn.steady_ms_per_mb is not None]
    off = sorted({turn.rows - load.rows for turn in turns} - {0})
    rows = f"rows too many (or, below 0, too few): {off}" if off else "all rows"
    rounds = "1 round" if len(turns) == 1 else f"{len(turns)} rounds"
    note = f"{load.megabytes:,.0f} MB, {rounds}; {rows}"
    figures = [
        figure_of(f"{subject}: CPU, start to end", [t.cpu_ms_per_mb for t in turns], "ms/MB"),
        figure_of(f"{subject}: query", [t.wall_s for t in turns], "s", note=note),
        figure_of(f"{subject}: peak memory", [t.peak_bytes / 1e6 for t in turns], "MB"),
    ]
    if steady:
        figures.insert(1, figure_of(f"{subject}: CPU, steady", steady, "ms/MB"))
    return figures


def ratios(load: Load, turns: Mapping[str, Sequence[Turn]]) -> list[Figure]:
    """Return this source's CPU, time and memory as multiples of each other contender's.

    Formed in each round before the median is taken: what slows one round down slows both.
    """
    own = turns.get(OURS, ())
    found = []
    for name, others in turns.items():
        if name == OURS or len(own) != len(others):
            continue
        rounds = list(zip(own, others, strict=True))
        steady = [
            a.steady_ms_per_mb / b.steady_ms_per_mb
            for a, b in rounds
            if a.steady_ms_per_mb is not None and b.steady_ms_per_mb
        ]
        values = {
            "CPU, start to end": [a.cpu_ms_per_mb / b.cpu_ms_per_mb for a, b in rounds],
            "CPU, steady": steady,
            "query": [a.wall_s / b.wall_s for a, b in rounds],
            "peak memory": [a.peak_bytes / b.peak_bytes for a, b in rounds],
        }
        found += [
            figure_of(f"{load.name}, {what}: this source / {name}", each, "x")
            for what, each in values.items()
            if each
        ]
    return found


def exactness_of(name: str, load: Load, said: Mapping[str, Any]) -> Figure:
    """Return how many rows came, and in the note whether each key came once from each shard.

    All shards of the server hold the same records, and no key comes twice in a shard.
    """
    is_exact = (
        said["rows"] == load.rows
        and said["keys"] == load.records_per_shard
        and said["fewest"] == said["most"] == SHARDS
    )
    note = (
        f"of {load.rows:,}; {said['keys']:,} keys, each {said['fewest']} to {said['most']} times "
        f"of {SHARDS}: {'exact' if is_exact else 'NOT EXACT'}"
    )
    return Figure(f"{name}: rows", float(said["rows"]), "rows", note=note)


def missing_text(missing: Mapping[str, str]) -> str:
    """Return who took no part and why, a line each; for below the table."""
    return "\n".join(f"{name}: not available: {reason}" for name, reason in missing.items())

"""Figures, and how they are shown and kept.

In: what the modules of ``bench.measure`` return. Out: a table on standard output, and JSON with the
machine and the versions that the figures belong to. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

__all__ = [
    "Figure",
    "document",
    "figure_of",
    "figures_of",
    "main",
    "progress",
    "table",
    "write_json",
]

_DISTRIBUTIONS: Final = (
    "pyspark",
    "pyarrow",
    "boto3",
    "botocore",
    "msgspec",
    "pybase64",
    "kinesis-source",
)
_started_s = time.monotonic()


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Parameters
    ----------
    measure : str
        What was measured, as a reader of the table needs it.
    value : float
    unit : str
        ``x`` for a ratio.
    spread : tuple of float or None
        Smallest and largest value over the repeats.
    target : float or None
    target_is : "at least", "at most" or None
    note : str
    """

    measure: str
    value: float
    unit: str
    spread: tuple[float, float] | None = None
    target: float | None = None
    target_is: Literal["at least", "at most"] | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the value is on the right side of its target; None without target."""
        if self.target is None or self.target_is is None:
            return None
        if self.target_is == "at least":
            return self.value >= self.target
        return self.value <= self.target


def figure_of(measure: str, values: Sequence[float], unit: str, **rest: Any) -> Figure:
    """Return the median of repeats as a figure, with their spread."""
    spread = (min(values), max(values)) if len(values) > 1 else None
    return Figure(measure, statistics.median(values), unit, spread=spread, **rest)


# -- showing ------------------------------------------------------------------------------------


def progress(text: str) -> None:
    """Print a line to standard error, with the seconds since this process began."""
    print(f"[{time.monotonic() - _started_s:6.1f} s] {text}", file=sys.stderr, flush=True)


def table(groups: Mapping[str, Iterable[Figure]]) -> str:
    """Return figures as aligned text, one block for each module."""
    header = ("measure", "value", "unit", "min .. max", "target", "", "note")
    lines = {name: [_cells(figure) for figure in figures] for name, figures in groups.items()}
    every = [header, *(cells for block in lines.values() for cells in block)]
    widths = [max(len(cells[column]) for cells in every) for column in range(len(header))]
    shown = [_aligned(header, widths)]
    for name, block in lines.items():
        shown += ["", name, *(_aligned(cells, widths) for cells in block)]
    return "\n".join(shown)


def _cells(figure: Figure) -> tuple[str, ...]:
    verdict = {True: "met", False: "MISSED", None: "no target"}[figure.is_met]
    value = shown_number(figure.value)
    shown = shown_spread(figure), shown_target(figure)
    return (figure.measure, value, figure.unit, *shown, verdict, figure.note)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = zip(cells, widths, strict=True)
    texts = [
        cell.rjust(width) if place == 1 else cell.ljust(width)
        for place, (cell, width) in enumerate(columns)
    ]
    return "  ".join(texts).rstrip()


def shown_spread(figure: Figure) -> str:
    """Return the smallest and largest value, nothing if there was one alone."""
    return "" if figure.spread is None else " .. ".join(map(shown_number, figure.spread))


def shown_target(figure: Figure) -> str:
    """Return a figure's target, nothing if it has none."""
    if figure.target is None or figure.target_is is None:
        return ""
    return f"{figure.target_is} {shown_number(figure.target)}"


def shown_number(value: float) -> str:
    """Return three digits of a number, all of a large one."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


# -- keeping ------------------------------------------------------------------------------------


def document(
    groups: Mapping[str, Iterable[Figure]], *, quick: bool, load_average: Sequence[float]
) -> dict[str, Any]:
    """Return figures with what they were measured on, ready for JSON.

    Parameters
    ----------
    groups : mapping of module name to figures
    quick : bool
    load_average : sequence of float
        Of the last 1, 5 and 15 minutes, before anything was measured.
    """
    return {
        "quick": quick,
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cores": os.cpu_count(),
            "cpu": _cpu_model(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "load_average_at_start": [round(load, 2) for load in load_average],
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": _versions(),
        "figures": {
            name: [{**dataclasses.asdict(f), "is_met": f.is_met} for f in figures]
            for name, figures in groups.items()
        },
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def figures_of(content: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """Return the figures of a document, the other way round."""
    names = [field.name for field in dataclasses.fields(Figure)]
    return {
        module: [
            Figure(**{**{n: f[n] for n in names}, "spread": f["spread"] and tuple(f["spread"])})
            for f in figures
        ]
        for module, figures in content["figures"].items()
    }


def _versions() -> dict[str, str]:
    found = {name: _version_of(name) for name in _DISTRIBUTIONS}
    return {"python": platform.python_version(), **found, "java": _java_version()}


def _version_of(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _java_version() -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not found"
    match = re.search(r'version "([^"]+)"', shown.stderr)
    return match.group(1) if match else "unknown"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        match = re.search(r"model name\s*: (.+)", cpuinfo.read_text(encoding="utf-8"))
        if match:
            return match.group(1).strip()
    return platform.processor() or platform.machine()


# -- running one module -------------------------------------------------------------------------


def main(measure: Callable[[bool], list[Figure]]) -> None:
    """Run one module's ``measure`` from the command line.

    Parameters
    ----------
    measure : callable
        ``measure(quick)`` of a module that runs as ``python -m bench.measure.<name>``.
    """
    name = Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(prog=f"python -m bench.measure.{name}")
    parser.add_argument("--quick", action="store_true", help="less data and fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    load_average = os.getloadavg()
    groups = {name: measure(arguments.quick)}
    print(table(groups))
    if arguments.json is not None:
        content = document(groups, quick=arguments.quick, load_average=load_average)
        write_json(arguments.json, content)

"""Write the measured figures of bench/results/full.json into docs/PERFORMANCE.md.

python scripts/generate_performance_docs.py            writes the page's results; its prose stays
python scripts/generate_performance_docs.py --check    writes nothing; exit code 1 if they are not
                                                       those of the file
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))

from bench.report import (  # noqa: E402 - found only now
    Figure,
    figures_of,
    shown_number,
    shown_spread,
    shown_target,
)

PAGE: Final = _ROOT / "docs" / "PERFORMANCE.md"
RESULTS: Final = _ROOT / "bench" / "results" / "full.json"
_BEGIN: Final = "## Results\n"
_HEADER: Final = "| measure | value (min .. max) | target |\n| --- | --- | --- |"
_END: Final = "## Targets that are missed\n"


def results_section(content: dict[str, Any]) -> str:
    """Return the page's part with machine, versions and a table for each module."""
    machine, versions = content["machine"], content["versions"]
    shown_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    load = ", ".join(map(str, machine["load_average_at_start"]))
    parts = [
        _BEGIN,
        f"One run of `make bench`, begun with a load of {load}. Machine: {machine['cores']} cores "
        f"({machine['cpu']}), {machine['memory_bytes'] / 1e9:.0f} GB, {machine['system']}. "
        f"Versions: {shown_versions}.\n",
    ]
    for name, figures in figures_of(content).items():
        rows = "\n".join(map(_row, figures))
        parts.append(f"### {name}\n\n{_HEADER}\n{rows}\n")
    return "\n".join(parts) + "\n"


def _row(figure: Figure) -> str:
    value = f"{shown_number(figure.value)} {figure.unit}"
    if spread := shown_spread(figure):
        value += f" ({spread})"
    if figure.is_met is False:
        value += ", MISSED"
    return f"| {figure.measure} | {value} | {shown_target(figure)} |"


def page_with_results(page: str, content: dict[str, Any]) -> str:
    """Return the page with its results replaced."""
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?(?={re.escape(_END)})", re.DOTALL)
    written, count = pattern.subn(lambda _: results_section(content), page)
    if count != 1:
        raise SystemExit(f"{PAGE.name} must have {_BEGIN.strip()!r} and {_END.strip()!r} once each")
    return written


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    written = page_with_results(page, json.loads(RESULTS.read_text(encoding="utf-8")))
    if arguments.check:
        if written != page:
            print(f"docs/{PAGE.name} is not what {Path(__file__).name} writes: run it")
        return int(written != page)
    PAGE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

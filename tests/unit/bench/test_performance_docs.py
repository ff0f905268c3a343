"""The figures of docs/PERFORMANCE.md are those of one run, the one in bench/results/full.json."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "generate_performance_docs.py"))
page_with_results = SCRIPT["page_with_results"]
CONTENT = json.loads((ROOT / "bench" / "results" / "full.json").read_text(encoding="utf-8"))


def test_the_page_shows_what_was_measured():
    page = (ROOT / "docs" / "PERFORMANCE.md").read_text(encoding="utf-8")
    assert page == page_with_results(page, CONTENT), (
        "run python scripts/generate_performance_docs.py"
    )


def test_each_figure_is_shown_with_what_it_missed():
    figure = {
        "measure": "m", "value": 1234.5, "unit": "s", "spread": [1.0, 2000.0],
        "target": 5.0, "target_is": "at most", "note": "",
    }  # fmt: skip
    page = "before\n## Results\nold\n## Targets that are missed\nafter\n"
    written = page_with_results(page, {**CONTENT, "figures": {"decode": [figure]}})
    assert "| m | 1,234 s (1 .. 2,000), MISSED | at most 5 |\n" in written
    assert "old" not in written
    assert written.startswith("before\n## Results\n")
    assert written.endswith("## Targets that are missed\nafter\n")


def test_a_page_without_the_headings_is_not_touched():
    with pytest.raises(SystemExit, match="Targets that are missed"):
        page_with_results("no headings", CONTENT)


def test_the_run_was_a_whole_one():
    assert CONTENT["quick"] is False
    assert {"decode", "end_to_end", "reader", "planning", "backlog", "latency", "startup"} <= set(
        CONTENT["figures"]
    )

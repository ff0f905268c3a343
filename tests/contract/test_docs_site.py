"""The documentation as a site: it builds without a warning, and asks nobody else for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kinesis_source

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("mkdocs", reason="the extra docs is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr, done.stderr[-3000:]
    return folder


def test_every_page_is_in_it(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    missing = [str(page) for page in pages if not (site / page.with_suffix(".html")).exists()]
    assert missing == []


def test_it_is_searched_without_a_server(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"guides/preview.html", "reference/errors.html", "reference/api.html"} <= found


def test_public_names_have_their_docstrings_in_it(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text("utf-8")
    left_out = {"KinesisDataSource"}  # Spark makes it
    for name in set(kinesis_source.__all__) - left_out:
        assert re.search(rf'id="kinesis_source\.[\w.]+\.{name}"', page), name


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"', text)
        loaded += re.findall(
            r'<link[^>]+rel="(?:stylesheet|preconnect)"[^>]+href="(https?:[^"]+)"', text
        )
        assert loaded == [], page.name

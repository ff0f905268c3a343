"""Notebooks are run as they are, and what they show is looked at."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from shutil import which

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(900)]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_what_is_stored_shows_the_notebook_as_it_runs(path: Path) -> None:
    cells = [
        cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
    ]
    assert any(cell.outputs for cell in cells), "scripts/render_notebooks.py stores outputs"
    assert all(cell.execution_count for cell in cells)
    text = path.read_text(encoding="utf-8")
    assert "Traceback" not in text
    assert " WARN " not in text, "Spark's log is no part of it"
    assert "\\u001b[" not in text, "nor are a terminal's colours"
    assert not re.search(r"/work/|/tmp/|AKIA(?!EXAMPLE)[A-Z0-9]{16}", text), "nor where it ran"


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := which(name))),
    None,
)
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_what_is_stored_can_be_seen_in_a_browser(path: Path, tmp_path: Path) -> None:
    page, _ = HTMLExporter().from_filename(str(path))
    file = tmp_path / "notebook.html"
    file.write_text(page, encoding="utf-8")
    command = [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1100,4000"]
    picture = tmp_path / "notebook.png"
    seen = subprocess.run(
        [*command, f"--screenshot={picture}", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert picture.stat().st_size > 100_000, "something is drawn"
    assert 'class="jp-Cell' in seen
    if path.stem in ("01_quickstart", "02_cross_account", "03_resharding"):
        assert 'aria-label="rows a second' in seen, "the chart"
        assert "<caption" in seen, "the newest rows"
    if path.stem == "02_cross_account":
        assert 'class="kinesis-doctor"' in seen
    assert "jp-OutputArea-output-error" not in seen


def run(name: str, folder: Path) -> dict[str, str]:
    """Execute a notebook; return what each cell printed and showed."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return {cell.id: _text(cell) for cell in notebook.cells if cell.cell_type == "code"}


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the quickstart; return what each cell printed."""
    return run("01_quickstart", tmp_path_factory.mktemp("notebook"))


def _text(cell: nbformat.NotebookNode) -> str:
    """Return stdout and the value of a cell."""
    shown = [output.text for output in cell.outputs if output.get("name") == "stdout"]
    shown += [output.data["text/plain"] for output in cell.outputs if "data" in output]
    return "".join(shown)


def test_the_quickstart_shows_raw_records(quickstart: dict[str, str]) -> None:
    assert "records put: 12" in quickstart["put"]
    shown = quickstart["raw"]
    assert "rows: 12" in shown
    assert '{"event_id": 11, "user": "user-3"' in shown, "data is readable"
    assert "rows by shard  000000000000: " in shown
    assert "[7B 22" not in shown


def test_the_quickstart_proposes_a_schema(quickstart: dict[str, str]) -> None:
    assert "event_id BIGINT, user STRING, page STRING, ts TIMESTAMP" in quickstart["hint"]


def test_the_quickstart_shows_typed_rows_arriving(quickstart: dict[str, str]) -> None:
    shown = quickstart["typed"]
    assert "rows after three more: 15" in shown
    assert re.search(r"\|14 +\|user-2\|/shoes/14\|20\d\d-\d\d-\d\d ", shown)
    assert re.search(r"\|user-0\| +4\|", shown)
    assert re.search(r"\|user-3\| +3\|", shown)


def test_the_quickstart_reads_across_accounts(quickstart: dict[str, str]) -> None:
    assert "rows through the role: 15" in quickstart["cross"]


def test_the_quickstart_shows_errors_that_say_what_to_do(quickstart: dict[str, str]) -> None:
    first, second, *_ = quickstart["error"].split("\n\n")
    assert re.match(r"\w+Error: \[(CREDENTIAL|ACCESS)_\w+\]", first)
    assert "arn:aws:iam::222222222222:role/kinesis-reader" in first
    assert "xternal" in first
    assert re.match(r"StreamError: \[STREAM_NOT_FOUND\]", second)
    assert "no-such-stream" in second
    assert "queries left running: 0" in quickstart["error"]


def test_the_quickstart_resumes_where_it_stopped(quickstart: dict[str, str]) -> None:
    assert "first run: 15 rows, 15 distinct" in quickstart["durable"]
    assert "second run: 20 rows, 20 distinct" in quickstart["restart"]
    assert "third run: 20 rows, 20 distinct" in quickstart["restart"]
    assert "stopped" in quickstart["stop"]


def test_the_quickstart_shows_no_secret(quickstart: dict[str, str]) -> None:
    assert "'awsSecretKey': '***'" in quickstart["source"]
    assert "KinesisConfig(stream_name='clicks-" in quickstart["source"]


def test_another_account_from_start_to_end(tmp_path: Path) -> None:
    shown = run("02_cross_account", tmp_path)
    assert '"sts:ExternalId": "clicks-2026"' in shown["policy"]
    assert re.search(r"failed +role +", shown["before"])
    assert "Not well: role failed" in shown["before"]
    assert "ok: True" in shown["doctor"]
    assert re.search(r"ok +GetRecords +everywhere", shown["doctor"])
    assert "rows through the role: 20" in shown["preview"]
    assert shown["errors"].count("[CREDENTIAL_ASSUME_ROLE]") == 3
    assert shown["errors"].count("[STREAM_NOT_FOUND]") == 2
    assert shown["errors"].count("[ACCESS_DENIED]") == 1
    assert "queries left running: 0" in shown["errors"]


def test_resharding_watched_live(tmp_path: Path) -> None:
    shown = run("03_resharding", tmp_path)
    assert "rows: 300" in shown["split"]
    assert "rows 300 distinct 300" in shown["once"]
    assert "each key in order: True" in shown["once"]
    assert "second run: 400 rows, 400 distinct" in shown["restart"]
    assert "shardId-000000000005" in shown["offsets"]


def test_lag_and_tuning(tmp_path: Path) -> None:
    shown = run("04_lag_and_tuning", tmp_path)
    assert "all_at_once: 8,000 rows in 1 batches" in shown["backlog"]
    assert re.search(r"in_pieces: 8,000 rows in [4-9] batches", shown["backlog"])
    assert "rows: 100" in shown["lag"]


def test_a_batch_and_a_sink(tmp_path: Path) -> None:
    shown = run("05_batch_and_sink", tmp_path)
    assert "rows: 300" in shown["batch"]
    assert "the same frame again: 300" in shown["fixed"]
    assert "a new one: 350" in shown["fixed"]
    assert "since the middle: 150" in shown["between"]
    assert '{"user":"user-0","count":75}' in shown["sink"]
    assert "user-3" in shown["tail"]

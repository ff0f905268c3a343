"""Notebooks are run as they are, and what they show is looked at."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ALL = sorted(NOTEBOOKS.glob("*.ipynb"))

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(900)]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the notebook; return what each cell printed."""
    notebook = nbformat.read(NOTEBOOKS / "01_quickstart.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
    )
    client.execute()
    return {cell.id: _text(cell) for cell in notebook.cells if cell.cell_type == "code"}


def _text(cell: nbformat.NotebookNode) -> str:
    """Return stdout and the value of a cell."""
    shown = [output.text for output in cell.outputs if output.get("name") == "stdout"]
    shown += [output.data["text/plain"] for output in cell.outputs if "data" in output]
    return "".join(shown)


def test_the_quickstart_shows_raw_records(quickstart: dict[str, str]) -> None:
    assert "records put: 12" in quickstart["put"]
    shown = quickstart["raw"]
    assert "rows: 12" in shown
    columns = re.findall(r"\|-- (\w+): (\w+)", shown)
    assert columns[:5] == [
        ("data", "binary"),
        ("streamName", "string"),
        ("partitionKey", "string"),
        ("sequenceNumber", "string"),
        ("approximateArrivalTimestamp", "timestamp"),
    ]
    assert "[7B 22 65 76 65 6E 74" in shown  # {"event
    assert "shardId-00000000000" in shown


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

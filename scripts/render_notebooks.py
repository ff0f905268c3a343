"""Executes the notebooks and stores what they show, so that it can be looked at without running.

``render_notebooks.py [NAME ...]``; all by default. What differs from machine to machine (paths,
host name, ports of loopback, keys of the emulator) is replaced, so that nothing tells where it ran.
"""

from __future__ import annotations

import json
import platform
import re
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
REPLACED = (
    (re.compile(re.escape(sys.executable)), "/opt/python/bin/python"),
    (re.compile(re.escape(sys.prefix)), "/opt/python"),
    (re.compile(re.escape(str(NOTEBOOKS.parent))), "/home/user/project"),
    (re.compile(re.escape(tempfile.gettempdir()) + r"/[\w./-]+"), "/data/example"),
    (re.compile(r"127\.0\.0\.1:\d{2,5}"), "127.0.0.1:4567"),
    (re.compile(rf"\b{re.escape(socket.gethostname())}\b"), "laptop"),
    (re.compile(r"kinesis-source-laptop-[0-9a-f]{8}"), "kinesis-source-laptop-0a1b2c3d"),
    (re.compile(r"AKIA[A-Z0-9]{16}"), "AKIAEXAMPLEEXAMPLE00"),
)


def main(names: list[str]) -> None:
    """Render notebooks in place."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        print(f"{path.name} ...", flush=True)
        notebook = run(path)
        nbformat.write(notebook, path)


def run(path: Path) -> Any:
    """Execute a notebook; return it with scrubbed outputs."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [scrubbed(output) for output in joined(cell.outputs)]
            cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """Put pieces of one stream together, and leave standard error out: Spark's notes go there."""
    found: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name != "stdout":
                continue
            if found and found[-1].output_type == "stream":
                found[-1].text += output.text
                continue
        found.append(output)
    return found


def scrubbed(output: Any) -> Any:
    """Return an output without what tells where it ran."""
    text = json.dumps(output)
    for pattern, word in REPLACED:
        text = pattern.sub(word, text)
    return nbformat.from_dict(json.loads(text.replace(platform.release(), "6.1")))


if __name__ == "__main__":
    main(sys.argv[1:])

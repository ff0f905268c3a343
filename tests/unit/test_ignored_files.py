"""No file of the package may be hidden from git: it would be missing in every clone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="this is no git checkout"
)
def test_git_ignores_no_file_of_the_package():
    files = [
        str(path.relative_to(ROOT))
        for folder in ("kinesis_source", "pyspark_kinesis_source", "tests", "docs", "native/src")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".md", ".rs", ".json", ".ipynb")
    ]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(files),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout == ""

"""What a contender needs beside this project, made once in ``.bench-peers/``: a Python, jars.

Out of package registries alone, by pip and Maven as the user has set them up. What cannot be had is
no error: the contender is left out, and the table says why.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["CACHE", "NotAvailableError", "jars_of", "python_with", "reason_in"]

CACHE: Final = Path(__file__).parents[2] / ".bench-peers"
INSTALL_S: Final = 1_200
_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS: Final = re.compile(r"https?://[^\s)]+")
_REASON_LETTERS: Final = 300


class NotAvailableError(Exception):
    """A contender cannot take part here; the argument says why."""


def python_with(*requirements: str, offline: bool) -> Path:
    """Return the Python of an environment that has these packages; made if it is not there."""
    folder = CACHE / "-".join(sorted(requirements)).replace("=", "")
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        _allow(offline, folder)
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *requirements)
        done.touch()
    return python


def jars_of(coordinate: str, *, offline: bool) -> list[Path]:
    """Return a Maven artifact and what it needs at run time, without Spark's and Scala's own.

    Parameters
    ----------
    coordinate : str
        ``group:artifact:version``.
    offline : bool
        Take what an earlier run got, and get nothing.
    """
    folder = CACHE / coordinate.replace(":", "_")
    jars = folder / "jars"
    done = folder / "complete"
    if not done.exists():
        _allow(offline, folder)
        if shutil.which("mvn") is None:
            raise NotAvailableError("Maven (mvn) is not installed")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        group, artifact, version = coordinate.split(":")
        (folder / "pom.xml").write_text(_POM.format(group, artifact, version), encoding="utf-8")
        _run(
            "mvn",
            "--quiet",
            "--file",
            str(folder / "pom.xml"),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={jars}",
        )
        for jar in jars.glob("*.jar"):
            if jar.name.startswith(("scala-library", "spark-core", "spark-sql_", "spark-catalyst")):
                jar.unlink()
        done.touch()
    return sorted(jars.glob("*.jar"))


_POM: Final = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>peer</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>
  </dependency></dependencies>
</project>
"""


def reason_in(said: str) -> str:
    """Return the line that tells a reader of the table why pip or Maven failed, without addresses.

    Maven says the reason first, and then where to read on; pip says it last.
    """
    lines = [_STYLE.sub("", line).strip() for line in said.splitlines()]
    errors = [line for line in lines if line.startswith("[ERROR] ")]
    reason = errors[0] if errors else next(filter(None, reversed(lines)), "it said nothing")
    return _ADDRESS.sub("...", reason.removeprefix("[ERROR] "))[:_REASON_LETTERS]


def _allow(offline: bool, folder: Path) -> None:
    if offline:
        raise NotAvailableError(f"{folder.name} is not in {CACHE.name}/, and --offline was said")


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, timeout=INSTALL_S, env=os.environ.copy()
        )
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).decode(errors="replace")
        raise NotAvailableError(f"{Path(command[0]).name} failed: {reason_in(said)}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NotAvailableError(f"{command[0]} failed: {error}") from error

"""What a contender needs beside this project, made once in ``.bench-peers/``: a Python, jars.

Out of package registries alone, by pip and Maven as the user has set them up. What cannot be had is
no error: the contender is left out, and the table says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["CACHE", "NotAvailableError", "jars_of", "python_with"]

CACHE: Final = Path(__file__).parents[2] / ".bench-peers"
INSTALL_S: Final = 1_200


class NotAvailableError(Exception):
    """A contender cannot take part here; the argument says why."""


def python_with(*requirements: str) -> Path:
    """Return the Python of an environment that has these packages; made if it is not there."""
    folder = CACHE / "-".join(sorted(requirements)).replace("=", "")
    python = folder / "bin" / "python"
    done = folder / "complete"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *requirements)
        done.touch()
    return python


def jars_of(coordinate: str) -> list[Path]:
    """Return a Maven artifact and what it needs at run time, without Spark's and Scala's own.

    Parameters
    ----------
    coordinate : str
        ``group:artifact:version``.
    """
    if shutil.which("mvn") is None:
        raise NotAvailableError("Maven (mvn) is not installed")
    folder = CACHE / coordinate.replace(":", "_")
    jars = folder / "jars"
    done = folder / "complete"
    if not done.exists():
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


def _run(*command: str) -> None:
    try:
        subprocess.run(
            command, check=True, capture_output=True, timeout=INSTALL_S, env=os.environ.copy()
        )
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).decode(errors="replace").strip().splitlines()
        last = said[-1] if said else "it said nothing"
        raise NotAvailableError(f"{command[0]} failed: {last}") from error
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NotAvailableError(f"{command[0]} failed: {error}") from error

"""What this process brings: Python, packages, decoder, Java. Asks nobody."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from kinesis_source.diagnosis.findings import FAILED, OK, WARNING, Finding
from kinesis_source.errors import OptionError
from kinesis_source.native import find_decoder

__all__ = ["check_decoder", "check_java", "check_machine", "check_spark"]

_PACKAGES: Final = ("kinesis-source", "boto3", "pyarrow", "msgspec")
_LEAST_JAVA: Final = 17
_LEAST_SPARK: Final = 4


def check_machine() -> Finding:
    """Say who runs this: host, Python, packages."""
    found = [f"{name} {version}" for name in _PACKAGES if (version := _version(name))]
    text = (
        f"{socket.gethostname()}, {platform.system()} {platform.machine()}, Python"
        f" {platform.python_version()} ({sys.executable}); {', '.join(found)}"
    )
    return Finding("machine", OK, text, alike=", ".join([platform.python_version(), *found]))


def check_decoder(setting: str = "auto") -> Finding:
    """Say which decoder takes replies apart."""
    try:
        native = find_decoder(setting)
    except OptionError as error:
        return Finding("decoder", FAILED, error.problem, error.hint, error.code)
    if native is not None:
        return Finding("decoder", OK, f"native {native.__version__}")
    return Finding(
        "decoder",
        WARNING,
        "Python: the same rows, at several times the CPU",
        "Install 'kinesis-source[native]' on the driver and on every executor.",
    )


def check_spark() -> Finding:
    """Say whether PySpark is here, and which."""
    version = _version("pyspark") or _version("pyspark-client")
    if version is None and importlib.util.find_spec("pyspark") is not None:
        import pyspark  # a cluster's own, that pip does not know

        version = pyspark.__version__
    if version is None:
        text = "PySpark is not installed here: nothing is said about Spark"
        return Finding("Spark", WARNING, text, "pip install 'pyspark>=4,<4.4'")
    if int(version.partition(".")[0]) < _LEAST_SPARK:
        text = f"PySpark {version}; data sources in Python need 4.0 or later"
        return Finding("Spark", FAILED, text, "pip install 'pyspark>=4,<4.4'")
    return Finding("Spark", OK, f"PySpark {version}")


def check_java() -> Finding:
    """Say whether the Java is here that a local Spark needs."""
    todo = "Install Java 17 or 21, or set JAVA_HOME to where it is."
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(str(Path(home) / "bin" / "java") if home else "java")
    if java is None:
        where = f"in JAVA_HOME ({home})" if home else "on the path"
        return Finding("Java", WARNING, f"none {where}: no Spark can start on this machine", todo)
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own Java
            [java, "-version"], capture_output=True, text=True, check=False, timeout=30
        ).stderr
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("Java", FAILED, f"{java} does not run: {type(error).__name__}", todo)
    match = re.search(r'version "(?:1\.)?([0-9]+)[^"]*"', answer)
    if match is None or int(match[1]) < _LEAST_JAVA:
        found = "".join(answer.strip().splitlines()[:1]) or "nothing"
        text = f"{java} says {found}; Spark 4 needs Java {_LEAST_JAVA} or later"
        return Finding("Java", FAILED, text, todo)
    return Finding("Java", OK, f"{match[0].removeprefix('version ').strip(chr(34))} ({java})")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None

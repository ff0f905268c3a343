"""Fixtures of the tests on real Spark."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinesis_source.emulator import Emulator
from tests.spark.support import Stream, kinesis_client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def make_stream(aws: Emulator) -> Callable[..., Stream]:
    def make(name: str = "events", shards: int = 2) -> Stream:
        client = kinesis_client(aws)
        client.create_stream(StreamName=name, ShardCount=shards)
        client.get_waiter("stream_exists").wait(StreamName=name)
        return Stream(aws, name, client)

    return make


@pytest.fixture
def python_without_package(tmp_path: Path) -> Path:
    """An environment with all that the package needs, but not the package.

    This one holds the checkout by a .pth file, which Python heeds only in an environment's own
    folder.
    """
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    (packages,) = (home / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home / "bin" / "python"


@pytest.fixture
def package_zip(tmp_path: Path) -> Path:
    """The package, as Spark ships it."""
    shipped = tmp_path / "kinesis_source.zip"
    with zipfile.ZipFile(shipped, "w") as archive:
        for path in (ROOT / "kinesis_source").rglob("*.py"):
            archive.write(path, path.relative_to(ROOT))
    return shipped

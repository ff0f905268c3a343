"""The package as a zip that Spark ships, and Pythons that lack it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from pyspark import cloudpickle

from kinesis_source import find_code
from kinesis_source.datasource import KinesisDataSource
from tests.spark.support import source_options

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("shipped_program.py")


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


def clean_environment(**variables: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables


def test_a_zip_that_spark_ships_is_enough_for_a_query(
    aws, make_stream, tmp_path, python_without_package
) -> None:
    make_stream(shards=2).put(20)
    shipped = tmp_path / "kinesis_source.zip"
    with zipfile.ZipFile(shipped, "w") as archive:
        for path in (ROOT / "kinesis_source").rglob("*.py"):
            archive.write(path, path.relative_to(ROOT))
    python = str(python_without_package)

    done = subprocess.run(
        [python, PROGRAM, shipped, json.dumps(source_options(aws))],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
        env=clean_environment(PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=python),
    )

    assert "rows: 20\n" in done.stdout, done.stderr[-3000:]


@pytest.fixture
def pickled() -> dict[str, bytes]:
    """What Spark hands to the planner and to the executors."""
    source = KinesisDataSource({"streamName": "s", "region": "us-east-1"})
    reader = source.streamReader(source.schema())
    return {"source": cloudpickle.dumps(source), "reader": cloudpickle.dumps(reader)}


@pytest.mark.parametrize("what", ["source", "reader"])
def test_a_python_without_the_package_says_so_with_a_code(
    pickled, what: str, python_without_package, tmp_path
) -> None:
    (tmp_path / "pickled").write_bytes(pickled[what])
    done = subprocess.run(
        [python_without_package, "-c", "import pickle; pickle.load(open('pickled', 'rb'))"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=tmp_path,
        env=clean_environment(),
    )
    assert find_code(done.stderr) == "OPTION_PACKAGE"
    assert "cannot import 'kinesis_source'" in done.stderr
    assert str(python_without_package) in done.stderr


def test_what_was_pickled_comes_back_whole(pickled) -> None:
    source = pickle.loads(pickled["source"])  # noqa: S301 - own bytes
    assert [stream.key for stream in source.settings.read.streams] == ["s"]
    assert source.name() == "tecton-kinesis"
    reader = pickle.loads(pickled["reader"])  # noqa: S301 - own bytes
    again = pickle.loads(pickle.dumps(reader))  # noqa: S301 - own bytes
    assert again.__dict__ == reader.__dict__

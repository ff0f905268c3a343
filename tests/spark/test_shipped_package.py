"""The package as a zip that Spark ships, and Pythons that lack it."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import tarfile
from pathlib import Path

import pyspark
import pytest
from pyspark import cloudpickle

from kinesis_source import find_code
from kinesis_source.datasource import KinesisDataSource
from tests.spark.support import source_options

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("shipped_program.py")


def clean_environment(**variables: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables


def test_a_zip_that_spark_ships_is_enough_for_a_query(
    aws, make_stream, tmp_path, python_without_package, package_zip
) -> None:
    make_stream(shards=2).put(20)
    python = str(python_without_package)

    done = subprocess.run(
        [python, PROGRAM, json.dumps(source_options(aws)), package_zip],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=tmp_path,
        env=clean_environment(PYSPARK_PYTHON=python, PYSPARK_DRIVER_PYTHON=python),
    )

    assert "rows: 20\n" in done.stdout, done.stderr[-3000:]
    assert "rows of a batch: 20\n" in done.stdout, done.stderr[-3000:]


def submit(folder: Path, environment: dict[str, str], *arguments: object) -> str:
    """Run the program on a standalone cluster of one worker; return what it printed."""
    home = Path(pyspark.__file__).parent
    done = subprocess.run(
        [home / "bin" / "spark-submit", "--master", "local-cluster[1,2,1024]", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        cwd=folder,
        env=clean_environment(SPARK_HOME=str(home), SPARK_LOCAL_IP="127.0.0.1", **environment),
    )
    return done.stdout + done.stderr[-3000:]


@pytest.mark.timeout(300)
def test_py_files_are_enough_on_a_cluster(
    aws, make_stream, tmp_path, python_without_package, package_zip
) -> None:
    make_stream(shards=2).put(20)
    python = str(python_without_package)
    environment = {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python}
    options = json.dumps(source_options(aws))
    printed = submit(tmp_path, environment, "--py-files", package_zip, PROGRAM, options)
    assert "rows: 20\n" in printed, printed
    assert "rows of a batch: 20\n" in printed, printed


@pytest.mark.timeout(300)
def test_a_packed_environment_is_enough_on_a_cluster(
    aws, make_stream, tmp_path, python_without_package
) -> None:
    """Executors unpack the archive into their folders; the driver's workers need it in theirs."""
    make_stream(shards=2).put(20)
    (packages,) = (python_without_package.parents[1] / "lib").glob("python*/site-packages")
    (packages / "package.pth").write_text(f"{ROOT}\n")
    packed = tmp_path / "environment.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(python_without_package.parents[1], arcname=".")
    driver = tmp_path / "driver"
    (driver / "environment").mkdir(parents=True)
    subprocess.run(["tar", "-xzf", packed, "-C", driver / "environment"], check=True, timeout=60)
    environment = {
        "PYSPARK_PYTHON": "./environment/bin/python",
        "PYSPARK_DRIVER_PYTHON": str(driver / "environment" / "bin" / "python"),
    }
    archives = ("--archives", f"{packed}#environment")
    printed = submit(driver, environment, *archives, PROGRAM, json.dumps(source_options(aws)))
    assert "rows: 20\n" in printed, printed
    assert "rows of a batch: 20\n" in printed, printed


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

"""Write frozen checkpoints of this release: ``python scripts/write_compat_checkpoints.py 0.1.0``.

Runs real queries (tests/compat/compat_cases.py) on the embedded emulator and keeps what they leave
behind below ``tests/compat/<release>/``. To be run once for each release, before it is tagged;
existing folders are left alone unless ``--again`` is given.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import SparkSession

LONG_AGO_S = 1_735_732_800.0
"""2025-01-01T12:00Z by the emulator: options must not name the future of any machine."""
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kinesis_source.emulator import Emulator  # noqa: E402
from tests.compat.compat_cases import CASES, World  # noqa: E402
from tests.compat.compat_support import ShiftedClock, copy_checkpoint, write_json  # noqa: E402


def write_case(spark: SparkSession, make: Callable[[World], None], folder: Path) -> None:
    """Run one case and keep its checkpoint, its stream and what is still to come."""
    clock = ShiftedClock(LONG_AGO_S - time.time())
    with (
        Emulator(clock=clock, signing_clock=time.time) as aws,
        tempfile.TemporaryDirectory() as temporary,
    ):
        checkpoint = Path(temporary) / "checkpoint"
        world = World(spark, aws, clock, checkpoint)
        make(world)
        folder.mkdir(parents=True)
        world.case(" ".join((make.__doc__ or "").split())).save(folder)
        write_json(folder / "stream.json", world.handle.snapshot())
        copy_checkpoint(checkpoint, folder / "checkpoint")


def start_spark() -> SparkSession:
    """Start Spark as the tests do."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )


def main() -> int:
    """Write the cases that are missing, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("release")
    parser.add_argument("--again", action="store_true", help="replace what is there")
    parser.add_argument("--only", help="one case")
    given = parser.parse_args()
    spark = start_spark()
    for make in CASES:
        folder = ROOT / "tests" / "compat" / given.release / make.__name__
        if given.only not in {None, make.__name__} or (folder.exists() and not given.again):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        write_case(spark, make, folder)
        print(folder.relative_to(ROOT))
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

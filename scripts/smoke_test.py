"""Try an installed kinesis-source: ``python -I smoke_test.py [--version 0.2.0] [--native]``.

Run by scripts/smoke_wheel.sh in an environment that has the package and what it depends on, and
nothing else: no pytest, no checkout on the path; ``-I`` keeps both out. Spark may be there or not.
Exit code 0: all is well. Else the first thing that is not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = Path(sysconfig.get_path("scripts")) / "kinesis-source"
SETTINGS = re.compile("AWS_|PYTHON|KINESIS_SOURCE_")
STREAM_ARN = "arn:aws:kinesis:us-west-2:222222222222:stream/clicks"
READER_ARN = "arn:aws:iam::111111111111:role/spark"
HAS_SPARK = importlib.util.find_spec("pyspark") is not None
NEED_SPARK = {
    "BatchSource",
    "KinesisDataSource",
    "KinesisQueryListener",
    "StreamDataSource",
    "StreamSource",
    "register",
}
"""Where the base install, which leaves Spark out, says that pyspark is missing."""


def check(is_so: bool, otherwise: str) -> None:
    """End the run where something is not as it must be; ``assert`` goes away with ``-O``."""
    if not is_so:
        sys.exit(f"smoke test failed: {otherwise}")


def run(*arguments: str, **environment: str) -> str:
    """Run the command as a user would, of whose settings none counts; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not SETTINGS.match(name)}
    done = subprocess.run(
        [str(COMMAND), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**kept, **environment},
    )
    said = f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    check(done.returncode == 0, said)
    return done.stdout


def try_version(wanted: str | None) -> str:
    """See one version in command, module and metadata."""
    version = importlib.metadata.version("kinesis-source")
    check(wanted in {None, version}, f"{version} is installed, not {wanted}")
    check(run("--version").strip() == f"kinesis-source {version}", "--version says another one")
    check(importlib.import_module("kinesis_source").__version__ == version, "__version__")
    return version


def try_files() -> str:
    """See what was installed: a file, no checkout, typed, with its licence."""
    package = Path(importlib.import_module("kinesis_source").__file__ or "").parent
    check(Path(sysconfig.get_path("purelib")) == package.parent, f"{package} is no installed one")
    check((package / "py.typed").exists(), "py.typed is missing")
    files = importlib.metadata.files("kinesis-source") or []
    check(any(file.name == "LICENSE" for file in files), "the licence is missing")
    return f"{len(files)} files"


def can_import(package: Any, name: str) -> bool:
    """Import a public name; False where it needs Spark, there is none, and it says so."""
    try:
        check(callable(getattr(package, name)), f"{name} is nothing to call")
    except ImportError as error:
        is_known = not HAS_SPARK and name in NEED_SPARK and "pyspark" in str(error)
        check(is_known, f"{name}: {error!r}")
        return False
    return True


def try_public_names() -> str:
    """Import each public name; without Spark those that need it say so."""
    package = importlib.import_module("kinesis_source")
    names = package.__all__
    check("StreamSource" in names and "doctor" in names, f"public names are {names}")
    imported = sum(can_import(package, name) for name in names)
    # Spark imports it in every session: it must never raise.
    importlib.import_module("pyspark_kinesis_source")
    return f"{imported} of {len(names)}" + ("" if HAS_SPARK else ", the others need Spark")


def try_policy() -> str:
    """Print policies, also for a reader of another account."""
    own = run("policy", "--stream-arn", STREAM_ARN)
    check("kinesis:GetRecords" in own and STREAM_ARN in own, f"policy printed\n{own}")
    other = run("policy", "--stream-arn", STREAM_ARN, "--reader-arn", READER_ARN)
    check("sts:AssumeRole" in other, f"policy printed\n{other}")
    return "printed"


def try_reading() -> str:
    """Let the doctor read a record from the embedded emulator, by calls over HTTP."""
    emulator = importlib.import_module("kinesis_source.emulator")
    with emulator.Emulator() as aws:
        aws.account().create_stream("clicks", shards=1).put(b'{"url": "/"}', "user-1")
        said = run(
            *("doctor", "clicks", "--region", "us-east-1", "--endpoint-url", aws.endpoint_url),
            *("--option", "initialPosition=trim_horizon", "--json"),
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",  # noqa: S106 - the emulator takes any
            AWS_EC2_METADATA_DISABLED="true",
            AWS_CONFIG_FILE=os.devnull,
            AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        )
    check("user-1" in json.dumps(json.loads(said)), f"doctor printed\n{said}")
    return "a record, through the emulator"


def try_native() -> str:
    """See that the native decoder is taken, and is of the same version."""
    decoder = importlib.import_module("kinesis_source.native").find_decoder("native")
    version = importlib.metadata.version("kinesis-source")
    check(decoder.__version__ == version, f"the decoder is {decoder.__version__}")
    return f"kinesis-source-native {version}"


def main() -> None:
    """Try one thing after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", help="that must be installed")
    parser.add_argument("--native", action="store_true", help="the native decoder must be there")
    given = parser.parse_args()
    steps: dict[str, Callable[[], str]] = {
        "version": lambda: try_version(given.version),
        "files": try_files,
        "public names": try_public_names,
        "policy": try_policy,
        "reading": try_reading,
    }
    if given.native:
        steps["native decoder"] = try_native
    for name, step in steps.items():
        print(f"  {name:<16}{step()}")


if __name__ == "__main__":
    main()

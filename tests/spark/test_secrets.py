"""Invariant 8: no secret in a checkpoint, log, event log, plan, exception, progress, repr or file.

One Spark of its own runs working and failing queries with every kind of credential, at log level
DEBUG; then everything it printed and wrote is searched for every secret that was ever given out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from kinesis_source.emulator import Emulator
from tests.spark.support import REGION

ROOT = Path(__file__).resolve().parents[2]
MARK = "M4rk3dS3cr3t"
TIMEOUT_S = 280
SECRET_SPELLINGS = ("awsSecretKey", "awsSecretAccessKey", "awsSessionToken", "sessionToken")


class Scene:
    """Streams, people and roles, and every secret among them."""

    def __init__(self, aws: Emulator) -> None:
        self.aws = aws
        owner = aws.account("222222222222")
        owner.create_stream("clicks", shards=2).put(b"hello", "key")
        self.caller = aws.account("111111111111").create_user("etl")
        self.owner = owner.create_user("owner")
        self.provided = owner.create_user("provided")
        self.role = owner.create_role(
            "reader", trusts=[self.caller.arn], external_id="agreed-id", allow=["kinesis:*"]
        )
        sts = boto3.client(
            "sts",
            endpoint_url=aws.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.owner.access_key,
            aws_secret_access_key=self.owner.secret_key,
        )
        self.session = sts.get_session_token()["Credentials"]
        sts.close()

    def secrets(self) -> dict[str, str]:
        """Return every secret, by what it is: the STS sessions of the queries included."""
        found = {
            "caller's secret key": self.caller.secret_key,
            "owner's secret key": self.owner.secret_key,
            "provider's secret key": self.provided.secret_key,
            "a made-up secret": MARK,
        }
        for person in (self.owner, self.role):
            for number, session in enumerate(self.aws._iam.sessions_of(person)):
                found[f"{person.arn} session {number} key"] = session.secret_key
                found[f"{person.arn} session {number} token"] = session.session_token or ""
        return found

    def access_keys(self) -> list[str]:
        sessions = [s for p in (self.owner, self.role) for s in self.aws._iam.sessions_of(p)]
        people = (self.caller, self.owner, self.provided)
        return [who.access_key for who in (*people, *sessions)]

    def options(self, **options: str) -> dict[str, str]:
        return {
            "streamName": "clicks",
            "region": REGION,
            "endpointUrl": self.aws.endpoint_url,
            "initialPosition": "trim_horizon",
            "pollInterval": "200ms",
            "retryBudget": "3s",
            **options,
        }

    def temporary(self, **options: str) -> dict[str, str]:
        given = {
            "awsAccessKey": self.session["AccessKeyId"],
            "awsSecretKey": self.session["SecretAccessKey"],
            "awsSessionToken": self.session["SessionToken"],
        }
        return self.options(**{**given, **options})

    def role_options(self, **options: str) -> dict[str, str]:
        given = {
            "awsAccessKey": self.caller.access_key,
            "awsSecretKey": self.caller.secret_key,
            "stsEndpoint": self.aws.endpoint_url,
            "roleArn": self.role.arn,
            "roleExternalId": "agreed-id",
        }
        return self.options(**{**given, **options})

    def tasks(self) -> list[dict[str, Any]]:
        wrong_key = f"{MARK}/wrong+key="
        made_up = {"awsAccessKey": "AKIANOBODYKNOWSME000", "awsSecretKey": wrong_key}
        tasks = [
            ("keys", "query", "read", self.temporary()),
            ("wrong_secret", "query", "failed", self.temporary(awsSecretKey=wrong_key)),
            ("wrong_token", "query", "failed", self.temporary(awsSessionToken=wrong_key)),
            ("role", "query", "read", self.role_options()),
            ("wrong_role", "query", "failed", self.role_options(roleExternalId="other-id")),
            ("provider", "query", "read", self.options(credentialsProvider="given_keys.good")),
            ("bad_provider", "query", "failed", self.options(credentialsProvider="given_keys.bad")),
            ("unknown_key", "query", "failed", self.options(**made_up)),
            ("objects", "objects", "read", self.temporary()),
            ("role_objects", "objects", "read", self.role_options()),
            ("preview", "preview", "read", self.role_options()),
            ("bad_preview", "preview", "failed", self.temporary(awsSecretKey=wrong_key)),
            ("two_secrets", "load", "failed", self.temporary(awsSecretAccessKey=wrong_key)),
            ("odd_secret", "load", "failed", self.temporary(awsSecretKey=f"{MARK}\n{MARK}")),
            ("unknown_option", "load", "failed", self.temporary(awsSecretKye=wrong_key)),
            ("key_without_secret", "load", "failed", self.options(awsSessionToken=wrong_key)),
        ]
        for spelling in SECRET_SPELLINGS:
            for name in (spelling, f"kinesis.{spelling}", spelling.upper(), spelling.lower()):
                other = "awsSessionToken" if "ecret" in spelling else "awsSecretKey"
                options = {
                    "awsAccessKey": "AKIANOBODYKNOWSME000",
                    name: wrong_key,
                    other: wrong_key,
                }
                tasks.append((name.replace(".", "_"), "load", "read", self.options(**options)))
        return [
            {"name": name, "run": run, "expected": expected, "options": options}
            for name, run, expected, options in tasks
        ]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Emulator() as aws:
        yield Scene(aws)


@pytest.fixture(scope="module")
def shown(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that came out, ``stdout`` among it, searched while Spark still runs."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "out").mkdir()
    (folder / "tasks.json").write_text(json.dumps(scene.tasks()))
    modules = folder / "modules"
    modules.mkdir()
    (modules / "keys.json").write_text(
        json.dumps([scene.provided.access_key, scene.provided.secret_key])
    )
    (modules / "given_keys.py").write_text(
        textwrap.dedent(
            f"""
            import json, pathlib
            def good():
                return tuple(json.loads((pathlib.Path(__file__).parent / "keys.json").read_text()))
            def bad():
                raise RuntimeError("cannot use " + "{MARK}")
            """
        )
    )
    # Also in Spark's Python workers: whatever is logged there.
    (modules / "sitecustomize.py").write_text(
        textwrap.dedent(
            f"""
            import logging, os
            name = {str(folder / "out")!r} + f"/python-{{os.getpid()}}.log"
            logging.basicConfig(level=logging.DEBUG, filename=name)
            # These write what they send and get at level DEBUG: SECURITY.md says so.
            for name in ("botocore", "py4j"):
                logging.getLogger(name).setLevel(logging.INFO)
            """
        )
    )
    run_program(folder, modules)
    return folder / "out"


def run_program(folder: Path, modules: Path) -> None:
    output = folder / "out" / "stdout"
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join((str(modules), str(ROOT))),
    }
    with output.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("secrets_program.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder / "out",
        )
        assert process.stdin is not None
        try:
            deadline = time.monotonic() + TIMEOUT_S
            while "ALL DONE\n" not in output.read_text(errors="replace")[-100:]:
                assert process.poll() is None, output.read_text(errors="replace")[-3000:]
                assert time.monotonic() < deadline, output.read_text(errors="replace")[-3000:]
                time.sleep(0.5)
            snapshot_files(folder)
            process.stdin.write(b"\n")
            process.stdin.close()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()
            process.stdin.close()


def snapshot_files(folder: Path) -> None:
    """Keep what Spark deletes when it ends."""
    for number, path in enumerate((folder / "out" / "local").rglob("*")):
        if path.is_file():
            (folder / "out" / f"local-{number}").write_bytes(path.read_bytes())


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_the_queries_ended_as_they_should(scene: Scene, shown: Path) -> None:
    """Else the search below proves nothing."""
    text = (shown / "stdout").read_text(errors="replace")
    for task in scene.tasks():
        assert f"--- outcome {task['name']}\n{task['expected']}\n" in text


def test_there_is_something_to_search(shown: Path) -> None:
    text = (shown / "stdout").read_text(errors="replace")
    for trace in (
        "== Optimized Logical Plan ==",
        "CREDENTIAL_INVALID",
        "IdentitySettings(",
        "DEBUG",
    ):
        assert trace in text
    assert list((shown / "checkpoints").glob("*/offsets/0"))
    assert [path for path in (shown / "events").rglob("*") if path.is_file()]
    assert list(shown.glob("python-*.log"))


def test_no_secret_is_anywhere(scene: Scene, shown: Path) -> None:
    secrets = scene.secrets()
    assert len(secrets) > 8, "the role's sessions are among them"
    assert found_in(shown, secrets) == []


def test_access_keys_are_masked(scene: Scene, shown: Path) -> None:
    keys = {key: key for key in (*scene.access_keys(), "AKIANOBODYKNOWSME000")}
    assert found_in(shown, keys) == []


def found_in(folder: Path, needles: dict[str, str]) -> list[str]:
    """Return "what in which file, near what" for every needle found."""
    hits = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for name, needle in needles.items():
            at = content.find(needle.encode())
            if at >= 0:
                near = content[max(0, at - 150) : at].decode(errors="replace")
                hits.append(f"{name} in {path.relative_to(folder)} after {near!r}")
    return hits

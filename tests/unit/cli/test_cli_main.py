"""The command line as a user meets it: exit codes, messages, no stack traces."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from kinesis_source import __version__
from kinesis_source.cli import main as cli
from kinesis_source.errors import StreamError

STREAM = "arn:aws:kinesis:us-west-2:222222222222:stream/clicks"
READER = "arn:aws:iam::111111111111:role/spark"


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_without_a_command_the_help_is_shown_and_the_code_is_2(capsys) -> None:
    assert cli.main([]) == 2
    shown = capsys.readouterr().err
    assert all(command in shown for command in ("demo", "emulator", "policy"))


def test_version_is_the_packages(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sing"], "sing"),
        (["demo", "--seconds", "0"], "not a number from 5 to 3600"),
        (["demo", "--rate", "many"], "'many' is not a number"),
        (["emulator", "--port", "70000"], "not a number from 0 to 65535"),
        (["emulator", "--account", "12"], "no account id of 12 digits"),
        (["emulator", "--stream", ":2"], "no stream name"),
        (["emulator", "--stream", "clicks:0"], "not a number from 1 to 500"),
        (["policy"], "--stream-arn"),
        (["policy", "--stream-arn", "clicks"], "no ARN of a stream"),
        (["policy", "--stream-arn", STREAM, "--reader-arn", "me"], "no ARN of a role"),
        (
            [
                "policy",
                "--stream-arn",
                STREAM,
                "--reader-arn",
                "arn:aws:sts::111111111111:assumed-role/spark/x",
            ],
            "is a session",
        ),
        (["policy", "--stream-arn", STREAM, "--external-id", "abc"], "give --reader-arn"),
        (
            ["policy", "--stream-arn", STREAM, "--reader-arn", READER, "--external-id", "a b"],
            "external id must be",
        ),
        (
            ["policy", "--stream-arn", STREAM, "--stream-arn", STREAM.replace("2" * 12, "3" * 12)],
            "several accounts",
        ),
        (["policy", "--stream-arn", STREAM, "--kms-key-arn", "alias/x"], "no ARN of a KMS key"),
        (["policy", "--stream-arn", STREAM, "--role-name", "a b"], "no name of a role"),
        (
            [
                "policy",
                "--stream-arn",
                "arn:aws-cn:kinesis:cn-north-1:222222222222:stream/clicks",
                "--reader-arn",
                READER,
            ],
            "no role can be assumed across",
        ),
        (
            [
                "policy",
                "--stream-arn",
                STREAM,
                "--kms-key-arn",
                "arn:aws-us-gov:kms:us-gov-west-1:222222222222:key/1234abcd",
            ],
            ":key/1234abcd in 'aws-us-gov'",
        ),
        (
            [
                "policy",
                "--stream-arn",
                STREAM,
                "--kms-key-arn",
                "arn:aws:kms:eu-west-1:222222222222:key/1234abcd",
            ],
            "once for each region",
        ),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_is_wrong(
    capsys, arguments: list[str], told: str
) -> None:
    assert told in usage_error(capsys, *arguments)


def policies(text: str) -> list[dict]:
    """Return the JSON documents between the comment lines."""
    blocks = re.split(r"^#.*$", text, flags=re.MULTILINE)
    return [json.loads(block) for block in blocks if block.strip()]


def test_policies_for_another_account_are_three_documents_and_the_options(capsys) -> None:
    code = cli.main(
        ["policy", "--stream-arn", STREAM, "--reader-arn", READER, "--external-id", "abc-123"]
    )
    shown = capsys.readouterr().out

    assert code == 0
    trust, permissions, assume = policies(shown)
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"AWS": READER}
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Condition"] == {"StringEquals": {"sts:ExternalId": "abc-123"}}
    (statement,) = permissions["Statement"]
    assert set(statement["Action"]) == {
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:GetShardIterator",
        "kinesis:GetRecords",
    }
    assert statement["Resource"] == [STREAM]
    role = "arn:aws:iam::222222222222:role/kinesis-reader"
    assert assume["Statement"][0]["Resource"] == role
    assert f'"roleArn": "{role}"' in shown
    assert '"roleExternalId": "abc-123"' in shown
    assert "kms:Decrypt" in shown


def test_a_trust_policy_without_external_id_has_no_condition(capsys) -> None:
    cli.main(["policy", "--stream-arn", STREAM, "--reader-arn", READER])
    trust, *_ = policies(capsys.readouterr().out)
    assert "Condition" not in trust["Statement"][0]


def test_policies_of_the_same_account_are_the_permissions_alone(capsys) -> None:
    key = "arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    china = "arn:aws-cn:kinesis:cn-north-1:222222222222:stream/clicks"
    cli.main(["policy", "--stream-arn", STREAM, "--stream-arn", STREAM + "2", "--kms-key-arn", key])
    (permissions,) = policies(capsys.readouterr().out)
    read, decrypt = permissions["Statement"]
    assert read["Resource"] == [STREAM, STREAM + "2"]
    assert decrypt["Action"] == ["kms:Decrypt"]
    assert decrypt["Resource"] == [key]

    reader = READER.replace("arn:aws:", "arn:aws-cn:")
    cli.main(["policy", "--stream-arn", china, "--reader-arn", reader, "--role-name", "r"])
    assert "arn:aws-cn:iam::222222222222:role/r" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (
            StreamError("STREAM_NOT_FOUND", "Stream 'x' is not there.", "Create it."),
            1,
            "[STREAM_NOT_FOUND] Stream 'x' is not there. Create it.",
        ),
        (OSError(98, "Address already in use"), 1, "Address already in use"),
    ],
)
def test_failures_are_a_sentence_and_a_code(
    capsys, monkeypatch, error: BaseException, code: int, told: str
) -> None:
    def fail(given):
        raise error

    monkeypatch.setattr(cli, "_run_demo", fail)

    assert cli.main(["demo"]) == code
    assert capsys.readouterr().err.strip().endswith(told)


def test_the_demo_without_pyspark_says_how_to_install_it(capsys, monkeypatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "pyspark" else real(name, *rest),
    )
    assert cli.main(["demo"]) == 1
    assert "pip install 'pyspark>=4,<4.4'" in capsys.readouterr().err


def test_the_demo_without_java_says_so(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert cli.main(["demo"]) == 1
    assert f"none in JAVA_HOME ({tmp_path})" in capsys.readouterr().err

    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["demo"]) == 1
    assert "none on the path" in capsys.readouterr().err


def test_the_demo_with_an_old_java_says_which(capsys, monkeypatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_412\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert cli.main(["demo"]) == 1
    assert "needs Java 17 or later" in (told := capsys.readouterr().err)
    assert "1.8.0_412" in told


class Server:
    """The emulator as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kinesis_source.cli", "emulator", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.told = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told += line
            if line.startswith("Ready."):
                break

    def find(self, pattern: str) -> str:
        match = re.search(pattern, self.told)
        assert match, self.told
        return match[1]

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        _, told = self.process.communicate(timeout=10)
        return self.process.returncode, told


@pytest.fixture
def served() -> Iterator[Server]:
    server = Server("--account", "222222222222", "--stream", "clicks:3", "--region", "eu-west-1")
    yield server
    server.process.kill()
    server.process.communicate()


def test_the_emulator_command_serves_a_stream_to_the_keys_it_prints(served: Server) -> None:
    client = boto3.client(
        "kinesis",
        endpoint_url=served.find(r"Kinesis and STS at (http://127\.0\.0\.1:\d+)\n"),
        region_name="eu-west-1",
        aws_access_key_id=served.find(r"AWS_ACCESS_KEY_ID=(\S+)"),
        aws_secret_access_key=served.find(r"AWS_SECRET_ACCESS_KEY=(\S+)"),
    )
    with closing(client):
        client.put_record(StreamName="clicks", Data=b"x", PartitionKey="k")
        summary = client.describe_stream_summary(StreamName="clicks")["StreamDescriptionSummary"]

    assert summary["OpenShardCount"] == 3
    assert summary["StreamARN"] == "arn:aws:kinesis:eu-west-1:222222222222:stream/clicks"
    assert summary["StreamARN"] in served.told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_emulator_without_a_stack_trace(
    served: Server, number: int, code: int
) -> None:
    ended, told = served.end(number)
    assert ended == code
    assert "Traceback" not in told


def test_a_port_in_use_is_a_sentence(capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = cli.main(["emulator", "--port", str(taken.getsockname()[1])])

    assert code == 1
    assert "in use" in (told := capsys.readouterr().err)
    assert "Traceback" not in told

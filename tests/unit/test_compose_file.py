"""docker-compose.yml gives what README and notebooks promise, and only to this machine."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

_CHECKOUT = Path(__file__).resolve().parents[2]
_FILE = _CHECKOUT / "docker-compose.yml"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content = yaml.safe_load(_FILE.read_text())
    return dict(content["services"])


def _names_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "compose", "version"]
    return subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode == 0


def test_there_are_localstack_and_a_notebook(services):
    assert set(services) == {"localstack", "notebook"}


def test_localstack_is_the_last_release_without_licence(services):
    assert services["localstack"]["image"] == "localstack/localstack:4.14.0"


def test_everything_from_outside_is_pinned(services):
    dockerfile = services["notebook"]["build"]["dockerfile_inline"]
    base = re.search(r"^FROM (\S+)", dockerfile, re.MULTILINE)

    assert base is not None
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base[1])
    assert "openjdk-17" in dockerfile, "Spark 4 needs Java 17"
    for package in ("pyspark", "jupyterlab"):
        assert re.search(rf"\b{package}==\d+\.\d+\.\d+\b", dockerfile)


def test_ports_are_bound_to_loopback(services):
    ports = [port for service in services.values() for port in service["ports"]]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_each_service_says_when_it_is_healthy_and_the_notebook_waits(services):
    for service in services.values():
        check = service["healthcheck"]
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries"} <= set(check)
    assert services["notebook"]["depends_on"] == {"localstack": {"condition": "service_healthy"}}


def test_the_notebook_finds_localstack_with_its_fake_keys(services):
    environment = services["notebook"]["environment"]

    assert environment["AWS_ENDPOINT_URL"] == "http://localstack:4566"
    assert environment["AWS_ACCESS_KEY_ID"] == environment["AWS_SECRET_ACCESS_KEY"] == "test"
    assert environment["AWS_DEFAULT_REGION"] == "us-east-1"


def test_the_notebook_service_has_the_notebooks_and_this_checkout(services):
    notebook = services["notebook"]
    copied = re.findall(r"^COPY (.+) \S+$", notebook["build"]["dockerfile_inline"], re.MULTILINE)

    assert [volume.split(":")[0] for volume in notebook["volumes"]] == ["./notebooks"]
    missing = [name for line in copied for name in line.split() if not (_CHECKOUT / name).exists()]
    assert missing == []


def test_no_secret_is_written_down(services):
    """A fixed Jupyter token in a public file would let any page that knows it run code."""
    assert services["notebook"]["environment"]["JUPYTER_TOKEN"] == "${JUPYTER_TOKEN:-}"


@pytest.mark.skipif(not _names_compose(), reason="no docker compose command here")
def test_compose_accepts_it():
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["docker", "compose", "-f", str(_FILE), "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr

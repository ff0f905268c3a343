"""Where the tests' LocalStack comes from: the order, and what is said when there is none."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.localstack.localstack_harness import choose, install
from tests.localstack.localstack_harness.compose import ComposeError, ComposeLocalStack
from tests.localstack.localstack_harness.host import HostLocalStack
from tests.localstack.localstack_harness.install import HostModeError, Installation

_HEALTH = {"services": {"kinesis": "available", "sts": "available", "s3": "disabled"}}


class _Server:
    """Answers as LocalStack does, on any path but the one of its health."""

    def __init__(self, health: object = _HEALTH, port: int = 0) -> None:
        body = json.dumps(health).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the base class's spelling

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[_Server]:
    server = _Server()
    yield server
    server.close()


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of the test's own: only what it puts there exists."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    for name in choose.ENDPOINT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return folder


def _command(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _ignore(line: str) -> None:
    pass


@pytest.mark.parametrize("name", choose.ENDPOINT_VARIABLES)
def test_a_named_localstack_is_taken_and_left_running(name, server, commands, monkeypatch):
    monkeypatch.setenv(name, server.address)

    url, stop = choose.obtain(Path("/nowhere"), _ignore)
    stop()

    assert url == f"http://{server.address}"
    assert choose.obtain(Path("/nowhere"), _ignore)[0] == url, "it still answers"


def test_a_named_localstack_that_is_down_is_not_replaced(commands, monkeypatch):
    name = choose.ENDPOINT_VARIABLES[0]
    _command(commands / "docker", "exit 0")
    monkeypatch.setenv(name, "http://127.0.0.1:1")

    with pytest.raises(choose.UnavailableError, match=f"^{name}=http://127.0.0.1:1: .*refused"):
        choose.obtain(Path("/nowhere"), _ignore)


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({"status": "ok"}, "not as LocalStack does"),
        ({"services": {"kinesis": "available", "sts": "disabled"}}, "does not offer sts"),
    ],
)
def test_another_server_is_not_taken_for_localstack(health, reason, commands, monkeypatch):
    server = _Server(health)
    monkeypatch.setenv(choose.ENDPOINT_VARIABLES[0], server.address)
    try:
        with pytest.raises(choose.UnavailableError, match=reason):
            choose.obtain(Path("/nowhere"), _ignore)
    finally:
        server.close()


def test_without_any_way_each_one_s_reason_is_told(commands, tmp_path):
    with pytest.raises(choose.UnavailableError) as caught:
        choose.obtain(tmp_path, _ignore)

    text = str(caught.value)
    assert "KINESIS_SOURCE_LOCALSTACK_ENDPOINT or LOCALSTACK_HOST: not set" in text
    assert "docker compose: no docker command on PATH" in text
    assert "on this machine: node and npm are not on PATH" in text
    assert not (tmp_path / ".localstack" / "venv").exists()


def test_a_docker_without_engine_is_told_with_docker_s_words(commands, tmp_path):
    _command(commands / "docker", "echo 'Cannot connect to the Docker daemon'; exit 1")

    with pytest.raises(choose.UnavailableError, match="Cannot connect to the Docker daemon"):
        choose.obtain(tmp_path, _ignore)


def _docker(commands: Path, script: str = "exit 0") -> Path:
    """Put a docker on PATH that notes how it was called."""
    log = commands / "docker.log"
    _command(commands / "docker", f'echo "$LOCALSTACK_PORT $*" >> {log}\n{script}')
    return log


def test_compose_starts_one_service_in_a_project_of_its_own(commands, tmp_path):
    log = _docker(commands)
    localstack = ComposeLocalStack(tmp_path / "docker-compose.yml")
    port = urlsplit(localstack.endpoint_url).port
    container = _Server(port=port or 0)
    try:
        localstack.start()
    finally:
        container.close()
    localstack.stop()

    up, down = log.read_text().splitlines()
    project = f"compose -p kinesis-source-tests-{os.getpid()} -f {tmp_path}/docker-compose.yml"
    assert up == f"{port} {project} up --detach --no-deps localstack"
    assert down.startswith(f"{port} {project} down --volumes")


def test_a_container_that_never_serves_is_removed(commands, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.localstack.localstack_harness.compose._READY_S", 0.2)
    log = _docker(commands)

    with pytest.raises(ComposeError, match="the container runs, but LocalStack does not serve"):
        ComposeLocalStack(tmp_path / "docker-compose.yml").start()

    assert " down --volumes" in log.read_text().splitlines()[-1]


def test_where_docker_works_it_is_preferred(commands, tmp_path, monkeypatch):
    log = _docker(commands)
    monkeypatch.setattr("tests.localstack.localstack_harness.compose._READY_S", 0.2)
    said: list[str] = []

    with pytest.raises(choose.UnavailableError, match="docker compose: the container runs, but"):
        choose.obtain(tmp_path, said.append)

    calls = [line.split()[:2] for line in log.read_text().splitlines()]
    assert calls[:2] == [["info", "--format"], ["compose", "version"]]
    assert "docker compose" in said[0]


def test_a_python_that_only_pretends_is_passed_over(commands, tmp_path):
    _command(commands / "python3.13", "echo 'python3.13: command not found' >&2; exit 127")
    real = _command(tmp_path / "pyenv" / "versions" / "3.13.2" / "bin" / "python", "echo 3.13")

    assert install.find_python() == str(real)


def test_another_python_is_passed_over(commands):
    _command(commands / "python3.13", "echo 3.14")

    assert install.find_python() is None


def test_no_python_is_told_with_what_to_install(commands, tmp_path):
    for name in ("node", "npm"):
        _command(commands / name, "exit 0")

    with pytest.raises(HostModeError, match=r"no working Python 3\.13 .*or uv\."):
        install.install(Installation(tmp_path))


def test_an_installation_that_fails_is_told_and_tried_again(commands, tmp_path):
    for name in ("node", "npm"):
        _command(commands / name, "exit 0")
    # Makes the environment, and in it a Python whose pip fails.
    _command(
        commands / "python3.13",
        'case "$1 $2" in "-m venv") mkdir=/bin/mkdir; $mkdir -p "$3/bin";'
        ' echo "#!/bin/sh\necho no matching distribution; exit 1" > "$3/bin/python";'
        ' /bin/chmod +x "$3/bin/python";; *) echo 3.13;; esac',
    )
    place = Installation(tmp_path / "place")

    for _ in range(2):
        with pytest.raises(HostModeError, match=r"(?s)localstack-core.*no matching distribution"):
            install.install(place)
    assert not place.is_ready()


def test_a_place_that_another_process_installs_into_is_waited_for(tmp_path):
    place = Installation(tmp_path)
    with (
        place.lock(),
        pytest.raises(HostModeError, match="another process has held"),
        place.lock(timeout_s=0),
    ):
        pytest.fail("the lock was given twice")


def test_a_taken_port_is_refused_before_anything_starts(server, tmp_path):
    port = int(server.address.rpartition(":")[2])
    localstack = HostLocalStack(Installation(tmp_path), port)

    with pytest.raises(HostModeError, match=f"port {port} is not free"):
        localstack.start()
    assert list(tmp_path.iterdir()) == []

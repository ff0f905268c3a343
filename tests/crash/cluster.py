"""A standalone Spark cluster on loopback: a master, two workers, and the package as a wheel.

Master and workers are processes of their own, started with Spark's own scripts; executors are the
workers' children. Drivers and executors run the Python of an environment that holds the wheel and
does not see the checkout.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pyspark

from tests.crash.process_table import Process, kill_session, session_members
from tests.crash.support import spark_environment, wait_for

CHECKOUT = Path(__file__).parents[2]
WORKERS = 2
CONF = {
    "spark.cores.max": "2",
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
}


def install_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout and install it; return the new environment's Python.

    What the package needs comes from the environment of the tests. That one holds the checkout as
    an editable package by a .pth file, which Python heeds only in an environment's own folder.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheel", CHECKOUT])
    _run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    python = folder / "venv" / "bin" / "python"
    wheels = list((folder / "wheel").glob("*.whl"))
    _run([*pip, f"--python={python}", "install", "--quiet", "--no-deps", "--no-index", *wheels])
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=180, check=False, env=spark_environment()
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr[-3000:]}"


class Cluster:
    """A cluster that runs from :meth:`start` to :meth:`close`.

    Parameters
    ----------
    folder : Path
        For logs and the executors' folders.
    python : Path
        Interpreter of drivers and executors.
    """

    def __init__(self, folder: Path, python: Path) -> None:
        self.python = python
        self.url = f"spark://127.0.0.1:{_free_port()}"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port = self.url.rpartition(":")[2]
        self._launch("master", "127.0.0.1", ["master.Master", "--port", port])
        self._wait_logged("master", "I have been elected leader")
        for number in range(WORKERS):
            work = str(self._folder / f"work-{number}")
            room = ["--cores", "1", "--memory", "1g", "--work-dir", work]
            # A speculative attempt runs only on another host than the first one.
            host = f"127.0.0.{number + 1}"
            self._launch(f"worker-{number}", host, ["worker.Worker", *room, self.url])
        for number in range(WORKERS):
            self._wait_logged(f"worker-{number}", "Successfully registered with master")

    def executors(self) -> list[Process]:
        """Return the executors that run."""
        members = [one for process in self._processes for one in session_members(process.pid)]
        return [one for one in members if one.is_jvm and "CoarseGrainedExecutor" in one.command]

    def members(self, executor: Process) -> list[Process]:
        """Return the processes among which an executor's Python workers are."""
        return session_members(executor.session)

    def close(self) -> None:
        for process in self._processes:
            kill_session(process.pid)
            process.wait(30)

    def _launch(self, name: str, host: str, arguments: list[str]) -> None:
        home = Path(pyspark.__file__).parent
        environment = spark_environment(
            SPARK_HOME=str(home), SPARK_DAEMON_MEMORY="256m", SPARK_LOCAL_IP=host
        )
        main_class, *rest = arguments
        place = ["--host", host, "--webui-port", "0"]
        with self._log(name).open("w") as log:
            process = subprocess.Popen(
                [
                    home / "bin" / "spark-class",
                    f"org.apache.spark.deploy.{main_class}",
                    *place,
                    *rest,
                ],
                env=environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _wait_logged(self, name: str, words: str) -> None:
        log = self._log(name)
        wait_for(
            lambda: words in log.read_text(errors="replace"),
            90,
            lambda: f"{name}: {words!r}. Log:\n{log.read_text(errors='replace')[-3000:]}",
        )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]

"""Fixtures of the crash tests: an emulator, drivers that end with the test, a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinesis_source.emulator import Emulator
from tests.crash.cluster import Cluster, install_wheel
from tests.crash.support import CrashSite

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.fault)
            item.add_marker(pytest.mark.spark)
            if not Path("/proc/net/tcp").exists():
                item.add_marker(pytest.mark.skip(reason="finds its victims in /proc"))


@pytest.fixture
def aws() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def crash_site(aws: Emulator, tmp_path: Path) -> Iterator[Callable[..., CrashSite]]:
    """Return a function that makes a place for drivers; they are all ended with the test."""
    sites: list[CrashSite] = []

    def make(**settings) -> CrashSite:
        sites.append(CrashSite(aws, tmp_path / f"site-{len(sites)}", **settings))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A standalone cluster that has the package as a wheel."""
    python = install_wheel(tmp_path_factory.mktemp("installed"))
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), python)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()

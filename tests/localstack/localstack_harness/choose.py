"""Get a LocalStack for the tests: one that is named, else Docker's, else one on this machine.

Runs in the process of pytest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from . import probe
from .compose import ComposeError, ComposeLocalStack, check_docker
from .host import HostLocalStack
from .install import HostModeError, Installation

__all__ = ["ENDPOINT_VARIABLES", "UnavailableError", "obtain"]

ENDPOINT_VARIABLES = ("KINESIS_SOURCE_LOCALSTACK_ENDPOINT", "LOCALSTACK_HOST")
"""Where a running LocalStack is named, first one wins: a URL or host:port."""

_GIVEN_S = 30.0

Stop = Callable[[], None]
Say = Callable[[str], None]


class UnavailableError(Exception):
    """No LocalStack is to be had; the text lists what was tried."""


def obtain(checkout: Path, say: Say) -> tuple[str, Stop]:
    """Return the URL of a LocalStack that serves Kinesis and STS, and how to end it.

    Parameters
    ----------
    checkout : pathlib.Path
    say : callable
        Told what takes long, in one line each.

    Raises
    ------
    UnavailableError
        None of the ways works, or the one that was named does not.
    """
    for name in ENDPOINT_VARIABLES:
        if value := os.environ.get(name, "").strip():
            return _given(name, value), _leave
    compose = ComposeLocalStack(checkout / "docker-compose.yml")
    try:
        check_docker()
        say("Starting LocalStack by docker compose; the first time that fetches its image ...")
        compose.start()
    except ComposeError as error:
        docker_reason = str(error)
    else:
        return compose.endpoint_url, compose.stop
    place = Installation(checkout / ".localstack")
    host = HostLocalStack(place)
    if not place.is_ready():
        say(f"Installing LocalStack into {place.root}, once; that takes a minute or two ...")
    try:
        host.start()
    except HostModeError as error:
        raise UnavailableError(
            "No LocalStack to test against.\n"
            f"- named by {' or '.join(ENDPOINT_VARIABLES)}: not set\n"
            f"- docker compose: {docker_reason}\n"
            f"- on this machine: {error}"
        ) from None
    return host.endpoint_url, host.stop


def _given(name: str, value: str) -> str:
    """Check the LocalStack that the environment names; another one would not be what was meant."""
    url = (value if "://" in value else f"http://{value}").rstrip("/")
    if url.count(":") == 1:
        url += ":4566"  # LocalStack's port, as its own tools fill it in
    try:
        for ask in (probe.health, probe.kinesis, probe.sts):
            ask(url, _GIVEN_S)
    except probe.NotServingError as error:
        raise UnavailableError(
            f"{name}={value}: {error}. Start it there or unset {name}."
        ) from None
    return url


def _leave() -> None:
    """Leave running what was not started here."""

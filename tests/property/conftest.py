"""Lets the property tests import the simulation that lies beside them, and ends its worlds."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Importlib mode puts no test folder on the path.
if (_HERE := str(Path(__file__).resolve().parent)) not in sys.path:
    sys.path.append(_HERE)


@pytest.fixture(autouse=True)
def _no_world_outlives_its_test() -> Iterator[None]:
    from simulated_runtime import close_worlds

    yield
    close_worlds()

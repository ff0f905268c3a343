"""Objects for Spark's workers that say what is missing there, and find what Spark left out.

Runs where Spark pickles, and, by value, where it unpickles. Spark gives packages that came by
``--py-files``, ``addPyFile`` or ``addArtifact`` to the worker that loads a source and to those that
run its tasks, not to the one that plans a streaming query (seen in 4.0.5 and 4.3.0): there the
query died with a bare ModuleNotFoundError. So what is pickled carries how to come by the package: a
function by value, which needs nothing of it, looks at the places where Spark had put it.
"""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pyspark import cloudpickle

__all__ = ["expect_dependencies", "missing_text", "reduce_portably"]

_NEEDED: Final = ("botocore", "msgspec", "pyarrow", "pybase64")
"""What is imported when it is used: a missing one must show before."""


def expect_dependencies() -> None:
    """Make sure that what the source needs can be imported here, without importing it.

    Raises
    ------
    ModuleNotFoundError
        With the module's ``name``.
    """
    for name in _NEEDED:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            message = f"No module named {name!r}"
            raise ModuleNotFoundError(message, name=name)


def missing_text(name: str | None) -> str:
    """Return the problem of a module that cannot be imported here."""
    return f"Python {sys.executable} on {socket.gethostname()} cannot import {name!r}"


def reduce_portably(rebuild: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what ``__reduce_ex__`` gives for an object that is ``rebuild(*arguments)``.

    Where it is unpickled and a module cannot be imported, an ImportError with the code
    ``OPTION_PACKAGE`` tells which, on which machine, and what to do.
    """
    dumps: Callable[[Any], bytes] = cloudpickle.dumps  # untyped there
    packed = _Packed(_make_unpack(), dumps((rebuild, arguments)), _shipped_paths())
    return (cloudpickle.loads, (dumps(packed),))


class _Packed:
    """Unpickles as what the function makes of the rest; is itself never made there."""

    def __init__(self, unpack: Callable[..., Any], *parts: Any) -> None:
        self._reduced = (unpack, parts)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def _shipped_paths() -> list[str]:
    """Return the places of files that Spark shipped with the program, as far as they are known."""
    from pyspark import SparkFiles

    # Until a worker has been given one, and in the caller's process, there may be none.
    root = getattr(SparkFiles, "_root_directory", None)
    if not root:
        return []
    return [path for path in sys.path if Path(root) in Path(path).parents]


def _make_unpack() -> Callable[[bytes, list[str]], Any]:
    """Make a function that is pickled by value: it is in no module, and needs none of ours."""

    def unpack(payload: bytes, shipped: list[str]) -> Any:
        import os
        import pickle
        import socket
        import sys

        from pyspark import SparkFiles

        code = "OPTION_PACKAGE"

        def made() -> Any:
            rebuild, arguments = pickle.loads(payload)  # noqa: S301 - Spark's own pickle of ours
            return rebuild(*arguments)

        def places() -> list[str]:
            here = getattr(SparkFiles, "_root_directory", None) or ""
            elsewhere = [os.path.join(here, os.path.basename(path)) for path in shipped]  # noqa: PTH118, PTH119
            return [path for path in (*shipped, *elsewhere) if os.path.exists(path)]  # noqa: PTH110

        try:
            try:
                return made()
            except ModuleNotFoundError:
                sys.path += [path for path in places() if path not in sys.path]
                return made()
        except ModuleNotFoundError as error:
            raise ImportError(
                f"[{code}] Python {sys.executable} on {socket.gethostname()} cannot import"
                f" {error.name!r}, which the source needs there. Install kinesis-source and what it"
                " needs in the Python of the driver and of every executor (PYSPARK_PYTHON)."
            ) from None

    return unpack

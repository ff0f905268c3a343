"""The native decoder: whether this process has it, and which of the two ways decodes.

Runs on driver and executors; each process looks for itself. ``kinesis_source_native`` (the extra
``kinesis-source[native]``) turns a GetRecords body into Arrow columns, with the interpreter
released, and KPL aggregates into rows. It returns None for bodies that it is not sure of: then the
Python way decodes them, so that rows are the same with and without it.

In: option ``decoder``, else the environment variable ``KINESIS_SOURCE_DECODER``: ``auto``,
``python`` or ``native``. Out: the module, or None for the Python way. Which one it is, is logged
once at DEBUG.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar, cast

from kinesis_source.errors import OptionError

__all__ = [
    "DECODER_VARIABLE",
    "INTERFACE",
    "NativeColumn",
    "NativeDecoder",
    "NativePiece",
    "NativeReply",
    "decoder_of",
    "find_decoder",
    "total_length",
]

logger = logging.getLogger("kinesis_source")

DECODER_VARIABLE: Final = "KINESIS_SOURCE_DECODER"
INTERFACE: Final = 1
"""Of the module's functions; another number counts as not installed."""
_MODULE: Final = "kinesis_source_native"
_WAYS: Final = ("auto", "python", "native")

_T_co = TypeVar("_T_co", covariant=True)


class NativeColumn(Protocol[_T_co]):
    """An Arrow array that is also a sequence; slices copy nothing."""

    @property
    def total_length(self) -> int:
        """Bytes of all data, or characters of all texts."""
        ...

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Hand over schema and array, by Arrow's PyCapsule interface."""
        ...


class NativeReply(Protocol):
    """A GetRecords reply; see :class:`kinesis_source.aws.api.Page`."""

    sequence_numbers: Sequence[str]
    partition_keys: Sequence[str]
    arrival_ms: Sequence[int]
    data: Sequence[bytes]
    skipped_bytes: int
    next_iterator: str | None
    millis_behind_latest: int
    child_shard_ids: tuple[str, ...]


# Sequence numbers, partition keys, arrival times, data, sub-sequence numbers (None: all null), and
# the indexes of records with magic and digest of an aggregate that cannot be taken apart.
NativePiece = tuple[
    Sequence[str],
    Sequence[str],
    Sequence[int],
    Sequence[bytes],
    "Sequence[int | None] | None",
    "list[int]",
]


class NativeDecoder(Protocol):
    """The module ``kinesis_source_native``."""

    INTERFACE: int
    __version__: str

    def decode_reply(
        self, body: bytes | memoryview, data_prefix: bytes | None
    ) -> NativeReply | None:
        """Decode a body; None if that is left to the Python way. See StreamApi.get_page."""
        ...

    def unfold(
        self,
        columns: tuple[Sequence[str], Sequence[str], Sequence[int], Sequence[bytes]],
        *,
        deaggregate: bool,
        keeps_data: bool,
        max_rows: int,
        max_bytes: int,
    ) -> Iterable[NativePiece]:
        """Cut native columns into pieces; aggregates become their user records."""
        ...


def find_decoder(setting: str = "auto") -> NativeDecoder | None:
    """Return the native decoder, None for the Python way.

    Parameters
    ----------
    setting : str
        Option ``decoder``; ``auto`` leaves it to the environment variable.

    Raises
    ------
    OptionError
        ``OPTION_DECODER``: native is asked for, and this process does not have it.
        ``OPTION_VALUE``: the environment variable has another value than the three.
    """
    asked_by, way = "Option 'decoder'", setting
    if way == "auto":
        asked_by, way = f"Environment variable {DECODER_VARIABLE}", _way_of_environment()
    return _find(way, asked_by)


def decoder_of(column: object) -> NativeDecoder | None:
    """Return the native decoder if it made this column."""
    if type(column).__module__ != _MODULE:
        return None
    return cast("NativeDecoder", importlib.import_module(_MODULE))


def total_length(column: Sequence[Any]) -> int:
    """Return the lengths of all items together; of a native column without making them."""
    known: int | None = getattr(column, "total_length", None)
    return sum(map(len, column)) if known is None else known


def _way_of_environment() -> str:
    text = os.environ.get(DECODER_VARIABLE, "").strip().lower() or "auto"
    if text not in _WAYS:
        raise OptionError(
            "OPTION_VALUE",
            f"Environment variable {DECODER_VARIABLE} must be one of {', '.join(_WAYS)}, got "
            f"{text[:40]!r}.",
            "Correct it on this machine, or remove it for the default (auto).",
        )
    return text


@functools.cache
def _find(way: str, asked_by: str) -> NativeDecoder | None:
    if way == "python":
        logger.debug("Replies are decoded in Python: %s asks for it.", asked_by)
        return None
    found, missing = _import()
    if found is not None:
        logger.debug("Replies are decoded natively, by %s %s.", _MODULE, found.__version__)
        return found
    if way == "native":
        raise OptionError(
            "OPTION_DECODER",
            f"{asked_by} is 'native', but {missing} for {sys.executable} on machine "
            f"{platform.node()!r}.",
            "Install 'kinesis-source[native]' on the driver and on every executor, or leave the "
            "choice to the source with 'auto'.",
        )
    logger.debug("Replies are decoded in Python: %s.", missing)
    return None


def _import() -> tuple[NativeDecoder | None, str]:
    """Return the module, or why it cannot be had."""
    try:
        module = importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        return None, f"{_MODULE} is not installed"
    except ImportError as error:
        # Built for another system, say: then the Python way is there all the same.
        return None, f"{_MODULE} cannot be loaded ({error})"
    if getattr(module, "INTERFACE", None) != INTERFACE:
        version = getattr(module, "__version__", "of unknown version")
        return None, f"{_MODULE} {version} belongs to another version of kinesis-source"
    return cast("NativeDecoder", module), ""

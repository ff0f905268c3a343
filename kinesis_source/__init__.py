"""Read Amazon Kinesis from Apache Spark Structured Streaming, exactly once, in pure Python.

Public names load on first use, so that importing the package stays cheap in Spark's workers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinesis_source.datasource import KinesisDataSource, register
    from kinesis_source.diagnosis.doctor import doctor
    from kinesis_source.errors import KinesisSourceError, find_code, is_data_loss
    from kinesis_source.observe.listener import KinesisQueryListener
    from kinesis_source.preview.config import KinesisConfig, KinesisDSConfig
    from kinesis_source.preview.source import BatchSource, StreamDataSource, StreamSource
    from kinesis_source.preview.watch import watch

_HOMES = {
    "BatchSource": "kinesis_source.preview.source",
    "KinesisConfig": "kinesis_source.preview.config",
    "KinesisDSConfig": "kinesis_source.preview.config",
    "KinesisDataSource": "kinesis_source.datasource",
    "KinesisQueryListener": "kinesis_source.observe.listener",
    "KinesisSourceError": "kinesis_source.errors",
    "StreamDataSource": "kinesis_source.preview.source",
    "StreamSource": "kinesis_source.preview.source",
    "doctor": "kinesis_source.diagnosis.doctor",
    "find_code": "kinesis_source.errors",
    "is_data_loss": "kinesis_source.errors",
    "register": "kinesis_source.datasource",
    "watch": "kinesis_source.preview.watch",
}

__all__ = [
    "BatchSource",
    "KinesisConfig",
    "KinesisDSConfig",
    "KinesisDataSource",
    "KinesisQueryListener",
    "KinesisSourceError",
    "StreamDataSource",
    "StreamSource",
    "doctor",
    "find_code",
    "is_data_loss",
    "register",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("kinesis-source")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])

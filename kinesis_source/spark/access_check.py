"""Asks where a query's driver side runs whether a stream can be read.

The caller's process may be a notebook: its environment variables, files and network are not those
of Spark, whose Python workers inherit from Spark's own process. So the question travels as an
option of ``load()``, which Spark answers in such a worker, on every kind of session and without a
job. The answer comes back in the only thing that Spark carries back from there, the schema: one
column, whose metadata hold ``{"kinesis_source.verdict": "null"}`` or the error, as JSON::

    {"class": "AccessDeniedError", "code": "ACCESS_DENIED", "problem": "...", "hint": "..."}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from kinesis_source import errors
from kinesis_source.errors import KinesisSourceError

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

__all__ = ["CHECK_OPTION", "answer", "is_question", "raise_verdict"]

CHECK_OPTION: Final = "kinesis_source.check"
"""Option that makes a ``load()`` a question; no option of users."""
_VERDICT: Final = "kinesis_source.verdict"
# Somebody waits at a prompt: what fails for this long is reported, a query would try on.
_BUDGET_MS: Final = 15_000


def is_question(options: Mapping[str, str]) -> bool:
    """Say whether a load asks for a check instead of rows."""
    return any(name.lower() == CHECK_OPTION for name in options)


def answer(options: Mapping[str, str]) -> StructType:
    """Check the options and the access to each stream, once; return the verdict as a schema.

    Runs in a driver-side worker. What is no error of the source is raised as it is.
    """
    from pyspark.sql.types import BooleanType, StructField, StructType

    verdict = None
    try:
        _check({name: text for name, text in options.items() if name.lower() != CHECK_OPTION})
    except KinesisSourceError as error:
        verdict = {
            "class": type(error).__name__,
            "code": error.code,
            "problem": error.problem,
            "hint": error.hint,
        }
    metadata = {_VERDICT: json.dumps(verdict)}
    return StructType([StructField("checked", BooleanType(), nullable=True, metadata=metadata)])


def raise_verdict(schema: StructType) -> None:
    """Raise the error that an answer holds, if it holds one, as the class that it was.

    Runs in the caller's process. An answer without verdict is that of a package without this check
    on Spark's side; its query will say what is wrong.
    """
    verdict = json.loads(schema.fields[0].metadata.get(_VERDICT, "null"))
    if verdict is None:
        return
    known = getattr(errors, verdict["class"], KinesisSourceError)
    raise known(verdict["code"], verdict["problem"], verdict["hint"])


def _check(options: Mapping[str, str]) -> None:
    # Each load() asks is_question() and needs none of these.
    from kinesis_source.aws.access import check_access
    from kinesis_source.aws.routing import source_api
    from kinesis_source.options.parse import parse_options

    settings = parse_options(options).with_patience(_BUDGET_MS)
    api = source_api(settings)
    for stream in settings.read.streams:
        check_access(api, stream)

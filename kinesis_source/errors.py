"""The exceptions of the source: one tree, stable codes, no secrets.

Runs in every process. Each message reads ``[CODE] what is wrong, with name and value. What to do.``
Spark keeps only the text of an exception that crosses its process borders, so the code in the text,
not the class, is what a program can rely on there: see :func:`find_code`.

    KinesisSourceError
      OptionError(ValueError)   [OPTION_...]      wrong, missing, conflicting, unknown
      RecordError(ValueError)   [RECORD_...]      a row that cannot be written
      CredentialError           [CREDENTIAL_...]  cannot become who the options say
      AccessDeniedError         [ACCESS_...]      who, which action, which stream
      StreamError               [STREAM_...]      not found, being deleted, re-created
      OffsetError               [OFFSET_...]      unreadable, newer version, other stream
        DataLossError           [DATA_LOSS_...]   trimmed, shard gone, gap
      ThrottledError            [SERVICE_...]     throttled until the retry budget was spent
      ServiceError              [SERVICE_...]     any other answer that retries did not mend
"""

from __future__ import annotations

import re

__all__ = [
    "AccessDeniedError",
    "CredentialError",
    "DataLossError",
    "KinesisSourceError",
    "OffsetError",
    "OptionError",
    "RecordError",
    "ServiceError",
    "StreamError",
    "ThrottledError",
    "find_code",
    "is_data_loss",
]

_CODE = re.compile(
    r"\[((?:OPTION|RECORD|CREDENTIAL|ACCESS|STREAM|OFFSET|DATA_LOSS|SERVICE)_[A-Z_]+"
    r"|PREVIEW_ENDED|QUERY_FAILED)\]"
)
# Spark's own conditions look the same and wrap ours: these are never the cause.
_SPARK_CODES = frozenset({"STREAM_FAILED"})


class KinesisSourceError(Exception):
    """Base of all errors of the source.

    Parameters
    ----------
    code : str
        Stable upper-case name, part of the public interface.
    problem : str
        What is wrong, with names and values, ending with a full stop.
    hint : str
        What to do about it, ending with a full stop.
    """

    is_worth_repeating: bool = False
    """Whether the same call may succeed later with nothing changed: AWS throttled it, or it failed
    in passing (5xx, broken connection, cut reply). False: denied, not found, no Kinesis there."""

    def __init__(self, code: str, problem: str, hint: str) -> None:
        super().__init__(f"[{code}] {problem} {hint}")
        self.code = code
        self.problem = problem
        self.hint = hint

    def __reduce__(
        self,
    ) -> tuple[type[KinesisSourceError], tuple[str, str, str], dict[str, bool]]:
        """Pickle by parts: Exception's own way would pass one argument to three parameters."""
        state = {"is_worth_repeating": self.is_worth_repeating}
        return (type(self), (self.code, self.problem, self.hint), state)


class OptionError(KinesisSourceError, ValueError):
    """An option is wrong, missing, unknown or contradicts another."""


class RecordError(KinesisSourceError, ValueError):
    """A row that AWS would not take as a record."""


class CredentialError(KinesisSourceError):
    """The identity that the options ask for cannot be had."""


class AccessDeniedError(KinesisSourceError):
    """The identity is known and may not do what the source needs."""


class StreamError(KinesisSourceError):
    """The stream is not there, or is not the one meant."""


class OffsetError(KinesisSourceError):
    """A checkpoint that cannot be read, or belongs to something else."""


class DataLossError(OffsetError):
    """Records between the checkpoint and now are gone."""


class ThrottledError(KinesisSourceError):
    """AWS throttled the calls until the retry budget was spent."""


class ServiceError(KinesisSourceError):
    """AWS or the network failed until the retry budget was spent."""


def find_code(error: BaseException | str) -> str | None:
    """Return the source's error code in an exception or in Spark's text of one.

    Parameters
    ----------
    error : BaseException or str
        For example the ``StreamingQueryException`` of a query, or its text.

    Returns
    -------
    str or None
        The last code in the text, which is the innermost cause; None if the text has none.
    """
    if isinstance(error, KinesisSourceError):
        return error.code
    codes = [code for code in _CODE.findall(str(error)) if code not in _SPARK_CODES]
    return codes[-1] if codes else None


def is_data_loss(error: BaseException | str) -> bool:
    """Say whether an exception, or Spark's text of one, reports lost data."""
    code = find_code(error)
    return code is not None and code.startswith("DATA_LOSS_")

"""Descriptions of a stream, under Tecton's names: :class:`KinesisConfig`, :class:`KinesisDSConfig`.

Run in the caller's process; no call to AWS, no Spark. Types and the start position are checked when
an object is made, everything else when a preview starts. Both classes answer to each other's
attribute names, so that code written for either works. Option values that are secrets never show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kinesis_source.errors import OptionError
from kinesis_source.options.start import read_initial_position
from kinesis_source.options.values import BadValueError
from kinesis_source.preview.reader_options import check_options, merge_options, show_options

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["KinesisConfig", "KinesisDSConfig"]

_UNIT_S = {
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks"), 604_800),
    **dict.fromkeys(("d", "dy", "dys", "day", "days"), 86_400),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*(?:,\s*|and\s+)?")
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{2})")


@dataclass(frozen=True, repr=False, eq=False)
class KinesisConfig:
    """A Kinesis stream and how to make sense of its records.

    All parameters may be given by position. The watermark and the timestamp field are kept for
    whoever reads this object later; a preview uses neither (see
    :meth:`StreamSource.start_stream_preview`).

    Parameters
    ----------
    stream_name : str
        Name of the stream.
    region : str
        AWS region of the stream, for example ``us-west-2``.
    post_processor : callable or None
        Takes the frame of raw records (``data`` binary, ``streamName``, ``partitionKey``,
        ``sequenceNumber``, ``approximateArrivalTimestamp``, ``shardId``, ``subSequenceNumber``) and
        returns the frame wanted. None leaves it as it is.
    timestamp_field : str
        Column that holds the time of an event.
    initial_stream_position : str or None
        Where a new query starts: ``"latest"``, ``"trim_horizon"``, or anything else that option
        ``initialPosition`` takes, such as ``"2023-08-30T19:00:05Z"``. None: the source's default.
    watermark_delay_threshold : datetime.timedelta or None
        How late an event may be.
    deduplication_columns : sequence of str, optional
        Columns that together identify an event; later ones with the same values are dropped.
    options : mapping of str to str, optional
        Further options of the source, for example ``{"roleArn": "arn:aws:iam::...:role/reader"}``.
        They win over the parameters above; None as a value takes an option away.

    Raises
    ------
    TypeError
        A value of the wrong type, among them a plain str as ``deduplication_columns``.
    OptionError
        (a ValueError) ``initial_stream_position`` is no position, or the watermark is negative.
    """

    stream_name: str
    region: str
    post_processor: Callable[[DataFrame], DataFrame] | None
    timestamp_field: str
    initial_stream_position: str | None
    watermark_delay_threshold: timedelta | None = timedelta(hours=24)
    deduplication_columns: Sequence[str] | None = None
    options: Mapping[str, str | None] | None = None

    def __post_init__(self) -> None:
        for name in ("stream_name", "region", "timestamp_field"):
            _check_type(name, getattr(self, name), str)
        _check_function(self.post_processor)
        _check_position(self.initial_stream_position)
        _check_watermark(self.watermark_delay_threshold)
        # Copies: what the caller changes later must not change this object.
        columns = _checked_columns(self.deduplication_columns)
        object.__setattr__(self, "deduplication_columns", columns)
        object.__setattr__(self, "options", check_options(self.options, "options"))

    def reader_options(
        self, option_overrides: Mapping[str, str | None] | None = None
    ) -> dict[str, str]:
        """Return the options for ``spark.readStream.format("tecton-kinesis")``.

        Parameters
        ----------
        option_overrides : mapping of str to str, optional
            Wins over this object's own options; compared by meaning, whatever the spelling.

        Returns
        -------
        dict of str to str
            May hold secrets.

        Raises
        ------
        TypeError
            A key or value of ``option_overrides`` is not a str.
        """
        return merge_options(
            {
                "streamName": self.stream_name,
                "region": self.region,
                # None or "": not given, the source's default holds.
                "initialPosition": self.initial_stream_position or None,
            },
            self.options or {},
            check_options(option_overrides, "option_overrides"),
        )

    @property
    def raw_stream_translator(self) -> Callable[[DataFrame], DataFrame] | None:
        """The older name of ``post_processor``."""
        return self.post_processor

    @property
    def timestamp_key(self) -> str:
        """The older name of ``timestamp_field``."""
        return self.timestamp_field

    @property
    def default_initial_stream_position(self) -> str | None:
        """The older name of ``initial_stream_position``."""
        return self.initial_stream_position

    @property
    def default_watermark_delay_threshold(self) -> timedelta | str | None:
        """The older name of ``watermark_delay_threshold``."""
        return self.watermark_delay_threshold

    def __repr__(self) -> str:
        function = getattr(self.post_processor, "__qualname__", type(self.post_processor).__name__)
        return (
            f"{type(self).__name__}(stream_name={self.stream_name!r}, region={self.region!r},"
            f" post_processor={None if self.post_processor is None else function},"
            f" timestamp_field={self.timestamp_field!r},"
            f" initial_stream_position={self.initial_stream_position!r},"
            f" watermark_delay_threshold={self.watermark_delay_threshold!r},"
            f" deduplication_columns={self.deduplication_columns!r},"
            f" options={show_options(self.options or {})})"
        )


class KinesisDSConfig(KinesisConfig):
    """:class:`KinesisConfig` as it was spelt first; the watermark is a text.

    Parameters
    ----------
    stream_name, region : str
    raw_stream_translator : callable or None
        ``post_processor``.
    timestamp_key : str
        ``timestamp_field``.
    default_initial_stream_position : str or None
        ``initial_stream_position``.
    default_watermark_delay_threshold : str
        ``watermark_delay_threshold`` in words: ``"30 minutes"``, ``"24 hours"``, ``"1h 30m"``,
        ``"2 days, 4:13:02"``.
    deduplication_columns : sequence of str, optional
    options : mapping of str to str, optional

    Raises
    ------
    TypeError
        A value of the wrong type.
    OptionError
        (a ValueError) ``default_initial_stream_position`` is no position, or the watermark no time
        span.
    """

    def __init__(  # noqa: PLR0913 - the signature of the class it stands for
        self,
        stream_name: str,
        region: str,
        raw_stream_translator: Callable[[DataFrame], DataFrame] | None,
        timestamp_key: str,
        default_initial_stream_position: str | None,
        default_watermark_delay_threshold: str,
        deduplication_columns: Sequence[str] | None = None,
        options: Mapping[str, str | None] | None = None,
    ) -> None:
        _check_type("default_watermark_delay_threshold", default_watermark_delay_threshold, str)
        super().__init__(
            stream_name,
            region,
            raw_stream_translator,
            timestamp_key,
            default_initial_stream_position,
            _read_time_span(default_watermark_delay_threshold),
            deduplication_columns,
            options,
        )
        object.__setattr__(self, "_watermark_text", default_watermark_delay_threshold)

    @property
    def default_watermark_delay_threshold(self) -> str:
        """The watermark as it was written."""
        text: str = self.__dict__["_watermark_text"]
        return text


def _check_type(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        _refuse_type(name, value, f"a {kind.__name__}")


def _refuse_type(name: str, value: Any, wanted: str) -> None:
    raise TypeError(f"{name} must be {wanted}, got {type(value).__name__}.")


def _check_function(function: Any) -> None:
    if function is not None and not callable(function):
        _refuse_type("post_processor", function, "a function of a DataFrame")


def _check_position(position: Any) -> None:
    if position is None or position == "":
        return
    _check_type("initial_stream_position", position, str)
    try:
        read_initial_position(position.strip())
    except BadValueError as error:
        raise OptionError(
            error.code, f"initial_stream_position {error.problem}", error.hint
        ) from None


def _check_watermark(delay: Any) -> None:
    if delay is None:
        return
    _check_type("watermark_delay_threshold", delay, timedelta)
    if delay < timedelta(0):
        raise OptionError(
            "OPTION_RANGE",
            f"watermark_delay_threshold must not be negative, got {delay}.",
            "Write for example timedelta(hours=24), or None for no watermark.",
        )


def _checked_columns(columns: Any) -> list[str] | None:
    if columns is None:
        return None
    if isinstance(columns, str):
        raise TypeError(
            f"deduplication_columns must be a list of column names, got the text {columns!r}."
            f" Write [{columns!r}]."
        )
    if not isinstance(columns, Sequence) or not all(isinstance(name, str) for name in columns):
        _refuse_type("deduplication_columns", columns, "a list of column names")
    return list(columns)


def _read_time_span(text: str) -> timedelta:
    """Read amounts with units, largest first or not, and at most one clock time at the end."""
    rest, seconds, is_empty = text.strip().lower(), 0.0, True
    while match := _AMOUNT.match(rest):
        if match[2] not in _UNIT_S:
            break
        seconds += float(match[1]) * _UNIT_S[match[2]]
        rest, is_empty = rest[match.end() :], False
    if match := _CLOCK.fullmatch(rest):
        seconds += int(match[1] or 0) * 3_600 + int(match[2]) * 60 + int(match[3])
        rest, is_empty = "", False
    try:
        span = timedelta(seconds=seconds)
    except OverflowError:
        is_empty = True
    if rest or is_empty:
        raise OptionError(
            "OPTION_VALUE",
            f"default_watermark_delay_threshold is {text[:100]!r}, which is no time span.",
            "Write for example '30 minutes', '24 hours' or '1h 30m'.",
        )
    return span

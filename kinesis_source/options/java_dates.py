"""Times written after a Java date pattern, as Databricks' ``initialPosition`` has them.

Pure. A pattern such as ``MM/dd/yyyy HH:mm:ss ZZZ`` becomes a regular expression; each field may
come once. The zone letters (z, Z, X, x, O, V) take the same texts: Java's two formatters
disagree on them, and Databricks' own example reads ``PDT`` with ``ZZZ``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Final

__all__ = ["UnreadableTimeError", "read_java_date", "read_zone"]

# Only abbreviations that mean one thing in AWS's and Spark's world; IST, BST or AST do not.
_ZONE_HOURS: Final = {
    **dict.fromkeys(("z", "utc", "gmt", "ut"), 0),
    "est": -5,
    "edt": -4,
    "cst": -6,
    "cdt": -5,
    "mst": -7,
    "mdt": -6,
    "pst": -8,
    "pdt": -7,
    "akst": -9,
    "akdt": -8,
    "hst": -10,
}
_OFFSET = re.compile(r"([+-])([0-9]{1,2})(?::?([0-9]{2}))?")
_OFFSET_TEXT: Final = "[+-][0-9]{1,2}(?::?[0-9]{2})?"
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_MONTH_TEXT: Final = "|".join([*_MONTHS, *(name[:3] for name in _MONTHS)])
_DAY_TEXT: Final = "(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_TWO_DIGITS: Final = "[0-9]{1,2}"
# Pattern letter -> (field, regular expression); y, M, d, S and zones depend on how often it comes.
_LETTERS: Final = {
    "d": ("day", _TWO_DIGITS),
    "H": ("hour", _TWO_DIGITS),
    "k": ("hour24", _TWO_DIGITS),
    "h": ("hour12", _TWO_DIGITS),
    "K": ("hour12", _TWO_DIGITS),
    "m": ("minute", _TWO_DIGITS),
    "s": ("second", _TWO_DIGITS),
    "a": ("half", "am|pm"),
    "E": ("weekday", _DAY_TEXT),
    "S": ("fraction", "[0-9]{1,9}"),
    **dict.fromkeys("zZXxOV", ("zone", rf"[A-Za-z]{{1,5}}(?:{_OFFSET_TEXT})?|{_OFFSET_TEXT}")),
}
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']", re.DOTALL)
_MAX_PATTERN = 100


class UnreadableTimeError(ValueError):
    """A text that is no time, or a pattern that is not understood; the message says which."""


def read_zone(text: str) -> timezone:
    """Read a zone: ``Z``, ``UTC``, ``-08:00``, ``+0530``, ``GMT+2``, or an abbreviation of the US.

    Raises
    ------
    UnreadableTimeError
        Any other zone, or an offset of more than 18 hours.
    """
    lower = text.lower()
    if lower in _ZONE_HOURS:
        return timezone(timedelta(hours=_ZONE_HOURS[lower]))
    match = _OFFSET.fullmatch(re.sub(r"^(utc|gmt)(?=[+-])", "", lower))
    if match is None:
        raise UnreadableTimeError(
            f"the time zone {text[:20]!r} is not known, write an offset such as -07:00"
        )
    offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0))
    if offset > timedelta(hours=18) or int(match[3] or 0) > 59:
        raise UnreadableTimeError(f"the offset {text!r} is out of range")
    return timezone(offset if match[1] == "+" else -offset)


def read_java_date(text: str, pattern: str) -> datetime:
    """Read a time that is written after a Java date pattern.

    Parameters
    ----------
    text : str
        The time.
    pattern : str
        Letters y u M d H k h K m s S a E z Z X x O V, quoted literals, anything else as it is.

    Returns
    -------
    datetime.datetime
        With a time zone: UTC if the pattern has none.

    Raises
    ------
    UnreadableTimeError
        The pattern is not understood, or the text does not follow it.
    """
    match = _compile(pattern).fullmatch(text.strip())
    if match is None:
        raise UnreadableTimeError(f"it does not follow the format {pattern!r}")
    fields = {name: value for name, value in match.groupdict().items() if value}
    if not {"year", "month", "day"} <= set(fields):
        raise UnreadableTimeError(f"the format {pattern!r} needs year, month and day")
    year = int(fields["year"])
    try:
        return datetime(
            # A year of two digits counts from 2000, as Java's DateTimeFormatter has it.
            year + 2000 if len(fields["year"]) == 2 else year,
            _month(fields["month"]),
            int(fields["day"]),
            _hour(fields),
            int(fields.get("minute", 0)),
            int(fields.get("second", 0)),
            int(f"{fields.get('fraction', '0'):0<6}"[:6]),
            read_zone(fields["zone"]) if "zone" in fields else timezone.utc,
        )
    except UnreadableTimeError:
        raise
    except ValueError as error:
        raise UnreadableTimeError(str(error)) from None


def _compile(pattern: str) -> re.Pattern[str]:
    if len(pattern) > _MAX_PATTERN:
        raise UnreadableTimeError(f"the format has more than {_MAX_PATTERN} characters")
    parts, seen, end = [], set[str](), 0
    for token in _TOKEN.finditer(pattern):
        if token.start() != end:
            break
        end = token.end()
        if token[2]:
            field, expression = _field(token[2], len(token[0]))
            if field in seen:
                raise UnreadableTimeError(f"the format {pattern!r} has the {field} twice")
            seen.add(field)
            parts.append(f"(?P<{field}>{expression})")
        else:
            literal = token[0] if token[1] is None else token[1].replace("''", "'") or "'"
            parts.append(re.escape(literal))
    if end != len(pattern):
        raise UnreadableTimeError(f"the format {pattern!r} has a quote that does not end")
    return re.compile("".join(parts), re.IGNORECASE)


def _field(letter: str, count: int) -> tuple[str, str]:
    if letter in "yu":
        return "year", "[0-9]{2}" if count == 2 else "[0-9]{4}"
    if letter in "ML":
        return "month", _MONTH_TEXT if count >= 3 else _TWO_DIGITS
    if letter not in _LETTERS:
        raise UnreadableTimeError(
            f"the format letter {letter!r} is not supported, write the time as ISO 8601"
            " without format"
        )
    return _LETTERS[letter]


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    return next(at for at, name in enumerate(_MONTHS, 1) if name.startswith(text.lower()))


def _hour(fields: dict[str, str]) -> int:
    if "hour24" in fields:
        return 0 if fields["hour24"] == "24" else int(fields["hour24"])
    if "hour12" not in fields:
        return int(fields.get("hour", 0))
    if "half" not in fields:
        raise UnreadableTimeError("an hour of 12 needs AM or PM (letter a), or write HH")
    hour = int(fields["hour12"])
    if hour > 12:
        raise UnreadableTimeError("hour must be in 0..12")
    return hour % 12 + (12 if fields["half"].lower() == "pm" else 0)

"""Options of a preview: layers merged by meaning, and how options may be shown.

Pure; runs in the caller's process. A later layer takes the place of an earlier one wherever both
mean the same option, in whatever spelling: ``awsSTSRoleARN`` replaces ``rolearn``. (Spark itself
knows only case: it keeps the last key, and two synonyms would both arrive.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kinesis_source.options.table import OPTIONS, PREFIX, Option
from kinesis_source.options.values import masked, shown

__all__ = ["check_options", "merge_options", "show_options"]

_OPTIONS: Final[Mapping[str, Option]] = {
    spelling.lower(): option
    for option in OPTIONS
    for spelling in (option.name, *(synonym.name for synonym in option.synonyms))
}
_HIDDEN: Final = "'***'"


def check_options(options: Mapping[str, str | None] | None, label: str) -> dict[str, str | None]:
    """Return a copy of options after checking their types.

    Parameters
    ----------
    options : mapping of str to str, or None
        A value of None is allowed: see :func:`merge_options`.
    label : str
        The parameter's name, for messages.

    Raises
    ------
    TypeError
        Not a mapping, or a key or value that is not a str. Values are never shown.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise TypeError(
            f"{label} must be a dict of str to str, got {type(options).__name__}."
            ' Write for example {"roleArn": "arn:aws:iam::222222222222:role/reader"}.'
        )
    for key, value in options.items():
        if not isinstance(key, str):
            raise TypeError(
                f"{label} has a key of type {type(key).__name__}. Write the names as str."
            )
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"{label}[{key!r}] must be a str, got {type(value).__name__}."
                ' Put the value in quotes, for example "30s", "1000" or "true".'
            )
    return dict(options)


def merge_options(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Merge options; what a later layer says about an option replaces all that stood before.

    Two spellings of one option in the same layer both stay: whether they agree is for
    :func:`~kinesis_source.options.parse.parse_options` to say.

    Parameters
    ----------
    *layers : mapping of str to str or None
        Earliest first. None takes the option away, so that the source's default holds.

    Returns
    -------
    dict of str to str
        In the spellings given; never holds None.
    """
    merged: dict[str, str] = {}
    for layer in layers:
        meant = {_meaning(key) for key in layer}
        merged = {key: value for key, value in merged.items() if _meaning(key) not in meant}
        merged.update({key: value for key, value in layer.items() if value is not None})
    return merged


def show_options(options: Mapping[str, str | None]) -> str:
    """Return options as a repr without secrets.

    Shown are the values of known options that are no secrets. A name that is not known may be a
    misspelt secret, so its value is hidden as well.
    """
    items = (f"{key!r}: {_shown_value(key, value)}" for key, value in options.items())
    return "{" + ", ".join(items) + "}"


def _meaning(key: str) -> str:
    folded = key.lower().removeprefix(PREFIX)
    return _OPTIONS[folded].name if folded in _OPTIONS else folded


def _shown_value(key: str, value: str | None) -> str:
    if value is None:
        return "None"
    option: Any = _OPTIONS.get(key.lower().removeprefix(PREFIX))
    if option is None or option.secret:
        return _HIDDEN
    if option.name == "awsAccessKey":
        return masked(value)
    # A URL may carry a password; the parser refuses it, but a repr can come first.
    return _HIDDEN if "://" in value and "@" in value else shown(value)

"""Which streams, in which region: readers of stream options and what they mean together.

Pure; runs in Spark's driver-side worker at ``load()``. The region comes, in this order, from option
``region``, the streams' ARNs, the endpoint's host, the environment; what is given must agree. ARNs
of several regions are each read in their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from kinesis_source.errors import OptionError
from kinesis_source.options.aws_hosts import region_of_kinesis_host
from kinesis_source.options.settings import StreamSettings
from kinesis_source.options.values import BadValueError, shown

__all__ = [
    "account_of",
    "choose_region",
    "choose_streams",
    "is_stream",
    "read_region",
    "read_stream_arns",
    "read_stream_names",
    "region_of",
]

# Kinesis API model, shapes StreamName and StreamARN.
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
_ARN = re.compile(r"arn:aws[a-z-]*:kinesis:([a-z0-9-]+):[0-9]{12}:stream/([a-zA-Z0-9_.-]{1,128})")
# us-east-1, us-gov-west-1, us-isob-east-1, eusc-de-east-1
_REGION = re.compile(r"[a-z]{2,5}(-[a-z]+){1,3}-[0-9]{1,2}")
_ENVIRONMENT: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


def read_stream_names(text: str) -> tuple[str, ...]:
    """Read stream names, separated by commas."""
    names = _items(text)
    for name in names:
        if name.startswith("arn:"):
            raise BadValueError(
                "OPTION_VALUE",
                f"has the ARN {shown(name, 200)}.",
                "Put ARNs into option 'streamARN'.",
            )
        if not _NAME.fullmatch(name):
            raise BadValueError(
                "OPTION_VALUE",
                f"has {shown(name)}, which is no stream name.",
                "A name has 1 to 128 letters, digits, '_', '.' or '-'; separate several by commas.",
            )
    return names


def read_stream_arns(text: str) -> tuple[str, ...]:
    """Read stream ARNs, separated by commas."""
    arns = _items(text)
    for arn in arns:
        if not _ARN.fullmatch(arn):
            raise BadValueError(
                "OPTION_VALUE",
                f"has {shown(arn, 200)}, which is no stream ARN.",
                "Write 'arn:aws:kinesis:<region>:<account of 12 digits>:stream/<name>'; separate"
                " several by commas.",
            )
    return arns


def is_stream(text: str) -> bool:
    """Say whether a text can be a stream's name or ARN."""
    return bool(_NAME.fullmatch(text) or _ARN.fullmatch(text))


def read_region(text: str) -> str:
    """Read the name of a region; whether AWS has it is not checked."""
    if not _REGION.fullmatch(text):
        raise BadValueError(
            "OPTION_VALUE",
            f"has {shown(text)}, which is no region.",
            "Write a region's name as AWS has it, for example 'us-east-1'.",
        )
    return text


def choose_streams(names: tuple[str, ...], arns: tuple[str, ...]) -> tuple[StreamSettings, ...]:
    """Return the streams that both options together name.

    Where both are given they must name the same streams: the name then stays the key in offsets
    and column ``streamName``, and AWS is called with the ARN.

    Raises
    ------
    OptionError
        ``OPTION_MISSING`` if both are empty, ``OPTION_CONFLICT`` if they name different streams.
    """
    if not names and not arns:
        raise OptionError(
            "OPTION_MISSING",
            "No stream is named.",
            "Set option 'streamName' or 'streamARN'.",
        )
    if not names:
        return tuple(StreamSettings(arn, _stream_of(arn), arn) for arn in arns)
    if not arns:
        return tuple(StreamSettings(name, name) for name in names)
    by_name = {_stream_of(arn): arn for arn in arns}
    if len(by_name) != len(arns) or set(by_name) != set(names):
        raise OptionError(
            "OPTION_CONFLICT",
            f"Options 'streamName' ({shown(', '.join(names))}) and 'streamARN'"
            f" ({shown(', '.join(arns), 200)}) name different streams.",
            "Set only one of them, or the same streams in both.",
        )
    return tuple(StreamSettings(name, name, by_name[name]) for name in names)


def account_of(arn: str) -> str:
    """Return the account in a stream's ARN."""
    return arn.split(":")[4]


def region_of(arn: str) -> str:
    """Return the region in a stream's ARN."""
    return arn.split(":")[3]


def choose_region(
    region: str | None,
    arns: tuple[str, ...],
    endpoint_url: str | None,
    environ: Mapping[str, str],
) -> str:
    """Return the region of a load, see the module's text for where it comes from.

    Raises
    ------
    OptionError
        ``OPTION_CONFLICT`` if two sources disagree, ``OPTION_MISSING`` if there is none,
        ``OPTION_VALUE`` if the environment's is malformed.
    """
    found: dict[str, str] = {"option 'region'": region} if region else {}
    for arn in arns:
        found[f"option 'streamARN' ({arn})"] = region_of(arn)
    host_region = _region_of_host(endpoint_url)
    if host_region:
        found[f"option 'endpointUrl' ({shown(endpoint_url or '')})"] = host_region
    own = {region_of(arn) for arn in arns}
    if len(own) > 1 and len(found) == len(arns):
        return region_of(arns[0])  # each stream is read in its own region
    (first, chosen), *others = found.items() or [("", "")]
    for origin, other in others:
        if other != chosen:
            raise OptionError(
                "OPTION_CONFLICT",
                f"The region is {chosen!r} by {first}, but {other!r} by {origin}.",
                "Leave 'region' out where streams are named by ARNs: each is read in its own.",
            )
    return chosen or _region_of_environment(environ)


def _region_of_environment(environ: Mapping[str, str]) -> str:
    for variable in _ENVIRONMENT:
        value = environ.get(variable, "").strip()
        if value and not _REGION.fullmatch(value):
            raise OptionError(
                "OPTION_VALUE",
                f"Environment variable {variable} is {shown(value)}, which is no region.",
                "Correct it where Spark is started, or set option 'region', for example to"
                " 'us-east-1'.",
            )
        if value:
            return value
    raise OptionError(
        "OPTION_MISSING",
        "Option 'region' is missing, and nothing else says the region.",
        "Set it, for example to 'us-east-1'; or name the stream by 'streamARN', or set an AWS"
        f" 'endpointUrl'. {' or '.join(_ENVIRONMENT)} counts where it was in the environment of"
        " Spark's driver before Spark started; what a program or notebook sets afterwards does not"
        " reach it.",
    )


def _items(text: str) -> tuple[str, ...]:
    items = tuple(item.strip() for item in text.split(","))
    if "" in items:
        raise BadValueError(
            "OPTION_VALUE", f"has an empty item: {shown(text)}.", "Take out the superfluous comma."
        )
    twice = next((item for at, item in enumerate(items) if item in items[:at]), None)
    if twice is not None:
        raise BadValueError(
            "OPTION_VALUE", f"names {shown(twice, 200)} twice.", "Name each stream once."
        )
    return items


def _stream_of(arn: str) -> str:
    return arn.rpartition("/")[2]


def _region_of_host(url: str | None) -> str | None:
    host = urlsplit(url).hostname if url else None
    return region_of_kinesis_host(host) if host else None

"""What type each parameter of the Kinesis API has, checked before an operation sees it.

AWS reads a request by its model: a member of another type is refused with SerializationException
whatever the operation, a null is a member that is not there, members it does not know are passed
over. What is left for the operations is to judge values.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .errors import AwsError

Reader = Callable[[str, Any], Any]

# Far beyond any moment that Kinesis knows, and exact as a float of milliseconds.
_MOST_EPOCH_S = 1e11
_MOST_INTEGER = 2**63


def read_params(params: dict[str, Any]) -> dict[str, Any]:
    """Return an operation's parameters without nulls.

    Raises
    ------
    AwsError
        SerializationException for a known member of another type.
    """
    return _members(_MEMBERS, params)


def _refusal(name: str, wanted: str) -> AwsError:
    return AwsError("SerializationException", f"{name} must be {wanted}.")


def _members(readers: Mapping[str, Reader], values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: readers[name](name, value) if name in readers else value
        for name, value in values.items()
        if value is not None
    }


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(name, "a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # JSON can write half of a surrogate pair
        raise _refusal(name, "a string of Unicode characters") from error
    return value


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _MOST_INTEGER:
        raise _refusal(name, "an integer")
    return int(value)


def _timestamp(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refusal(name, "a number of epoch seconds")
    if not abs(value) <= _MOST_EPOCH_S:  # nor what is no number
        raise _refusal(name, "a moment")
    moment: float = value
    return moment


def _blob(name: str, value: Any) -> str | bytes:
    # JSON has base64 text here, CBOR bytes.
    return value if isinstance(value, bytes) else _text(name, value)


def _structure(readers: Mapping[str, Reader]) -> Reader:
    def read(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _refusal(name, "a structure")
        return _members(readers, value)

    return read


def _list(read_item: Reader) -> Reader:
    def read(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _refusal(name, "a list")
        return [read_item(f"An item of {name}", item) for item in value]

    return read


def _texts_by_text(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _refusal(name, "a map of strings")
    return {
        _text(f"A key of {name}", key): _text(f"A value of {name}", item)
        for key, item in value.items()
    }


_RECORD: Mapping[str, Reader] = {
    "Data": _blob,
    "PartitionKey": _text,
    "ExplicitHashKey": _text,
}
_TEXTS = (
    "AdjacentShardToMerge",
    "ExclusiveStartShardId",
    "ExclusiveStartStreamName",
    "ExclusiveStartTagKey",
    "NewStartingHashKey",
    "NextToken",
    "ScalingType",
    "SequenceNumberForOrdering",
    "ShardId",
    "ShardIterator",
    "ShardIteratorType",
    "ShardToMerge",
    "ShardToSplit",
    "StartingSequenceNumber",
    "StreamARN",
    "StreamName",
)
_INTEGERS = (
    "Limit",
    "MaxRecordSizeInKiB",
    "MaxResults",
    "RetentionPeriodHours",
    "ShardCount",
    "TargetShardCount",
)
# A name has one type in all of the API's operations.
_MEMBERS: Mapping[str, Reader] = {
    **_RECORD,
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_INTEGERS, _integer),
    **dict.fromkeys(("StreamCreationTimestamp", "Timestamp"), _timestamp),
    "Records": _list(_structure(_RECORD)),
    "ShardFilter": _structure({"Type": _text, "ShardId": _text, "Timestamp": _timestamp}),
    "StreamModeDetails": _structure({"StreamMode": _text}),
    "TagKeys": _list(_text),
    "Tags": _texts_by_text,
}

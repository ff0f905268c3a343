"""What a preview's JSON looks like: a schema for Spark, and the function that applies it. Pure.

Types are those that hold all values seen: whole numbers BIGINT, numbers DOUBLE, times in ISO 8601
TIMESTAMP, the rest STRING. A member that was never anything but null is STRING.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["SchemaHint", "infer_schema"]

_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:?\d{2})?"
)
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_MEMBERS: Final = 500
"""An object with more is a map by its members' names."""


@dataclass(frozen=True)
class SchemaHint:
    """A schema of the JSON seen.

    Parameters
    ----------
    ddl : str
        For ``from_json``.
    records : int
        From how many records.
    others : int
        How many were no JSON objects.
    """

    ddl: str
    records: int
    others: int = 0

    @property
    def code(self) -> str:
        """A ``post_processor``, to copy."""
        return (
            "def post_processor(raw):\n"
            "    from pyspark.sql import functions as F\n\n"
            f"    schema = {_quoted(self.ddl)}\n"
            '    event = F.from_json(F.col("data").cast("string"), schema)\n'
            '    return raw.select(event.alias("event"), "approximateArrivalTimestamp").select(\n'
            '        "event.*", "approximateArrivalTimestamp"\n'
            "    )\n"
        )

    @property
    def post_processor(self) -> Callable[[DataFrame], DataFrame]:
        """The same, to use."""
        ddl = self.ddl

        def post_processor(raw: DataFrame) -> DataFrame:
            from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

            event = F.from_json(F.col("data").cast("string"), ddl)
            return raw.select(event.alias("event"), "approximateArrivalTimestamp").select(
                "event.*", "approximateArrivalTimestamp"
            )

        return post_processor

    def __repr__(self) -> str:
        others = f", {self.others} others were no JSON objects" if self.others else ""
        return f"# from {self.records} records{others}\n{self.code}"


def infer_schema(values: Iterable[Any]) -> SchemaHint:
    """Return the schema that holds all JSON objects of some values."""
    kind: Any = None
    records = others = 0
    for value in values:
        if isinstance(value, Mapping):
            kind = _merged(kind, _kind(value))
            records += 1
        else:
            others += 1
    members = kind if isinstance(kind, dict) else {}
    ddl = ", ".join(f"{_name(name)} {_ddl(member)}" for name, member in members.items())
    return SchemaHint(ddl, records, others)


# A kind is None (nothing seen), a name of a type, a dict of members, or a list with one kind.
def _kind(value: Any) -> Any:
    if isinstance(value, list):
        kind: Any = None
        for item in value:
            kind = _merged(kind, _kind(item))
        return [kind]
    if isinstance(value, Mapping) and len(value) <= _MOST_MEMBERS:
        return {str(name): _kind(member) for name, member in value.items()}
    return None if value is None else _plain_kind(value)


def _plain_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int):
        return "BIGINT" if -(2**63) <= value < 2**63 else "DOUBLE"
    if isinstance(value, float):
        return "DOUBLE"
    return "TIMESTAMP" if isinstance(value, str) and _TIME.fullmatch(value) else "STRING"


def _merged(one: Any, other: Any) -> Any:
    if one is None or one == other:
        return other
    if other is None:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        return {
            name: _merged(one.get(name), other.get(name)) for name in dict.fromkeys((*one, *other))
        }
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    if all(isinstance(kind, str) for kind in (one, other)) and {one, other} == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return "STRING"


def _ddl(kind: Any) -> str:
    if isinstance(kind, dict):
        if not kind:
            return "STRING"
        members = ", ".join(f"{_name(name)}: {_ddl(member)}" for name, member in kind.items())
        return f"STRUCT<{members}>"
    if isinstance(kind, list):
        return f"ARRAY<{_ddl(kind[0])}>"
    return kind or "STRING"


def _name(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"


def _quoted(text: str) -> str:
    is_plain = text.isprintable() and '"' not in text and "\\" not in text
    return f'"{text}"' if is_plain else repr(text)

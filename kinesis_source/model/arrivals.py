"""ArrivalTimes: a page's approximate arrival times, as AWS's JSON has them; read as milliseconds.

Made by aws/decode.py, on driver and executors. Reading a range looks at the first and the last of
10,000 times, and Arrow converts them all at once (records/batches.py): rounding each in Python took
as long as a third of the parsing of small records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

__all__ = ["ArrivalTimes"]


class ArrivalTimes(Sequence[int]):
    """Milliseconds since 1970, rounded; equal to a list of them.

    Parameters
    ----------
    seconds : list of float
        Since 1970.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: list[float]) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self.seconds)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> ArrivalTimes: ...
    def __getitem__(self, index: int | slice) -> int | ArrivalTimes:
        if isinstance(index, slice):
            return ArrivalTimes(self.seconds[index])
        return round(self.seconds[index] * 1000)

    def __iter__(self) -> Iterator[int]:
        return (round(moment * 1000) for moment in self.seconds)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # as of a list

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.seconds})"

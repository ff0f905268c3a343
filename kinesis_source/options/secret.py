"""Secret: a text that travels, but never shows.

Runs in every process. Pickles (executors need the value), compares and hashes, and prints as
``Secret(***)`` everywhere: repr, str, format, f-strings.
"""

from __future__ import annotations

__all__ = ["Secret"]


class Secret:
    """A secret text.

    Parameters
    ----------
    value : str
        Read it back with :meth:`reveal`, directly where it is used.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret text."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return (Secret, (self._value,))

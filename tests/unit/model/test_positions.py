import pickle

import pytest

from kinesis_source.errors import OffsetError
from kinesis_source.model.position_texts import position_from_json, position_to_json
from kinesis_source.model.positions import (
    END,
    LOST,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    OldestSince,
    ShardEnd,
    is_ahead,
    is_later,
    with_emptiness,
)

NINE, TEN = AfterRecord("9", 100), AfterRecord("10", 50)


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (TRIM_HORIZON, "trim_horizon"),
        (END, "end"),
        (AtTimestamp(1767225600000), {"at": 1767225600000}),
        (AfterRecord("0", 0), {"after": "0", "arrival": 0}),
        (AfterRecord("9" * 129, 5), {"after": "9" * 129, "arrival": 5}),
        (AfterRecord("7", 5, 9), {"after": "7", "arrival": 5, "empty": 9}),
        (AtTimestamp(5, 7, 9), {"at": 5, "empty": 9, "whole": 7}),
        (OldestSince(5), {"oldest": 5}),
        (OldestSince(5, 9, "7"), {"behind": "7", "empty": 9, "oldest": 5}),
        (ShardEnd(5), {"end": 5}),
    ],
)
def test_each_position_has_one_checkpoint_form(position, text) -> None:
    assert position_to_json(position) == text
    assert position_from_json(text) == position


@pytest.mark.parametrize(
    "value",
    [
        None,
        "latest",
        "END",
        7,
        {},
        {"at": -1},
        {"at": "5"},
        {"at": True},
        {"at": 5, "after": "1"},
        {"after": "1"},
        {"after": 1, "arrival": 5},
        {"after": "1", "arrival": 1.5},
        {"oldest": 5, "behind": 7},
        {"end": "5"},
        {"from": "7", "arrival": 5},
    ],
)
def test_anything_else_is_refused(value) -> None:
    with pytest.raises(OffsetError, match=r"^\[OFFSET_POSITION\] The offset holds .* position"):
        position_from_json(value)


@pytest.mark.parametrize("text", ["", "01", "-1", "1e3", "1 ", "9" * 130, "\u0661", "1\n"])  # noqa: RUF100
def test_sequence_numbers_are_plain_digits(text) -> None:
    with pytest.raises(OffsetError, match=r"^\[OFFSET_SEQUENCE_NUMBER\] .* Sequence numbers are"):
        AfterRecord(text, 0)


def test_sequence_numbers_compare_as_integers() -> None:
    assert is_ahead(TEN, NINE)
    assert not is_ahead(NINE, TEN)
    assert not is_ahead(NINE, NINE)


@pytest.mark.parametrize("start", [TRIM_HORIZON, AtTimestamp(7), NINE])
def test_records_and_ends_lie_ahead_of_starts_and_never_the_other_way(start) -> None:
    assert is_ahead(TEN, start)
    assert is_ahead(END, start)
    assert not is_ahead(start, END)
    assert not is_ahead(TRIM_HORIZON, start)
    assert not is_ahead(AtTimestamp(9), start)


def test_nothing_lies_ahead_of_the_end() -> None:
    assert not any(is_ahead(position, END) for position in (END, TEN, TRIM_HORIZON, AtTimestamp(1)))


def test_markers_are_themselves_after_pickling() -> None:
    assert pickle.loads(pickle.dumps(LOST)) is LOST  # noqa: S301 - our own bytes
    assert repr((TRIM_HORIZON, LOST)) == "(TRIM_HORIZON, LOST)"


def test_what_version_1_called_complete_is_no_more_than_it_proves() -> None:
    """Behind a record it was an empty look; at a moment it may have been that of the start."""
    behind = {"after": "7", "arrival": 5, "complete": 9}
    assert position_from_json(behind) == AfterRecord("7", 5, empty_ms=9)
    assert position_from_json({"at": 5, "complete": 9}) == AtTimestamp(5, whole_ms=9)


def test_a_number_that_was_read_stays_read_where_reading_begins_at_the_oldest_record() -> None:
    again = OldestSince(5, behind="10")
    assert not is_ahead(NINE, again)
    assert not is_ahead(TEN, again)
    assert is_ahead(AfterRecord("11", 0), again)


def test_an_empty_look_is_later_and_nothing_else_of_the_same_place() -> None:
    assert is_later(with_emptiness(NINE, 200), NINE)
    assert with_emptiness(NINE, 100) == NINE  # its own arrival says as much
    assert not is_later(OldestSince(9), OldestSince(5))
    assert is_later(OldestSince(5, 9), OldestSince(5))

import pickle

import pytest

from kinesis_source.errors import OffsetError
from kinesis_source.model.positions import (
    END,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    is_ahead,
    position_from_json,
    position_to_json,
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
    assert pickle.loads(pickle.dumps(END)) is END  # noqa: S301 - our own bytes
    assert repr((TRIM_HORIZON, END)) == "(TRIM_HORIZON, END)"

"""The project's emulator and LocalStack answer one script alike, but for listed differences."""

import re
from pathlib import Path

import pytest

from tests.parity.parity_script import identities, iterators, records, resharding, streams
from tests.parity.parity_script.differences import DIFFERENCES
from tests.parity.parity_script.witness import OBSERVATIONS

_CHAPTERS = (streams, records, iterators, resharding, identities)
_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "emulator-parity.md"


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_both_show_the_same(name, emulator_witness, localstack_witness):
    look = OBSERVATIONS[name]
    seen = {"emulator": look(emulator_witness), "localstack": look(localstack_witness)}

    difference = DIFFERENCES.get(name)
    if difference is None:
        assert seen["emulator"] == seen["localstack"]
    else:
        expected = {"emulator": difference.emulator, "localstack": difference.localstack}
        assert seen == expected, f"the listed difference is another one now: {difference}"


def test_every_listed_difference_is_observed():
    assert sorted(DIFFERENCES.keys() - OBSERVATIONS.keys()) == []
    assert [name for name, d in DIFFERENCES.items() if d.emulator == d.localstack] == []


def test_no_chapter_is_empty():
    chapters = {look.__module__ for look in OBSERVATIONS.values()}
    assert chapters == {chapter.__name__ for chapter in _CHAPTERS}


def test_the_page_lists_these_differences():
    listed = re.findall(r"^\| `\w+` \|.*\|$", _PAGE.read_text(), re.MULTILINE)
    assert listed == [_row(name, difference) for name, difference in DIFFERENCES.items()]


def _row(name, difference):
    cells = (difference.emulator, difference.localstack)
    shown = " | ".join(_shown(value) for value in cells)
    documentation = difference.documentation.replace("|", "\\|")
    return f"| `{name}` | {shown} | {documentation} | {difference.right} |"


def _shown(value):
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_shown(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)

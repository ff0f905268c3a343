"""docs/RELIABILITY.md: every test it names exists, and no fault or trap is left out."""

from __future__ import annotations

import re
from pathlib import Path

from kinesis_source.emulator.faults import KINDS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
FAULT_TESTS = sorted((ROOT / "tests" / "fault").glob("test_*.py"))


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def names_there() -> set[str]:
    return {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def test_every_test_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 50
    assert named <= names_there()


def test_every_fault_has_what_happens_what_is_seen_and_a_test() -> None:
    faults = rows("Faults")
    assert len(faults) > 20
    for row in faults:
        assert len(row) == 4
        assert "`test_" in row[3], row[0]


def test_each_of_the_28_traps_has_a_test_or_the_reason_for_none() -> None:
    traps = rows("Traps that other connectors fell into")
    assert [int(row[0].partition(".")[0]) for row in traps] == list(range(1, 29))
    for row in traps:
        assert "`test_" in row[1] or row[1].startswith("Not applicable: "), row[0]


def test_every_fault_of_the_emulator_strikes_somewhere() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in FAULT_TESTS)
    assert not {kind for kind in KINDS if f'"{kind}"' not in code}

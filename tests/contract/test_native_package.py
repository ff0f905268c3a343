"""The native decoder's sources agree with the package that it belongs to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kinesis_source import native
from kinesis_source.model.positions import LAST_EPOCH_MS
from kinesis_source.records import kpl

ROOT = Path(__file__).resolve().parents[2]
RUST = ROOT / "native" / "src"


def found(pattern: str, file: Path) -> str:
    match = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{pattern!r} is not in {file.relative_to(ROOT)}"
    return match[1]


def test_both_distributions_have_one_version():
    ours = found(r'^version = "(.+)"', ROOT / "pyproject.toml")
    assert found(r'^version = "(.+)"', ROOT / "native" / "Cargo.toml") == ours
    assert found(r"kinesis-source-native==([\d.]+)", ROOT / "pyproject.toml") == ours


def test_both_know_one_interface():
    assert int(found(r"const INTERFACE: u32 = (\d+);", RUST / "lib.rs")) == native.INTERFACE


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("MAX_UNFOLDED_BYTES", kpl.MAX_UNFOLDED_BYTES),
        ("MAX_KEY_CHARACTERS", kpl.MAX_KEY_CHARACTERS),
        ("MAX_HASH_KEY_DIGITS", kpl.MAX_HASH_KEY_DIGITS),
    ],
)
def test_limits_of_aggregates_are_the_same(name, limit):
    factors = found(rf"const {name}: usize = ([\d* ]+);", RUST / "kpl.rs").split("*")
    product = 1
    for factor in factors:
        product *= int(factor)
    assert product == limit


def test_the_latest_time_is_the_same():
    seconds = found(r"const LAST_EPOCH_S: f64 = ([\d_.]+);", RUST / "reply.rs")
    assert float(seconds.replace("_", "")) == LAST_EPOCH_MS / 1000


def test_unsafe_code_is_in_one_file_and_each_block_says_why():
    for file in RUST.glob("*.rs"):
        text = re.sub(r"//.*", "", file.read_text(encoding="utf-8"))
        assert ("unsafe" in text) == (file.name == "body.rs"), file.name
    body = (RUST / "body.rs").read_text(encoding="utf-8")
    assert body.count("// SAFETY:") == len(re.findall(r"unsafe \{", body))

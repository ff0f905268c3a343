"""The changelog: what each release says of checkpoints, and the fragments of the next one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

_CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDER = _CHECKOUT / "changelog.d"
_RELEASE = re.compile(
    r"^## (\d+\.\d+\.\d+)(?: \((?:unreleased|\d{4}-\d{2}-\d{2})\))?$", re.MULTILINE
)


def _text(name: str) -> str:
    return (_CHECKOUT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    return dict(tomllib.loads(_text("pyproject.toml"))["tool"]["towncrier"])


def _entries() -> dict[str, str]:
    _, *parts = _RELEASE.split(_text("CHANGELOG.md"))
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_release_has_an_entry_that_begins_with_state_compatibility():
    entries = _entries()
    assert {"0.1.0", "0.2.0"} <= set(entries)
    for version, entry in entries.items():
        assert entry.lstrip().startswith("### State compatibility\n"), version


def test_there_is_an_entry_for_each_release_that_left_checkpoints():
    frozen = {path.name for path in (_CHECKOUT / "tests" / "compat").glob("*.*.*")}
    assert frozen
    assert frozen <= set(_entries())


def test_headings_are_what_the_tool_writes(settings):
    kinds = {kind["name"] for kind in settings["type"]}
    assert set(re.findall(r"^### (.+)$", _text("CHANGELOG.md"), re.MULTILINE)) <= kinds
    assert not re.search(r"^## (?!\d)", _text("CHANGELOG.md"), re.MULTILINE)


def test_the_tool_finds_its_files(settings):
    assert _text("CHANGELOG.md").count(settings["start_string"]) == 1
    assert settings["directory"] == _FOLDER.name
    assert (_CHECKOUT / settings["template"]).is_file()


def test_fragments_are_of_a_kind_that_is_explained(settings):
    kinds = {kind["directory"] for kind in settings["type"]}
    assert set(re.findall(r"^\| `(\w+)` \|", _text("changelog.d/README.md"), re.MULTILINE)) == kinds
    others = {"README.md", Path(settings["template"]).name}
    for file in _FOLDER.iterdir():
        if file.name not in others:
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(kinds)})\.md", file.name), file.name
            assert file.read_text(encoding="utf-8").strip(), file.name

"""The documentation holds together: links, code, and what it says exists."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from kinesis_source.model.offsets import StreamOffset

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TEST_NAME = re.compile(r"`(test_[a-z0-9_]+)`")
TEST_FILE = re.compile(r"`(tests/[a-z0-9_/]+\.py)`")
MAKE = re.compile(r"make ([a-z]+)")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(text_of(page)) if kind == language]


def heading_anchors(page: Path) -> set[str]:
    """Return the anchors that the usual Markdown renderers give to headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_point_to_what_is_there(page: Path):
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), link
        if anchor:
            assert anchor in heading_anchors(file), link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_blocks_compile(page: Path):
    for number, body in enumerate(blocks(page, "python"), 1):
        compile(body, f"{page_id(page)}, block {number}", "exec")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_json_blocks_parse(page: Path):
    for body in blocks(page, "json"):
        json.loads(body)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    commands = [*blocks(page, "bash"), *re.findall(r"`([^`\n]+)`", FENCE.sub("", text_of(page)))]
    for command in commands:
        assert set(MAKE.findall(command)) <= targets, command


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_tests_that_are_cited_exist(page: Path):
    for path in TEST_FILE.findall(text_of(page)):
        assert (ROOT / path).exists(), path
    cited = set(TEST_NAME.findall(text_of(page)))
    if cited:
        files = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
        there = {name for text in files for name in re.findall(r"def (test_\w+)", text)}
        assert cited <= there | {path.stem for path in (ROOT / "tests").rglob("test_*.py")}


def test_offsets_in_the_architecture_are_what_the_source_writes():
    texts = blocks(ROOT / "docs" / "ARCHITECTURE.md", "json")
    assert len(texts) >= 3
    for text in texts:
        offset = json.loads(text)
        written = StreamOffset.from_json(offset).to_json()
        assert json.dumps(written) == json.dumps(offset), "keys in another order, or another form"


def test_public_names_in_the_readme_can_be_imported():
    import kinesis_source

    for body in blocks(ROOT / "README.md", "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module == "kinesis_source":
                for alias in node.names:
                    assert getattr(kinesis_source, alias.name)

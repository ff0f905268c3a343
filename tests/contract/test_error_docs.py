"""docs/reference/errors.md lists the codes that the source raises, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "kinesis_source"
PAGE = ROOT / "docs" / "reference" / "errors.md"

CODE = re.compile(
    r"(OPTION|RECORD|CREDENTIAL|ACCESS|STREAM|OFFSET|DATA_LOSS|SERVICE|DECODE|SINK|TOOL|DEMO|PREVIEW|QUERY)_[A-Z_]*[A-Z]"
)
# Names of constants, and conditions of Spark's own.
NO_CODES_IN = {"__all__", "_SPARK_CODES"}


def codes_in_source() -> dict[str, str]:
    """Return each code with a file that raises it, one outside the command line if there is any."""
    files = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    return {
        code: str(path)
        for path in sorted(files, key=lambda path: (path.parts[0] != "cli", path))
        if path.parts[0] != "emulator"
        for code in _codes(ast.parse((PACKAGE / path).read_text(encoding="utf-8")))
    }


def _codes(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(target, ast.Name) and target.id in NO_CODES_IN for target in targets):
            return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value
        return
    for child in ast.iter_child_nodes(node):
        yield from _codes(child)


def codes_in_page() -> list[str]:
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*)\|(.*)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert all(meaning.strip() and remedy.strip() for _, meaning, remedy in rows)
    return [code for code, _, _ in rows]


def test_every_code_that_the_source_raises_is_documented():
    missing = {
        code: path for code, path in codes_in_source().items() if code not in codes_in_page()
    }
    assert not missing, f"not in {PAGE.relative_to(ROOT)}: {missing}"


def test_every_documented_code_is_raised_somewhere():
    assert set(codes_in_page()) <= set(codes_in_source())


def test_no_code_is_documented_twice():
    codes = codes_in_page()
    assert len(codes) == len(set(codes))


def test_find_code_knows_every_code_that_can_come_through_spark():
    """A prefix that find_code does not look for would be invisible to programs."""
    from kinesis_source import find_code

    for code, path in codes_in_source().items():
        if not path.startswith("cli/"):
            assert find_code(f"[STREAM_FAILED] Query ended: [{code}] It is so. Do this.") == code

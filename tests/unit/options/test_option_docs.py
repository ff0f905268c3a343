"""The documentation says what the parser does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kinesis_source.options.peers import NO_EFFECT, UNSUPPORTED
from kinesis_source.options.reference import BEGIN, END, option_page, option_table, replace_table
from kinesis_source.options.table import OPTIONS, known_option_names

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "generate_option_docs.py"


def generate(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        timeout=60,
    )


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    assert page == option_page(), "run python scripts/generate_option_docs.py"


def test_the_readme_is_up_to_date() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if replace_table(text) is None:
        pytest.skip("README.md has no table of options")
    assert text == replace_table(text), "run python scripts/generate_option_docs.py"


def test_every_name_is_documented() -> None:
    page = option_page()
    names = [*known_option_names(synonyms=True), *(one.name for one in (*NO_EFFECT, *UNSUPPORTED))]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_only_both_markers_in_order_make_a_table() -> None:
    assert replace_table("no markers") is None
    assert replace_table(f"{END} {BEGIN}") is None
    assert replace_table(f"a{BEGIN}b{END}c") == f"a{BEGIN}\n{option_table()}{END}c"


def test_names_without_synonyms_are_the_options_alone() -> None:
    assert known_option_names() == tuple(option.name for option in OPTIONS)


def test_every_default_and_range_is_documented() -> None:
    rows = {
        line.split("|")[1].strip(" `"): line for line in option_page().splitlines() if "|" in line
    }
    for option in OPTIONS:
        assert option.default is None or f"`{option.default}`" in rows[option.name]
        assert option.secret or option.read.allowed in rows[option.name]


def test_tables_have_the_same_number_of_cells_in_each_row() -> None:
    for table in option_page().split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) <= 1


def test_the_generator_writes_once_and_then_finds_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# x\n{BEGIN}\nold\n{END}\nrest\n", encoding="utf-8")
    assert generate(tmp_path, "--check").returncode == 1
    assert not (tmp_path / "docs").exists()
    assert generate(tmp_path).returncode == 0
    assert generate(tmp_path, "--check").returncode == 0
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert readme == f"# x\n{BEGIN}\n{option_table()}{END}\nrest\n"


@pytest.mark.parametrize("readme", [None, "# no markers\n", f"# only {BEGIN}\n"])
def test_a_readme_without_markers_is_skipped_with_a_word(
    tmp_path: Path, readme: str | None
) -> None:
    if readme is not None:
        (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    done = generate(tmp_path)
    assert done.returncode == 0
    assert "skipped" in done.stdout
    assert readme is None or (tmp_path / "README.md").read_text(encoding="utf-8") == readme

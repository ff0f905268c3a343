"""Write the documentation of the options from the table that the parser reads.

python scripts/generate_option_docs.py            writes docs/reference/options.md and the
                                                  README's table between its markers
python scripts/generate_option_docs.py --check    writes nothing; exit code 1 if one is outdated
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kinesis_source.options.reference import BEGIN, END, option_page, replace_table


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Generate the documentation of the options.")
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parent.parent,
        help="root of the repository (default: the one this script is in)",
    )
    options = parser.parse_args(arguments)
    wanted = _wanted(options.root)
    outdated = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in outdated:
        name = path.relative_to(options.root)
        if options.check:
            print(f"{name} is outdated: run python scripts/generate_option_docs.py")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
            print(f"{name} written")
    if not outdated:
        print("The documentation of the options is up to date.")
    return 1 if outdated and options.check else 0


def _wanted(root: Path) -> dict[Path, str]:
    """Return what each file should hold."""
    wanted = {root / "docs" / "reference" / "options.md": option_page()}
    readme = root / "README.md"
    if not readme.exists():
        print("README.md is not there: its table is skipped.")
        return wanted
    text = replace_table(readme.read_text(encoding="utf-8"))
    if text is None:
        print(f"README.md has no markers {BEGIN} and {END}: its table is skipped.")
        return wanted
    return {**wanted, readme: text}


if __name__ == "__main__":
    sys.exit(main())

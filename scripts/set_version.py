"""Set the version in all places, or check that they agree.

``python scripts/set_version.py 0.3.0`` writes it; ``--check`` says whether all places have one
version, ``--check 0.3.0`` whether it is that one. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Cargo and Python write pre-releases differently, so there are none.
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
PLACES = [
    ("pyproject.toml", r'^version = "([^"]+)"'),
    ("pyproject.toml", r"kinesis-source-native==([^\"]+)\""),
    ("native/Cargo.toml", r'^version = "([^"]+)"'),
    ("native/Cargo.lock", r'^name = "kinesis-source-native"\nversion = "([^"]+)"'),
    ("docs/quickstarts/databricks.md", r"kinesis_source-([^-\s*]+)-py3-none-any\.whl"),
    ("docs/quickstarts/emr.md", r"kinesis_source-([^-\s*]+)-py3-none-any\.whl"),
    ("docs/quickstarts/kubernetes.md", r"kinesis_source-([^-\s*]+)-py3-none-any\.whl"),
]
"""File, and a pattern whose group is the version; every match counts, and there must be one."""


def find_versions(root: Path) -> list[tuple[str, str]]:
    """Return each place with the version that is there."""
    found = []
    for name, pattern in PLACES:
        text = (root / name).read_text(encoding="utf-8")
        versions = re.findall(pattern, text, re.MULTILINE)
        if not versions:
            sys.exit(f"{name}: {pattern!r} is not there. Mend scripts/set_version.py.")
        found += [(name, version) for version in versions]
    return found


def write_version(root: Path, version: str) -> None:
    """Write the version everywhere."""
    for name, pattern in PLACES:
        file = root / name
        text = file.read_text(encoding="utf-8")

        def replaced(match: re.Match[str]) -> str:
            start, end = (place - match.start() for place in match.span(1))
            return match[0][:start] + version + match[0][end:]

        file.write_text(re.sub(pattern, replaced, text, flags=re.MULTILINE), encoding="utf-8")


def main() -> int:
    """Set or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the checkout")
    given = parser.parse_args()
    if given.version is not None and not VERSION.fullmatch(given.version):
        parser.error(f"{given.version!r} is no version of the form 1.2.3")
    if not given.check:
        if given.version is None:
            parser.error("give a version, or --check")
        find_versions(given.root)  # before anything is written
        write_version(given.root, given.version)
    places = find_versions(given.root)
    wanted = given.version or places[0][1]
    wrong = [f"{name} has {version}, not {wanted}" for name, version in places if version != wanted]
    print("\n".join(wrong) or f"{wanted} in {len(places)} places")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""scripts/set_version.py finds every place, and writes all of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_CHECKOUT = Path(__file__).resolve().parents[2]
_SCRIPT = _CHECKOUT / "scripts" / "set_version.py"
_FILES = (
    "pyproject.toml",
    "native/Cargo.toml",
    "native/Cargo.lock",
    "docs/quickstarts/databricks.md",
    "docs/quickstarts/emr.md",
    "docs/quickstarts/kubernetes.md",
)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(_SCRIPT), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in _FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_CHECKOUT / name, tmp_path / name)
    return tmp_path


def test_this_checkout_has_one_version():
    done = _run("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_places_are_written_and_nothing_else(copy):
    before = {name: (copy / name).read_text(encoding="utf-8") for name in _FILES}
    old = _run("--check").stdout.split()[0]
    assert _run("97.0.1", "--root", str(copy)).returncode == 0
    assert _run("--check", "97.0.1", "--root", str(copy)).returncode == 0
    for name, text in before.items():
        lines = zip(
            text.splitlines(), (copy / name).read_text(encoding="utf-8").splitlines(), strict=True
        )
        changed = [(one, other) for one, other in lines if one != other]
        assert changed, name
        assert all(one.replace(old, "97.0.1") == other for one, other in changed)


def test_places_that_differ_are_named(copy):
    cargo = copy / "native" / "Cargo.toml"
    cargo.write_text(
        cargo.read_text(encoding="utf-8").replace('\nversion = "', '\nversion = "9'),
        encoding="utf-8",
    )
    done = _run("--check", "--root", str(copy))
    assert done.returncode == 1
    assert done.stdout.startswith("native/Cargo.toml has 9")


def test_a_tag_of_another_version_is_refused():
    assert _run("--check", "97.0.1").returncode == 1


@pytest.mark.parametrize("version", ["1.2", "v1.2.3", "1.2.3rc1", "1.02.3"])
def test_versions_have_three_numbers(version):
    assert _run("--check", version).returncode == 2

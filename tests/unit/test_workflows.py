"""The workflows run what they should, with no more rights than they need and with no secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

_CHECKOUT = Path(__file__).resolve().parents[2]
_FOLDER = _CHECKOUT / ".github" / "workflows"
_FILES = sorted(_FOLDER.glob("*.y*ml"))
_TARGETS = {
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
}


def _load(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8")))


def _triggers(workflow: dict[Any, Any]) -> dict[str, Any]:
    """YAML 1.1 takes the key ``on`` for true."""
    return dict(workflow[True])


def _steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def _step(job: dict[str, Any], action: str) -> dict[str, Any]:
    (step,) = [step for step in job["steps"] if step.get("uses", "").startswith(f"{action}@")]
    return dict(step)


def _publishers(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: job
        for name, job in workflow["jobs"].items()
        if any("gh-action-pypi-publish" in step.get("uses", "") for step in job["steps"])
    }


@pytest.fixture(scope="module")
def ci() -> dict[str, Any]:
    return _load("ci.yml")


@pytest.fixture(scope="module")
def release() -> dict[str, Any]:
    return _load("release.yml")


def test_there_are_two():
    assert [file.name for file in _FILES] == ["ci.yml", "release.yml"]


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_each_is_a_workflow_with_limits(file):
    workflow = _load(file.name)
    assert _triggers(workflow)
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"], name
        assert all(("run" in step) != ("uses" in step) for step in job["steps"]), name
        needed = job.get("needs", [])
        needed = [needed] if isinstance(needed, str) else needed
        assert set(needed) <= set(workflow["jobs"]), name


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_their_major_version(file):
    for step in _steps(_load(file.name)):
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@(release/)?v\d+", step["uses"]), step["uses"]


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_there_are_no_secrets(file):
    text = file.read_text(encoding="utf-8")
    assert not re.search(
        r"\bsecrets\b|github\.token|GITHUB_TOKEN|password|api[-_]token", text, re.I
    )


@pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)
def test_programs_of_the_checkout_are_there(file):
    commands = [step["run"] for step in _steps(_load(file.name)) if "run" in step]
    programs = re.findall(r"(?:\.ci|scripts)/\w+(?:\.\w+)?", "\n".join(commands))
    targets = re.findall(r"\bmake (\w+)", "\n".join(commands))
    makefile = (_CHECKOUT / "Makefile").read_text(encoding="utf-8")
    assert [path for path in programs if not (_CHECKOUT / path).is_file()] == []
    assert [name for name in targets if not re.search(rf"^{name}:", makefile, re.M)] == []


def test_ci_calls_the_one_script_with_all_that_it_needs(ci):
    job = ci["jobs"]["run"]
    assert job["steps"][-1]["run"] == ".ci/run"
    assert job["steps"][0]["uses"].startswith("actions/checkout@")
    pythons = _step(job, "actions/setup-python")["with"]["python-version"].split()
    assert set(pythons) == {"3.11", "3.13"}
    assert job["steps"][-1]["env"]["PYTHON"] == f"python{pythons[-1]}"
    assert _step(job, "actions/setup-java")["with"]["java-version"] == "17"
    assert any("rustup toolchain install" in step.get("run", "") for step in job["steps"])


def test_ci_runs_on_changes(ci):
    triggers = _triggers(ci)
    assert "pull_request" in triggers
    assert triggers["push"] == {"branches": ["main"]}


def test_a_release_begins_with_a_tag(release):
    triggers = _triggers(release)
    assert triggers["push"] == {"tags": ["v*"]}
    assert set(triggers) == {"push", "workflow_dispatch"}, "by hand it is a rehearsal"
    checks = [step for step in _steps(release) if "set_version.py --check" in step.get("run", "")]
    assert len(checks) == 1


def test_wheels_are_built_for_each_platform_and_tried_there(release):
    built = release["jobs"]["native"]["strategy"]["matrix"]["include"]
    assert {row["target"] for row in built} == _TARGETS
    assert all((row["manylinux"] != "off") == ("linux" in row["target"]) for row in built)
    smoke = release["jobs"]["smoke"]
    tried = smoke["strategy"]["matrix"]["include"]
    assert {row["os"] for row in tried} == {row["os"] for row in built}
    assert set(smoke["needs"]) == {"pure", "native"}
    assert smoke["steps"][-1]["run"] == "scripts/smoke_wheel.sh dist"
    assert smoke["steps"][-1]["env"]["KINESIS_SOURCE_REQUIRE_NATIVE"] == "1"


def test_trusted_publishing_and_nothing_else(release):
    publishers = _publishers(release)
    assert set(publishers) == {"publish-native", "publish"}
    for job in publishers.values():
        assert job["permissions"] == {"id-token": "write"}
        assert job["environment"] == "pypi"
        assert job["if"] == "github.event_name == 'push'", "a rehearsal publishes nothing"
        assert not any("run" in step or "checkout" in step["uses"] for step in job["steps"])
        assert not {"user", "password", "repository-url"} & set(job["steps"][-1]["with"])
    others = [job for name, job in release["jobs"].items() if name not in publishers]
    assert not any("permissions" in job or "environment" in job for job in others)


def test_nothing_is_published_that_was_not_tried(release):
    jobs = release["jobs"]
    assert "smoke" in jobs["publish-native"]["needs"]
    assert jobs["publish"]["needs"] == "publish-native"
    uploaded = _step(jobs["pure"], "actions/upload-artifact")["with"]["name"]
    assert _step(jobs["publish"], "actions/download-artifact")["with"]["name"] == uploaded

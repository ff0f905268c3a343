"""Forms for issues, and the container for development, are well-formed and ask for what helps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

_CHECKOUT = Path(__file__).resolve().parents[2]
_FORMS = _CHECKOUT / ".github" / "ISSUE_TEMPLATE"
_CONTAINER = _CHECKOUT / ".devcontainer"
_KINDS = {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def _form(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((_FORMS / name).read_text(encoding="utf-8")))


def _fields(name: str) -> dict[str, dict[str, Any]]:
    return {field["id"]: field for field in _form(name)["body"] if "id" in field}


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_forms_are_what_github_takes(name):
    form = _form(name)
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    for field in form["body"]:
        assert field["type"] in _KINDS
        attributes = field["attributes"]
        assert attributes["value"] if field["type"] == "markdown" else attributes["label"]
        for option in attributes.get("options", []):
            assert isinstance(option, str if field["type"] == "dropdown" else dict), option


def test_a_bug_comes_with_the_doctors_findings_and_all_versions():
    fields = _fields("bug.yml")
    doctor = fields["doctor"]["attributes"]
    assert re.search(r"`kinesis-source doctor [^`]+ --json`", doctor["description"])
    assert doctor["render"] == "json"
    for name in ("doctor", "package", "spark", "python", "runtime", "runtime_version"):
        assert fields[name]["validations"]["required"] is True, name


def test_the_command_that_a_bug_asks_for_is_understood():
    from kinesis_source.cli.main import build_parser

    text = _fields("bug.yml")["doctor"]["attributes"]["description"]
    command = re.search(r"`kinesis-source (doctor [^`]+)`", text)
    assert command is not None
    given = build_parser().parse_args(command[1].split())
    assert given.json
    assert given.records == 0


def test_the_forms_can_be_chosen():
    assert "blank_issues_enabled" in _form("config.yml")


def test_the_container_has_python_java_and_rust():
    settings = json.loads((_CONTAINER / "devcontainer.json").read_text(encoding="utf-8"))
    dockerfile = (_CONTAINER / settings["build"]["dockerfile"]).read_text(encoding="utf-8")
    assert settings["postCreateCommand"] == "make setup"
    assert (
        f"useradd --create-home --uid 1000 --shell /bin/bash {settings['remoteUser']}" in dockerfile
    )
    assert re.findall(r"^FROM python:(\S+?)-\w+$", dockerfile, re.MULTILINE) == ["3.11"]
    assert "openjdk-17" in dockerfile


def test_the_containers_rust_is_the_oldest_that_is_supported():
    dockerfile = (_CONTAINER / "Dockerfile").read_text(encoding="utf-8")
    cargo = (_CHECKOUT / "native" / "Cargo.toml").read_text(encoding="utf-8")
    oldest = re.search(r'^rust-version = "(.+)"', cargo, re.MULTILINE)
    assert oldest is not None
    assert re.search(rf"^FROM rust:{re.escape(oldest[1])}-", dockerfile, re.MULTILINE)

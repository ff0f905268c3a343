"""Providers: what they may return, and that their failures say nothing secret."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path

import pytest
from botocore.credentials import Credentials

from kinesis_source.aws.provider import lease_from_provider, load_provider
from kinesis_source.errors import CredentialError

NAME = "provider_examples_of_the_unit_tests"
_spec = importlib.util.spec_from_file_location(
    NAME, Path(__file__).with_name("provider_examples.py")
)
assert _spec is not None
assert _spec.loader is not None
examples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(examples)
SECRET = examples.SECRET


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, NAME, examples)


def lease(name: str):
    path = f"{NAME}.{name}"
    return lease_from_provider(path, load_provider(path))


def given(value):
    examples.GIVEN["value"] = value
    return lease("given")


@pytest.mark.parametrize("name", ["botocore_credentials", "frozen_credentials"])
def test_botocore_credentials(name):
    assert tuple(lease(name).freeze())[:3] == ("AKIDEXAMPLE", SECRET, "token")
    assert lease(name).lifetime_s is None


def test_credentials_that_renew_themselves_are_asked_each_time():
    credentials = Credentials("AKID1", SECRET)
    held = given(lambda: credentials)
    assert held.freeze().access_key == "AKID1"
    credentials.access_key = "AKID2"
    assert held.freeze().access_key == "AKID2"


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (("AKID", SECRET), ("AKID", SECRET, None)),
        (("AKID", SECRET, "token"), ("AKID", SECRET, "token")),
        (["AKID", SECRET, None], ("AKID", SECRET, None)),
        ({"access_key": "AKID", "secret_key": SECRET}, ("AKID", SECRET, None)),
        (
            {"AccessKeyId": "AKID", "SecretAccessKey": SECRET, "SessionToken": "token"},
            ("AKID", SECRET, "token"),
        ),
        (
            {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET, "token": ""},
            ("AKID", SECRET, None),
        ),
    ],
)
def test_tuples_and_mappings(value, keys):
    assert tuple(given(value).freeze())[:3] == keys


@pytest.mark.parametrize(
    "expiry",
    [
        lambda: examples.in_seconds(600),
        lambda: examples.in_seconds(600).isoformat(),
        lambda: examples.in_seconds(600).strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda: examples.in_seconds(600).timestamp(),
    ],
)
@pytest.mark.parametrize("name", ["expiry", "expiry_time", "Expiration"])
def test_an_expiry_in_any_usual_form(expiry, name):
    mapping = {"access_key": "AKID", "secret_key": SECRET, name: expiry()}
    assert given(mapping).lifetime_s == pytest.approx(600, abs=2)


@pytest.mark.parametrize(
    "value",
    [
        None,
        SECRET,
        (SECRET,),
        ("AKID", SECRET, "token", "more"),
        ("AKID", ""),
        ("AKID", 7),
        ("AKID", SECRET, b"token"),
        {"secret_key": SECRET},
        {"access_key": "AKID", "secret_key": SECRET, "expiry": "soon"},
        {"access_key": "AKID", "secret_key": SECRET, "expiry": "2026-01-01T00:00:00"},
        {"access_key": "AKID", "secret_key": SECRET, "expiry": True},
        {"access_key": "AKID", "secret_key": SECRET, "expiry": float("nan")},
        lambda: Credentials("", SECRET),
    ],
)
def test_a_wrong_return_is_refused_without_quoting_it(value):
    with pytest.raises(CredentialError, match=r"^\[CREDENTIAL_PROVIDER\] .*given") as refused:
        given(value).freeze()
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_failure_shows_its_class_and_nothing_of_its_text():
    with pytest.raises(CredentialError, match="raised ValueError") as refused:
        given(ValueError(f"no luck with {SECRET}"))
    assert refused.value.code == "CREDENTIAL_PROVIDER"
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("justaname", "not a dotted path"),
        ("no.such.module", "there is no module 'no'"),
        (f"{NAME}.nothing", "has no 'nothing'"),
        (f"{NAME}.NOT_CALLABLE", "type int, which cannot be called"),
    ],
)
def test_a_path_that_leads_nowhere(path, says):
    with pytest.raises(CredentialError, match=r"^\[CREDENTIAL_PROVIDER\]") as refused:
        load_provider(path)
    assert says in str(refused.value)
    assert repr(path) in str(refused.value)


def test_a_module_that_fails_while_it_is_imported(tmp_path, monkeypatch):
    (tmp_path / "bad_provider_module.py").write_text(f"raise RuntimeError('{SECRET}')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CredentialError, match="RuntimeError was raised") as refused:
        load_provider("bad_provider_module.get")
    assert SECRET not in "".join(traceback.format_exception(refused.value))

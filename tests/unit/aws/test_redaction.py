"""Texts of libraries: whatever they quote, in whatever form, the secrets are gone."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
from urllib.parse import quote, quote_plus

import pytest

from kinesis_source.aws.redaction import (
    mask_access_key,
    redact,
    redacted_library_logs,
    remember_secrets,
)

TOKEN = "IQoJb3JpZ2lu/s+e=c&r<e>t of" + chr(10) + "the 'test' " + chr(92) + "n" + "0123456789"
SECRET = "kept/by+the=identity&of<this>process"
remember_secrets("AKIDOFTHETEST0000000", SECRET, TOKEN)

FORMS = {
    "plain": lambda text: text,
    "repr": lambda text: repr(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "repr of repr": lambda text: repr(repr(text))[1:-1],
    "json": lambda text: json.dumps(text)[1:-1],
    "url": quote,
    "url, all": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "xml": html.escape,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "stripped": lambda text: text.strip(),
    "in one line": lambda text: " ".join(text.split()),
    "cut": lambda text: text[:20],
}


@pytest.mark.parametrize("secret", [SECRET, TOKEN])
@pytest.mark.parametrize("form", FORMS)
def test_what_an_identity_holds_is_found_in_every_form(form, secret):
    quoted = FORMS[form](secret)
    shown = redact(f"Invalid value {quoted!s} for header")
    assert quoted not in shown
    assert quoted[:12] not in shown
    assert re.fullmatch(r"""Invalid value ["']?\*\*\*["']? for header""", shown)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("<SecretAccessKey>abc/def+1</SecretAccessKey>", "abc/def+1"),
        ("<SessionToken>abc-def", "abc-def"),
        ("""{"SecretAccessKey": "abc/def+1", "x": 1}""", "abc/def+1"),
        ("""{'Token': 'abc-def'}""", "abc-def"),
        ("aws_secret_access_key = abcdef1", "abcdef1"),
        ("x-amz-security-token:abcdef1", "abcdef1"),
        ("WebIdentityToken=abcdef1&Version=1", "abcdef1"),
        ("Authorization: Bearer", "Bearer"),
        ("Failed to connect to proxy http://me:pass@proxy:3128", "pass"),
        ("found wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE1 there", "bPxRfiCY"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "eyJzdWIi"),
        ("bad token " + "IQoJb3JpZ2luX2VjE" * 10, "IQoJb3JpZ2luX2VjE"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_whoever_brought_it(text, secret):
    assert secret not in redact(text)


def test_secrets_of_the_environment_are_known(monkeypatch):
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "for-the-container")
    assert redact("Basic for-the-container!") == "Basic ***!"


def test_access_key_ids_are_masked():
    assert redact("key AKIDOFTHETEST0000000.") == "key AKID****0000."
    assert redact("key ASIAIOSFODNN7EXAMPLE.") == "key ASIA****MPLE."
    assert mask_access_key("test") == "****"


@pytest.mark.parametrize(
    "text",
    [
        "The security token included in the request is expired",
        "User: arn:aws:sts::111111111111:assumed-role/etl/me is not authorized to perform: "
        "kinesis:GetRecords on resource: arn:aws:kinesis:eu-west-1:222222222222:stream/clicks",
        "StartingSequenceNumber 49590338271490256608559692538361571095921575989136588898 is bad",
        'Could not connect to the endpoint URL: "https://kinesis.eu-west-1.amazonaws.com/"',
        "Rate exceeded for shard shardId-000000000001 in stream clicks under account 222222222222.",
        "sha 0123456789abcdef0123456789abcdef01234567",
        "Error loading SSO Token: Token for https://x does not exist",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


def test_a_library_that_warns_with_a_secret_is_silenced_only_where_the_source_asks(caplog):
    logger = logging.getLogger("botocore.credentials")

    def warn() -> None:
        try:
            raise ValueError(SECRET)
        except ValueError:
            logger.warning("Refreshing failed: %s", SECRET, exc_info=True)

    with redacted_library_logs():
        warn()
    assert SECRET not in caplog.text
    assert "Refreshing failed: *** (ValueError)" in caplog.text
    caplog.clear()
    warn()
    assert SECRET in caplog.text, "a log of the user's own use of botocore is the user's"

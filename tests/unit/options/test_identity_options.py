"""Who calls AWS: what goes together, what does not, and that nothing secret shows."""

from __future__ import annotations

import pytest

from kinesis_source.errors import OptionError
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import IdentitySettings

ROLE = "arn:aws:iam::123456789012:role/"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = {"awsAccessKey": "AKIAIOSFODNN7EXAMPLE", "awsSecretKey": SECRET}


def identity_of(**options: str) -> IdentitySettings:
    given = {"streamName": "s", "region": "us-east-1", **options}
    return parse_options(given, environ={}).client.identity


def error_of(**options: str) -> OptionError:
    with pytest.raises(OptionError) as caught:
        identity_of(**options)
    return caught.value


def test_nothing_given_means_the_default_chain() -> None:
    assert identity_of() == IdentitySettings()


@pytest.mark.parametrize(
    "arn",
    [
        ROLE + "reader",
        ROLE + "team/data/reader",
        ROLE + "a,b+c=d@e.f_g-h",
        "arn:aws-cn:iam::123456789012:role/r",
        "arn:aws-us-gov:iam::123456789012:role/service-role/r",
    ],
)
def test_one_role(arn: str) -> None:
    assert [role.arn for role in identity_of(roleArn=arn).roles] == [arn]


def test_a_chain_of_roles_keeps_its_order() -> None:
    identity = identity_of(roleArn=f"{ROLE}b , {ROLE}a", roleSessionName="spark")
    assert [role.arn for role in identity.roles] == [ROLE + "b", ROLE + "a"]
    assert {role.session_name for role in identity.roles} == {"spark"}


@pytest.mark.parametrize(
    "arn",
    [
        "reader",
        "arn:aws:iam::123456789012:user/u",
        "arn:aws:iam::123456789012:instance-profile/p",
        "arn:aws:iam::12345:role/r",
        "arn:aws:sts::123456789012:assumed-role/r/s",
        ROLE,
        ROLE + "a b",
        ROLE + "x" * 65,
        ROLE + "a,",
        f"{ROLE}a,,{ROLE}b",
        f"{ROLE}a,reader/b c",
        ROLE + "p/" * 1500 + "r",
    ],
)
def test_what_is_no_role(arn: str) -> None:
    error = error_of(roleArn=arn)
    assert error.code == "OPTION_VALUE"
    assert "no role ARN" in str(error)


@pytest.mark.parametrize(
    ("roles", "text", "expected"),
    [
        (1, "tenant-7", ["tenant-7"]),
        (1, "a,b:c/d", ["a,b:c/d"]),
        (2, "tenant-7", [None, "tenant-7"]),
        (2, "first,second", ["first", "second"]),
        (2, "first,", ["first", None]),
        (2, ", second", [None, "second"]),
        (3, "aa,bb", [None, None, "aa,bb"]),
    ],
)
def test_external_ids(roles: int, text: str, expected: list[str | None]) -> None:
    chain = ",".join(f"{ROLE}r{at}" for at in range(roles))
    identity = identity_of(roleArn=chain, roleExternalId=text)
    assert [role.external_id for role in identity.roles] == expected


@pytest.mark.parametrize("text", ["x", "a b", "ünïcode", ",", "x" * 1225, "," * 30_000])
def test_what_is_no_external_id(text: str) -> None:
    error = error_of(roleArn=ROLE + "r", roleExternalId=text)
    assert error.code == "OPTION_VALUE"
    assert "'roleExternalId'" in str(error)


def test_external_ids_that_do_not_fit_the_chain() -> None:
    # Each item alone is too long together with the others for the one role there is.
    text = ",".join(["x" * 1000] * 2)
    assert "1 role(s)" in str(error_of(roleArn=ROLE + "r", roleExternalId=text))


@pytest.mark.parametrize("text", ["s", "x" * 65, "my session", "a/b"])
def test_what_is_no_session_name(text: str) -> None:
    assert "'roleSessionName'" in str(error_of(roleArn=ROLE + "r", roleSessionName=text))


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"awsAccessKey": "AKIAIOSFODNN7EXAMPLE"}, "OPTION_MISSING", "without 'awsSecretKey'"),
        ({"awsSecretKey": SECRET}, "OPTION_MISSING", "without 'awsAccessKey'"),
        ({"awsSessionToken": "FwoGZX"}, "OPTION_MISSING", "'awsSessionToken'"),
        ({**KEYS, "awsProfile": "dev"}, "OPTION_CONFLICT", "'awsAccessKey' and 'awsProfile'"),
        ({**KEYS, "credentialsProvider": "a.b"}, "OPTION_CONFLICT", "'credentialsProvider'"),
        ({"awsProfile": "d", "credentialsProvider": "a.b"}, "OPTION_CONFLICT", "'awsProfile'"),
        ({"roleExternalId": "tenant"}, "OPTION_CONFLICT", "without 'roleArn'"),
        ({"roleSessionName": "spark"}, "OPTION_CONFLICT", "without 'roleArn'"),
        ({"stsEndpoint": "https://sts.x.y"}, "OPTION_CONFLICT", "without 'roleArn'"),
        ({"roleArn": ROLE + "r", "stsEndpoint": "sts"}, "OPTION_VALUE", "'stsEndpoint'"),
        ({"credentialsProvider": "provider"}, "OPTION_VALUE", "dotted path"),
        ({"credentialsProvider": "a..b"}, "OPTION_VALUE", "dotted path"),
        ({"awsProfile": "a\nb"}, "OPTION_VALUE", "name of a profile"),
    ],
)
def test_what_does_not_go_together(options: dict[str, str], code: str, says: str) -> None:
    error = error_of(**options)
    assert error.code == code
    assert says in str(error)
    assert SECRET not in str(error)


def test_keys_profile_and_provider() -> None:
    identity = identity_of(**KEYS, sessionToken=" token\n")
    assert identity.session_token is not None
    assert identity.session_token.reveal() == "token"
    assert identity_of(awsProfile="data team").profile == "data team"
    assert identity_of(credentialsProvider="my.auth.provider").provider == "my.auth.provider"


def test_a_bare_sts_host_becomes_a_url() -> None:
    identity = identity_of(roleArn=ROLE + "r", stsEndpoint="sts.eu-west-1.amazonaws.com")
    assert identity.sts_endpoint == "https://sts.eu-west-1.amazonaws.com"


@pytest.mark.parametrize("name", ["awsSecretKey", "awsSessionToken"])
@pytest.mark.parametrize("value", [SECRET[:20] + " " + SECRET[20:], SECRET + "é", SECRET + "\x00x"])
def test_a_malformed_secret_is_not_shown(name: str, value: str) -> None:
    error = error_of(**{**KEYS, name: value})
    assert f"Option '{name}' has a blank" in str(error)
    assert SECRET[:20] not in str(error)


@pytest.mark.parametrize(
    "value", [SECRET, SECRET.replace("/", "a"), SECRET + " x", "AKIA " + SECRET]
)
def test_a_secret_put_where_the_id_belongs_is_not_shown(value: str) -> None:
    error = error_of(awsAccessKey=value, awsSecretKey="x")
    assert error.code == "OPTION_VALUE"
    assert value not in str(error)
    assert value[:-4] not in str(error)


def test_the_keys_of_emulators_are_taken() -> None:
    assert identity_of(awsAccessKey="test", awsSecretKey="test").access_key == "test"

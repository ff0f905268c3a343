"""Which streams, and in which region."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kinesis_source.errors import OptionError
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import SourceSettings, StreamSettings

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/"


def parse(options: Mapping[str, str], environ: Mapping[str, str] | None = None) -> SourceSettings:
    return parse_options(options, environ=environ or {})


def error_of(options: Mapping[str, str], environ: Mapping[str, str] | None = None) -> OptionError:
    with pytest.raises(OptionError) as caught:
        parse(options, environ)
    return caught.value


def test_several_names_keep_their_order() -> None:
    settings = parse({"streamName": "b , a,c.d_e-9", "region": "us-east-1"})
    assert [one.key for one in settings.read.streams] == ["b", "a", "c.d_e-9"]


def test_an_arn_says_name_and_region() -> None:
    settings = parse({"streamARN": ARN + "orders"})
    assert settings.read.streams == (StreamSettings(ARN + "orders", "orders", ARN + "orders"),)
    assert settings.client.region == "eu-west-1"


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s",
        "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/s",
    ],
)
def test_arns_of_other_partitions(arn: str) -> None:
    assert parse({"streamARN": arn}).client.region == arn.split(":")[3]


def test_a_name_and_its_arn_together_keep_the_name_as_key() -> None:
    settings = parse({"streamName": "b,a", "streamARN": f"{ARN}a,{ARN}b"})
    assert settings.read.streams == (
        StreamSettings("b", "b", ARN + "b"),
        StreamSettings("a", "a", ARN + "a"),
    )


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({}, "OPTION_MISSING", "'streamName' or 'streamARN'"),
        ({"streamName": "a b"}, "OPTION_VALUE", "'a b'"),
        ({"streamName": "x" * 129}, "OPTION_VALUE", "1 to 128"),
        ({"streamName": "a,,b"}, "OPTION_VALUE", "empty item"),
        ({"streamName": "a,b,a"}, "OPTION_VALUE", "names 'a' twice"),
        ({"streamName": ARN + "a"}, "OPTION_VALUE", "'streamARN'"),
        ({"streamARN": "orders"}, "OPTION_VALUE", "no stream ARN"),
        ({"streamARN": ARN + "a/consumer/c:1"}, "OPTION_VALUE", "no stream ARN"),
        ({"streamARN": "arn:aws:sqs:eu-west-1:123456789012:a"}, "OPTION_VALUE", "no stream ARN"),
        ({"streamName": "b", "streamARN": ARN + "a"}, "OPTION_CONFLICT", "different streams"),
        (
            {"streamName": "a", "streamARN": f"{ARN}a,{ARN.replace('12:', '13:')}a"},
            "OPTION_CONFLICT",
            "different streams",
        ),
        (
            {"streamARN": f"{ARN}a,{ARN.replace('eu', 'us')}b", "region": "eu-west-1"},
            "OPTION_CONFLICT",
            "'us-west-1' by option 'streamARN'",
        ),
        ({"streamARN": ARN + "a", "region": "us-east-1"}, "OPTION_CONFLICT", "'us-east-1' by"),
        (
            {
                "streamName": "a",
                "region": "us-east-1",
                "endpointUrl": "https://kinesis.us-west-2.amazonaws.com",
            },
            "OPTION_CONFLICT",
            "'us-west-2' by option 'endpointUrl'",
        ),
        ({"streamName": "a", "region": "US-EAST-1"}, "OPTION_VALUE", "'us-east-1'"),
        ({"streamName": "a", "region": "Ireland"}, "OPTION_VALUE", "no region"),
        ({"streamName": "a"}, "OPTION_MISSING", "AWS_REGION or AWS_DEFAULT_REGION"),
    ],
)
def test_streams_and_regions_that_do_not_fit(options: dict[str, str], code: str, says: str) -> None:
    error = error_of(options)
    assert error.code == code
    assert says in str(error)


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://kinesis.us-east-1.amazonaws.com", "us-east-1"),
        ("kinesis.us-east-1.amazonaws.com", "us-east-1"),
        ("kinesis.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("https://kinesis.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("https://kinesis.cn-north-1.amazonaws.com.cn:443/", "cn-north-1"),
        ("https://kinesis-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://kinesis.eu-west-1.api.aws", "eu-west-1"),
        ("https://vpce-0a1-b2c.kinesis.us-east-2.vpce.amazonaws.com", "us-east-2"),
        ("https://111122223333.data-kinesis.us-east-2.amazonaws.com", "us-east-2"),
    ],
)
def test_the_region_of_an_aws_endpoint(endpoint: str, region: str) -> None:
    settings = parse({"streamName": "a", "endpoint": endpoint}, {"AWS_REGION": "ap-south-1"})
    assert settings.client.region == region
    assert (settings.client.endpoint_url or "").startswith("https://")


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({"AWS_REGION": "ap-south-1", "AWS_DEFAULT_REGION": "us-east-1"}, "ap-south-1"),
        ({"AWS_REGION": " ", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
    ],
)
def test_the_region_of_the_environment(environ: dict[str, str], region: str) -> None:
    options = {"streamName": "a", "endpointUrl": "http://localhost:4566"}
    assert parse(options, environ).client.region == region


def test_the_process_environment_is_asked_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "sa-east-1")
    assert parse_options({"streamName": "a"}).client.region == "sa-east-1"


def test_a_malformed_region_of_the_environment_names_the_variable() -> None:
    assert "AWS_REGION is 'home'" in str(error_of({"streamName": "a"}, {"AWS_REGION": "home"}))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4566",
        "ftp://kinesis",
        "https://",
        "http://a b",
        "http://[::1",
        "http://host:port",
        "http://host:99999",
        "http://host\u202e",
        "https://host?x=1",
        "https://host/#frag",
    ],
)
def test_what_is_no_endpoint(url: str) -> None:
    error = error_of({"streamName": "a", "region": "us-east-1", "endpointUrl": url})
    assert error.code == "OPTION_VALUE"
    assert "'endpointUrl'" in str(error)


@pytest.mark.parametrize(
    "url", ["http://user:hunter2@host", "user:hunter2@host", "http://[u:hunter2@"]
)
def test_a_password_in_an_endpoint_is_refused_and_not_shown(url: str) -> None:
    error = error_of({"streamName": "a", "region": "us-east-1", "endpointUrl": url})
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("url", ["http://[::1]:4567", "http://127.0.0.1:1/base"])
def test_endpoints_of_emulators(url: str) -> None:
    settings = parse({"streamName": "a", "region": "us-east-1", "endpointUrl": url})
    assert settings.client.endpoint_url == url


ROLE_OF_A = '{"123456789012": "arn:aws:iam::123456789012:role/r"}'
OTHER = "arn:aws:kinesis:us-west-1:222222222222:stream/b"


def test_arns_are_each_read_in_their_region_and_in_their_accounts_role() -> None:
    settings = parse({"streamARN": f"{ARN}a,{OTHER}", "roleArn": ROLE_OF_A})
    assert settings.client.region == "eu-west-1"
    assert [role.arn for role in settings.client.identity.roles] == [
        "arn:aws:iam::123456789012:role/r"
    ]
    ((key, other),) = settings.clients
    assert key == OTHER
    assert other.region == "us-west-1"
    assert other.identity.roles == (), "no role for its account: the base identity"


def test_external_ids_by_account() -> None:
    ids = '{"123456789012": "one,two"}'
    roles = '{"123456789012": "arn:aws:iam::123456789012:role/r,arn:aws:iam::123456789012:role/s"}'
    settings = parse({"streamARN": f"{ARN}a", "roleArn": roles, "roleExternalId": ids})
    assert [role.external_id for role in settings.client.identity.roles] == ["one", "two"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"roleArn": "{"}, "OPTION_VALUE", "no object of texts by account"),
        ({"roleArn": "{}"}, "OPTION_VALUE", "no object of texts by account"),
        ({"roleArn": '{"1": "x"}'}, "OPTION_VALUE", "account of 12 digits"),
        ({"roleArn": '{"123456789012": "x"}'}, "OPTION_VALUE", "no role ARN"),
        (
            {"roleArn": ROLE_OF_A.replace("12345678901", "92345678901")},
            "OPTION_CONFLICT",
            "in which no stream is read",
        ),
        (
            {"roleArn": ROLE_OF_A, "streamARN": None, "streamName": "a", "region": "eu-west-1"},
            "OPTION_CONFLICT",
            "account of stream 'a' is not known",
        ),
        (
            {
                "roleArn": "arn:aws:iam::123456789012:role/r",
                "roleExternalId": '{"123456789012": "i-1"}',
            },
            "OPTION_CONFLICT",
            "no roles by account",
        ),
        ({"roleArn": ROLE_OF_A, "roleExternalId": '{"1": "i"}'}, "OPTION_VALUE", "by account"),
    ],
)
def test_roles_by_account_that_do_not_fit(options: dict[str, str], code: str, says: str) -> None:
    given = {"streamARN": f"{ARN}a", **options}
    error = error_of({name: text for name, text in given.items() if text is not None})
    assert error.code == code
    assert says in str(error)

"""What a user sees at ``load()``: options become settings, or one clear error."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping

import pytest

from kinesis_source.errors import OptionError
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.parse import parse_options
from kinesis_source.options.peers import NO_EFFECT, UNSUPPORTED
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import (
    LATEST,
    ClientSettings,
    ReadSettings,
    SourceSettings,
    StreamSettings,
)
from kinesis_source.options.table import OPTIONS, known_option_names

NOW_MS = 1_700_000_000_000
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def parse(
    options: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> tuple[SourceSettings, list[str]]:
    warnings: list[str] = []
    settings = parse_options(
        options,  # type: ignore[arg-type]
        warn=warnings.append,
        now_ms=lambda: NOW_MS,
        environ=environ or {},
    )
    return settings, warnings


def settings_of(**options: str) -> SourceSettings:
    settings, warnings = parse({"streamName": "orders", "region": "us-east-1", **options})
    assert warnings == []
    return settings


def error_of(
    options: Mapping[str, object], environ: Mapping[str, str] | None = None
) -> OptionError:
    with pytest.raises(OptionError) as caught:
        parse({"streamName": "orders", "region": "us-east-1", **options}, environ)
    return caught.value


def test_a_stream_and_a_region_are_enough() -> None:
    assert settings_of() == SourceSettings(
        ClientSettings("us-east-1"), ReadSettings((StreamSettings("orders", "orders"),))
    )


def test_every_option_reaches_its_field() -> None:
    settings = settings_of(
        endpointUrl="http://127.0.0.1:4567/",
        initialPosition="TRIM_HORIZON",
        failOnDataLoss="FALSE",
        deaggregate="false",
        consumerMode="polling",
        shardsPerTask="7",
        maxRecordsPerFetch="500",
        maxFetchRate="1.5",
        pollInterval="250ms",
        shardFetchInterval="1 minute",
        roleArn="arn:aws:iam::123456789012:role/reader",
        roleSessionName="spark",
        roleExternalId="tenant-7",
        stsEndpoint="https://sts.example.com",
        awsAccessKey="AKIAIOSFODNN7EXAMPLE",
        awsSecretKey=SECRET,
        awsSessionToken="token",
        connectTimeout="1.5s",
        readTimeout="10m",
        retryBudget="1h",
        unknownOptions="warn",
    )
    client, read, identity = settings.client, settings.read, settings.client.identity
    assert client.endpoint_url == "http://127.0.0.1:4567"
    assert (client.connect_timeout_ms, client.read_timeout_ms) == (1_500, 600_000)
    assert client.retry_budget_ms == 3_600_000
    assert read.initial_position is TRIM_HORIZON
    assert (read.fail_on_data_loss, read.deaggregate) == (False, False)
    assert (read.shards_per_task, read.max_records_per_fetch) == (7, 500)
    assert read.max_fetch_bytes_per_s == 1_500_000
    assert (read.poll_interval_ms, read.shard_fetch_interval_ms) == (250, 60_000)
    assert (identity.access_key, identity.secret_key) == ("AKIAIOSFODNN7EXAMPLE", Secret(SECRET))
    assert identity.session_token == Secret("token")
    assert identity.sts_endpoint == "https://sts.example.com"
    (role,) = identity.roles
    assert (role.session_name, role.external_id) == ("spark", "tenant-7")


def test_settings_travel_to_executors_and_show_no_secret() -> None:
    settings = settings_of(awsAccessKey="AKIAIOSFODNN7EXAMPLE", awsSecretKey=SECRET)
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - made one line above
    assert SECRET not in repr(settings)
    assert "AKIAIOSFODNN7EXAMPLE" not in repr(settings)
    assert hash(settings)


def test_the_table_has_the_defaults_of_the_settings() -> None:
    plain = settings_of()
    written = settings_of(**{one.name: one.default for one in OPTIONS if one.default is not None})
    assert (written.client, written.read) == (plain.client, plain.read)
    assert written.bounded.end == plain.bounded.end


def test_every_name_is_in_the_table_once() -> None:
    names = [name.lower() for name in known_option_names(synonyms=True)]
    names += [peer.name.lower() for peer in (*NO_EFFECT, *UNSUPPORTED)]
    assert len(set(names)) == len(names)


def test_names_match_in_any_case_and_with_the_prefix_of_awslabs() -> None:
    given = {"STREAMNAME": "orders", "kinesis.Region": "us-east-1", "Kinesis.shardsPerTask": "2"}
    settings, warnings = parse(given)
    assert settings.read.shards_per_task == 2
    assert warnings == []


@pytest.mark.parametrize(
    "options",
    [
        # What Tecton passes on Databricks, and on EMR.
        {
            "streamname": "orders",
            "region": "us-west-2",
            "initialposition": "trim_horizon",
            "shardfetchinterval": "30s",
            "rolearn": "arn:aws:iam::123456789012:role/r",
            "rolesessionname": "tecton-materialization",
        },
        {
            "streamname": "orders",
            "endpointurl": "https://kinesis.us-west-2.amazonaws.com",
            "startingposition": "trim_horizon",
            "kinesis.client.describeshardinterval": "30s",
            "awsstsrolearn": "arn:aws:iam::123456789012:role/r",
            "awsstssessionname": "tecton-materialization",
        },
        # awslabs, with its prefix.
        {
            "kinesis.streamName": "orders",
            "kinesis.endpointUrl": "https://kinesis.us-west-2.amazonaws.com",
            "kinesis.kinesisRegion": "us-west-2",
            "kinesis.consumerType": "GetRecords",
            "kinesis.startingPosition": "EARLIEST",
            "kinesis.describeShardInterval": "30000",
            "kinesis.stsRoleArn": "arn:aws:iam::123456789012:role/r",
            "kinesis.stsSessionName": "tecton-materialization",
            "kinesis.getRecords.numberOfRecordsPerFetch": "10000",
        },
    ],
    ids=["tecton-databricks", "tecton-emr", "awslabs"],
)
def test_other_connectors_spellings_give_the_same_settings(options: dict[str, str]) -> None:
    settings, warnings = parse(options)
    assert warnings == []
    assert settings.client.region == "us-west-2"
    assert settings.read.initial_position is TRIM_HORIZON
    assert settings.read.shard_fetch_interval_ms == 30_000
    assert settings.client.identity.roles[0].session_name == "tecton-materialization"


def test_an_option_without_effect_is_taken_with_a_warning_that_says_why() -> None:
    settings, warnings = parse(
        {"streamName": "orders", "region": "us-east-1", "kinesis.metadataPath": "s3://x"}
    )
    assert settings.read == ReadSettings((StreamSettings("orders", "orders"),))
    assert warnings == [
        "Option 'metadataPath' has no effect here: batch ends are kept in Spark's own checkpoint."
    ]


@pytest.mark.parametrize("peer", NO_EFFECT, ids=lambda peer: peer.name)
def test_each_option_without_effect_warns(peer: object) -> None:
    name = peer.name  # type: ignore[attr-defined]
    _, warnings = parse({"streamName": "orders", "region": "us-east-1", name: "anything"})
    assert len(warnings) == 1
    assert name in warnings[0]


@pytest.mark.parametrize("peer", UNSUPPORTED, ids=lambda peer: peer.name)
def test_each_unsupported_option_says_what_to_use(peer: object) -> None:
    error = error_of({peer.name: "anything"})  # type: ignore[attr-defined]
    assert error.code == "OPTION_UNSUPPORTED"
    assert peer.reason in str(error)  # type: ignore[attr-defined]


def test_warnings_go_to_the_log_by_default(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "kinesis_source"):
        parse_options({"streamName": "orders", "region": "us-east-1", "maxPartitions": "9"})
    assert "maxPartitions" in caplog.text


def test_what_spark_adds_is_passed_over() -> None:
    settings, warnings = parse(
        {"streamName": "s", "region": "us-east-1", "path": "", "checkpointlocation": "/tmp/c"}  # noqa: S108
    )
    assert settings.read.streams[0].key == "s"
    assert warnings == []


def test_an_option_that_is_none_counts_as_not_given() -> None:
    settings, _ = parse({"streamName": "s", "region": "us-east-1", "initialPosition": None})
    assert settings.read.initial_position is LATEST


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("streamNmae", "streamName"),
        ("initial_position", "initialPosition"),
        ("kinesis.startingPositon", "startingPosition"),
        ("RoleARM", "roleArn"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_name(typed: str, meant: str) -> None:
    error = error_of({typed: "x"})
    assert str(error).startswith(
        f"[OPTION_UNKNOWN] Option '{typed}' is not known. Did you mean '{meant}'?"
    )


def test_an_unknown_option_far_from_all_names_gets_no_suggestion() -> None:
    assert "Did you mean" not in str(error_of({"zzzzqqqq": "x"}))


def test_unknown_options_come_before_wrong_values() -> None:
    error = error_of({"pollInterval": "never", "streamNmae": "x"})
    assert error.code == "OPTION_UNKNOWN"


def test_unknown_options_can_be_a_warning() -> None:
    _, warnings = parse(
        {"streamName": "s", "region": "us-east-1", "unknownOptions": "warn", "shardPerTask": "1"}
    )
    assert warnings == [
        "Option 'shardPerTask' is not known. Did you mean 'shardsPerTask'? It is left out."
    ]


def test_the_first_wrong_value_in_the_tables_order_is_reported() -> None:
    assert "'initialPosition'" in str(error_of({"retryBudget": "x", "initialPosition": "x"}))


@pytest.mark.parametrize("name", known_option_names(synonyms=True))
def test_an_empty_value_names_the_option(name: str) -> None:
    error = error_of({name: "  "} if name != "streamName" else {"streamName": ""})
    assert error.code == "OPTION_VALUE"
    assert f"Option '{name}' is empty." in str(error)


def test_a_value_that_is_not_text_is_refused_without_showing_it() -> None:
    error = error_of({"awsSecretKey": 123456789, "awsAccessKey": "AKIAIOSFODNN7EXAMPLE"})
    assert error.problem == "Option 'awsSecretKey' must be text, got int."


def test_two_names_with_different_values_are_a_conflict() -> None:
    error = error_of({"initialPosition": "latest", "kinesis.startingPosition": "trim_horizon"})
    assert error.code == "OPTION_CONFLICT"
    assert "'initialPosition' and 'kinesis.startingPosition'" in str(error)


def test_two_names_with_the_same_meaning_agree() -> None:
    settings = settings_of(
        initialPosition="earliest",
        startingPosition="TRIM_HORIZON",
        shardFetchInterval="30s",
        describeShardInterval="30000",
    )
    assert settings.read.shard_fetch_interval_ms == 30_000


def test_two_different_secrets_are_a_conflict_that_shows_neither() -> None:
    error = error_of(
        {"awsAccessKey": "A", "awsSecretKey": SECRET, "awsSecretAccessKey": SECRET[1:]}
    )
    assert error.code == "OPTION_CONFLICT"
    assert SECRET[1:] not in str(error)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"consumerMode": "efo"}, "OPTION_UNSUPPORTED", "'polling'"),
        ({"consumerType": "SubscribeToShard"}, "OPTION_UNSUPPORTED", "'consumerType'"),
        ({"consumerMode": "push"}, "OPTION_VALUE", "must be one of polling, got 'push'"),
        ({"failOnDataLoss": "yes"}, "OPTION_VALUE", "'true' or 'false', got 'yes'"),
        ({"shardsPerTask": "0"}, "OPTION_RANGE", "must be 1 to 1000, got '0'"),
        ({"shardsPerTask": "2.5"}, "OPTION_VALUE", "whole number, got '2.5'"),
        ({"shardsPerTask": "٣"}, "OPTION_VALUE", "whole number"),
        ({"maxRecordsPerFetch": "10001"}, "OPTION_RANGE", "default (10000)"),
        ({"maxRecordPerRead": "0"}, "OPTION_RANGE", "'maxRecordPerRead'"),
        ({"maxFetchRate": "2 MB/s"}, "OPTION_VALUE", "without a unit"),
        ({"maxFetchRate": "-1"}, "OPTION_VALUE", "'unlimited', got '-1'"),
        ({"maxFetchRate": "3"}, "OPTION_RANGE", "0.01 to 2.1, unlimited, got '3'"),
        ({"maxFetchRate": "0.000000001"}, "OPTION_RANGE", "0.01 to 2.1"),
        ({"pollInterval": "30"}, "OPTION_VALUE", "number without unit, got '30'"),
        ({"pollInterval": "soon"}, "OPTION_VALUE", "number with a unit, got 'soon'"),
        ({"pollInterval": "5 parsecs"}, "OPTION_VALUE", "got '5 parsecs'"),
        ({"pollInterval": "199ms"}, "OPTION_RANGE", "200ms to 5m, got '199ms'"),
        ({"minFetchPeriod": "100ms"}, "OPTION_RANGE", "'minFetchPeriod'"),
        ({"unknownOptions": "ignore"}, "OPTION_VALUE", "error, warn"),
        ({"initialPosition": "2023-11-14T22:13:20.001Z"}, "OPTION_RANGE", "in the future"),
    ],
)
def test_a_wrong_value_is_named_with_what_to_do(
    options: dict[str, str], code: str, says: str
) -> None:
    error = error_of(options)
    assert error.code == code
    assert says in str(error)


def test_a_time_that_is_exactly_now_is_not_in_the_future() -> None:
    settings = settings_of(initialPosition="2023-11-14T22:13:20Z")
    assert settings.read.initial_position == AtTimestamp(NOW_MS)


def test_the_machines_clock_is_asked_by_default() -> None:
    with pytest.raises(OptionError, match="in the future"):
        parse_options(
            {"streamName": "s", "region": "us-east-1", "initialPosition": "9000-01-01"}, environ={}
        )


@pytest.mark.parametrize("text", ["0", "0.00", "unlimited", "UNLIMITED"])
def test_a_fetch_rate_of_zero_or_unlimited_is_none(text: str) -> None:
    assert settings_of(maxFetchRate=text).read.max_fetch_bytes_per_s is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("shardsPerTask", ["1", "1000"]),
        ("maxRecordsPerFetch", ["1", "10000"]),
        ("maxFetchRate", ["0.01", "2.1"]),
        ("pollInterval", ["200ms", "0.2 seconds", "5 minutes"]),
        ("shardFetchInterval", ["100 millis", "1 hour"]),
        ("retryBudget", ["100ms", "1d"]),
    ],
)
def test_bounds_are_included(name: str, values: list[str]) -> None:
    for value in values:
        settings_of(**{name: value})

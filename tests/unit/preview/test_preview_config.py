from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from kinesis_source import KinesisConfig, KinesisDSConfig
from kinesis_source.errors import OptionError

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
REQUIRED = ("clicks", "us-west-2", None, "ts")


def double(frame):
    return frame


def test_all_parameters_work_by_position_in_tectons_order() -> None:
    config = KinesisConfig(
        "clicks",
        "us-west-2",
        double,
        "ts",
        "trim_horizon",
        timedelta(hours=1),
        ["user", "event"],
        {"roleArn": "arn:aws:iam::222222222222:role/reader"},
    )

    assert config.stream_name == "clicks"
    assert config.region == "us-west-2"
    assert config.post_processor is double
    assert config.timestamp_field == "ts"
    assert config.initial_stream_position == "trim_horizon"
    assert config.watermark_delay_threshold == timedelta(hours=1)
    assert config.deduplication_columns == ["user", "event"]
    assert config.options == {"roleArn": "arn:aws:iam::222222222222:role/reader"}


def test_defaults_are_a_day_of_watermark_and_nothing_else() -> None:
    config = KinesisConfig(*REQUIRED, "latest")

    assert config.watermark_delay_threshold == timedelta(hours=24)
    assert config.deduplication_columns is None
    assert config.reader_options() == {
        "streamName": "clicks",
        "region": "us-west-2",
        "initialPosition": "latest",
    }


def test_the_first_five_parameters_are_required() -> None:
    with pytest.raises(TypeError, match="initial_stream_position"):
        KinesisConfig(*REQUIRED)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["stream_name", "region", "timestamp_field"])
def test_none_for_a_required_text_is_a_type_error_naming_it(name: str) -> None:
    given = {
        "stream_name": "clicks",
        "region": "us-west-2",
        "post_processor": None,
        "timestamp_field": "ts",
        "initial_stream_position": "latest",
        name: None,
    }
    with pytest.raises(TypeError, match=f"{name} must be a str, got NoneType"):
        KinesisConfig(**given)


@pytest.mark.parametrize(
    "position",
    ["latest", "trim_horizon", "LATEST", "earliest", "2023-08-30T19:00:05Z", "1693422005"],
)
def test_positions_that_the_source_takes_are_taken(position: str) -> None:
    assert KinesisConfig(*REQUIRED, position).reader_options()["initialPosition"] == position


@pytest.mark.parametrize("position", [None, ""])
def test_an_unspecified_position_leaves_it_to_the_source(position: str | None) -> None:
    assert "initialPosition" not in KinesisConfig(*REQUIRED, position).reader_options()


def test_a_bad_position_is_a_value_error_naming_value_and_choices() -> None:
    with pytest.raises(ValueError, match="OPTION_VALUE") as caught:
        KinesisConfig(*REQUIRED, "oldest")

    for word in ("initial_stream_position", "'oldest'", "'latest'", "'trim_horizon'"):
        assert word in str(caught.value)


def test_a_text_for_deduplication_columns_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Write \['user'\]"):
        KinesisConfig(*REQUIRED, "latest", deduplication_columns="user")


@pytest.mark.parametrize("columns", [["user", 1], 5, {"user"}])
def test_deduplication_columns_must_be_names(columns: object) -> None:
    with pytest.raises(TypeError, match="deduplication_columns"):
        KinesisConfig(*REQUIRED, "latest", deduplication_columns=columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("delay", ["30 minutes", 30])
def test_the_watermark_must_be_a_timedelta(delay: object) -> None:
    with pytest.raises(TypeError, match="watermark_delay_threshold must be a timedelta"):
        KinesisConfig(*REQUIRED, "latest", delay)  # type: ignore[arg-type]


def test_a_negative_watermark_is_refused() -> None:
    with pytest.raises(OptionError, match="must not be negative"):
        KinesisConfig(*REQUIRED, "latest", timedelta(seconds=-1))


def test_a_post_processor_must_be_callable() -> None:
    with pytest.raises(TypeError, match="post_processor must be a function"):
        KinesisConfig("clicks", "us-west-2", "parse", "ts", "latest")  # type: ignore[arg-type]


def test_option_values_must_be_text_and_are_not_shown() -> None:
    with pytest.raises(TypeError, match=r"options\['maxRecordsPerFetch'\] must be a str") as caught:
        KinesisConfig(*REQUIRED, "latest", options={"maxRecordsPerFetch": 123456})  # type: ignore[dict-item]
    assert "123456" not in str(caught.value)


@pytest.mark.parametrize("options", [["roleArn"], "roleArn", {1: "x"}])
def test_options_must_be_a_dict_of_texts(options: object) -> None:
    with pytest.raises(TypeError, match="options"):
        KinesisConfig(*REQUIRED, "latest", options=options)  # type: ignore[arg-type]


def test_what_the_caller_changes_later_does_not_change_the_config() -> None:
    options, columns = {"shardsPerTask": "2"}, ["user"]
    config = KinesisConfig(*REQUIRED, "latest", deduplication_columns=columns, options=options)
    options["shardsPerTask"] = "3"
    columns.append("event")

    assert config.options == {"shardsPerTask": "2"}
    assert config.deduplication_columns == ["user"]


@pytest.mark.parametrize(
    ("options", "overrides", "want"),
    [
        ({"initialposition": "trim_horizon"}, {"initialPosition": "latest"}, "latest"),
        ({"INITIALPOSITION": "trim_horizon"}, None, "trim_horizon"),
        ({"kinesis.startingPosition": "trim_horizon"}, None, "trim_horizon"),
        (None, {"startingposition": "trim_horizon"}, "trim_horizon"),
        ({"startingTimestamp": "2023-08-30"}, {"initialposition": "latest"}, "latest"),
    ],
)
def test_later_options_replace_earlier_ones_that_mean_the_same(
    options: dict[str, str] | None, overrides: dict[str, str] | None, want: str
) -> None:
    config = KinesisConfig(*REQUIRED, "2020-01-01T00:00:00Z", options=options)

    merged = config.reader_options(overrides)

    assert list(merged.values()) == ["clicks", "us-west-2", want]


def test_none_takes_an_option_away() -> None:
    config = KinesisConfig(*REQUIRED, "latest", options={"roleArn": "arn", "shardsPerTask": None})

    merged = config.reader_options({"ROLEARN": None, "initialPosition": None})

    assert merged == {"streamName": "clicks", "region": "us-west-2"}


def test_unknown_options_are_compared_without_regard_to_case() -> None:
    config = KinesisConfig(*REQUIRED, "latest", options={"somethingNew": "1"})

    merged = config.reader_options({"kinesis.SOMETHINGNEW": "2"})

    assert [value for key, value in merged.items() if "new" in key.lower()] == ["2"]


def test_overrides_must_be_texts() -> None:
    with pytest.raises(TypeError, match=r"option_overrides\['shardsPerTask'\] must be a str"):
        KinesisConfig(*REQUIRED, "latest").reader_options({"shardsPerTask": 2})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "spelling",
    ["awsSecretKey", "AWSSECRETKEY", "kinesis.awsSecretAccessKey", "awsSecretKye", "sessionToken"],
)
def test_a_repr_never_shows_a_secret_even_under_a_misspelt_name(spelling: str) -> None:
    config = KinesisConfig(*REQUIRED, "latest", options={spelling: SECRET})

    assert SECRET not in repr(config)
    assert spelling in repr(config)


def test_a_repr_masks_access_keys_and_passwords_in_urls_and_shows_the_rest() -> None:
    config = KinesisConfig(
        "clicks",
        "us-west-2",
        double,
        "ts",
        "latest",
        options={
            "awsAccessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "endpointUrl": "https://user:hunter2@example.com",
            "roleArn": "arn:aws:iam::222222222222:role/reader",
            "region": None,
        },
    )
    shown = repr(config)

    assert "'****MPLE'" in shown
    assert "AKIAIOSF" not in shown
    assert "hunter2" not in shown
    assert "role/reader" in shown
    assert "post_processor=double" in shown
    assert "stream_name='clicks'" in shown


def test_a_config_pickles() -> None:
    config = KinesisConfig("clicks", "us-west-2", double, "ts", "latest", options={"region": "x"})
    assert pickle.loads(pickle.dumps(config)).reader_options() == config.reader_options()  # noqa: S301


def test_the_older_spelling_takes_its_own_names_and_position_order() -> None:
    by_name = KinesisDSConfig(
        stream_name="clicks",
        region="us-west-2",
        raw_stream_translator=double,
        timestamp_key="ts",
        default_initial_stream_position="trim_horizon",
        default_watermark_delay_threshold="30 minutes",
        deduplication_columns=["user"],
        options={"shardsPerTask": "2"},
    )
    by_position = KinesisDSConfig(
        "clicks", "us-west-2", double, "ts", "trim_horizon", "30 minutes", ["user"], {"a": "b"}
    )

    for config in (by_name, by_position):
        assert config.raw_stream_translator is config.post_processor is double
        assert config.timestamp_key == config.timestamp_field == "ts"
        assert config.default_initial_stream_position == "trim_horizon"
        assert config.default_watermark_delay_threshold == "30 minutes"
        assert config.watermark_delay_threshold == timedelta(minutes=30)
        assert config.deduplication_columns == ["user"]
    assert repr(by_name).startswith("KinesisDSConfig(stream_name='clicks'")


def test_the_newer_spelling_answers_to_the_older_names() -> None:
    config = KinesisConfig("clicks", "us-west-2", double, "ts", "latest")

    assert config.raw_stream_translator is double
    assert config.timestamp_key == "ts"
    assert config.default_initial_stream_position == "latest"
    assert config.default_watermark_delay_threshold == timedelta(hours=24)


def test_the_older_spelling_requires_a_watermark_in_words() -> None:
    with pytest.raises(TypeError, match="default_watermark_delay_threshold"):
        KinesisDSConfig(*REQUIRED, "latest")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="default_watermark_delay_threshold must be a str"):
        KinesisDSConfig(*REQUIRED, "latest", timedelta(1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30 minutes", 1_800),
        ("24 hours", 86_400),
        ("24h", 86_400),
        ("1h 30m", 5_400),
        ("1.5 hours", 5_400),
        ("2 days, 4:13:02", 2 * 86_400 + 4 * 3_600 + 13 * 60 + 2),
        ("4:13", 253),
        ("1 Week", 604_800),
        ("1 hour and 5 secs", 3_605),
        ("0 seconds", 0),
    ],
)
def test_watermarks_in_words(text: str, seconds: int) -> None:
    config = KinesisDSConfig(*REQUIRED, "latest", text)
    assert config.watermark_delay_threshold == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "soon", "30", "30 fortnights", "-5 minutes", "9" * 20 + "w"])
def test_a_watermark_that_is_no_time_span_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="default_watermark_delay_threshold"):
        KinesisDSConfig(*REQUIRED, "latest", text)

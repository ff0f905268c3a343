"""Spark's environment is not the notebook's: what counts where, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pyspark
import pytest

from kinesis_source import KinesisConfig, StreamSource, find_code, register
from kinesis_source.errors import AccessDeniedError, CredentialError, OptionError
from tests.spark.support import REGION, source_options

KEEPS_WHAT_IT_FOUND = pyspark.__version__.startswith("4.0.")
LEFT_OUT = {"streamName", "region", "initialPosition"}


def source(aws, *, without: set[str] = frozenset()) -> StreamSource:
    options = source_options(aws)
    config = KinesisConfig(
        "events",
        REGION,
        None,
        "ts",
        "trim_horizon",
        options={
            name: text for name, text in options.items() if name not in LEFT_OUT | set(without)
        },
    )
    return StreamSource(name="events", stream_config=config)


@pytest.fixture
def spark_environment(spark, monkeypatch) -> Iterator:
    """Variables as ``spark.executorEnv.<name>`` gives them: to Spark's workers, not to us."""

    def give(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setitem(spark.sparkContext.environment, name, text)
            monkeypatch.delenv(name, raising=False)

    yield give
    monkeypatch.undo()
    register(spark)  # without them again


def test_credentials_set_in_the_notebook_do_not_pass_the_previews_check(
    spark, aws, make_stream, monkeypatch
) -> None:
    make_stream(shards=1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    with pytest.raises(CredentialError) as caught:
        source(aws, without={"awsAccessKey", "awsSecretKey"}).start_stream_preview("seen_env")

    assert find_code(caught.value) == "CREDENTIAL_NOT_FOUND"
    assert not spark.streams.active


def test_a_region_set_in_the_notebook_is_no_region_of_spark(
    spark, aws, make_stream, monkeypatch
) -> None:
    make_stream(shards=1)
    monkeypatch.setenv("AWS_REGION", REGION)

    with pytest.raises(OptionError, match=r"\[OPTION_MISSING\] Option 'region'") as caught:
        source(aws).start_stream_preview("seen_env", option_overrides={"region": None})

    assert "before Spark started" in str(caught.value)
    assert not spark.streams.active


def test_load_says_that_variables_must_be_there_before_spark_starts(
    spark, aws, make_stream, monkeypatch
) -> None:
    make_stream(shards=1)
    monkeypatch.setenv("AWS_REGION", REGION)
    options = source_options(aws)
    del options["region"]

    with pytest.raises(Exception, match=r"\[OPTION_MISSING\] Option 'region'") as caught:
        spark.readStream.format("tecton-kinesis").options(**options).load()

    assert "before Spark started" in str(caught.value)


@pytest.mark.skipif(
    KEEPS_WHAT_IT_FOUND, reason="Spark 4.0 refuses to register what its look-up has found"
)
def test_what_only_spark_has_is_enough_for_a_preview(
    spark, aws, make_stream, spark_environment
) -> None:
    make_stream(shards=1).put(3)
    spark_environment(AWS_REGION=REGION, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test")
    assert "AWS_REGION" not in os.environ

    preview = source(aws, without={"awsAccessKey", "awsSecretKey"})
    query = preview.start_stream_preview("seen_env", option_overrides={"region": None})

    query.processAllAvailable()
    assert spark.table("seen_env").count() == 3


def test_the_check_tells_who_may_not_do_what(spark, aws) -> None:
    """The class and the code of the error survive the way back from Spark."""
    owner = aws.account("222222222222")
    owner.create_stream("events", shards=1)
    user = owner.create_user("nobody", allow=["kinesis:DescribeStreamSummary"])
    denied = source(aws)
    overrides = {"awsAccessKey": user.access_key, "awsSecretKey": user.secret_key}

    with pytest.raises(AccessDeniedError, match="ListShards") as caught:
        denied.start_stream_preview("seen_env", option_overrides=overrides)

    assert caught.value.code.startswith("ACCESS_")
    assert user.secret_key not in str(caught.value)
    assert "user/nobody" in str(caught.value)

"""Sources as objects, and what a preview checks before Spark comes into it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from kinesis_source import (
    BatchSource,
    KinesisConfig,
    KinesisDSConfig,
    StreamDataSource,
    StreamSource,
)
from kinesis_source.errors import OptionError
from kinesis_source.preview.checkpoint import (
    CheckpointDirectory,
    MissingDirectoryError,
    check_parent,
)
from kinesis_source.preview.launch import check_table_name

CONFIG = KinesisConfig("clicks", "us-west-2", None, "ts", "latest")


class FileConfig:
    """Stands for a batch config of another package."""

    def __repr__(self) -> str:
        return "FileConfig(password='hunter2')"


def test_a_stream_source_takes_the_keywords_of_all_versions() -> None:
    batch = FileConfig()
    source = StreamSource(
        name="clicks",
        description="Clicks of the shop",
        tags={"team": "shop"},
        owner="ann@example.com",
        prevent_destroy=True,
        batch_config=batch,
        stream_config=CONFIG,
        options={"switch": "on"},
        schema=None,
    )

    assert source.name == "clicks"
    assert source.description == "Clicks of the shop"
    assert source.tags == {"team": "shop"}
    assert source.owner == "ann@example.com"
    assert source.prevent_destroy is True
    assert source.stream_config is source.stream_ds_config is CONFIG
    assert source.batch_config is source.batch_ds_config is batch
    assert source.options == {"switch": "on"}


def test_a_stream_source_needs_no_batch_side() -> None:
    assert StreamSource(name="clicks", stream_config=CONFIG).batch_config is None


def test_the_older_spelling_takes_its_own_keywords() -> None:
    config = KinesisDSConfig("clicks", "us-west-2", None, "ts", "latest", "24 hours")
    source = StreamDataSource(
        name="clicks",
        description="d",
        family="shop",
        tags={"a": "b"},
        owner="ann",
        batch_ds_config=None,
        stream_ds_config=config,
    )

    assert source.stream_config is source.stream_ds_config is config
    assert source.family == "shop"
    assert StreamDataSource(name="clicks", stream_ds_config=config).description == ""


def test_a_batch_source_holds_whatever_describes_it() -> None:
    batch = FileConfig()
    source = BatchSource(name="history", batch_config=batch, owner="ann", prevent_destroy=True)

    assert source.batch_config is batch
    assert repr(source) == "BatchSource(name='history')"
    assert not hasattr(source, "start_stream_preview")
    assert not hasattr(source, "get_dataframe")


@pytest.mark.parametrize("cls", [StreamSource, StreamDataSource, BatchSource])
def test_parameters_by_position_are_a_type_error(cls: type) -> None:
    with pytest.raises(TypeError, match="positional"):
        cls("clicks", CONFIG)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": None}, "name must be a str"),
        ({"description": 1}, "description must be a str"),
        ({"owner": 1}, "owner must be a str"),
        ({"tags": {"a": 1}}, "tags must be a dict of str to str"),
        ({"tags": "a"}, "tags must be a dict of str to str"),
        ({"stream_config": None}, "stream_config must be a KinesisConfig"),
        ({"stream_config": FileConfig()}, "got FileConfig"),
    ],
)
def test_a_wrong_type_is_a_type_error_naming_the_parameter(
    wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        StreamSource(**{"name": "clicks", "stream_config": CONFIG, **wrong})


def test_the_stream_side_is_required() -> None:
    with pytest.raises(TypeError, match="stream_config"):
        StreamSource(name="clicks")  # type: ignore[call-arg]


def test_a_repr_hides_secrets_of_both_sides() -> None:
    config = KinesisConfig(
        "clicks", "us-west-2", None, "ts", "latest", options={"awsSecretKey": "swordfish"}
    )
    shown = repr(StreamSource(name="clicks", stream_config=config, batch_config=FileConfig()))

    assert "swordfish" not in shown
    assert "hunter2" not in shown
    assert "batch_config=FileConfig" in shown


@pytest.mark.parametrize("name", ["clicks", "_x", "Clicks_2", "a" * 128])
def test_plain_names_are_table_names(name: str) -> None:
    check_table_name(name)


@pytest.mark.parametrize(
    "name", ["bad-name", "", "2clicks", "db.clicks", "a b", "`a`", "a;b", "a\n", "ü", "a" * 129]
)
def test_a_bad_table_name_is_a_value_error_before_anything_starts(name: str) -> None:
    source = StreamSource(name="clicks", stream_config=CONFIG)
    with pytest.raises(ValueError, match=r"\[OPTION_VALUE\] table_name") as caught:
        source.start_stream_preview(name)
    assert repr(name[:100])[1:-1] in str(caught.value)


def test_a_table_name_must_be_text() -> None:
    with pytest.raises(TypeError, match="table_name must be a str, got NoneType"):
        check_table_name(None)  # type: ignore[arg-type]


def test_options_are_checked_before_spark_is_asked_for() -> None:
    config = KinesisConfig(
        "clicks", "us-west-2", None, "ts", "latest", options={"shardsPerTsk": "2"}
    )
    with pytest.raises(OptionError, match="Did you mean 'shardsPerTask'"):
        StreamSource(name="clicks", stream_config=config).start_stream_preview("clicks")


def test_overrides_that_are_no_texts_are_a_type_error() -> None:
    source = StreamSource(name="clicks", stream_config=CONFIG)
    with pytest.raises(TypeError, match=r"option_overrides\['shardsPerTask'\]"):
        source.start_stream_preview("clicks", option_overrides={"shardsPerTask": 2})  # type: ignore[dict-item]


def test_a_missing_checkpoint_parent_is_a_file_not_found_error(tmp_path: Path) -> None:
    source = StreamSource(name="clicks", stream_config=CONFIG)
    with pytest.raises(FileNotFoundError, match="does not exist") as caught:
        source.start_stream_preview("clicks", checkpoint_dir=str(tmp_path / "nowhere"))
    assert isinstance(caught.value, OptionError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


def test_a_file_is_no_checkpoint_parent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MissingDirectoryError, match="is not a directory"):
        check_parent(tmp_path / "file")
    with pytest.raises(TypeError, match="checkpoint_dir must be"):
        check_parent(5)  # type: ignore[arg-type]


class EndedQuery:
    name = "clicks"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def awaitTermination(self) -> None:  # noqa: N802 - Spark's name
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, RuntimeError("the query failed")])
def test_a_checkpoint_directory_goes_when_its_query_has_ended(
    tmp_path: Path, error: Exception | None, wait_until
) -> None:
    checkpoint = CheckpointDirectory(tmp_path)
    (checkpoint.path / "offsets").mkdir()

    checkpoint.remove_after(EndedQuery(error))  # type: ignore[arg-type]

    wait_until(lambda: not checkpoint.path.exists())
    assert tmp_path.exists()


def test_checkpoint_directories_of_one_parent_differ(tmp_path: Path) -> None:
    first, second = CheckpointDirectory(tmp_path), CheckpointDirectory(tmp_path)

    assert first.path != second.path
    assert first.path.parent == tmp_path
    assert first.location == f"file:{first.path}"
    first.remove()
    first.remove()
    assert not first.path.exists()
    assert second.path.exists()


def test_a_directory_nobody_holds_any_more_is_removed(tmp_path: Path) -> None:
    checkpoint = CheckpointDirectory(tmp_path)
    del checkpoint
    assert not list(tmp_path.iterdir())

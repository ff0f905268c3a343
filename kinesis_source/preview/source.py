"""StreamSource and its relatives: named streams, previewed from a notebook.

Run in the caller's process. The names, parameters and steps are those of Tecton's classes.
Different on purpose: the batch side is optional, and whatever can be checked is checked before a
query starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kinesis_source.preview.config import KinesisConfig
from kinesis_source.preview.launch import start_preview

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from kinesis_source.preview.query import PreviewQuery

__all__ = ["DEFAULT_MAX_ROWS", "BatchSource", "StreamDataSource", "StreamSource"]

DEFAULT_MAX_ROWS: Final = 100_000
"""Of a preview: at a kilobyte each they take some 200 MB of the driver."""


class _Source:
    """What all sources have: a name, and who and what it is for.

    Attributes
    ----------
    name, description, owner : str
    tags : dict of str to str
    prevent_destroy : bool
    batch_config : Any
        Whatever describes the history of the stream; held, never read.
    """

    def __init__(self, batch_config: Any, **described: Any) -> None:
        name = described["name"]
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}.")
        for key in ("description", "owner"):
            value = described[key]
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{key} must be a str, got {type(value).__name__}.")
        self.name = name
        self.description = described["description"]
        self.owner = described["owner"]
        self.tags = _checked_texts("tags", described["tags"])
        self.prevent_destroy = bool(described.get("prevent_destroy", False))
        self.options = _checked_texts("options", described.get("options"))
        self.batch_config = batch_config

    @property
    def batch_ds_config(self) -> Any:
        """The older name of ``batch_config``."""
        return self.batch_config


class BatchSource(_Source):
    """A named batch source: a holder, so that programs which declare one need not change.

    This package reads streams; there is no ``get_dataframe`` here. Read the batch side with Spark's
    own readers.

    Parameters
    ----------
    name : str
    description, owner : str, optional
    tags : mapping of str to str, optional
    batch_config : Any
        Any object; held, never read.
    prevent_destroy : bool
    options : mapping of str to str, optional
        Switches of the declaration, not options of the reader; held, never read.
    """

    def __init__(
        self,
        *,
        name: str,
        batch_config: Any,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        owner: str | None = None,
        prevent_destroy: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            batch_config,
            name=name,
            description=description,
            tags=tags,
            owner=owner,
            prevent_destroy=prevent_destroy,
            options=options,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


class StreamSource(_Source):
    """A named stream, to be looked at with :meth:`start_stream_preview`.

    There is no ``get_dataframe``: that would read the batch side, which this package only holds.

    Parameters
    ----------
    name : str
    stream_config : KinesisConfig or KinesisDSConfig
    batch_config : Any, optional
        What describes the stream's history; held, never read. Not needed here.
    description, owner : str, optional
    tags : mapping of str to str, optional
    prevent_destroy : bool
    options : mapping of str to str, optional
        Switches of the declaration; held, never read. Options of the reader belong into
        ``stream_config``.
    schema : Any, optional
        Belongs to sources that are pushed to; held, never read.

    Raises
    ------
    TypeError
        A parameter by position or of the wrong type.

    Examples
    --------
    >>> source = StreamSource(
    ...     name="clicks",
    ...     stream_config=KinesisConfig("clicks", "us-west-2", None, "ts", "trim_horizon"),
    ... )
    >>> query = source.start_stream_preview("clicks_preview")  # doctest: +SKIP
    >>> spark.sql("select * from clicks_preview").show()  # doctest: +SKIP
    >>> query.stop()  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 - the signature of the class it stands for
        self,
        *,
        name: str,
        stream_config: KinesisConfig,
        batch_config: Any = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        owner: str | None = None,
        prevent_destroy: bool = False,
        options: Mapping[str, str] | None = None,
        schema: Any = None,
    ) -> None:
        super().__init__(
            batch_config,
            name=name,
            description=description,
            tags=tags,
            owner=owner,
            prevent_destroy=prevent_destroy,
            options=options,
        )
        self.stream_config = _checked_stream(stream_config)
        self.schema = schema

    @property
    def stream_ds_config(self) -> KinesisConfig:
        """The older name of ``stream_config``."""
        return self.stream_config

    def start_stream_preview(
        self,
        table_name: str,
        *,
        apply_translator: bool = True,
        option_overrides: Mapping[str, str | None] | None = None,
        checkpoint_dir: str | Path | None = None,
        spark: SparkSession | None = None,
        max_rows: int | None = DEFAULT_MAX_ROWS,
        live: bool | None = None,
    ) -> PreviewQuery:
        """Read the stream into an in-memory table that grows until the query is stopped.

        Look at it with ``spark.sql("select * from <table_name>")``, also after ``query.stop()``.
        All rows stay in the driver's memory: for looking, not for keeping. Every preview starts
        anew at its start position.

        In a notebook a picture of it stands below the cell, from the call on: what it is doing,
        rate and lag, rows by shard, the newest rows with their data readable, and the error if it
        fails. It is redrawn once a second until the query ends.

        No watermark is applied (as in Tecton from version 0.5 on, where it belongs to the feature
        view). So with ``deduplication_columns`` Spark keeps every key it has seen until the query
        ends.

        Parameters
        ----------
        table_name : str
            Letters, digits and underscores; also the query's name.
        apply_translator : bool
            False shows the raw records, without ``post_processor`` and without deduplication.
        option_overrides : mapping of str to str, optional
            Options of the reader for this preview only, for example
            ``{"initialPosition": "trim_horizon"}``. They replace what the config says, compared by
            meaning, not by spelling; None takes an option away.
        checkpoint_dir : str or path, optional
            An existing local directory in which the preview makes its own checkpoint directory,
            which is removed when the query ends. Default: the system's temporary directory; on a
            cluster and with Spark Connect, a temporary directory of Spark's own.
        spark : SparkSession, optional
            Default: the active session, else a new one.
        max_rows : int or None
            The query is stopped when the table has so many: the oldest rows stay, later ones are
            not read. It may have a batch more. None: no limit but the driver's memory.
        live : bool, optional
            Whether to draw it. Default: in notebooks other than Databricks', where ``display`` and
            ``query.show()`` do.

        Returns
        -------
        PreviewQuery
            Spark's ``StreamingQuery``, running; its ``name`` is ``table_name``. It can also
            ``show()``, ``wait_for_rows(n, timeout)``, ``to_pandas()`` and ``schema_hint()``.

        Raises
        ------
        OptionError
            (a ValueError) A bad or taken ``table_name``, a wrong option.
        MissingDirectoryError
            (a FileNotFoundError) ``checkpoint_dir`` is not there.
        CredentialError, AccessDeniedError, StreamError, ServiceError
            The stream cannot be read as the options say; found out before the query starts.
        Exception
            Whatever ``post_processor`` raises, unchanged.
        """
        query: Any = start_preview(
            self.stream_config,
            table_name,
            apply_translator=apply_translator,
            option_overrides=option_overrides,
            checkpoint_dir=checkpoint_dir,
            spark=spark,
            max_rows=max_rows,
            live=live,
        )
        preview: PreviewQuery = query
        return preview

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, stream_config={self.stream_config!r},"
            f" batch_config={_kind(self.batch_config)})"
        )


class StreamDataSource(StreamSource):
    """:class:`StreamSource` as it was spelt first.

    Parameters
    ----------
    name : str
    stream_ds_config : KinesisDSConfig or KinesisConfig
    batch_ds_config : Any, optional
    description, family, owner : str
    tags : mapping of str to str, optional
    """

    def __init__(
        self,
        *,
        name: str,
        stream_ds_config: KinesisConfig,
        batch_ds_config: Any = None,
        description: str = "",
        family: str = "",
        tags: Mapping[str, str] | None = None,
        owner: str = "",
    ) -> None:
        if not isinstance(family, str):
            raise TypeError(f"family must be a str, got {type(family).__name__}.")
        super().__init__(
            name=name,
            stream_config=stream_ds_config,
            batch_config=batch_ds_config,
            description=description,
            tags=tags,
            owner=owner,
        )
        self.family = family


def _checked_stream(config: Any) -> KinesisConfig:
    if isinstance(config, KinesisConfig):
        return config
    raise TypeError(
        f"stream_config must be a KinesisConfig or a KinesisDSConfig, got {_kind(config)}."
        " Import it from kinesis_source."
    )


def _checked_texts(name: str, texts: Any) -> dict[str, str]:
    if texts is None:
        return {}
    if not isinstance(texts, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in texts.items()
    ):
        raise TypeError(f"{name} must be a dict of str to str.")
    return dict(texts)


def _kind(value: Any) -> str:
    """Name a foreign object by its class: its repr may hold anything."""
    return "None" if value is None else type(value).__name__

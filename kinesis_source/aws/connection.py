"""The botocore client for Kinesis, with what this source changes in it.

Runs on driver and executors. botocore signs, finds the endpoint and speaks HTTP; retries are
:mod:`kinesis_source.aws.retry`'s, GetRecords bodies :mod:`kinesis_source.aws.decode`'s, the short
way of small calls :mod:`kinesis_source.aws.direct`'s.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from typing import Any, Final

import botocore
import botocore.session
from botocore import exceptions as boto
from botocore.config import Config

from kinesis_source.aws.decode import guard_body, on_before_parse
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.failures import aws_text, quotable_cause
from kinesis_source.aws.redaction import redact
from kinesis_source.aws.replies import bound_replies
from kinesis_source.aws.signing import SigningClock, sign_by
from kinesis_source.aws.timestamps import keep_milliseconds, note_timestamps
from kinesis_source.aws.user_settings import app_id_suffix, endpoint_choices, unusable
from kinesis_source.errors import KinesisSourceError, ServiceError
from kinesis_source.options.settings import ClientSettings

__all__ = ["connect"]

_log = logging.getLogger(__name__)

# More than the threads that one process reads with: a connection that waits for a place in the pool
# is thrown away and made anew by urllib3.
_CONNECTIONS: Final = 50


def connect(
    session: botocore.session.Session,
    settings: ClientSettings,
    signing: SigningClock,
) -> Connection:
    """Make a connection; nothing is sent yet.

    Parameters
    ----------
    session : botocore.session.Session
    settings : ClientSettings
    signing : SigningClock
        Gives the time of signatures; told the headers of each reply, refusals too.

    Raises
    ------
    ServiceError
        ``[SERVICE_ENDPOINT]`` if region or endpoint are no such thing.
    CredentialError
        ``[CREDENTIAL_SETTINGS]`` if botocore cannot use a setting of the machine's.
    """
    try:
        client = session.create_client(
            "kinesis",
            region_name=settings.region,
            endpoint_url=settings.endpoint_url,
            config=_config(settings, session),
        )
    # botocore raises ValueError for a URL it cannot read, others for settings of the machine.
    except (boto.BotoCoreError, ValueError, TypeError, AttributeError, OSError) as error:
        failure = _no_client(error, settings)
        cause = quotable_cause(error)
    else:
        return _connection(client, session, signing)
    raise failure from cause


def _no_client(error: Exception, settings: ClientSettings) -> KinesisSourceError:
    if not isinstance(error, (boto.InvalidRegionError, ValueError)):
        return unusable(error)
    return ServiceError(
        "SERVICE_ENDPOINT",
        f"No client can be made for region {settings.region!r} and endpoint "
        f"{redact(settings.endpoint_url or 'AWS')}: {aws_text(error)}.",
        "Check region and endpointUrl, or AWS_ENDPOINT_URL_KINESIS and AWS_ENDPOINT_URL.",
    )


def _connection(
    client: Any, session: botocore.session.Session, signing: SigningClock
) -> Connection:
    events = client.meta.events
    events.register("before-parse.kinesis", guard_body)
    events.register("before-parse.kinesis.GetRecords", on_before_parse)
    events.register("before-parameter-build.kinesis", note_timestamps)
    events.register("before-call.kinesis", keep_milliseconds)
    sign_by(client, signing)
    if not bound_replies(client):
        _log.warning(
            "botocore %s keeps its connections in another way: replies that are endless or too "
            "large are not ended",
            botocore.__version__,
        )
    return Connection(client, session.get_credentials(), signing)


def _config(settings: ClientSettings, session: botocore.session.Session) -> Config:
    return Config(
        # One try: RetryPolicy counts and budgets all others.
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=settings.connect_timeout_ms / 1000,
        read_timeout=settings.read_timeout_ms / 1000,
        max_pool_connections=_CONNECTIONS,
        tcp_keepalive=True,
        # A text of our own: botocore puts its long one together anew for each call, twice, which is
        # a tenth of a small call's CPU.
        user_agent=(
            f"kinesis-source/{_version()} Botocore/{botocore.__version__} "
            f"Python/{platform.python_version()} {platform.system()}/{platform.release()}"
            f"{app_id_suffix(session)}"
        ),
        **endpoint_choices(settings.endpoint_url),
    )


def _version() -> str:
    try:
        return importlib.metadata.version("kinesis-source")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree or a zip
        return "unknown"

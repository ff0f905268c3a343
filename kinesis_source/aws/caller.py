"""Caller: what one process holds to call Kinesis as the settings say, and how it makes a call.

Runs on driver and executors. In: an operation as a function of a connection. Out: its value, after
retries, or an error of :mod:`kinesis_source.errors` that names operation, stream, region, shard,
tries and request id. Holds connection, identity and AWS's clock, which every api for the same
settings shares, whether it repeats or tries once.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Final, TypeVar

from botocore import exceptions as boto

from kinesis_source.aws.clock import ServerClock
from kinesis_source.aws.connection import connect
from kinesis_source.aws.credentials import Identity, is_aws_url
from kinesis_source.aws.direct import Connection
from kinesis_source.aws.failures import CallFacts, error_code, explain, quotable_cause
from kinesis_source.aws.replies import SMALL_REPLY_BYTES, reply_limits
from kinesis_source.aws.retry import (
    FIRST_CONTACT_MS,
    CallFailedError,
    IncompleteReplyError,
    Kind,
    RetryPolicy,
)
from kinesis_source.aws.shapes import description_of, named
from kinesis_source.aws.signing import SigningClock
from kinesis_source.errors import KinesisSourceError
from kinesis_source.options.settings import ClientSettings, StreamSettings

__all__ = ["Caller", "MappedErrors"]

_T = TypeVar("_T")
MappedErrors = dict[str, Callable[[Exception], Exception]]
"""What AWS's error codes become, where a caller wants to tell them apart."""

_NOTHING_MAPPED: Final[MappedErrors] = {}
_alive: weakref.WeakSet[Caller] = weakref.WeakSet()


def _start_anew_after_fork() -> None:
    """Let a forked worker start anew: sockets and held locks belong to the parent."""
    for caller in list(_alive):
        caller.start_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(after_in_child=_start_anew_after_fork)


class Caller:
    """Connection, identity and clock for one set of settings. Thread-safe; connects when called.

    Parameters
    ----------
    settings : ClientSettings
    policy : RetryPolicy
        Of calls to STS, and of those to Kinesis that name no other one.
    """

    def __init__(self, settings: ClientSettings, policy: RetryPolicy) -> None:
        self.settings = settings
        self.policy = policy
        _alive.add(self)
        self.start_anew()

    def start_anew(self) -> None:
        """Forget connections, credentials and clock, whoever holds the locks."""
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        self.has_answered = False
        self._first_try_s: float | None = None
        self.last_stream: StreamSettings | None = None
        self.clock = ServerClock(self.policy.clock)
        self.signing = SigningClock(self.clock)
        settings = self.settings
        self.identity = Identity(
            settings.identity,
            settings.region,
            self.policy,
            is_aws=is_aws_url(settings.endpoint_url),
        )

    def close(self) -> None:
        """Close the connections; the next call opens others."""
        with self.lock:
            connection, self.connection = self.connection, None
        if connection is not None:
            connection.client.close()

    def call(
        self,
        operation: str,
        call: Callable[[Connection], _T],
        policy: RetryPolicy,
        *,
        stream: StreamSettings | None = None,
        shard_id: str | None = None,
        mapped: MappedErrors = _NOTHING_MAPPED,
        most_bytes: int = SMALL_REPLY_BYTES,
    ) -> _T:
        """Make a call, repeated as the policy says.

        Parameters
        ----------
        operation : str
            AWS's name, for messages.
        call : callable
            Makes one try.
        policy : RetryPolicy
        stream : StreamSettings or None
        shard_id : str or None
        mapped : dict
            AWS error code -> makes what is raised instead of an error of the source.
        most_bytes : int
            Of the reply's body.
        """
        if stream is not None:
            self.last_stream = stream
        started_s = policy.clock()
        if self._first_try_s is None:
            self._first_try_s = started_s

        def call_within_limits() -> _T:
            left_s = started_s + policy.budget_ms / 1000 - policy.clock()
            # The last try begins within the budget, and has the time that a short reply takes.
            with reply_limits(max(left_s, self.settings.read_timeout_ms / 1000), most_bytes):
                return call(connection)

        try:
            connection = self.connect()
            result = policy.run(
                call_within_limits,
                self.identity.renew,
                has_answered=lambda: self.has_answered,
                sign_anew=self.signing.is_another,
            )
        except CallFailedError as failed:
            cause = quotable_cause(failed.error)
            code = error_code(failed.error)
            if code in mapped:
                failure = mapped[code](failed.error)
            else:
                failed.is_passing &= not self._is_no_contact(failed)
                facts = self._facts(operation, stream, shard_id)
                failure = explain(failed, facts, self.identity.masked_access_key())
        else:
            self.has_answered = True
            return result
        # Here, where neither botocore's words nor its frames are left: they may hold a secret.
        raise failure from cause

    def _is_no_contact(self, failed: CallFailedError) -> bool:
        """Say whether nothing was reached for as long as a patient call would have tried."""
        if failed.kind is not Kind.CONNECTION or self.has_answered or self._first_try_s is None:
            return False
        return (self.policy.clock() - self._first_try_s) * 1000 >= FIRST_CONTACT_MS

    def endpoint_text(self) -> str:
        """Return where the calls go, for messages."""
        if self.settings.endpoint_url is not None:
            return self.settings.endpoint_url
        connection = self.connection
        return connection.client.meta.endpoint_url if connection else "AWS's own endpoint"

    def _facts(
        self, operation: str, stream: StreamSettings | None, shard_id: str | None
    ) -> CallFacts:
        return CallFacts(
            operation=operation,
            region=self.settings.region,
            endpoint=self.endpoint_text(),
            who=self.identity.who,
            account=self.identity.account,
            stream_status=lambda: self._status(stream),
            stream=stream,
            shard_id=shard_id,
        )

    def _status(self, stream: StreamSettings | None) -> str | None:
        """Return a stream's status for the text of another error; None if it cannot be had."""
        if stream is None:
            return None
        try:
            reply = self.connect().client.describe_stream_summary(**named(stream))
            return description_of(reply).status
        except (boto.ClientError, boto.BotoCoreError, IncompleteReplyError, KinesisSourceError):
            return None

    def connect(self) -> Connection:
        """Return the connection; made once, nothing is sent for that."""
        connection = self.connection
        if connection is not None:
            return connection
        with self.lock:
            if self.connection is None:
                self.connection = connect(self.identity.session, self.settings, self.signing)
            return self.connection

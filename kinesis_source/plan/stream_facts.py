"""StreamFacts, on the driver: what DescribeStreamSummary and ListShards say of one stream.

The first description checks access, patiently. From then on both calls are made by the poller, once
at a time: what fails in a way that passes is asked again later, and ends the query when it has
failed for the whole retry budget. The description is asked for again each hour, since a retention
may be changed and a stream created anew, and when something contradicts it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from kinesis_source.aws.api import StreamApi, StreamDescription
from kinesis_source.errors import KinesisSourceError
from kinesis_source.options.settings import ReadSettings, StreamSettings
from kinesis_source.plan.beliefs import BELIEF_S
from kinesis_source.plan.listing import ShardListing
from kinesis_source.plan.runtime import Runtime

__all__ = ["StreamFacts"]

DESCRIBE_EVERY_S = 3600.0
DOUBTED_EVERY_S = 10.0
"""The same where something contradicts what is known."""
LONGEST_DELAY_S = 10.0


class StreamFacts:
    """A stream's description and listing.

    Parameters
    ----------
    api : StreamApi
        Patient.
    stream : StreamSettings
    settings : ReadSettings
    check_access : callable
        Describes the stream after making sure that it may be read; raises the coded error if not.
    runtime : Runtime
    failing_budget_s : float
        How long a call may fail before the query does.
    """

    def __init__(
        self,
        api: StreamApi,
        stream: StreamSettings,
        settings: ReadSettings,
        check_access: Callable[[StreamSettings], StreamDescription],
        runtime: Runtime,
        failing_budget_s: float,
    ) -> None:
        self._once = api.trying_once()
        self._stream = stream
        self._check_access = check_access
        self._runtime = runtime
        self._budget_s = failing_budget_s
        self.listing = ShardListing(api, stream, settings.shard_fetch_interval_ms, runtime)
        self._lock = threading.Lock()  # over all that follows; never held during a call to AWS
        self._description: StreamDescription | None = None
        self._is_doubted = False
        self._failing_since_s: dict[str, float] = {}
        self._not_before_s: dict[str, float] = {}
        self.described_s = float("-inf")
        """When the last description was asked for."""
        self.changes = 0
        """Rises when a description differs from the one before."""

    def description(self) -> StreamDescription:
        """Return what is known of the stream; checks access and describes the first time."""
        description = self._description
        if description is None:
            began_s = self._runtime.monotonic()
            description = self._check_access(self._stream)
            self._take(description, began_s)
        return description

    @property
    def retention_ms(self) -> int | None:
        """How long the stream keeps records, as last described. No I/O."""
        return self._description.retention_ms if self._description is not None else None

    # What the poller does

    @property
    def is_description_due(self) -> bool:
        """Whether the poller should describe the stream again."""
        if self._description is None:
            return False
        every_s = DOUBTED_EVERY_S if self._is_doubted else DESCRIBE_EVERY_S
        return self._is_due("describe", self.described_s + every_s)

    def doubt_description(self) -> None:
        """Let the poller describe soon: the stream may be another one by now."""
        self._is_doubted = True

    def describe(self) -> None:
        """Describe the stream, once."""
        began_s = self._runtime.monotonic()
        self._try("describe", lambda: self._take(self._once.describe(self._stream), began_s))

    @property
    def is_listing_due(self) -> bool:
        """Whether the poller should list the shards."""
        return self.listing.is_due and self._is_due("list", float("-inf"))

    def list_shards(self) -> None:
        """List the shards, once."""
        self._try("list", lambda: self.listing.list_now(self._once))

    def forget_failures(self) -> None:
        """Begin with new budgets."""
        self._failing_since_s.clear()
        self._not_before_s.clear()

    def _is_due(self, what: str, due_s: float) -> bool:
        return self._runtime.monotonic() >= max(due_s, self._not_before_s.get(what, due_s))

    def _take(self, description: StreamDescription, began_s: float) -> None:
        with self._lock:
            if self._description not in (None, description):
                self.changes += 1
            if self._description is not None and (
                self._description.created_ms != description.created_ms
            ):
                self.listing.forget()  # another stream has other shards under the same ids
            self._description = description
            self._is_doubted = False
            self.described_s = began_s

    def _try(self, what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except KinesisSourceError as error:
            # That the stream is not there contradicts what was known: one answer proves nothing.
            is_denied = error.code == "STREAM_NOT_FOUND" and self._description is not None
            if not error.is_worth_repeating and not is_denied:
                raise
            now_s = self._runtime.monotonic()
            since_s = self._failing_since_s.setdefault(what, now_s)
            failing_s = now_s - since_s
            if failing_s >= (BELIEF_S if is_denied else self._budget_s):
                del self._failing_since_s[what]
                raise
            self._not_before_s[what] = now_s + min(LONGEST_DELAY_S, 1.0 + failing_s / 2)
        else:
            self._failing_since_s.pop(what, None)

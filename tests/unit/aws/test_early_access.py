"""The check at the start of a query: every call of a read, each failure by name."""

from __future__ import annotations

import pytest

from kinesis_source.aws.access import check_access
from kinesis_source.aws.api import IteratorExpiredError, Page, StreamDescription
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import AccessDeniedError, StreamError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.model.shards import Shard
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

CLICKS = StreamSettings.from_key("clicks")
NEEDED = ("DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords")


class Fake:
    """A stream that goes through the given states; notes the calls."""

    def __init__(self, *states: str, shards: tuple[Shard, ...] = ()) -> None:
        self.states = list(states)
        self.shards = shards
        self.calls: list[object] = []
        self.now_s = 0.0
        self.expired = False

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def describe(self, stream):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return StreamDescription("arn:aws:kinesis:x:1:stream/clicks", state, 1, 86_400_000)

    def list_shards(self, stream, open_at_ms=None):
        self.calls.append("list")
        return self.shards

    def get_iterator(self, stream, shard_id, position):
        self.calls.append((shard_id, position))
        return "iterator"

    def get_page(self, stream, shard_id, iterator, limit, data_prefix=b""):
        self.calls.append(limit)
        if self.expired:
            raise IteratorExpiredError
        return Page([], [], [], [], None, 0)

    def now_ms(self):
        return 0

    def check(self) -> StreamDescription:
        return check_access(self, CLICKS, sleep=self.sleep, clock=lambda: self.now_s)


def shard(shard_id: str, *, is_closed: bool) -> Shard:
    return Shard(shard_id, (), 0, 2**128 - 1, is_closed)


CLOSED, OPEN = shard("s-1", is_closed=True), shard("s-2", is_closed=False)


@pytest.mark.parametrize("state", ["ACTIVE", "UPDATING"])
def test_reads_one_record_of_an_open_shard(state):
    fake = Fake(state, shards=(CLOSED, OPEN))
    assert fake.check().status == state
    assert fake.calls == ["list", ("s-2", TRIM_HORIZON), 1]


def test_a_listing_without_open_shards_is_no_failure():
    fake = Fake("ACTIVE", shards=(CLOSED,))
    fake.check()
    assert fake.calls[1] == ("s-1", TRIM_HORIZON)
    assert Fake("ACTIVE").check().status == "ACTIVE"


def test_waits_for_a_stream_that_is_being_created():
    fake = Fake("CREATING", "CREATING", "ACTIVE", shards=(OPEN,))
    assert fake.check().status == "ACTIVE"
    assert fake.now_s == 2.0


def test_does_not_wait_for_ever():
    fake = Fake("CREATING")
    with pytest.raises(StreamError, match=r"^\[STREAM_NOT_ACTIVE\].*'clicks'.*CREATING after 30 s"):
        fake.check()
    assert fake.now_s == 30.0


def test_a_stream_that_is_being_deleted():
    fake = Fake("DELETING", shards=(OPEN,))
    with pytest.raises(StreamError, match=r"^\[STREAM_DELETING\].*'clicks'"):
        fake.check()
    assert fake.calls == []


def test_an_iterator_that_aged_during_back_off_proves_access():
    fake = Fake("ACTIVE", shards=(OPEN,))
    fake.expired = True
    assert fake.check().status == "ACTIVE"


@pytest.mark.parametrize("missing", NEEDED)
def test_each_missing_permission_is_named(kinesis_emulator, missing):
    account = kinesis_emulator.account("222222222222")
    stream = account.create_stream("clicks")
    allowed = [f"kinesis:{action}" for action in NEEDED if action != missing]
    user = account.create_user("poor", allow=allowed)
    identity = IdentitySettings(user.access_key, Secret(user.secret_key))
    settings = ClientSettings("us-east-1", kinesis_emulator.endpoint_url, identity)
    api = BotoStreamApi(settings, RetryPolicy(300))
    with pytest.raises(AccessDeniedError, match=r"^\[ACCESS_DENIED\]") as denied:
        check_access(api, CLICKS)
    assert f"{user.arn} may not call kinesis:{missing} on {stream.arn}" in str(denied.value)
    assert "us-east-1" in str(denied.value)

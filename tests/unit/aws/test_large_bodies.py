"""Large bodies: read whole, into memory that stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from kinesis_source.aws.api import Page
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.aws.exchange import Exchange
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import ServiceError
from kinesis_source.model.positions import TRIM_HORIZON
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

pytestmark = pytest.mark.usefixtures("decoder")

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The types of the bodies that came on open connections."""
    types: list[str] = []
    post = Exchange.post

    def noted(self, request):
        reply = post(self, request)
        if reply is not None:
            types.append(type(reply.body).__name__)
        return reply

    monkeypatch.setattr(Exchange, "post", noted)
    return types


@pytest.fixture
def api(kinesis_emulator, read) -> Iterator[BotoStreamApi]:
    kinesis_emulator.account().create_stream("clicks")
    settings = ClientSettings(
        "us-east-1",
        kinesis_emulator.endpoint_url,
        IdentitySettings("test", Secret("test")),
        read_timeout_ms=2_000,
    )
    api = BotoStreamApi(settings, RetryPolicy(60_000, base_ms=2))
    yield api
    api.close()


def put(emulator, *payloads: bytes) -> None:
    stream = emulator.account().stream("clicks")
    for number, payload in enumerate(payloads):
        stream.put(payload, f"key-{number}")


def whole(api: BotoStreamApi) -> Page:
    api.get_page(CLICKS, SHARD, api.get_iterator(CLICKS, SHARD, TRIM_HORIZON), 1)  # the pattern
    return api.get_page(CLICKS, SHARD, api.get_iterator(CLICKS, SHARD, TRIM_HORIZON), 100)


def test_large_and_small_bodies_hold_what_was_put(api, kinesis_emulator, read):
    payloads = [bytes([number]) * 900_000 for number in range(3)]
    put(kinesis_emulator, *payloads)
    assert whole(api).data == payloads
    assert read[-1] == "memoryview"
    put(kinesis_emulator, b"small")
    page = whole(api)
    assert page.data == [*payloads, b"small"]


def test_a_page_outlives_the_next_one(api, kinesis_emulator):
    """Nothing of a page may lie in the memory that the next one is read into."""
    put(kinesis_emulator, b"a" * 500_000, b"b" * 500_000)
    first = whole(api)
    copy = (list(first.data), list(first.sequence_numbers), list(first.partition_keys))
    put(kinesis_emulator, b"c" * 500_000)
    whole(api)
    assert (first.data, first.sequence_numbers, first.partition_keys) == copy


def test_threads_have_memory_of_their_own(api, kinesis_emulator):
    payloads = [bytes([number]) * 300_000 for number in range(3)]
    put(kinesis_emulator, *payloads)
    whole(api)
    pages: list[Page] = []
    threads = [threading.Thread(target=lambda: pages.append(whole(api))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [page.data for page in pages] == [payloads] * 6


@pytest.mark.parametrize("fault", ["cut_body", "reset_mid_body"])
def test_a_large_body_that_breaks_off_is_asked_for_again(api, kinesis_emulator, fault):
    payloads = [bytes([number]) * 600_000 for number in range(2)]
    put(kinesis_emulator, *payloads)
    whole(api)
    kinesis_emulator.faults.add(fault, operation="GetRecords", count=2)
    iterator = api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert api.get_page(CLICKS, SHARD, iterator, 100).data == payloads
    assert len(kinesis_emulator.call_log("GetRecords")) >= 4
    assert whole(api).data == payloads  # on connections that are sound


def test_what_breaks_off_for_good_is_an_error_with_a_name(api, kinesis_emulator):
    put(kinesis_emulator, b"x" * 600_000)
    whole(api)
    hasty = BotoStreamApi(api.settings, RetryPolicy(0))
    iterator = hasty.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    hasty.get_page(CLICKS, SHARD, iterator, 1)
    kinesis_emulator.faults.add("reset_mid_body", operation="GetRecords")
    with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\].*'clicks'"):
        hasty.get_page(CLICKS, SHARD, iterator, 100)
    hasty.close()

"""One budget for the shards of all streams; a shard that is not answered for waits for its turn."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
from scripted_api import ScriptedApi, page

from kinesis_source.errors import AccessDeniedError, StreamError, ThrottledError
from kinesis_source.model.positions import AfterRecord, AtTimestamp
from kinesis_source.options.settings import StreamSettings
from kinesis_source.plan.admission import Admission, Request
from kinesis_source.plan.shares import Budget

START, FAR = AfterRecord("0", 0), AfterRecord("100000", 1_000_000)
SAMPLE = page(*range(1, 51))  # a hundred records a second


class LateApi(ScriptedApi):
    def now_ms(self) -> int:
        return 2_000_000


class Inline:
    """Runs each job at once, but those of shards that hang."""

    def __init__(self) -> None:
        self.hangs = False

    def monotonic(self) -> float:
        return 100.0

    def submit(self, function: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        if self.hangs:
            return future
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - as a pool's thread does
            future.set_exception(error)
        return future

    def wait(self, futures: Any, timeout_s: float) -> None:
        pass


def throttled() -> ThrottledError:
    error = ThrottledError("SERVICE_THROTTLED", "Too much.", "Wait.")
    error.is_worth_repeating = True
    return error


def request(stream: str, shard_id: str, bound=FAR, start=START) -> Request:
    return Request(StreamSettings(stream, stream), shard_id, start, bound)


def admission(api: ScriptedApi, runtime: Inline | None = None, records: int = 1_000) -> Admission:
    return Admission(api, Budget.of(records, None), runtime or Inline())  # type: ignore[arg-type]


def test_a_single_busy_stream_of_ten_has_the_shares_that_the_others_do_not_use() -> None:
    api = LateApi(busy=[SAMPLE, page(1_001)])
    idle = [request(f"s{n}", f"idle{n}", bound=START) for n in range(9)]
    limited = admission(api).limit([*idle, request("busy", "busy")])
    assert api.positions == [START, AtTimestamp(10_010)]  # all thousand records
    assert limited["busy", "busy"] == AfterRecord("1001", 10_010)
    assert all(limited[one.key] == START for one in idle)


def test_shards_of_all_streams_share_alike() -> None:
    shards = {f"a{n}": [SAMPLE, page(251)] for n in range(4)}
    api = LateApi(**shards)
    limited = admission(api).limit([request(f"s{n % 2}", f"a{n}") for n in range(4)])
    assert set(api.positions) == {START, AtTimestamp(2_510)}
    assert set(limited.values()) == {AfterRecord("251", 2_510)}


@pytest.mark.parametrize(
    "failure",
    [
        throttled(),
        StreamError("STREAM_SHARD_NOT_FOUND", "No such shard.", "Look."),
    ],
)
def test_a_shard_that_fails_waits_and_the_others_come(failure) -> None:
    api = LateApi(bad=[failure], good=[SAMPLE, page(501)])
    limited = admission(api).limit([request("s", "bad"), request("s", "good")])
    assert limited["s", "bad"] == START
    assert limited["s", "good"] == AfterRecord("501", 5_010)


def test_what_does_not_pass_by_itself_is_raised() -> None:
    api = LateApi(a=[AccessDeniedError("ACCESS_DENIED", "You may not.", "Ask.")])
    with pytest.raises(AccessDeniedError):
        admission(api).limit([request("s", "a")])


def test_a_shard_that_does_not_answer_in_time_waits() -> None:
    runtime = Inline()
    runtime.hangs = True
    limited = admission(LateApi(a=[SAMPLE]), runtime).limit([request("s", "a")])
    assert limited == {("s", "a"): START}


def test_samples_of_shards_that_are_gone_are_not_kept() -> None:
    api = LateApi(**{f"a{n}": [SAMPLE, page(501)] for n in range(50)})
    admits = admission(api, records=10)
    for n in range(50):
        admits.limit([request("s", f"a{n}")])
    assert len(admits._samples) <= 1
    assert len(admits._mean_bytes) <= 1

"""When a shard's next GetRecords may go out: bytes and calls a second, by a clock passed in."""

from __future__ import annotations

import gc
import os

import pytest

from kinesis_source.aws.api import Page
from kinesis_source.read.pacing import ShardPace, pace_of

RATE = 2_000_000


def page(count: int, size: int) -> Page:
    return Page(
        [str(n) for n in range(count)], [""] * count, [0] * count, [b"x" * size] * count, "next", 0
    )


def when_free(pace: ShardPace, now_s: float) -> float:
    """Return when the next call goes out, and take it."""
    for _ in range(10):
        wait_s = pace.claim(now_s, RATE)
        if wait_s == 0:
            return now_s
        assert wait_s > 0
        now_s += wait_s
    pytest.fail("asked to wait again and again")


def read(pace: ShardPace, now_s: float, reply: Page, took_s: float = 0.02) -> float:
    """Make one call as soon as allowed; return when its reply is there."""
    began_s = when_free(pace, now_s)
    pace.note(reply, began_s, began_s + took_s, RATE)
    return began_s + took_s


def test_a_page_of_10_mib_costs_five_seconds() -> None:
    pace = ShardPace()
    read(pace, 100.0, page(10, 1024 * 1024))
    assert when_free(pace, 100.02) == pytest.approx(100 + 10 * 1024 * 1024 / RATE, abs=0.06)


def test_the_rate_is_kept_over_many_pages_and_not_undercut_by_slow_replies() -> None:
    pace = ShardPace()
    now_s = 0.0
    for _ in range(40):
        now_s = read(pace, now_s, page(100, 10_000), took_s=0.2)
    assert 40 * 1_000_000 / now_s == pytest.approx(RATE, rel=0.02)


def test_a_reply_that_was_refused_for_seconds_counts_from_when_it_came() -> None:
    """The call began 4 s before: most of that went into refused tries."""
    pace = ShardPace()
    assert pace.claim(0.0, RATE) == 0
    pace.note(page(100, 10_000), 0.0, 4.0, RATE)
    assert when_free(pace, 4.0) == pytest.approx(4.0 - 0.3 + 0.5, abs=0.06)


def test_two_small_pages_wait_for_nothing() -> None:
    pace = ShardPace()
    now_s = read(pace, 0.0, page(100, 300))
    assert when_free(pace, now_s) == now_s


def test_no_more_than_four_calls_a_second_come_from_one_process() -> None:
    pace = ShardPace()
    times = [0.0]
    for _ in range(40):
        times.append(read(pace, times[-1], page(0, 0), took_s=0.001))
    for begin in times:
        assert sum(begin <= at < begin + 0.999 for at in times) <= 5
    assert 40 / times[-1] == pytest.approx(4, rel=0.1)


def test_time_without_calls_saves_up_nothing() -> None:
    pace = ShardPace()
    read(pace, 0.0, page(1, 100))
    now_s = read(pace, 1000.0, page(1, 2_000_000))
    assert when_free(pace, now_s) == pytest.approx(1001.0, abs=0.06)


def test_without_a_rate_nothing_is_counted() -> None:
    pace = ShardPace()
    for now_s in (0.0, 0.001, 0.002):
        assert pace.claim(now_s, None) == 0
        pace.note(page(10, 1_000_000), now_s, now_s, None)
    assert pace.page_records(None) == 4  # 4 MiB
    pace.note(page(10, 100), 0.0, 0.0, None)
    assert pace.page_records(None) == 10_000


@pytest.mark.parametrize(
    ("size", "records"),
    [(10, 10_000), (100, 10_000), (1_000, 1_000), (10_000, 100), (5_000_000, 1)],
)
def test_a_page_is_worth_half_a_second(size: int, records: int) -> None:
    pace = ShardPace()
    assert pace.page_records(RATE) == 250
    pace.note(page(2, size), 0.0, 0.0, RATE)
    assert pace.page_records(RATE) == records


def test_records_without_bytes_are_no_division_by_zero() -> None:
    pace = ShardPace()
    pace.note(page(3, 0), 0.0, 0.0, RATE)
    assert pace.page_records(RATE) == 10_000


class Api:
    pass


def test_the_next_range_knows_what_the_last_one_used() -> None:
    api = Api()
    read(pace_of(api, "clicks", "a"), 0.0, page(1, 2_000_000))  # type: ignore[arg-type]
    assert pace_of(api, "clicks", "a").claim(0.5, RATE) > 0.4  # type: ignore[arg-type]
    for other in (
        pace_of(api, "clicks", "b"),
        pace_of(api, "views", "a"),
        pace_of(Api(), "clicks", "a"),
    ):  # type: ignore[arg-type]
        assert other.claim(0.5, RATE) == 0


def test_paces_go_with_their_client_and_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from kinesis_source.read import pacing

    api = Api()
    monkeypatch.setattr(pacing, "_PACES_KEPT", 3)
    first = pace_of(api, "s", "0")  # type: ignore[arg-type]
    for shard in range(1, 5):
        pace_of(api, "s", str(shard))  # type: ignore[arg-type]
    assert pace_of(api, "s", "0") is not first  # type: ignore[arg-type]
    gc.collect()  # clients of other tests go first
    before = len(pacing._paces)
    del api
    gc.collect()
    assert len(pacing._paces) == before - 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_worker_is_not_locked_out() -> None:
    from kinesis_source.read import pacing

    with pacing._lock:
        child = os.fork()
        if child == 0:
            pace_of(Api(), "s", "a")  # type: ignore[arg-type]
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

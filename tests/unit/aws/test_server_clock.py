"""The bound of AWS's clock: never ahead, at most about a second behind."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from kinesis_source.aws.clock import WINDOW_S, ServerClock


def headers(date: str) -> dict[str, str]:
    return {"Date": date, "x-amzn-RequestId": "e1a8d0f6-0000-4000-8000-000000000000"}


class Pair:
    """AWS's clock, and this machine's monotonic one, which may run at another speed."""

    def __init__(self, speed: float = 1.0) -> None:
        self.aws_s = 1_767_225_600.75
        self.local_s = 50.0
        self.speed = speed
        self.clock = ServerClock(lambda: self.local_s)

    def pass_time(self, seconds: float) -> None:
        self.aws_s += seconds
        self.local_s += seconds * self.speed

    def reply(self) -> None:
        self.clock.observe(headers(formatdate(self.aws_s, usegmt=True)))


def test_knows_nothing_before_the_first_reply():
    assert ServerClock().now_ms() is None


def test_ignores_what_is_no_date():
    clock = ServerClock()
    clock.observe({"x-amzn-RequestId": "e1a8d0f6"})
    for date in ("", "yesterday", "Thu, 99 Foo 2026 00:00:00 GMT"):
        clock.observe(headers(date))
    assert clock.now_ms() is None


def test_counts_on_between_replies():
    pair = Pair()
    pair.reply()
    pair.pass_time(7.5)
    assert pair.clock.now_ms() == 1_767_225_607_500


def test_the_best_of_several_replies_counts():
    """Dates have whole seconds: a reply right after the turn of a second tells most."""
    pair = Pair()
    pair.reply()  # .75 late
    pair.pass_time(0.3)
    pair.reply()  # .05 late
    pair.pass_time(0.5)
    pair.reply()  # .55 late
    assert 0 <= pair.aws_s * 1000 - pair.clock.now_ms() <= 51


def test_never_gets_ahead_of_aws_through_a_fast_local_clock():
    """At 500 ppm a month would add 21 minutes if old replies counted for ever."""
    pair = Pair(speed=1.0005)
    worst_ms = 0.0
    for _ in range(3_000):
        pair.pass_time(20.0)
        pair.reply()
        worst_ms = max(worst_ms, pair.clock.now_ms() - pair.aws_s * 1000)
    assert worst_ms <= 2 * WINDOW_S * 0.0005 * 1000


def test_a_machine_that_slept_catches_up_with_the_next_reply():
    pair = Pair()
    pair.reply()
    pair.aws_s += 7_200  # the monotonic clock of Linux stands still in suspend
    assert pair.clock.now_ms() <= pair.aws_s * 1000
    pair.reply()
    assert pair.aws_s * 1000 - pair.clock.now_ms() < 1_000


# --- who is believed ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x-amzn-RequestId", "X-AMZN-REQUESTID", "x-amz-request-id"])
def test_a_reply_with_awss_request_id_tells_the_time(name):
    clock = ServerClock()
    clock.observe({"date": "Thu, 01 Jan 2026 00:00:00 GMT", name: "e1a8d0f6"})
    assert clock.now_ms() >= 1_767_225_600_000


@pytest.mark.parametrize(
    "others", [{}, {"x-request-id": "e1a8d0f6"}, {"x-amzn-RequestId": " "}, {"Via": "1.1 proxy"}]
)
def test_what_answers_without_awss_request_id_tells_no_time(others):
    """A proxy's clock may be ahead: a query at LATEST would wait for that moment in silence."""
    clock = ServerClock()
    clock.observe({"Date": "Thu, 01 Jan 2026 00:00:00 GMT", **others})
    assert clock.now_ms() is None


# --- what AWS refuses ---------------------------------------------------------------------------


class PairBehindProxy(Pair):
    """The proxy puts its own Date into AWS's replies, and its clock is ahead."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__()
        self.ahead_s = ahead_s

    def reply(self) -> None:
        date = formatdate(self.aws_s + self.ahead_s, usegmt=True)
        self.clock.observe(headers(date))

    def ask_for_now(self, back_ms: int = 200, *, tells: bool = False) -> bool:
        """Ask AWS for a moment just past; say whether it takes it."""
        self.reply()
        moment_ms = self.clock.now_ms() - back_ms
        if moment_ms <= self.aws_s * 1000:
            return True
        self.clock.refute(moment_ms, int(self.aws_s * 1000) if tells else None)
        return False


@pytest.mark.parametrize("ahead_s", [0.4, 60, 3_600, 24 * 3_600])
def test_a_clock_that_aws_disproves_is_right_after_a_few_refusals(ahead_s):
    pair = PairBehindProxy(ahead_s)
    tries = [pair.ask_for_now() for _ in range(20)]
    assert tries.count(False) <= 18
    assert tries[-1]
    for _ in range(50):  # and stays so, with replies that go on to lie
        pair.pass_time(1)
        assert pair.ask_for_now()


def test_a_refusal_that_tells_the_time_puts_the_clock_right_at_once():
    pair = PairBehindProxy(3_600)
    assert [pair.ask_for_now(tells=True) for _ in range(3)] == [False, True, True]
    assert -1_000 <= pair.clock.now_ms() - pair.aws_s * 1000 <= 0


def test_a_refused_moment_is_not_promised_again_before_its_time():
    pair = PairBehindProxy(3_600)
    pair.reply()
    refuted_ms = pair.clock.now_ms()
    assert pair.clock.refute(refuted_ms)
    assert pair.clock.now_ms() is None
    pair.reply()
    assert pair.clock.now_ms() < refuted_ms


def test_a_moment_that_was_never_promised_disproves_nothing():
    pair = Pair()
    pair.reply()
    before_ms = pair.clock.now_ms()
    assert not pair.clock.refute(before_ms + 1)
    assert pair.clock.now_ms() == before_ms


def test_a_refused_moment_of_long_ago_does_not_put_the_clock_back_by_its_age():
    pair = Pair()
    pair.reply()
    assert pair.clock.refute(pair.clock.now_ms() - 20 * 3_600_000)
    pair.reply()
    assert pair.aws_s * 1000 - pair.clock.now_ms() < 1_000


def test_a_single_odd_refusal_is_forgotten_in_time():
    """The monotonic clock stands still in suspend: an old bound would hold the time back."""
    pair = Pair()
    pair.reply()
    assert pair.clock.refute(pair.clock.now_ms())
    pair.aws_s += 7_200
    pair.pass_time(1_000)
    pair.reply()
    assert pair.aws_s * 1000 - pair.clock.now_ms() < 1_000


def test_a_disproved_clock_is_said_in_the_log(caplog):
    pair = PairBehindProxy(3_600)
    pair.ask_for_now()
    assert "as lying in its future" in caplog.text
    assert "proxy" in caplog.text

"""The bound of AWS's clock: never ahead, at most about a second behind."""

from __future__ import annotations

from email.utils import formatdate

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

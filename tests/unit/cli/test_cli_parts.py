"""The demo's parts without Spark: the screen, the clicks, the feeder."""

from __future__ import annotations

import io
import itertools
import json
import time
from datetime import datetime

import pytest

from kinesis_source.cli import screen as screen_module
from kinesis_source.cli.clicks import Feeder, click_events
from kinesis_source.cli.local_spark import within
from kinesis_source.cli.screen import Screen, columns


@pytest.fixture
def narrow(monkeypatch) -> None:
    monkeypatch.setattr(
        screen_module.shutil, "get_terminal_size", lambda: screen_module.os.terminal_size((20, 5))
    )


def test_a_live_block_is_redrawn_in_place_under_the_lines_that_stay(narrow) -> None:
    out = io.StringIO()
    screen = Screen(out, is_live=True)
    screen.say("start")
    screen.draw(["one", "two"])
    screen.draw(["three"])
    screen.say("event")
    screen.draw(["x" * 50])

    up = "\x1b[1A\x1b[2K"
    assert out.getvalue() == f"start\none\ntwo\n{up}{up}three\n{up}event\n{'x' * 19}\n"


def test_a_kept_block_stays(narrow) -> None:
    out = io.StringIO()
    screen = Screen(out, is_live=True)
    screen.draw(["last"])
    screen.keep()
    screen.say("end")
    assert out.getvalue() == "last\nend\n"


def test_a_block_higher_than_the_terminal_is_cut(narrow) -> None:
    out = io.StringIO()
    Screen(out, is_live=True).draw([str(number) for number in range(9)])
    assert out.getvalue() == "0\n1\n2\n3\n"


def test_no_terminal_gets_lines_only() -> None:
    out = io.StringIO()
    screen = Screen(out)
    screen.draw(["block"])
    screen.say("line")
    screen.keep()
    assert out.getvalue() == "line\n"
    assert not screen.is_live


def test_columns_are_aligned_and_long_texts_cut() -> None:
    assert columns(("a", "bb"), [("xyz", None), ("y" * 9, 5)], limit=6) == [
        "a       bb",
        "xyz",
        "yyy...  5",
    ]


def test_click_events_look_like_a_shops() -> None:
    events = list(itertools.islice(click_events(1, lambda: 1_767_323_045.678), 3_000))
    clicks = [json.loads(data) for data, _ in events]

    assert [click["event_id"] for click in clicks] == list(range(3_000))
    assert all(key == click["session_id"] for (_, key), click in zip(events, clicks, strict=True))
    assert {click["ts"] for click in clicks} == {"2026-01-02T03:04:05.678Z"}
    assert datetime.fromisoformat(clicks[0]["ts"].replace("Z", "+00:00"))
    assert all(click["url"].startswith("https://shop.example/") for click in clicks)
    assert len({click["session_id"] for click in clicks}) > 200
    assert len({click["user_agent"] for click in clicks}) > 1
    assert any(click["referrer"] is None for click in clicks)


def test_the_feeder_puts_at_its_rate_until_stopped() -> None:
    put: list[tuple[bytes, str]] = []
    feeder = Feeder(put.extend, rate=500)
    started = time.monotonic()
    feeder.start()
    while len(put) < 100:
        assert time.monotonic() - started < 5
        time.sleep(0.005)
    feeder.stop()
    elapsed = time.monotonic() - started

    assert feeder.put_count == len(put) <= 500 * elapsed
    feeder.stop()


def test_a_feeder_that_never_started_stops() -> None:
    Feeder(lambda batch: None, rate=1).stop()


def test_what_ended_the_feeder_is_raised_by_stop() -> None:
    def fail(batch):
        raise OSError("the stream is gone")

    feeder = Feeder(fail, rate=1_000)
    feeder.start()
    feeder._thread.join(5)
    with pytest.raises(OSError, match="the stream is gone"):
        feeder.stop()


def test_work_at_the_end_is_bounded_and_never_raises() -> None:
    def fail():
        raise RuntimeError

    assert within(5, lambda: None)
    assert not within(5, fail)
    assert not within(0.01, lambda: time.sleep(0.1))

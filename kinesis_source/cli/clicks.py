"""Click events of a made-up shop: made, put into a stream in the background, parsed in Spark.

Runs on the user's machine. An event is one JSON text, with its session as partition key::

    {"event_id": 17, "session_id": "5f0c...", "ts": "2026-01-02T03:04:05.678Z",
     "url": "https://shop.example/bags/tote-12", "referrer": "https://www.google.com/",
     "user_agent": "Mozilla/5.0 (...) ... Firefox/144.0"}
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["Feeder", "click_events", "parse_clicks"]

_AGENTS: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
)
_REFERRERS: Final = (
    "https://www.google.com/",
    "https://duckduckgo.com/",
    "https://news.example/gifts",
    None,
)
_SHELVES: Final = ("bags", "shoes", "hats", "coats")
_PIECES: Final = ("classic", "tote", "winter", "sport", "canvas")
_SHOP: Final = "https://shop.example"
_SESSIONS: Final = 200
_TICK_S: Final = 0.1


class _Session:
    """One visitor on the way through the shop."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.session_id = f"{dice.getrandbits(64):016x}"
        self._agent = dice.choice(_AGENTS)
        self._referrer = dice.choice(_REFERRERS)
        self._clicks_left = dice.randint(3, 20)

    @property
    def is_over(self) -> bool:
        return self._clicks_left == 0

    def click(self, event_id: int, now_s: float) -> bytes:
        url = self._next_page()
        event = {
            "event_id": event_id,
            "session_id": self.session_id,
            "ts": datetime.fromtimestamp(now_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            + "Z",
            "url": url,
            "referrer": self._referrer,
            "user_agent": self._agent,
        }
        self._referrer = url
        self._clicks_left -= 1
        return json.dumps(event).encode()

    def _next_page(self) -> str:
        shelf = self._dice.choice(_SHELVES)
        piece = f"{self._dice.choice(_PIECES)}-{self._dice.randint(1, 40)}"
        return self._dice.choice(
            (
                f"{_SHOP}/{shelf}",
                f"{_SHOP}/{shelf}/{piece}",
                f"{_SHOP}/{shelf}/{piece}",
                f"{_SHOP}/cart",
            )
        )


def click_events(seed: int, clock: Callable[[], float] = time.time) -> Iterator[tuple[bytes, str]]:
    """Make click events without end.

    Parameters
    ----------
    seed : int
        The same seed makes the same visitors.
    clock : callable
        Seconds since 1970.

    Yields
    ------
    (bytes, str)
        The event as JSON, and its partition key.
    """
    dice = random.Random(seed)  # noqa: S311 - visitors, not secrets
    sessions = [_Session(dice) for _ in range(_SESSIONS)]
    event_id = 0
    while True:
        at = dice.randrange(_SESSIONS)
        session = sessions[at]
        yield session.click(event_id, clock()), session.session_id
        event_id += 1
        if session.is_over:
            sessions[at] = _Session(dice)


class Feeder:
    """Puts events into a stream at a steady rate, from a thread of its own.

    Parameters
    ----------
    put_many : callable
        Takes a list of (bytes, partition key).
    rate : int
        Events per second.
    """

    def __init__(self, put_many: Callable[[list[tuple[bytes, str]]], object], rate: int) -> None:
        self._put_many = put_many
        self._rate = rate
        self._events = click_events(seed=rate)
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="click-feeder", daemon=True)
        self.put_count = 0

    def start(self) -> None:
        """Start to put."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; from now on ``put_count`` stays. Harmless to repeat, or if it never started.

        Raises
        ------
        Exception
            What ended the feeding early, if anything did.
        """
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        started_s = time.monotonic()
        while not self._stopping.wait(_TICK_S):
            # By the clock, not by ticks: a machine that stutters catches up.
            due = int((time.monotonic() - started_s) * self._rate) - self.put_count
            batch = [next(self._events) for _ in range(due)]
            try:
                self._put_many(batch)
            except Exception as error:  # noqa: BLE001 - kept for stop(), which raises it
                self._error = error
                return
            self.put_count += len(batch)


def parse_clicks(frame: DataFrame) -> DataFrame:
    """Turn raw records into typed columns: what a user would pass as ``post_processor``."""
    from pyspark.sql import functions as F  # noqa: N812 - as everybody writes it

    event = F.from_json(
        F.col("data").cast("string"),
        "event_id bigint, session_id string, ts timestamp, url string, referrer string,"
        " user_agent string",
    )
    return frame.select(event.alias("event"), "shardId").select("event.*", "shardId")

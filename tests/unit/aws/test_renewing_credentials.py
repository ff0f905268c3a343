"""Credentials that renew themselves: in time, once, and without failing before they must."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kinesis_source.aws.renewal import FrozenKeys, Lease, RenewingCredentials
from kinesis_source.errors import CredentialError


class Source:
    """Hands out numbered keys with a lifetime; fails on demand."""

    def __init__(self, lifetime_s: float | None) -> None:
        self.lifetime_s = lifetime_s
        self.now_s = 1000.0
        self.asked: list[bool] = []
        self.failing = False
        self.while_asked: Callable[[], None] = lambda: None
        self.credentials = RenewingCredentials(self.obtain, "test", lambda: self.now_s)

    def obtain(self, patient: bool) -> Lease:
        self.asked.append(patient)
        self.while_asked()
        if self.failing:
            raise CredentialError("CREDENTIAL_ASSUME_ROLE", "No.", "Try later.")
        keys = FrozenKeys(f"KEY{len(self.asked)}", "secret", "token")
        return Lease(lambda: keys, self.lifetime_s)

    def key(self) -> str:
        return self.credentials.get_frozen_credentials().access_key


def test_nothing_is_obtained_before_it_is_needed():
    source = Source(3600)
    assert source.asked == []
    assert source.credentials.held_keys() is None


def test_credentials_are_kept_while_they_are_young():
    source = Source(3600)
    for _ in range(5):
        assert source.key() == "KEY1"
        source.now_s += 500
    assert source.asked == [True]


def test_they_are_renewed_well_before_they_end_without_patience():
    source = Source(3600)
    source.key()
    source.now_s += 3600 - 899
    assert source.key() == "KEY2"
    assert source.asked == [True, False]


def test_sessions_of_15_minutes_are_not_renewed_before_each_call():
    source = Source(900)
    for _ in range(10):
        source.key()
        source.now_s += 60
    assert source.asked == [True]


def test_an_early_failure_is_no_failure_and_is_not_repeated_at_each_call(caplog):
    source = Source(3600)
    source.key()
    source.now_s += 3600 - 800
    source.failing = True
    for _ in range(10):
        assert source.key() == "KEY1"
        source.now_s += 1
    assert source.asked == [True, False]
    assert "CREDENTIAL_ASSUME_ROLE" in caplog.text
    assert "secret" not in caplog.text


def test_the_last_minute_demands_others():
    source = Source(3600)
    source.key()
    source.now_s += 3600 - 59
    source.failing = True
    with pytest.raises(CredentialError):
        source.key()
    source.failing = False
    assert source.key() == "KEY3"


def test_credentials_that_live_for_seconds_are_renewed_on_each_use():
    source = Source(2)
    keys = []
    for _ in range(3):
        keys.append(source.key())
        source.now_s += 0.1
    assert keys == ["KEY1", "KEY2", "KEY3"]


def test_credentials_that_have_ended_when_they_come_are_used_not_refused():
    """A wall clock that is ahead must not stop a query whose credentials are good."""
    source = Source(-5000)
    assert source.key() == "KEY1"


def test_months_of_use():
    source = Source(3600)
    for _ in range(60 * 24 * 30):
        source.key()
        source.now_s += 60
    assert 24 * 30 <= len(source.asked) <= 24 * 30 * 1.4
    assert source.asked.count(True) == 1


def test_expired_ones_are_replaced_when_aws_says_so():
    source = Source(None)
    source.key()
    used_s = source.now_s
    assert source.credentials.renew(used_s) is True
    assert source.key() == "KEY2"


def test_what_was_replaced_since_the_refused_call_stays():
    source = Source(3600)
    source.key()
    used_s = source.now_s
    source.now_s += 1
    assert source.credentials.renew(used_s)
    assert source.credentials.renew(used_s)
    assert len(source.asked) == 2


def test_says_when_the_same_keys_come_back():
    keys = FrozenKeys("KEY", "secret", "token")
    credentials = RenewingCredentials(lambda _: Lease(lambda: keys), "test", lambda: 1.0)
    credentials.get_frozen_credentials()
    assert credentials.renew(1.0) is False


def test_many_threads_obtain_once():
    source = Source(3600)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: source.key(), range(64)))
    assert (keys, source.asked) == ({"KEY1"}, [True])


def test_threads_that_waited_share_the_failure():
    """Eight threads must not spend eight retry budgets one after the other."""
    source = Source(900)
    source.key()
    source.now_s += 890
    source.failing = True
    looked = threading.Semaphore(0)
    leave = threading.Event()

    def clock() -> float:
        looked.release()  # each thread looks at the clock before it waits
        return source.now_s

    source.credentials._clock = clock
    source.while_asked = lambda: leave.wait(10)
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(source.key) for _ in range(8)]
        for _ in range(8):
            assert looked.acquire(timeout=10)
        leave.set()
        failures = [future.exception(10) for future in asking]
    assert all(isinstance(failure, CredentialError) for failure in failures)
    assert len(source.asked) == 2


def test_nothing_prints_secrets():
    source = Source(3600)
    keys = source.credentials.get_frozen_credentials()
    assert "secret" not in f"{keys!r} {keys} {source.credentials!r}"
    assert (keys.access_key, keys.secret_key, keys.token) == ("KEY1", "secret", "token")
    assert source.credentials.secret_key == "secret"
    assert source.credentials.get_deferred_property("account_id")() is None


def test_a_refusal_of_keys_that_have_renewed_themselves_since_needs_no_others():
    """Another thread's refusal was begun with the keys of before."""
    now_s, asked = [100.0], []
    current = [FrozenKeys("KEY1", "secret", None)]

    def obtain(_: bool) -> Lease:
        asked.append(1)
        return Lease(lambda: current[0])

    credentials = RenewingCredentials(obtain, "test", lambda: now_s[0])
    credentials.get_frozen_credentials()
    now_s[0], current[0] = 200.0, FrozenKeys("KEY2", "secret", None)
    credentials.get_frozen_credentials()
    assert credentials.renew(150.0) is True
    assert len(asked) == 1

"""Calls with a deadline: one at a time for each source, and no answer is lost or kept too long."""

from __future__ import annotations

import datetime
import threading

import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from kinesis_source.aws import bounded
from kinesis_source.aws.bounded import BoundedCall, OverdueError, answers_at_once


class Slow:
    def __init__(self) -> None:
        self.calls = 0
        self.leave = threading.Event()

    def __call__(self) -> int:
        self.calls += 1
        self.leave.wait(30)
        return self.calls


@pytest.fixture
def slow():
    function = Slow()
    yield function
    function.leave.set()


def test_returns_and_raises_what_the_function_does():
    assert BoundedCall(lambda: 7, "test").ask(10) == 7
    with pytest.raises(KeyError, match="x"):
        BoundedCall(lambda: {}["x"], "test").ask(10)


def test_every_question_is_a_call_when_they_are_answered():
    numbers = iter(range(3))
    call = BoundedCall(lambda: next(numbers), "test")
    assert [call.ask(10) for _ in range(3)] == [0, 1, 2]


def test_one_call_is_under_way_at_a_time(slow):
    call = BoundedCall(slow, "test")
    for _ in range(3):
        with pytest.raises(OverdueError):
            call.ask(0.01)
    slow.leave.set()
    assert call.ask(10) == 1
    assert call.ask(10) == 2


def test_an_answer_nobody_waited_for_is_not_used_much_later(slow, monkeypatch):
    call = BoundedCall(slow, "test")
    with pytest.raises(OverdueError):
        call.ask(0.01)
    slow.leave.set()
    assert call._call is not None
    assert call._call.ended.wait(10)
    monkeypatch.setattr(bounded, "_FRESH_S", -1.0)
    assert call.ask(10) == 2


def test_without_a_thread_to_be_had_the_call_is_made_all_the_same(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert BoundedCall(lambda: 7, "test").ask(10) == 7


def test_only_credentials_that_need_not_be_renewed_are_asked_without_a_deadline():
    def expiring(minutes: int) -> RefreshableCredentials:
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=minutes)
        return RefreshableCredentials("AKID", "secret", "token", end, dict, "test")

    assert answers_at_once(Credentials("AKID", "secret"))
    assert answers_at_once(expiring(30))
    assert not answers_at_once(expiring(15))
    assert not answers_at_once(object())

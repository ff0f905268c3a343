"""Planning goes on with the threads that it can have."""

from __future__ import annotations

import threading

import pytest

from kinesis_source.errors import ServiceError
from kinesis_source.plan.runtime import ThreadRuntime

WAIT_S = 20.0


@pytest.fixture
def runtime():
    runtime = ThreadRuntime()
    yield runtime
    runtime.close()


def refuse_after(monkeypatch, count: int) -> None:
    """Let only so many threads start from here on."""
    real, started = threading.Thread.start, []

    def start(thread):
        if len(started) >= count:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


def test_with_few_threads_all_calls_are_made(runtime, monkeypatch) -> None:
    refuse_after(monkeypatch, 2)
    begun = runtime.submit(lambda: 0)
    runtime.wait([begun], WAIT_S)
    gate = threading.Event()
    futures = [runtime.submit(lambda n=n: gate.wait(WAIT_S) and n) for n in range(20)]
    gate.set()
    runtime.wait(futures, WAIT_S)
    assert [future.result(0) for future in futures] == list(range(20))


def test_without_any_thread_calls_are_made_in_the_callers_own_once_each(
    runtime, monkeypatch
) -> None:
    refuse_after(monkeypatch, 0)
    made: list[int] = []
    futures = [runtime.submit(lambda n=n: made.append(n)) for n in range(5)]
    assert all(future.done() for future in futures)
    monkeypatch.undo()
    runtime.wait([runtime.submit(lambda: made.append(5))], WAIT_S)
    assert sorted(made) == [0, 1, 2, 3, 4, 5]


def test_a_poller_that_cannot_start_is_an_error_with_advice(runtime, monkeypatch) -> None:
    refuse_after(monkeypatch, 0)
    with pytest.raises(
        ServiceError, match=r"^\[SERVICE_THREADS\] .*start new thread.*PLANNER_MEMORY"
    ):
        runtime.spawn(lambda: None)


def test_what_a_call_raises_is_in_its_future(runtime) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        runtime.submit(fail).result(WAIT_S)

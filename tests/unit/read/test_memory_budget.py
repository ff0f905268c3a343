"""What threads may have in memory together."""

from __future__ import annotations

import threading
import time

import pytest

from kinesis_source.read.memory import MemoryBudget


def never() -> None:
    """Nothing ends the wait."""


def test_what_has_room_waits_for_nothing() -> None:
    budget = MemoryBudget(100)
    budget.take(60, never)
    budget.take(40, never)


def test_a_page_larger_than_all_waits_until_it_is_alone() -> None:
    budget = MemoryBudget(100)
    budget.take(500, never)
    order: list[str] = []
    thread = threading.Thread(target=lambda: (budget.take(1, never), order.append("small")))
    thread.start()
    order.append("given back")
    budget.give_back(500)
    thread.join(10)
    assert order == ["given back", "small"]


def test_room_is_made_for_those_who_wait() -> None:
    budget = MemoryBudget(100)
    budget.add(90)
    taken = threading.Event()
    thread = threading.Thread(target=lambda: (budget.take(50, never), taken.set()))
    thread.start()
    assert not taken.wait(0.05)
    budget.give_back(40)
    assert taken.wait(10)
    thread.join()


def test_a_task_that_ends_waits_no_longer() -> None:
    budget = MemoryBudget(100)
    budget.add(100)
    began_s = time.monotonic()

    def over() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        budget.take(1, over)
    assert time.monotonic() - began_s < 5

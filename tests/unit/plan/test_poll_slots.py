"""How many polls are made at a time: what the process uses of a core decides."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from kinesis_source.plan.poll_slots import LEAST_SLOTS, MOST_SLOTS, PollSlots
from kinesis_source.plan.poller import Poller

JOIN_S = 30.0


class Machine:
    """A clock that stands still, and a process that uses a share of a core."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.used_s = 0.0

    def run(self, seconds: float, share: float) -> None:
        self.used_s += seconds * share  # first: who looks in between sees no time pass
        self.now_s += seconds


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def slots(machine: Machine) -> PollSlots:
    return PollSlots(monotonic=lambda: machine.now_s, process_time=lambda: machine.used_s)


def fill_and_wait(slots: PollSlots, machine: Machine, share: float) -> None:
    """Take all slots, let one more wait for a window's time, and end them all."""
    entered = [slots.__enter__() for _ in range(slots.count)]
    waiting = threading.Thread(target=lambda: slots.__enter__() or slots.__exit__())
    waiting.start()
    deadline_s = time.monotonic() + JOIN_S
    while not slots._was_full:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    machine.run(0.25, share)
    for _ in entered:
        slots.__exit__()
    waiting.join(JOIN_S)
    assert not waiting.is_alive()


def test_while_the_process_is_idle_there_are_more_and_more_but_never_over_the_most(slots, machine):
    for count in range(LEAST_SLOTS, MOST_SLOTS):
        assert slots.count == count
        fill_and_wait(slots, machine, share=0.1)
    fill_and_wait(slots, machine, share=0.1)
    assert slots.count == MOST_SLOTS


def test_a_busy_process_has_fewer_but_never_under_the_least(slots, machine):
    for _ in range(3):
        fill_and_wait(slots, machine, share=0.1)
    for count in (2, 1, 0, 0):
        fill_and_wait(slots, machine, share=0.9)
        assert slots.count == LEAST_SLOTS + count


def test_slots_that_nobody_waits_for_become_no_more(slots, machine):
    for _ in range(5):
        with slots:
            machine.run(0.25, 0.1)
    assert slots.count == LEAST_SLOTS


def test_no_more_polls_than_slots_run_at_a_time():
    slots = PollSlots(process_time=lambda: time.monotonic() * 0.9)  # always busy
    running, most, lock = 0, 0, threading.Lock()

    def poll() -> None:
        nonlocal running, most
        for _ in range(20):
            with slots:
                with lock:
                    running += 1
                    most = max(most, running)
                time.sleep(0.001)
                with lock:
                    running -= 1

    threads = [threading.Thread(target=poll) for _ in range(3 * LEAST_SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_S)
    assert (running, most) == (0, LEAST_SLOTS)


def test_polls_that_aws_lets_wait_hold_up_no_other():
    slots = PollSlots()
    for _ in range(LEAST_SLOTS):
        slots.__enter__()
    other = threading.Thread(target=slots.__enter__, daemon=True)
    other.start()
    other.join(JOIN_S)
    assert not other.is_alive()


def test_a_slot_is_free_again_after_a_poll_that_failed(slots):
    for _ in range(2 * LEAST_SLOTS):
        with pytest.raises(RuntimeError), slots:
            raise RuntimeError


class Numbered:
    """A probe that notes when it is polled."""

    def __init__(self, number: int, begun: list[int]) -> None:
        self.number, self.begun = number, begun

    def poll(self, *, shares_rate: bool) -> None:
        self.begun.append(self.number)
        time.sleep(0.002)


class ManyShards:
    """A frontier of which all shards are due once."""

    listing = SimpleNamespace(is_due=False)

    def __init__(self, shards: int) -> None:
        self.begun: list[int] = []
        self.shard_count = self.unsettled = shards
        self._due = [Numbered(number, self.begun) for number in range(shards)]

    def take_due(self) -> list[Numbered]:
        due, self._due = self._due, []
        return due

    def settle(self, probe: Numbered, outcome: None) -> None:
        self.unsettled -= 1

    def give_up(self, probes: list[Numbered]) -> None:
        pass


def test_shards_are_polled_in_the_order_in_which_they_were_due():
    frontier = ManyShards(400)
    poller = Poller([frontier])
    try:
        poller.awaken()
        deadline_s = time.monotonic() + JOIN_S
        while frontier.unsettled > 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    finally:
        poller.close()
    late = [place - number for place, number in enumerate(frontier.begun)]
    assert max(late) <= MOST_SLOTS

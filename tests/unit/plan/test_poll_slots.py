"""How many polls are made at a time: what the process uses of a core decides."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from kinesis_source.plan.poll_slots import LEAST_SLOTS, MOST_LOOKS, MOST_SLOTS, PollSlots
from kinesis_source.plan.poller import Poller
from kinesis_source.plan.runtime import ThreadRuntime

JOIN_S = 30.0


class Machine:
    """A clock that stands still, and a process that uses a share of a core."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.used_s = 0.0

    def run(self, seconds: float, share: float) -> None:
        self.now_s += seconds
        self.used_s += seconds * share


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def slots(machine: Machine) -> PollSlots:
    return PollSlots(lambda: machine.now_s, lambda: machine.used_s)


def fill(slots: PollSlots, *, is_slow: bool = False) -> int:
    """Take all slots that are free; return how many."""
    taken = 0
    while slots.take(is_slow=is_slow):
        taken += 1
    return taken


def fill_for_a_window(slots: PollSlots, machine: Machine, share: float) -> None:
    """Take all slots and want one more, for as long as a window lasts."""
    taken = fill(slots)
    machine.run(0.25, share)
    for _ in range(taken):
        slots.give_back(is_slow=False)
    assert slots.take(is_slow=False)  # the window is over
    slots.give_back(is_slow=False)


def test_while_the_process_is_idle_there_are_more_and_more_but_never_over_the_most(slots, machine):
    for count in range(LEAST_SLOTS, MOST_SLOTS):
        assert slots.count == count
        fill_for_a_window(slots, machine, share=0.1)
    fill_for_a_window(slots, machine, share=0.1)
    assert slots.count == MOST_SLOTS


def test_a_busy_process_has_fewer_but_never_under_the_least(slots, machine):
    for _ in range(3):
        fill_for_a_window(slots, machine, share=0.1)
    for count in (2, 1, 0, 0):
        fill_for_a_window(slots, machine, share=0.9)
        assert slots.count == LEAST_SLOTS + count


def test_slots_that_nobody_waits_for_become_no_more(slots, machine):
    for _ in range(5):
        assert slots.take(is_slow=False)
        machine.run(0.25, 0.1)
        slots.give_back(is_slow=False)
    assert slots.count == LEAST_SLOTS


def test_slow_looks_have_slots_of_their_own_and_hold_up_each_other_alone(slots):
    assert fill(slots, is_slow=True) == LEAST_SLOTS // 4
    assert fill(slots) == LEAST_SLOTS


def test_a_look_that_turns_out_slow_makes_room_until_all_threads_are_taken(slots):
    looks = 0
    while taken := fill(slots):
        looks += taken
        for _ in range(taken):
            slots.turn_slow()
    assert looks == MOST_LOOKS


class ManyShards:
    """A frontier of which all shards are due once."""

    facts = SimpleNamespace(is_listing_due=False, is_description_due=False)

    def __init__(self, shards: int) -> None:
        self.begun: list[int] = []
        self.shard_count = self.waiting = shards
        self._due = [
            SimpleNamespace(number=number, is_slow=False, failures=0) for number in range(shards)
        ]

    def forget_failures(self) -> None:
        pass

    def take_due(self) -> list[SimpleNamespace]:
        due, self._due = self._due, []
        return due

    def look(self, shard: SimpleNamespace, *, shares_rate: bool) -> None:
        self.begun.append(shard.number)
        time.sleep(0.002)
        self.waiting -= 1


def test_shards_are_polled_in_the_order_in_which_they_were_due():
    frontier, runtime = ManyShards(400), ThreadRuntime()
    poller = Poller([frontier], runtime)
    try:
        poller.awaken()
        deadline_s = time.monotonic() + JOIN_S
        while frontier.waiting > 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    finally:
        poller.close()
        runtime.close()
    late = [place - number for place, number in enumerate(frontier.begun)]
    assert max(late) <= MOST_SLOTS

"""Days in a stream's life: what the retention takes unread is reported, and nothing else is.

The verdict is that of :mod:`simulated_verdict` (invariant 7), on top of all that
:mod:`simulated_engine` checks of each batch.
"""

from __future__ import annotations

from histories import HISTORIES, STARTS
from hypothesis import given, settings
from hypothesis import strategies as st
from long_histories import (
    LONG_ACTIONS,
    LONG_EVENTS,
    LONG_NASTINESS,
    make_long_world,
    run_long,
)


@settings(HISTORIES, max_examples=80)
@given(
    seed=st.integers(0, 2**32),
    nasty=LONG_NASTINESS,
    past=st.lists(LONG_EVENTS, max_size=4),
    events=st.lists(LONG_EVENTS, max_size=10),
    actions=LONG_ACTIONS,
    start=STARTS,
    fails=st.booleans(),
    is_double=st.booleans(),
)
def test_what_is_lost_is_reported_and_nothing_else(
    seed, nasty, past, events, actions, start, fails, is_double
) -> None:
    with make_long_world(
        seed, nasty, past, events, start=start, fails=fails, is_double=is_double
    ) as world:
        run_long(world, actions)

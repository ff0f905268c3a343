"""When the driver looks at a shard again: by what the last look brought, and by how calls went.

Runs on the driver. Kinesis gives a shard five GetRecords a second, for all consumers together, and
executors need nearly all of them. Pure arithmetic: who asks has the clock.
"""

from __future__ import annotations

import hashlib

from kinesis_source.plan.finding import Finding, Outcome

__all__ = ["FIRST_YIELD_S", "LARGEST_INTERVAL_S", "interval_s", "retry_delay_s", "yield_s"]

LARGEST_INTERVAL_S = 10.0
"""Where one record fills a look."""
SEARCHING_INTERVAL_S = 0.7
"""While it is open how far the records go, and nobody reads: up to 1 MiB and two pages each. With
the first look and the access check that are five pages in a second, and 1.5 MiB."""
UNANSWERED_INTERVAL_S = 0.334
"""After an empty page that is not at the tip: it answered nothing."""
CATCH_UP_INTERVAL_S = 0.5
"""While a query waits for the tip: at most 4 GetRecords a second."""
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 4.0
"""Between two looks that fail: a page of 10 MiB blocks its shard for 5 s, longer is of no use."""
FIRST_YIELD_S = 0.25
"""How much later than asked for looks come once AWS throttled one; twice as much with each."""
LESS_YIELD = 0.9
"""What is left of it after each look that is answered. Looks that came back at once would leave
executors, of this query and of others, nothing of the shard's five calls a second."""


def interval_s(
    poll_s: float, finding: Finding, *, has_target: bool, is_quiet: bool, has_looked: bool
) -> float:
    """Return how long after a look that was answered the next one is due.

    Parameters
    ----------
    poll_s : float
        What the user asked for.
    finding : Finding
    has_target : bool
        A query waits for the tip (AvailableNow).
    is_quiet : bool
        No executor reads.
    has_looked : bool
        Whether some page showed what is at the start.
    """
    if has_target:
        return CATCH_UP_INTERVAL_S
    usual_s = min(poll_s * finding.interval_factor, max(poll_s, LARGEST_INTERVAL_S))
    if finding.outcome is Outcome.UNANSWERED or not has_looked:
        return min(usual_s, UNANSWERED_INTERVAL_S)
    if finding.is_searching and is_quiet:
        return min(usual_s, SEARCHING_INTERVAL_S)
    return usual_s


def retry_delay_s(shard_id: str, failures: int) -> float:
    """Return how long to wait after a failure: longer and longer, and each shard for another time.

    Parameters
    ----------
    shard_id : str
    failures : int, >= 1
        In a row.
    """
    longest_s = float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(failures - 1, 8)))
    # Shards that were refused together must not come back together.
    digest = hashlib.blake2b(f"{shard_id} {failures}".encode(), digest_size=4).digest()
    part = int.from_bytes(digest, "big") / 2**32
    return longest_s * (0.5 + part / 2)


def yield_s(before_s: float, *, is_throttled: bool) -> float:
    """Return how much later than asked for the looks at a shard come from now on.

    Parameters
    ----------
    before_s : float
        The same before the look that just ended.
    is_throttled : bool
        Whether AWS refused it for its rate; else it was answered.
    """
    if is_throttled:
        return min(LONGEST_DELAY_S, max(FIRST_YIELD_S, 2 * before_s))
    return before_s * LESS_YIELD

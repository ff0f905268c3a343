"""LossPolicy: what happens when records are gone. One policy for driver and executors.

A loss is a fact that needs proof from AWS: a first record that is not the one asked for, or
listings that agree, more than once. Who has the proof reports it here. With ``failOnDataLoss=true``
that raises; with false it warns, counts, and reading goes on with what is left. The driver's count
is in the query's progress (``numDataLosses``); executors' warnings are in their logs.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from kinesis_source.errors import DataLossError

__all__ = ["Loss", "LossPolicy"]

logger = logging.getLogger("kinesis_source")

_GO_ON = "Set failOnDataLoss=false to go on with what is left."


@dataclass(frozen=True)
class Loss:
    """What is gone.

    Parameters
    ----------
    code : str
        ``DATA_LOSS_...``.
    problem : str
        What, where and since when, as sentences. Where it cannot be known it says "may be".
    hint : str
        What to do so that it does not happen again.
    go_on : str
        What the user may set to go on.
    """

    code: str
    problem: str
    hint: str
    go_on: str = _GO_ON


class LossPolicy:
    """Raises or warns. Thread-safe.

    Parameters
    ----------
    fails : bool
        ``failOnDataLoss``.
    """

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails
        self._lock = threading.Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """How many losses were reported and gone on from."""
        return self._count

    def report(self, loss: Loss) -> None:
        """Report a loss.

        Raises
        ------
        DataLossError
            With the loss's code, if the user wants queries to fail.
        """
        if self._fails:
            raise DataLossError(loss.code, loss.problem, f"{loss.hint} {loss.go_on}".rstrip())
        with self._lock:
            self._count += 1
        logger.warning(
            "[%s] %s Going on with what is left, as failOnDataLoss=false says.",
            loss.code,
            loss.problem,
        )

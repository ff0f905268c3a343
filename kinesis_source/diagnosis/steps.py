"""Steps: checks one after the other; what rests on a failed one is not asked. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from kinesis_source.aws.redaction import redact
from kinesis_source.diagnosis.findings import FAILED, SKIPPED, Finding
from kinesis_source.errors import KinesisSourceError

__all__ = ["Steps"]


class Steps:
    """Collects findings.

    Parameters
    ----------
    told : callable, optional
        Is told each finding as it comes.
    has_several : bool
        Whether several streams are looked at, and names of steps say which.
    """

    def __init__(
        self, told: Callable[[Finding], None] | None = None, *, has_several: bool = False
    ) -> None:
        self.findings: list[Finding] = []
        self.has_several = has_several
        self._told = told
        self._failed: set[str] = set()

    def is_well(self, step: str) -> bool:
        """Whether a step was asked and did not fail."""
        return step not in self._failed

    def ask(
        self,
        step: str,
        check: Callable[[], Finding],
        *,
        needs: str | None = None,
        mend: Callable[[Exception], str] = lambda _: "",
    ) -> None:
        """Make a check; an error is a finding, too.

        Parameters
        ----------
        step : str
        check : callable
        needs : str or None
            The step without which this one has no sense.
        mend : callable
            Given the error, returns what would mend it, to paste.
        """
        began_s = time.monotonic()
        if needs is not None and not self.is_well(needs):
            finding = Finding(step, SKIPPED, f"without {needs}")
        else:
            finding = _made(step, check, mend)
        took_ms = round((time.monotonic() - began_s) * 1000)
        if finding.state in (FAILED, SKIPPED):
            self._failed.add(step)
        self.findings.append(replace(finding, took_ms=took_ms))
        if self._told is not None:
            self._told(self.findings[-1])


def _made(step: str, check: Callable[[], Finding], mend: Callable[[Exception], str]) -> Finding:
    try:
        return check()
    except KinesisSourceError as error:
        return Finding(step, FAILED, error.problem, error.hint, error.code, mend(error))
    # A diagnosis that dies says less than one that names what it met.
    except Exception as error:  # noqa: BLE001
        text = redact(f"{type(error).__name__}: {error}")
        return Finding(step, FAILED, text, "Please report it, with this text.")

"""examine: all checks of one process, in order; here, in the driver's workers, and in tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kinesis_source.aws.reach import reach
from kinesis_source.aws.routing import source_api
from kinesis_source.diagnosis.access import check_identity, check_stream
from kinesis_source.diagnosis.findings import FAILED, OK, WARNING, Finding, Report, StreamSample
from kinesis_source.diagnosis.machine import (
    check_decoder,
    check_java,
    check_machine,
    check_spark,
)
from kinesis_source.diagnosis.sample import take_sample
from kinesis_source.diagnosis.steps import Steps
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import ClientSettings, SourceSettings

__all__ = ["PATIENCE_MS", "examine"]

PATIENCE_MS: Final = 10_000
"""Somebody waits: what fails for this long is reported, a query would try on."""
_NOTED_SKEW_S: Final = 60
_REFUSED_SKEW_S: Final = 300
"""AWS refuses signatures of another time than its own by more than five minutes."""


def examine(
    options: Mapping[str, str],
    place: str = "here",
    *,
    shown: int = 3,
    with_java: bool = False,
    told: Callable[[Finding], None] | None = None,
) -> Report:
    """Ask step by step whether this process can read what the options name.

    Parameters
    ----------
    options : mapping of str to str
        As for ``spark.readStream``.
    place : str
        What this process is.
    shown : int
        Records to show; 0: no sample is taken.
    with_java : bool
        Whether a Spark is to start on this machine.
    told : callable, optional
        Is told each finding as it comes.

    Returns
    -------
    Report
        Errors are findings; nothing is raised.
    """
    known: list[SourceSettings] = []

    def read_options() -> Finding:
        settings = parse_options(options)
        known.append(settings.with_patience(PATIENCE_MS))
        names = ", ".join(stream.key for stream in settings.read.streams)
        return Finding("options", OK, f"{names} in {settings.client.region}")

    steps = Steps(told)
    steps.ask("machine", check_machine)
    steps.ask("Spark", check_spark)
    if with_java:
        steps.ask("Java", check_java)
    steps.ask("options", read_options)
    if not known:
        return Report(place, tuple(steps.findings))
    settings = known[0]
    steps.has_several = len(settings.read.streams) > 1
    steps.ask("decoder", lambda: check_decoder(settings.client.decoder))
    asked: dict[ClientSettings, str] = {}
    for stream in settings.read.streams:
        client = dict(settings.clients).get(stream.key, settings.client)
        if client not in asked:
            asked[client] = _check_client(steps, client)
        check_stream(steps, source_api(settings), stream, asked[client])
    samples: list[StreamSample] = []
    if shown and all(finding.state != FAILED for finding in steps.findings):
        steps.ask("sample", lambda: _sample(settings, samples, shown))
    return Report(place, tuple(steps.findings), tuple(samples))


def _check_client(steps: Steps, client: ClientSettings) -> str:
    """Check the way and who goes it; return the last step, on which all calls rest."""
    known = {}

    def endpoint() -> Finding:
        known["reached"] = reached = reach(client)
        way = f"through {reached.proxy}" if reached.proxy else ", ".join(reached.addresses[:3])
        text = f"{reached.url} ({way}), answers in {reached.took_ms} ms"
        return Finding("endpoint", OK, text, alike=f"{reached.url} {reached.proxy}")

    def clock() -> Finding:
        ahead_s = known["reached"].ahead_s
        if ahead_s is None:
            return Finding("clock", WARNING, "the endpoint does not say what time it is")
        if abs(ahead_s) <= _NOTED_SKEW_S:
            return Finding("clock", OK, "agrees with the endpoint's to a minute")
        way = "ahead of" if ahead_s > 0 else "behind"
        text = f"{abs(ahead_s):,.0f} s {way} the endpoint's"
        if abs(ahead_s) > _REFUSED_SKEW_S:
            text += "; this source signs by AWS's clock, other programs' calls are refused"
        return Finding("clock", WARNING, text, "Set the machine's clock: chronyd or NTP.")

    steps.ask("endpoint", endpoint)
    steps.ask("clock", clock, needs="endpoint")
    check_identity(steps, client)
    roles = len(client.identity.roles)
    if not steps.is_well("endpoint"):
        return "endpoint"
    return "credentials" if not roles else "role" if roles == 1 else f"role {roles}"


def _sample(settings: SourceSettings, samples: list[StreamSample], shown: int) -> Finding:
    api = source_api(settings)
    samples.extend(take_sample(api, stream, shown) for stream in settings.read.streams)
    newest = [sample.newest_age_s for sample in samples if sample.newest_age_s is not None]
    rate = sum(sample.records_per_s for sample in samples)
    if not newest:
        text = "no record is there: the stream can be read, and is empty where it was looked at"
        return Finding("sample", WARNING, text, "Look at what writes into it.")
    return Finding("sample", OK, f"{rate:,.1f} records/s; the newest is {min(newest):,.0f} s old")

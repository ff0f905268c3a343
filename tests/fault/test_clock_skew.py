"""AWS's clock and this machine's differ by hours, or jump: only AWS's counts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kinesis_source.emulator import Emulator
from kinesis_source.errors import OptionError
from tests.fault.support import assert_exactly_once, fill


class SkewedClock:
    """The machine's clock, some seconds off."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock() -> SkewedClock:
    return SkewedClock()


@pytest.fixture
def aws(clock) -> Iterator[Emulator]:
    with Emulator(clock=clock) as emulator:
        yield emulator


HOURS = [-5, 5, 24 * 400]


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("position", ["trim_horizon", "latest"])
def test_hours_between_the_clocks_change_nothing(aws, clock, start_query, hours, position: str):
    clock.ahead_s = hours * 3600.0
    stream = aws.account().create_stream("events", shards=2)
    query = start_query(initialPosition=position)
    query.read(query.plan())
    fill(stream, 300, size=700)
    query.run(300)
    fill(stream, 50, prefix="later")
    query.restart()
    query.run(350)
    # Each client signs by this machine's clock until AWS has told its own, to each thread at first.
    assert {call.error for call in aws.call_log()} <= {None, "InvalidSignatureException"}
    assert sum(call.error is not None for call in aws.call_log()) <= 8
    assert_exactly_once(query, stream)


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_role_is_renewed_by_awss_clock(aws, clock, start_query, hours: int):
    """Sessions of two seconds; by this machine's clock they seem over, or good for hours."""
    clock.ahead_s = hours * 3600.0
    aws.credential_lifetime_s = 2.0
    stream = aws.account("222222222222").create_stream("events")
    user = aws.account("111111111111").create_user("etl")
    role = aws.account("222222222222").create_role("reader", trusts=[user.arn])
    fill(stream, 50)
    query = start_query(
        awsAccessKey=user.access_key,
        awsSecretKey=user.secret_key,
        roleArn=role.arn,
        stsEndpoint=aws.endpoint_url,
    )
    for turn in range(3):
        query.run(50 * (turn + 1))
        fill(stream, 50, prefix=str(turn))
        time.sleep(0.8)
    query.run(200)
    assert 3 <= aws.calls.count("AssumeRole") < aws.calls.count("GetRecords")
    assert_exactly_once(query, stream)


@pytest.mark.parametrize("jump_s", [-7200.0, 7200.0])
def test_awss_clock_may_jump_while_the_query_runs(aws, clock, start_query, jump_s: float):
    clock.ahead_s = -24 * 3600.0
    stream = aws.account().create_stream("events", shards=2)
    clock.ahead_s = 0.0
    fill(stream, 200, size=700)
    query = start_query()
    query.run(200)
    for turn in range(2):
        clock.ahead_s += jump_s
        fill(stream, 200, size=700, prefix=str(turn))
        query.run(200 * (turn + 2))
    assert_exactly_once(query, stream)


def test_a_start_ahead_of_awss_clock_is_refused_with_its_name(aws, clock, start_query):
    """By this machine's clock it has passed: only AWS can tell."""
    clock.ahead_s = -3600.0
    aws.account().create_stream("events")
    moment_ms = int(time.time() * 1000) - 60_000
    with pytest.raises(OptionError, match="in the future of AWS's clock") as caught:
        start_query(initialPosition=str(moment_ms)).plan()
    assert caught.value.code == "OPTION_RANGE"
    assert "'events'" in str(caught.value)

"""Streams of several regions: each call goes to its stream's client, and they share one clock."""

from __future__ import annotations

from typing import Any

import pytest

from kinesis_source.aws.api import PositionRefusedError
from kinesis_source.aws.routing import RoutedStreamApi, source_api
from kinesis_source.model.positions import TRIM_HORIZON, AtTimestamp
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import ClientSettings, StreamSettings

EAST, WEST = ClientSettings("us-east-1"), ClientSettings("us-west-2")
ONE, OTHER = StreamSettings("one", "one"), StreamSettings("other", "other")


class Api:
    def __init__(self, client: ClientSettings, now_ms: int) -> None:
        self.client, self.now, self.refuted = client, now_ms, []
        self.tries_once = False

    def trying_once(self) -> Api:
        once = Api(self.client, self.now)
        once.tries_once = True
        return once

    def describe(self, stream: StreamSettings) -> Any:
        return self.client.region, stream.key, self.tries_once

    list_shards = get_page = describe

    def get_iterator(self, stream: Any, shard_id: Any, position: Any, **more: Any) -> str:
        if isinstance(position, AtTimestamp):
            raise PositionRefusedError("in the future")
        return self.client.region

    def now_ms(self) -> int:
        return self.now

    def refute_now(self, moment_ms: int) -> None:
        self.refuted.append(moment_ms)


@pytest.fixture
def apis() -> dict[ClientSettings, Api]:
    return {EAST: Api(EAST, 1_000), WEST: Api(WEST, 2_000)}


@pytest.fixture
def routed(apis: dict[ClientSettings, Api]) -> RoutedStreamApi:
    return RoutedStreamApi(EAST, {"other": WEST}, apis.__getitem__)


def test_each_stream_is_called_in_its_region(routed: RoutedStreamApi) -> None:
    assert routed.describe(ONE) == ("us-east-1", "one", False)
    assert routed.describe(OTHER) == ("us-west-2", "other", False)
    assert routed.get_iterator(OTHER, "a", TRIM_HORIZON) == "us-west-2"


def test_trying_once_is_the_same_for_all(routed: RoutedStreamApi) -> None:
    assert routed.trying_once() is routed.trying_once()
    assert routed.trying_once().describe(OTHER) == ("us-west-2", "other", True)


def test_there_is_one_clock(routed: RoutedStreamApi, apis: dict[ClientSettings, Api]) -> None:
    assert routed.now_ms() == 2_000
    with pytest.raises(PositionRefusedError):
        routed.get_iterator(ONE, "a", AtTimestamp(1_500))
    assert [api.refuted for api in apis.values()] == [[1_500], [1_500]], "or it stays the same"


def test_streams_of_one_region_and_role_share_a_plain_client() -> None:
    same = parse_options({"streamName": "one,other", "region": "us-east-1"})
    assert not isinstance(source_api(same), RoutedStreamApi)
    arns = ",".join(
        f"arn:aws:kinesis:{region}:111111111111:stream/s{region}"
        for region in ("us-east-1", "us-west-2")
    )
    several = parse_options({"streamARN": arns})
    assert isinstance(source_api(several), RoutedStreamApi)
    assert source_api(several) is source_api(several), "its pace and its clock are kept"

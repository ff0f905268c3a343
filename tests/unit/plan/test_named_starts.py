"""Where a query begins whose user named a place for each shard."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_api import ScriptedApi, page

from kinesis_source.aws.api import PositionRefusedError
from kinesis_source.cursor.losses import LossPolicy
from kinesis_source.errors import DataLossError, OptionError
from kinesis_source.model.positions import (
    END,
    TRIM_HORIZON,
    AfterRecord,
    AtTimestamp,
    OldestSince,
    Position,
    ShardEnd,
)
from kinesis_source.model.shards import HASH_KEY_MAX, Shard
from kinesis_source.options.settings import (
    LATEST,
    NumberedRecord,
    ShardStart,
    ShardStarts,
    StreamSettings,
)
from kinesis_source.plan.listing import ShardListing
from kinesis_source.plan.named_starts import resolve_shard_starts

STREAM = StreamSettings("s", "s")
HALF = HASH_KEY_MAX // 2
ROOT = Shard("root", (), 0, HASH_KEY_MAX, is_closed=True)
LEFT = Shard("left", ("root",), 0, HALF, is_closed=False)
RIGHT = Shard("right", ("root",), HALF + 1, HASH_KEY_MAX, is_closed=False)


class Runtime:
    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass


class Api(ScriptedApi):
    def list_shards(self, stream: Any, open_at_ms: int | None = None) -> tuple[Shard, ...]:
        return (ROOT, LEFT, RIGHT)


def resolve(api: Api, *, fails: bool = True, **places: ShardStart) -> dict[str, Position]:
    listing = ShardListing(api, STREAM, 1_000, Runtime())  # type: ignore[arg-type]
    starts = ShardStarts(tuple(sorted(places.items())))
    losses = LossPolicy(fails=fails)
    return dict(resolve_shard_starts(api, STREAM, listing, starts, 1, losses).shards)


def test_behind_a_record_that_was_read() -> None:
    found = resolve(Api(left=[page(7)]), left=NumberedRecord("7"))
    assert found == {"left": AfterRecord("7", 70)}, "root counts as read, right follows it"


def test_with_a_record() -> None:
    found = resolve(Api(left=[page(7)]), left=NumberedRecord("7", is_read=False))
    assert found == {"left": AtTimestamp(70, whole_ms=1_000, behind="6")}


def test_pages_without_records_answer_nothing() -> None:
    api = Api(left=[page(behind=5), page(behind=5), page(7)])
    assert resolve(api, left=NumberedRecord("7")) == {"left": AfterRecord("7", 70)}


def test_words_and_moments() -> None:
    found = resolve(Api(), root=END, left=AtTimestamp(500), right=TRIM_HORIZON)
    assert found == {
        "root": ShardEnd(empty_ms=1),
        "left": AtTimestamp(500, whole_ms=1_000),
        "right": OldestSince(1_000, empty_ms=1),
    }
    assert resolve(Api(), left=LATEST) == {"left": AtTimestamp(1_000, whole_ms=1_000)}


@pytest.mark.parametrize("is_read", [True, False])
def test_a_record_that_is_gone_is_a_loss(is_read: bool) -> None:
    place = NumberedRecord("7", is_read=is_read)
    with pytest.raises(DataLossError, match=r"number 7 .*the next one is 9") as caught:
        resolve(Api(left=[page(9)]), left=place)
    assert caught.value.code == "DATA_LOSS_TRIMMED"
    found = resolve(Api(left=[page(9)]), fails=False, left=place)
    assert found == {"left": OldestSince(1_000, empty_ms=1, behind="7" if is_read else "6")}


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ({"other": END}, "names shard 'other'.*left, right, root"),
        ({"left": END}, "read to its end, but it is open"),
    ],
)
def test_shards_that_cannot_be_meant(places: dict[str, ShardStart], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        resolve(Api(), **places)


def test_a_number_of_another_shard() -> None:
    class Refusing(Api):
        def get_iterator(self, *args: Any, **more: Any) -> str:
            raise PositionRefusedError("no such number")

    with pytest.raises(OptionError, match="does not know there") as caught:
        resolve(Refusing(), left=NumberedRecord("7"))
    assert caught.value.code == "OPTION_VALUE"

"""Shard ids that no stream has."""

from __future__ import annotations

import pytest

from kinesis_source.emulator import Emulator
from tests.spark.support import kinesis_client


@pytest.mark.parametrize("shard_id", ["9" * 5_000, "shardId-" + "9" * 100])
def test_a_shard_id_of_very_many_digits_is_not_found(shard_id: str) -> None:
    with Emulator() as aws:
        client = kinesis_client(aws)
        client.create_stream(StreamName="clicks", ShardCount=1)
        with pytest.raises(client.exceptions.ClientError) as caught:
            client._make_api_call(
                "MergeShards",
                {
                    "StreamName": "clicks",
                    "ShardToMerge": shard_id,
                    "AdjacentShardToMerge": "shardId-000000000000",
                },
            )
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

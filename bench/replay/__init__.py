"""A Kinesis endpoint for measurements: one stream of records rendered beforehand, on loopback.

>>> with ReplayServer(shards=4, record_bytes=1_000, records_per_shard=50_000) as server:
...     read_from(server.endpoint_url)
...     server.stats()["calls"]["GetRecords"]

It never is what limits a measurement: ``bench.measure.end_to_end`` measures it too. Any stream name
is taken for its stream, and no signature is checked.
"""

from bench.replay.client import ReplayServer
from bench.replay.settings import ReplaySettings

__all__ = ["ReplayServer", "ReplaySettings"]

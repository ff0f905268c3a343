"""What the soak does to the stream: writes, splits, merges, and faults on the reader's calls.

Runs in the soak's own process, against the emulator over HTTP. Every choice comes from one seed.
Faults strike only the operations that the reader calls and no writer does, or that the resharder
repeats: what was written is known for certain.
"""

from __future__ import annotations

import json
import random
import threading
import time
import urllib.request
from collections import Counter
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

MOST_SHARDS = 6
HIDDEN_S = 4.0
HIDING_PAUSE_S = 15.0
"""A query cannot start while listings have holes, and says so after 30 s."""
READS = ("GetRecords", "GetRecords", "GetRecords", "GetShardIterator", "ListShards")


def kinesis(facts: dict[str, Any]) -> Any:
    """Return a client of the stream's owner."""
    access_key, secret_key = facts["writer"]
    return boto3.client(
        "kinesis",
        endpoint_url=facts["endpoint"],
        region_name=facts["region"],
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"total_max_attempts": 8}, read_timeout=10),
    )


class Background(threading.Thread):
    """A thread that repeats :meth:`once` until :meth:`finish`; keeps the first error."""

    def __init__(self, name: str, pause_s: tuple[float, float], chance: random.Random) -> None:
        super().__init__(name=name, daemon=True)
        self.error: Exception | None = None
        self.chance = chance
        self._pause_s = pause_s
        self._stop_it = threading.Event()

    def run(self) -> None:
        try:
            while not self._stop_it.wait(self.chance.uniform(*self._pause_s)):
                self.once()
        except Exception as error:  # noqa: BLE001 - shown by the soak
            self.error = error

    def once(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        self._stop_it.set()
        self.join(60)


class Writer(Background):
    """Puts numbered records and remembers where AWS says they are."""

    def __init__(self, facts: dict[str, Any], chance: random.Random, name: str) -> None:
        super().__init__(f"writer-{name}", (0.1, 0.3), chance)
        self.written: dict[tuple[str, str], bytes] = {}
        self._stream = facts["stream"]
        self._client = kinesis(facts)
        self._number = 0

    def once(self) -> None:
        if self.chance.random() < 0.02:
            time.sleep(self.chance.uniform(0, 4))  # the stream falls silent now and then
        batch = [self._record() for _ in range(self.chance.randint(1, 70))]
        reply = self._client.put_records(StreamName=self._stream, Records=batch)
        for record, result in zip(batch, reply["Records"], strict=True):
            if "SequenceNumber" in result:  # else over the shard's rate
                self.written[result["ShardId"], result["SequenceNumber"]] = record["Data"]

    def _record(self) -> dict[str, Any]:
        self._number += 1
        name = f"{self.name}-{self._number}"
        padding = b"." * self.chance.choice((0, 20, 200, 200, 900))
        return {"Data": name.encode() + padding, "PartitionKey": name}


class Resharder(Background):
    """Splits and merges."""

    def __init__(self, facts: dict[str, Any], chance: random.Random) -> None:
        super().__init__("resharder", (4.0, 14.0), chance)
        self.counts: Counter[str] = Counter()
        self._stream = facts["stream"]
        self._client = kinesis(facts)

    def once(self) -> None:
        try:
            shards = self._client.list_shards(StreamName=self._stream)["Shards"]
            shards = [s for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"]]
            shards.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
            if len(shards) < 2 or (len(shards) < MOST_SHARDS and self.chance.random() < 0.55):
                self._split(self.chance.choice(shards))
            else:
                at = self.chance.randrange(len(shards) - 1)
                self._merge(shards[at], shards[at + 1])
        # A fault struck this listing, or one was hidden by a fault: the next round will do.
        except (ClientError, BotoCoreError, KeyError, IndexError):
            self.counts["refused"] += 1

    def _split(self, shard: dict[str, Any]) -> None:
        keys = shard["HashKeyRange"]
        low, high = int(keys["StartingHashKey"]), int(keys["EndingHashKey"])
        middle = low + int((high - low) * self.chance.uniform(0.3, 0.7))
        self._client.split_shard(
            StreamName=self._stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
        )
        self.counts["splits"] += 1

    def _merge(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        self._client.merge_shards(
            StreamName=self._stream,
            ShardToMerge=first["ShardId"],
            AdjacentShardToMerge=second["ShardId"],
        )
        self.counts["merges"] += 1

    def lineage(self) -> dict[str, list[str]]:
        """Return the parents of every shard."""
        pages = self._client.get_paginator("list_shards").paginate(StreamName=self._stream)
        names = ("ParentShardId", "AdjacentParentShardId")
        return {
            shard["ShardId"]: [shard[name] for name in names if name in shard]
            for page in pages
            for shard in page["Shards"]
        }


class FaultMaker(Background):
    """Adds faults, each for some seconds, and counts what they hit."""

    def __init__(self, facts: dict[str, Any], chance: random.Random) -> None:
        super().__init__("faults", (0.3, 2.0), chance)
        self.hits: Counter[str] = Counter()
        self._until_s: dict[int, float] = {}
        self._hide_after_s = 0.0
        self._url = f"{facts['endpoint']}/_emulator"
        self._resharder = Resharder(facts, chance)

    def once(self) -> None:
        now_s = time.monotonic()
        chosen, lasts_s = self._choose(), self.chance.uniform(1.0, 10.0)
        if chosen["kind"] == "hide_shard":
            if now_s < self._hide_after_s:
                return
            lasts_s = min(lasts_s, HIDDEN_S)
            self._hide_after_s = now_s + HIDDEN_S + HIDING_PAUSE_S
        rule = self._ask("POST", "faults", chosen)[0]
        self._until_s[rule["rule_id"]] = now_s + lasts_s
        self._take_away([rule_id for rule_id, until_s in self._until_s.items() if until_s <= now_s])

    def finish(self) -> None:
        super().finish()
        self._take_away(list(self._until_s))

    def _choose(self) -> dict[str, Any]:
        chance = self.chance
        reads = {"operation": chance.choice(READS), "count": chance.randint(1, 4)}
        pages = {"operation": "GetRecords", "count": chance.randint(1, 3)}
        return chance.choice(
            (
                {"kind": "throttle", **reads},
                {"kind": "http_error", "status": chance.choice((500, 503)), **reads},
                {"kind": "http_error", "status": 503, "html": True, **reads},
                {"kind": "reset_before_read", **reads},
                {"kind": "reset_before_work", **reads},
                {"kind": "reset_after_work", **reads},
                {"kind": "reset_mid_body", **reads},
                {"kind": "cut_body", **reads},
                {"kind": "delay", "delay_s": chance.uniform(0.1, 2.0), **reads},
                {"kind": "hang", "delay_s": 4.0, **reads, "count": 1},
                {"kind": "expired_token", **reads},
                {"kind": "expired_iterator", **pages},
                {"kind": "no_records", **pages},
                {"kind": "no_next_iterator", **pages},
                {"kind": "empty_page", **pages},
                {"kind": "short_page", "limit": chance.randint(1, 5), **pages},
                {"kind": "iterator_at_end", "operation": "GetRecords", "count": 2},
                {"kind": "sts_failure", "count": chance.randint(1, 2)},
                {"kind": "throttle", "operation": "AssumeRole", "count": 2},
                {"kind": "hide_shard", "shard_id": self._some_shard()},
            )
        )

    def _some_shard(self) -> str:
        try:
            return self.chance.choice(sorted(self._resharder.lineage()))
        except (ClientError, BotoCoreError, KeyError):
            return "shardId-000000000000"

    def _take_away(self, rule_ids: list[int]) -> None:
        rules = {rule["rule_id"]: rule for rule in self._ask("GET", "faults")}
        for rule_id in rule_ids:
            self.hits[rules[rule_id]["kind"]] += rules[rule_id]["hits"]
            self._ask("DELETE", f"faults/{rule_id}")
            del self._until_s[rule_id]

    def calls(self) -> dict[str, int]:
        """Return how many calls the emulator got, by operation."""
        return dict(self._ask("GET", "calls")["counts"])

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read())

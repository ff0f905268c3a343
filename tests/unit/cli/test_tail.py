"""kinesis-source tail: which records are shown, how, and when it ends."""

from __future__ import annotations

import gzip
import json
import threading
import time

import pytest

from kinesis_source.cli.main import main
from kinesis_source.emulator import Emulator
from kinesis_source.model.outgoing import OutRecord
from kinesis_source.write.aggregate import Aggregator


@pytest.fixture
def aws():
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def stream(aws):
    return aws.account().create_stream("clicks", shards=2)


def tail(aws, *arguments: str) -> int:
    given = ["clicks", "--region", "us-east-1", "--endpoint-url", aws.endpoint_url]
    keys = ["--option", "awsAccessKey=test", "--option", "awsSecretKey=test"]
    return main(["tail", *given, *keys, *arguments])


def put(stream, count: int) -> None:
    for number in range(count):
        stream.put(json.dumps({"n": number, "even": number % 2 == 0}).encode(), f"key {number % 7}")


def shown(capsys) -> list[dict]:
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line) for line in lines]


def test_what_is_there_and_no_more(aws, stream, capsys):
    put(stream, 20)
    assert tail(aws, "--from", "trim_horizon", "--no-follow", "--json") == 0
    records = shown(capsys)
    assert sorted(json.loads(record["text"])["n"] for record in records) == list(range(20))
    assert {record["kind"] for record in records} == {"json"}
    assert records == sorted(records, key=lambda record: record["arrived"])


def test_lines_for_people(aws, stream, capsys):
    stream.put(b'{"a": 1}', "k1")
    stream.put(gzip.compress(b"hello"), "k2")
    stream.put(b"\xff\x00\x01", "k3")
    assert tail(aws, "--from", "1h", "--no-follow") == 0
    text = capsys.readouterr().out
    assert '  k1  {"a": 1}' in text
    assert "  k2  gzip, text: hello" in text
    assert "  k3  binary: ff 00 01 (3 bytes)" in text


def test_filters(aws, stream, capsys):
    put(stream, 20)
    chosen = ("--from", "trim_horizon", "--no-follow", "--json")
    assert tail(aws, *chosen, "--filter", "even && n > `10`", "--query", "n") == 0
    assert sorted(int(record["text"]) for record in shown(capsys)) == [12, 14, 16, 18]
    assert tail(aws, *chosen, "--key", "key 1") == 0
    assert len(shown(capsys)) == 3
    assert tail(aws, *chosen, "--shard", "1") == 0
    assert {record["shard_id"] for record in shown(capsys)} == {"shardId-000000000001"}
    assert tail(aws, *chosen, "--limit", "3") == 0
    assert len(shown(capsys)) == 3


def test_all_user_records_of_the_producer_library_are_shown(aws, stream, capsys):
    packed = Aggregator(0, 50_000)
    for number in range(1_300):
        packed.add(OutRecord(b'{"n": %d}' % number, f"key {number % 7}"))
    made, _ = packed.take()
    stream.put(made.data, "any")
    assert tail(aws, "--from", "trim_horizon", "--no-follow", "--json") == 0
    records = shown(capsys)
    assert [json.loads(record["text"])["n"] for record in records] == list(range(1_300))
    assert records[0]["kind"] == "KPL 1 of 1300, json"


def test_a_long_record_is_filtered_and_shown_whole(aws, stream, capsys):
    stream.put(json.dumps({"pad": "x" * 2_000, "user": "ann"}).encode(), "k")
    chosen = ("--from", "trim_horizon", "--no-follow", "--json", "--filter", "user == 'ann'")
    assert tail(aws, *chosen) == 0
    (record,) = shown(capsys)
    assert json.loads(record["text"])["user"] == "ann"


def test_a_key_moves_no_cursor(aws, stream, capsys):
    stream.put(b"x", "\x1b[2Jkey")
    assert tail(aws, "--from", "trim_horizon", "--no-follow") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\\x1b[2Jkey" in text


def test_pretty_json(aws, stream, capsys):
    stream.put(b'{"a": {"b": 1}}', "k")
    tail(aws, "--from", "trim_horizon", "--no-follow", "--pretty")
    assert '{\n  "a": {\n    "b": 1\n  }\n}' in capsys.readouterr().out


def test_closed_shards_come_before_their_children(aws, stream, capsys):
    put(stream, 10)
    stream.split("shardId-000000000000")
    time.sleep(0.01)
    put(stream, 10)
    assert tail(aws, "--from", "trim_horizon", "--no-follow", "--json") == 0
    records = shown(capsys)
    assert len(records) == 20
    ids = [record["shard_id"] for record in records]
    last_of_parent = max(at for at, one in enumerate(ids) if one.endswith("0"))
    assert all(at > last_of_parent for at, one in enumerate(ids) if one.endswith(("2", "3")))


def test_it_follows_what_comes_through_a_split(aws, stream, capsys):
    put(stream, 5)
    time.sleep(2.2)  # "latest" is a moment by a clock that is known to the second
    done = threading.Thread(target=lambda: tail(aws, "--limit", "6", "--json"), daemon=True)
    done.start()
    deadline = time.monotonic() + 20
    while not aws.call_log("GetRecords") and time.monotonic() < deadline:
        time.sleep(0.01)
    capsys.readouterr()
    put(stream, 3)
    stream.split("shardId-000000000000")
    put(stream, 3)
    done.join(30)
    assert not done.is_alive()
    assert len(shown(capsys)) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--shard", "7"), "0 shards of 'clicks' end with '7'"),
        (("--from", "yesterday"), "--from is 'yesterday'"),
        (("--limit", "0"), "--limit is 0"),
    ],
)
def test_wrong_arguments(aws, stream, capsys, arguments, says):
    assert tail(aws, *arguments) == 1
    assert says in capsys.readouterr().err


def test_a_filter_that_is_none(aws, capsys):
    with pytest.raises(SystemExit):
        tail(aws, "--filter", "a ==")
    assert "is no JMESPath" in capsys.readouterr().err

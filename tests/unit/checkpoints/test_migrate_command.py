"""kinesis-source migrate: what it makes of other connectors' checkpoints, and what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from kinesis_source.cli.main import main
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import StreamStarts
from tests.peer_checkpoints import PeerCheckpoint, after

A, B, C = (f"shardId-00000000000{digit}" for digit in range(3))
AT_START = {"iteratorType": "TRIM_HORIZON", "iteratorPosition": ""}
LATEST = {"iteratorType": "LATEST", "iteratorPosition": ""}
ENDED = {"iteratorType": "SHARD_END", "iteratorPosition": ""}


@pytest.fixture
def old(tmp_path: Path) -> PeerCheckpoint:
    return PeerCheckpoint(tmp_path / "old")


def migrate(old: PeerCheckpoint, *arguments: str, capsys) -> dict:
    assert main(["migrate", str(old.path), "--json", *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    (source,) = document["sources"]
    options = {**source["options"], "region": "us-east-1"}
    start = parse_options(options).read.initial_position
    assert isinstance(start, StreamStarts), "the source takes what is printed"
    return source


def refusal(old: PeerCheckpoint, *arguments: str, capsys) -> str:
    assert main(["migrate", str(old.path), *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def places(source: dict) -> object:
    return json.loads(source["options"]["initialPosition"])


def test_qubole_goes_on_behind_the_ends_of_its_last_batch(old, capsys):
    old.qubole(6, {A: AT_START}, {A: after("490")})
    old.qubole(7, {A: after("490"), B: AT_START}, {A: after("495"), B: after("300")})
    source = migrate(old, capsys=capsys)
    assert source["connector"] == "qubole"
    assert source["options"]["streamName"] == "clicks"
    assert places(source) == {A: {"after": "495"}, B: {"after": "300"}}
    assert source["notes"] == []


def test_a_batch_that_was_not_finished_is_read_again(old, capsys):
    old.qubole(7, {A: after("490")}, {A: after("495")})
    old.qubole(8, {A: after("495")}, {A: after("499")}, committed=False)
    source = migrate(old, capsys=capsys)
    assert places(source) == {A: {"after": "495"}}
    assert "Batch 8 was begun and not finished" in source["notes"][0]


def test_a_shard_without_an_end_begins_where_its_batch_did(old, capsys):
    old.qubole(7, {A: after("490"), B: after("200")}, {A: after("495")})
    source = migrate(old, capsys=capsys)
    assert places(source) == {A: {"after": "495"}, B: {"after": "200"}}
    assert "1 of 2 shards wrote no end of batch 7" in source["notes"][0]


def test_finished_idle_and_untouched_shards(old, capsys):
    moment = {"iteratorType": "AT_TIMESTAMP", "iteratorPosition": "1735732800123"}
    old.qubole(7, {A: LATEST, B: after("2"), C: moment}, {A: LATEST, B: ENDED, C: moment})
    source = migrate(old, capsys=capsys)
    assert places(source) == {
        A: {"at_timestamp": "2025-01-01T12:00:00.000Z"},
        B: "end",
        C: {"at_timestamp": "2025-01-01T12:00:00.123Z"},
    }
    notes = {row["shard"]: row["note"] for row in source["shards"]}
    assert notes[A] == "nothing was read there yet: from when the batch began"
    assert notes[B] == ""


def test_awslabs_keeps_its_ends_elsewhere_and_knows_user_records(old, capsys):
    split = after("495", subSequenceNumber=4, isLast=False)
    old.awslabs(7, {A: after("490"), B: AT_START}, {A: split, B: after("300")})
    source = migrate(old, capsys=capsys)
    assert source["connector"] == "awslabs"
    assert places(source) == {A: {"from": "495"}, B: {"after": "300"}}
    assert "its first 5 user records are read again" in source["shards"][0]["note"]


def test_awslabs_offsets_hold_text_where_its_files_hold_numbers(old, capsys):
    split = after("495", subSequenceNumber=0, isLast=False)
    old.awslabs(8, {A: split}, {}, committed=False)
    assert places(migrate(old, capsys=capsys)) == {A: {"from": "495"}}
    line = (old.path / "offsets" / "8").read_text().splitlines()[2]
    assert '"isLast": "false"' in line
    pasted = parse_options({"streamName": "clicks", "region": "us-east-1", "initialPosition": line})
    ((_, stream),) = pasted.read.initial_position.streams
    assert not stream.shards[0][1].is_read, "the same, given to the source as it is"


def test_databricks_says_where_its_batch_ended(old, capsys):
    last = {("clicks", A): "495", ("clicks", B): "300", ("orders", C): "7"}
    old.databricks(41, last, closed=(B,))
    source = migrate(old, capsys=capsys)
    assert source["connector"] == "databricks"
    assert source["options"]["streamName"] == "clicks,orders"
    assert places(source) == {
        "clicks": {A: {"after": "495"}, B: {"after": "300"}},
        "orders": {C: {"after": "7"}},
    }
    assert "does not document" in source["notes"][0]


def test_streams_by_arn(old, capsys):
    arn = "arn:aws:kinesis:us-east-1:111111111111:stream/clicks"
    old.databricks(41, {(arn, A): "495"})
    assert migrate(old, capsys=capsys)["options"]["streamARN"] == arn


def test_a_planned_batch_of_databricks_is_no_place_to_begin(old, capsys):
    old.databricks(40, {("clicks", A): "480"})
    old.databricks(41, {("clicks", A): "495"}, committed=False)
    text = refusal(old, capsys=capsys)
    assert "[OFFSET_NOT_COMMITTED]" in text
    assert "--batch 40" in text
    assert places(migrate(old, "--batch", "40", capsys=capsys)) == {A: {"after": "480"}}


def test_a_shard_without_a_number_is_not_guessed(old, capsys):
    old.databricks(41, {("clicks", A): "495", ("clicks", B): None})
    text = refusal(old, capsys=capsys)
    assert "[OFFSET_INCOMPLETE]" in text
    assert B in text
    source = migrate(old, "--unknown", "trim_horizon", capsys=capsys)
    assert places(source) == {A: {"after": "495"}, B: "trim_horizon"}


@pytest.mark.parametrize("connector", ["qubole", "awslabs"])
def test_ends_that_are_elsewhere(old, tmp_path, capsys, connector):
    getattr(old, connector)(7, {A: after("490")}, {A: after("495")})
    elsewhere = tmp_path / "elsewhere"
    (old.path / "sources" / "0").rename(elsewhere)
    text = refusal(old, capsys=capsys)
    assert "[OFFSET_INCOMPLETE]" in text
    assert "--metadata" in text
    assert "DynamoDB" in text
    source = migrate(old, "--metadata", str(elsewhere), capsys=capsys)
    assert places(source) == {A: {"after": "495"}}
    (folder,) = elsewhere.iterdir()
    source = migrate(old, "--metadata", str(folder), capsys=capsys)
    assert places(source) == {A: {"after": "495"}}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"clicks": {"0": 12}}, "has a form that is known"),
        ({"metadata": {"batchId": "3"}, A: after("1")}, "no streamName"),
        ({"metadata": {"batchId": "3", "streamName": "s"}, A: {"iteratorType": "SOON"}}, "'SOON'"),
        ({"metadata": {"batchId": "3", "streamName": "s"}, A: after("x1")}, "sequence number"),
        ({"metadata": {"batchId": "3", "streamName": "s"}}, "names no shard"),
        ([{"shard": {"shardId": A}, "lastSeqNum": "1"}], "no stream"),
        ([{"shard": {"shardId": A, "stream": "s"}, "lastSeqNum": "one"}], "no number"),
    ],
)
def test_what_is_not_known_is_refused(old, capsys, document, says):
    committed = isinstance(document, list)
    old.offset(3, document, committed=committed)
    text = refusal(old, capsys=capsys)
    assert text.startswith(("[OFFSET_UNREADABLE]", "[OFFSET_INCOMPLETE]"))
    assert says in text


def test_for_people(old, capsys):
    old.qubole(7, {A: after("490"), B: after("2")}, {A: after("495"), B: ENDED})
    before = {file: file.read_bytes() for file in old.path.rglob("*") if file.is_file()}
    assert main(["migrate", str(old.path)]) == 0
    text = capsys.readouterr().out
    assert "Last batch looked at: 7 (committed), begun 2025-01-01T12:00:00.000Z" in text
    assert "Source 0, by Qubole's kinesis-sql or AWS Glue" in text
    (line,) = (line for line in text.splitlines() if "initialPosition" in line)
    quoted = line.split(", ", 1)[1].removesuffix(")")
    assert json.loads(shlex.split(quoted)[0]) == {A: {"after": "495"}, B: "end"}
    assert before == {file: file.read_bytes() for file in old.path.rglob("*") if file.is_file()}


def options_of(aws) -> list[str]:
    given = {
        "region": "us-east-1",
        "endpointUrl": aws.endpoint_url,
        "awsAccessKey": "test",
        "awsSecretKey": "test",
    }
    return [word for name, value in given.items() for word in ("--option", f"{name}={value}")]


def test_records_are_looked_for(kinesis_emulator, old, capsys):
    stream = kinesis_emulator.account().create_stream("clicks", shards=1)
    shard, number = A, stream.put(b"x", "k")
    old.qubole(7, {shard: AT_START}, {shard: after(number), C: ENDED})
    source = migrate(old, "--check", *options_of(kinesis_emulator), capsys=capsys)
    assert places(source) == {shard: {"after": number}}, "a finished shard that is gone is left out"
    assert "there: 0 s old, 0 % of the retention" in source["shards"][0]["note"]


def test_a_checkpoint_of_another_stream_is_noticed(kinesis_emulator, old, capsys):
    stream = kinesis_emulator.account().create_stream("clicks", shards=1)
    shard, number = A, stream.put(b"x", "k")
    old.qubole(7, {shard: AT_START}, {shard: after(str(int(number) * 2))})
    check = ("--check", *options_of(kinesis_emulator))
    assert "[OFFSET_GONE]" in refusal(old, *check, capsys=capsys)
    old.qubole(8, {C: AT_START}, {C: after(number)})
    text = refusal(old, *check, capsys=capsys)
    assert "[OFFSET_GONE]" in text
    assert C in text


def test_options_belong_to_the_check(old, capsys):
    old.qubole(7, {A: after("490")}, {A: after("495")})
    assert "--check" in refusal(old, "--option", "region=us-east-1", capsys=capsys)


@pytest.mark.parametrize(
    ("stream", "shard", "entry"),
    [
        ("x\", __import__('os').system('id')) #", A, after("1")),
        ("\x1b[2J", A, after("1")),
        ("\ud800", A, after("1")),
        ("clicks", "shardId-0'+print(1)+'", after("1")),
        ("clicks", A, after("007")),
        ("clicks", A, after("٣")),
        ("clicks", A, after("1" * 6000)),
        ("clicks", A, after("1", subSequenceNumber="abc", isLast=False)),
        ("clicks", A, after("1", subSequenceNumber=None, isLast=False)),
        ("clicks", A, {"iteratorType": "AT_TIMESTAMP", "iteratorPosition": "9" * 30}),
    ],
)
def test_a_hostile_checkpoint_is_refused_and_prints_nothing(old, capsys, stream, shard, entry):
    metadata = {"batchId": "3", "streamName": stream}
    old.offset(3, {"metadata": metadata, shard: entry}, committed=False)
    text = refusal(old, capsys=capsys)
    assert text.startswith("[OFFSET_UNREADABLE]")
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "content", [b"v1\n\xff\xfe\n{}", b"v1\n{}\n" + b"[" * 200_000, b"", b"v1", b"v2\n{}\n{}"]
)
def test_a_damaged_offset_has_a_code(old, capsys, content):
    (old.path / "offsets" / "3").write_bytes(content)
    for command in ("migrate", "offsets"):
        assert main([command, str(old.path)]) == 1
        assert capsys.readouterr().err.startswith("[OFFSET_")


def test_a_damaged_end_has_a_code(old, capsys):
    old.qubole(7, {A: after("490")}, {A: after("495")})
    (old.path / "sources" / "0" / "shard-commit" / "7" / A).write_text("[" * 200_000)
    assert "[OFFSET_UNREADABLE]" in refusal(old, capsys=capsys)


@pytest.mark.parametrize("begun_ms", [10**30, 10**15, -1, True, "soon"])
def test_a_time_that_is_none_is_left_out(old, capsys, begun_ms):
    old.begun_ms = begun_ms
    old.qubole(7, {A: after("490")}, {A: after("495")})
    assert main(["migrate", str(old.path)]) == 0
    assert "begun" not in capsys.readouterr().out.splitlines()[1]


def test_a_first_batch_that_was_not_finished_has_none_before_it(old, capsys):
    old.databricks(0, {("clicks", A): "1"}, committed=False)
    text = refusal(old, capsys=capsys)
    assert "--batch" not in text
    assert "initialPosition" in text


def test_names_and_arns_do_not_mix(old, capsys):
    arn = "arn:aws:kinesis:us-east-1:111111111111:stream/orders"
    old.databricks(1, {("clicks", A): "1", (arn, A): "1"})
    assert "by ARN and some by name" in refusal(old, capsys=capsys)


def test_files_that_are_no_batches_are_left_alone(old, capsys):
    old.qubole(7, {A: after("490")}, {A: after("495")})
    (old.path / "offsets" / "008").write_text("v1")
    (old.path / "offsets" / ".7.crc").write_bytes(b"x")
    assert places(migrate(old, capsys=capsys)) == {A: {"after": "495"}}

"""Scripted faults: what a client sees of each, and how rules choose their calls."""

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    HTTPClientError,
)
from botocore.parsers import ResponseParserError

NAME = "clicks"
SHARD = "shardId-000000000000"
BROKEN = (ConnectionClosedError, HTTPClientError, ConnectionError)


@pytest.fixture
def stream(aws):
    stream = aws.account().create_stream(NAME)
    stream.put_many([(str(n).encode(), "k") for n in range(4)])
    return stream


@pytest.fixture
def page(kinesis, iterator):
    """A call of GetRecords from the horizon."""

    def run(**more):
        return kinesis.get_records(ShardIterator=iterator(NAME), **more)

    return run


def http(aws, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(aws.endpoint_url + path, data, method=method)
    with urllib.request.urlopen(request, timeout=5) as reply:
        return json.load(reply)


def data(page):
    return [r["Data"] for r in page["Records"]]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("get_records", "ProvisionedThroughputExceededException"),
        ("list_shards", "LimitExceededException"),
    ],
)
def test_a_throttle_strikes_as_often_as_told(aws, kinesis, stream, page, refused, operation, code):
    name = "".join(part.title() for part in operation.split("_"))
    aws.faults.add("throttle", operation=name, count=2)
    call = page if operation == "get_records" else kinesis.list_shards
    parameters = {} if operation == "get_records" else {"StreamName": NAME}
    assert [refused(call, **parameters) for _ in range(2)] == [code, code]
    call(**parameters)


def test_rules_choose_by_stream_shard_number_and_position(aws, kinesis, stream, refused, page):
    aws.account().create_stream("other")
    aws.faults.add("error", operation="ListShards", stream="other", code="X", status=400)
    kinesis.list_shards(StreamName=NAME)
    assert refused(kinesis.list_shards, StreamName="other") == "X"
    aws.faults.clear()
    aws.faults.add("throttle", shard_id="shardId-000000000007")
    rule = aws.faults.add("throttle", shard_id=SHARD, operation="GetRecords", nth=2)
    page()
    assert refused(page) == "ProvisionedThroughputExceededException"
    page()
    assert (rule.seen, rule.hits) == (3, 1)
    assert aws.faults.remove(rule)
    aws.faults.add("error", operation="GetRecords", after=1, count=1, code="Y")
    page()
    assert refused(page) == "Y"
    page()


def test_probabilities_are_seeded(aws, kinesis, stream):
    def run():
        aws.faults.clear()
        aws.faults.add("throttle", operation="ListShards", probability=0.5)
        for _ in range(30):
            with contextlib.suppress(ClientError):
                kinesis.list_shards(StreamName=NAME)
        return [call.status == 200 for call in aws.call_log("ListShards")[-30:]]

    first = run()
    assert 5 < sum(first) < 25
    assert run() == first


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("html", [False, True])
def test_server_errors_in_json_and_html(aws, stream, page, status, html):
    aws.faults.add("http_error", operation="GetRecords", status=status, html=html)
    with pytest.raises((ClientError, ResponseParserError)) as caught:
        page()
    if isinstance(caught.value, ClientError):
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(
    "kind", ["reset_before_read", "reset_before_work", "reset_after_work", "reset_mid_body"]
)
def test_resets_break_the_connection(aws, kinesis, stream, kind):
    aws.faults.add(kind, operation="PutRecord", count=1)
    with pytest.raises(BROKEN):
        kinesis.put_record(StreamName=NAME, Data=b"new", PartitionKey="k")
    done = kind in {"reset_after_work", "reset_mid_body"}
    assert (stream.records()[-1]["Data"] == b"new") is done
    kinesis.put_record(StreamName=NAME, Data=b"again", PartitionKey="k")
    assert aws.call_log("PutRecord")[0].status == 0


def test_a_cut_body_is_a_complete_http_reply_that_does_not_parse_or_lacks_keys(aws, stream, page):
    aws.faults.add("cut_body", operation="GetRecords", count=1)
    try:
        reply = page()
    except ResponseParserError:
        return
    assert "Records" not in reply or "NextShardIterator" not in reply


def test_pages_without_records_or_without_an_iterator(aws, stream, page):
    aws.faults.add("no_records", count=1)
    reply = page()
    assert "Records" not in reply
    assert "NextShardIterator" in reply
    aws.faults.clear()
    aws.faults.add("no_next_iterator", count=1)
    reply = page()
    assert len(reply["Records"]) == 4
    assert "NextShardIterator" not in reply
    assert "ChildShards" not in reply


def test_an_empty_page_is_not_the_end(aws, kinesis, stream, page, clock):
    clock.advance(5)
    aws.faults.add("empty_page", count=2)
    reply = page()
    for _ in range(2):
        assert reply["Records"] == []
        assert reply["MillisBehindLatest"] == 5000
        reply = kinesis.get_records(ShardIterator=reply["NextShardIterator"])
    assert data(reply) == [b"0", b"1", b"2", b"3"]


def test_short_pages_lose_nothing(aws, kinesis, stream, page):
    aws.faults.add("short_page", limit=3)
    reply = page()
    assert data(reply) == [b"0", b"1", b"2"]
    assert reply["MillisBehindLatest"] > 0
    assert data(kinesis.get_records(ShardIterator=reply["NextShardIterator"])) == [b"3"]


def test_a_closed_shard_may_still_give_an_iterator_at_its_end(aws, kinesis, stream, page):
    stream.split(SHARD)
    aws.faults.add("iterator_at_end", count=1)
    reply = page()
    assert len(reply["Records"]) == 4
    assert "ChildShards" not in reply
    reply = kinesis.get_records(ShardIterator=reply["NextShardIterator"])
    assert reply["Records"] == []
    assert len(reply["ChildShards"]) == 2


def test_list_shards_may_show_one_child_of_a_split_before_the_other(aws, kinesis, stream):
    hidden, shown = stream.split(SHARD)
    aws.faults.add("hide_shard", shard_id=hidden, count=1)
    first = [s["ShardId"] for s in kinesis.list_shards(StreamName=NAME)["Shards"]]
    second = [s["ShardId"] for s in kinesis.list_shards(StreamName=NAME)["Shards"]]
    assert first == [SHARD, shown]
    assert second == [SHARD, hidden, shown]


def test_expiries_on_demand(aws, kinesis, connect, stream, page, refused):
    aws.faults.add("expired_iterator", count=1)
    assert refused(page) == "ExpiredIteratorException"
    page()
    aws.faults.add("expired_token", operation="ListShards", count=1)
    assert refused(kinesis.list_shards, StreamName=NAME) == "ExpiredTokenException"
    stream.rescale(4)
    token = kinesis.list_shards(StreamName=NAME, MaxResults=1)["NextToken"]
    aws.faults.add("expired_next_token", count=1)
    assert refused(kinesis.list_shards, NextToken=token) == "ExpiredNextTokenException"
    kinesis.list_shards(NextToken=token)
    aws.faults.clear()
    sts = connect("sts")
    aws.faults.add("sts_failure", count=1)
    assert refused(sts.get_caller_identity) == "InternalFailure"
    aws.faults.add("throttle", operation="GetCallerIdentity", count=1)
    assert refused(sts.get_caller_identity) == "Throttling"
    sts.get_caller_identity()


def test_part_of_a_put_fails_and_the_rest_is_stored(aws, kinesis, stream):
    aws.faults.add("partial_put", fraction=0.25, count=1, code="InternalFailure")
    entries = [{"Data": f"p{n}".encode(), "PartitionKey": "k"} for n in range(20)]
    reply = kinesis.put_records(StreamName=NAME, Records=entries)
    assert reply["FailedRecordCount"] == 5
    kept = [
        e["Data"]
        for e, r in zip(entries, reply["Records"], strict=True)
        if r.get("ErrorCode") != "InternalFailure"
    ]
    assert [r["Data"] for r in stream.records()][4:] == kept


def test_a_hanging_call_ends_in_a_reset_and_a_delayed_one_in_a_reply(aws, kinesis, stream):
    aws.faults.add("hang", operation="ListShards", delay_s=0.05, count=1)
    with pytest.raises(BROKEN):
        kinesis.list_shards(StreamName=NAME)
    aws.faults.add("delay", operation="ListShards", delay_s=0.05, count=1)
    started = time.monotonic()
    kinesis.list_shards(StreamName=NAME)
    assert time.monotonic() - started >= 0.05


def test_a_hanging_call_does_not_hold_up_others(aws, kinesis, stream):
    aws.faults.add("hang", operation="ListShards", delay_s=0.3, count=1)
    ended = threading.Event()

    def hang():
        try:
            kinesis.list_shards(StreamName=NAME)
        except BROKEN:
            ended.set()

    thread = threading.Thread(target=hang)
    thread.start()
    kinesis.describe_stream_summary(StreamName=NAME)
    assert not ended.is_set()
    thread.join(5)
    assert ended.is_set()


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "no_such"},
        {"kind": "throttle", "colour": "red"},
        {"operation": "GetRecords"},
        {"kind": "reset_before_read", "stream": NAME},
        {"kind": "hide_shard"},
    ],
)
def test_rules_that_cannot_work_are_refused(aws, settings):
    with pytest.raises(ValueError, match=r"fault|reset_before_work|hide_shard"):
        aws.faults.add_rule(settings)
    with pytest.raises(urllib.error.HTTPError) as caught:
        http(aws, "POST", "/_emulator/faults", settings)
    with caught.value as reply:
        assert reply.status == 400
        assert json.load(reply)["error"]


def test_rules_calls_and_reset_over_http(aws, kinesis, stream, refused, page):
    assert http(aws, "GET", "/_emulator/health") == {"status": "running"}
    (rule,) = http(
        aws, "POST", "/_emulator/faults", {"kind": "throttle", "operation": "GetRecords"}
    )
    assert [r["kind"] for r in http(aws, "GET", "/_emulator/faults")] == ["throttle"]
    assert refused(page) == "ProvisionedThroughputExceededException"
    assert http(aws, "DELETE", f"/_emulator/faults/{rule['rule_id']}") == {"removed": True}
    page()
    calls = http(aws, "GET", "/_emulator/calls")
    assert calls["counts"] == {"GetShardIterator": 2, "GetRecords": 2}
    assert calls["shards"]["GetRecords"] == {f"{NAME}/{SHARD}": 2}
    throttled, good = [c for c in calls["log"] if c["operation"] == "GetRecords"]
    assert (throttled["status"], throttled["records"]) == (400, 0)
    assert throttled["error"] == "ProvisionedThroughputExceededException"
    assert (good["status"], good["records"], good["stream"]) == (200, 4, NAME)
    assert aws.calls.count("GetRecords", shard_id=SHARD) == 2
    http(aws, "POST", "/_emulator/reset")
    assert http(aws, "GET", "/_emulator/calls")["counts"] == {}
    assert refused(kinesis.list_shards, StreamName=NAME) == "ResourceNotFoundException"

"""BotoStreamApi over real HTTP: what it asks, what it makes of answers, how it fails."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest
from botocore.awsrequest import AWSResponse
from urllib3.response import HTTPResponse

from kinesis_source.aws import client as client_module
from kinesis_source.aws import direct as direct_module
from kinesis_source.aws.api import IteratorExpiredError, PositionRefusedError
from kinesis_source.aws.client import BotoStreamApi, stream_api
from kinesis_source.aws.retry import RetryPolicy
from kinesis_source.errors import (
    AccessDeniedError,
    KinesisSourceError,
    ServiceError,
    StreamError,
    ThrottledError,
)
from kinesis_source.model.positions import END, TRIM_HORIZON, AfterRecord, AtTimestamp
from kinesis_source.options.secret import Secret
from kinesis_source.options.settings import ClientSettings, IdentitySettings, StreamSettings

CLICKS = StreamSettings.from_key("clicks")
SHARD = "shardId-000000000000"
PATIENT = RetryPolicy(60_000, base_ms=2, throttle_base_ms=4, throttle_floor_ms=1)
"""Short waits, and a budget that a busy machine does not spend."""
_TICKS = itertools.count(step=0.02)
QUICK = RetryPolicy(
    400, base_ms=2, throttle_base_ms=4, throttle_floor_ms=1, clock=lambda: next(_TICKS)
)
"""For what stays down."""
TEST_KEYS = IdentitySettings("test", Secret("test"))
"""The emulator's own; without stsEndpoint nobody is asked who they belong to."""


def connect(
    url: str, identity: IdentitySettings = TEST_KEYS, policy: RetryPolicy = PATIENT
) -> BotoStreamApi:
    return BotoStreamApi(ClientSettings("us-east-1", url, identity), policy)


@pytest.fixture
def aws(kinesis_emulator):
    return kinesis_emulator


@pytest.fixture
def clicks(aws):
    return aws.account().create_stream("clicks", shards=2)


@pytest.fixture(params=["direct", "botocore"])
def way(request, monkeypatch) -> str:
    """How GetRecords and GetShardIterator go: the short way, or through botocore each time."""
    if request.param == "botocore":
        monkeypatch.setattr(direct_module, "learn_pattern", lambda *_: None)
    return request.param


def teach(api: BotoStreamApi, way: str = "direct") -> BotoStreamApi:
    """Let a client see each operation once, nothing being sent: the next call is direct."""
    connection = api._caller.connect()
    events = connection.client.meta.events

    def answer(request, **_) -> AWSResponse:
        body = HTTPResponse(BytesIO(b"{}"), preload_content=False)
        return AWSResponse(request.url, 200, {}, body)

    events.register("before-send.kinesis", answer)
    start = {"StreamName": "clicks", "ShardId": SHARD, "ShardIteratorType": "LATEST"}
    for operation, params in (("GetShardIterator", start), ("GetRecords", {"ShardIterator": "x"})):
        connection.ask(operation, params, lambda _: None, lambda reply: reply)
    events.unregister("before-send.kinesis", answer)
    assert [pattern is None for pattern in connection._patterns.values()] == [way != "direct"] * 2
    return api


@pytest.fixture
def api(aws, clicks, way) -> Iterator[BotoStreamApi]:
    api = teach(connect(aws.endpoint_url), way)
    yield api
    api.close()


def read_all(api: BotoStreamApi, stream: StreamSettings = CLICKS, shard_id: str = SHARD):
    return api.get_page(stream, shard_id, api.get_iterator(stream, shard_id, TRIM_HORIZON), 10_000)


# --- what it asks and returns ------------------------------------------------------------------


def test_describe(api, clicks):
    description = api.describe(CLICKS)
    assert (description.arn, description.status) == (clicks.arn, "ACTIVE")
    assert description.retention_ms == 24 * 3_600_000
    assert abs(description.created_ms - time.time() * 1000) < 60_000


def test_a_stream_can_be_named_by_its_arn(api, clicks):
    by_arn = StreamSettings.from_key(clicks.arn)
    assert api.describe(by_arn) == api.describe(CLICKS)
    assert api.list_shards(by_arn) == api.list_shards(CLICKS)
    clicks.put(b"hello", "key", explicit_hash_key="0")
    assert read_all(api, by_arn).data == [b"hello"]


def test_shards_with_their_lineage(api, clicks):
    first, second = clicks.open_shard_ids()
    left, right = clicks.split(first)
    merged = clicks.merge(right, second)
    shards = {shard.shard_id: shard for shard in api.list_shards(CLICKS)}
    assert set(shards) == {first, second, left, right, merged}
    assert shards[left].parents == (first,)
    assert set(shards[merged].parents) == {right, second}
    assert {shard_id for shard_id in shards if not shards[shard_id].is_closed} == {left, merged}
    assert (shards[first].first_hash_key, shards[second].last_hash_key) == (0, 2**128 - 1)


def test_the_shards_that_were_open_at_a_moment(api, clicks):
    moment = api.describe(CLICKS).created_ms + 1
    first, second = clicks.open_shard_ids()
    while time.time() * 1000 < moment + 5:
        time.sleep(0.001)
    clicks.split(first)
    assert {shard.shard_id for shard in api.list_shards(CLICKS, moment)} == {first, second}


def test_a_listing_of_many_pages(aws, monkeypatch):
    monkeypatch.setattr(client_module, "_SHARDS_PER_PAGE", 3)
    stream = aws.account().create_stream("wide", shards=8)
    with_arn = StreamSettings.from_key(stream.arn)
    api = connect(aws.endpoint_url)
    assert len(api.list_shards(StreamSettings.from_key("wide"))) == 8
    assert len(api.list_shards(with_arn)) == 8
    assert len(aws.call_log("ListShards")) == 6


def test_a_token_that_expired_starts_the_listing_anew(aws, monkeypatch):
    monkeypatch.setattr(client_module, "_SHARDS_PER_PAGE", 3)
    aws.account().create_stream("wide", shards=8)
    aws.faults.add("expired_next_token", operation="ListShards", nth=2)
    shards = connect(aws.endpoint_url).list_shards(StreamSettings.from_key("wide"))
    assert len({shard.shard_id for shard in shards}) == len(shards) == 8


def test_a_token_that_always_expires_is_given_up(aws, monkeypatch):
    monkeypatch.setattr(client_module, "_SHARDS_PER_PAGE", 3)
    aws.account().create_stream("wide", shards=8)
    aws.faults.add("expired_next_token", operation="ListShards")
    with pytest.raises(ServiceError, match=r"^\[SERVICE_LISTING\].*'wide'"):
        connect(aws.endpoint_url).list_shards(StreamSettings.from_key("wide"))


def test_records_are_read_in_pages(api, clicks):
    numbers = [clicks.put(b"%d" % i, "k", explicit_hash_key="0") for i in range(5)]
    first = api.get_page(CLICKS, SHARD, api.get_iterator(CLICKS, SHARD, TRIM_HORIZON), 3)
    second = api.get_page(CLICKS, SHARD, first.next_iterator, 3)
    assert [*first.data, *second.data] == [b"0", b"1", b"2", b"3", b"4"]
    assert [*first.sequence_numbers, *second.sequence_numbers] == numbers
    assert second.millis_behind_latest == 0
    assert all(abs(ms - time.time() * 1000) < 60_000 for ms in first.arrival_ms)


def test_positions(api, clicks):
    for i in range(3):
        clicks.put(b"%d" % i, "k", explicit_hash_key="0")
        before = time.time()
        while time.time() < before + 0.003:
            time.sleep(0.001)
    page = read_all(api)
    second = AfterRecord(page.sequence_numbers[0], page.arrival_ms[0])
    at = AtTimestamp(page.arrival_ms[1])
    for position in (second, at):
        iterator = api.get_iterator(CLICKS, SHARD, position)
        assert api.get_page(CLICKS, SHARD, iterator, 10).data == [b"1", b"2"]


def test_the_end_is_no_position_to_read_from(api):
    with pytest.raises(ValueError, match="end of a shard"):
        api.get_iterator(CLICKS, SHARD, END)


def test_the_end_of_a_closed_shard(api, clicks):
    clicks.put(b"last", "k", explicit_hash_key="0")
    children = clicks.split(SHARD)
    page = read_all(api)
    assert page.data == [b"last"]
    while not page.is_shard_end:
        page = api.get_page(CLICKS, SHARD, page.next_iterator, 10)
    assert set(page.child_shard_ids) == set(children)


def test_a_missing_next_iterator_is_passed_on(api, aws):
    aws.faults.add("no_next_iterator", count=1)
    page = read_all(api)
    assert page.next_iterator is None
    assert not page.is_shard_end


# --- refusals that callers handle --------------------------------------------------------------


def test_an_expired_iterator(api, aws):
    aws.faults.add("expired_iterator", count=1)
    with pytest.raises(IteratorExpiredError):
        read_all(api)


def test_a_moment_in_the_future_is_refused(api):
    with pytest.raises(PositionRefusedError, match="InvalidArgumentException"):
        api.get_iterator(CLICKS, SHARD, AtTimestamp(api.now_ms() + 3_600_000))


def test_a_sequence_number_of_another_stream_is_refused(api):
    with pytest.raises(PositionRefusedError):
        api.get_iterator(CLICKS, SHARD, AfterRecord("1", 0))


def test_a_refused_moment_of_a_listing(api, aws):
    aws.faults.add("error", operation="ListShards", code="InvalidArgumentException", status=400)
    with pytest.raises(PositionRefusedError):
        api.list_shards(CLICKS, 1)
    with pytest.raises(ServiceError, match=r"^\[SERVICE_ERROR\]"):
        api.list_shards(CLICKS)


# --- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "throttle"},
        {"kind": "http_error", "status": 500},
        {"kind": "http_error", "status": 503, "html": True},
        {"kind": "reset_before_work"},
        {"kind": "reset_after_work"},
        {"kind": "reset_mid_body"},
        {"kind": "cut_body"},
        {"kind": "no_records"},
        {"kind": "expired_token"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_get_records_survives(api, aws, clicks, fault):
    clicks.put(b"hello", "k", explicit_hash_key="0")
    aws.faults.add(**fault, operation="GetRecords", count=2 if fault["kind"] == "throttle" else 1)
    assert read_all(api).data == [b"hello"]


@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "ListShards", "GetShardIterator"])
@pytest.mark.parametrize("kind", ["throttle", "cut_body"])
def test_the_other_calls_survive(api, aws, operation, kind):
    aws.faults.add(kind, operation=operation, count=1)
    api.describe(CLICKS)
    assert len(api.list_shards(CLICKS)) == 2
    assert api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert len(aws.call_log(operation)) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"kind": "throttle"}, ThrottledError, "SERVICE_THROTTLED"),
        ({"kind": "http_error", "status": 500}, ServiceError, "SERVICE_UNAVAILABLE"),
        ({"kind": "cut_body"}, ServiceError, "SERVICE_INCOMPLETE_REPLY"),
        ({"kind": "no_records"}, ServiceError, "SERVICE_INCOMPLETE_REPLY"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else None,
)
def test_spent_budgets(aws, clicks, way, fault, kind, code):
    api = teach(connect(aws.endpoint_url, policy=QUICK), way)
    iterator = api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    aws.faults.add(**fault, operation="GetRecords")
    with pytest.raises(kind) as failed:
        api.get_page(CLICKS, SHARD, iterator, 10)
    tries = len(aws.call_log("GetRecords"))
    assert failed.value.code == code
    assert tries > 2
    for words in (f"{tries} tries in ", "'clicks'", "us-east-1", SHARD, "GetRecords"):
        assert words in str(failed.value)


def test_botocore_itself_never_repeats(aws, clicks, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    aws.faults.add("http_error", status=500)
    settings = ClientSettings("us-east-1", aws.endpoint_url, TEST_KEYS, retry_budget_ms=0)
    with pytest.raises(ServiceError, match="1 try"):
        BotoStreamApi(settings).describe(CLICKS)
    assert len(aws.call_log("DescribeStreamSummary")) == 1


def test_a_reply_that_does_not_come_ends_at_the_read_timeout(aws, clicks, way):
    aws.faults.add("delay", delay_s=1.0)
    settings = ClientSettings(
        "us-east-1", aws.endpoint_url, TEST_KEYS, read_timeout_ms=100, retry_budget_ms=0
    )
    with pytest.raises(ServiceError, match=r"^\[SERVICE_UNAVAILABLE\].*ReadTimeoutError"):
        teach(BotoStreamApi(settings), way).get_iterator(CLICKS, SHARD, TRIM_HORIZON)


# --- errors with names ------------------------------------------------------------------------


def test_a_missing_stream(api):
    with pytest.raises(StreamError, match=r"^\[STREAM_NOT_FOUND\].*'nope'.*account unknown"):
        api.describe(StreamSettings.from_key("nope"))


def test_a_missing_stream_names_the_account_that_sts_tells(aws):
    identity = IdentitySettings("test", Secret("test"), sts_endpoint=aws.endpoint_url)
    with pytest.raises(StreamError, match=r"^\[STREAM_NOT_FOUND\].*'nope'.*account 000000000000"):
        connect(aws.endpoint_url, identity).describe(StreamSettings.from_key("nope"))


def test_the_real_sts_is_not_asked_about_keys_of_an_emulator(api, monkeypatch):
    api.describe(CLICKS)
    sent: list[object] = []
    monkeypatch.setattr("botocore.endpoint.Endpoint._send", lambda *call: sent.append(call))
    assert api.identity.account() is None
    assert api.identity.who() == "The owner of access key ****"
    assert sent == []


def test_a_missing_shard(api):
    with pytest.raises(StreamError, match=r"^\[STREAM_SHARD_NOT_FOUND\].*shardId-000000000077"):
        api.get_iterator(CLICKS, "shardId-000000000077", TRIM_HORIZON)


def test_a_missing_permission(aws, way):
    account = aws.account("222222222222")
    stream = account.create_stream("clicks")
    user = account.create_user("poor", allow=["kinesis:DescribeStreamSummary"])
    identity = IdentitySettings(user.access_key, Secret(user.secret_key))
    api = teach(connect(aws.endpoint_url, identity), way)
    with pytest.raises(AccessDeniedError, match=r"^\[ACCESS_DENIED\]") as denied:
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert f"{user.arn} may not call kinesis:GetShardIterator on {stream.arn}" in str(denied.value)


# --- endpoints that are not Kinesis ------------------------------------------------------------


@contextmanager
def web_server(status: int, content_type: str, body: bytes, *, dated: bool = True) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response_only(status)
            if dated:
                self.send_header("Date", formatdate(usegmt=True))
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html", b"<html>Welcome</html>"),
        (404, "text/html", b"<html>Not found</html>"),
        (403, "text/html", b"<html>Proxy says no</html>"),
        (302, "text/html", b""),
        (400, "application/x-amz-json-1.1", b'{"__type":"UnknownOperationException"}'),
    ],
)
def test_something_that_is_not_kinesis(way, status, content_type, body):
    with web_server(status, content_type, body) as url:
        api = teach(connect(url, policy=QUICK), way)
        with pytest.raises(ServiceError, match=r"^\[SERVICE_ENDPOINT\]") as failed:
            api.get_page(CLICKS, SHARD, "x", 10)
        api.close()
    assert url in str(failed.value)
    assert "us-east-1" in str(failed.value)


@pytest.mark.parametrize("body", [b"[1]", b"null", b"{}", b'{"Shards":[{}]}'])
def test_json_of_another_form_is_incomplete(body):
    with web_server(200, "application/x-amz-json-1.1", body) as url:
        api = connect(url, policy=QUICK)
        with pytest.raises(ServiceError, match=r"^\[SERVICE_INCOMPLETE_REPLY\]"):
            api.list_shards(CLICKS)
        api.close()


def test_a_port_where_nobody_listens(way):
    api = teach(connect("http://127.0.0.1:9", policy=QUICK), way)
    words = r"^\[SERVICE_ENDPOINT\].*EndpointConnectionError.*127\.0\.0\.1:9"
    with pytest.raises(ServiceError, match=words):
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)


def test_tls_against_a_server_without_it(aws, way):
    url = aws.endpoint_url.replace("http:", "https:")
    api = teach(connect(url, policy=QUICK), way)
    with pytest.raises(ServiceError, match=r"^\[SERVICE_ENDPOINT\].*SSLError"):
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)


@pytest.mark.parametrize("url", ["not a url", "http://"])
def test_an_endpoint_that_is_no_url(url):
    with pytest.raises(ServiceError, match=r"^\[SERVICE_ENDPOINT\]"):
        connect(url, policy=QUICK).describe(CLICKS)


# --- AWS's clock ------------------------------------------------------------------------------


def test_the_clock_needs_no_stream_and_no_permission(aws):
    user = aws.account().create_user("poor", allow=[])
    api = connect(aws.endpoint_url, IdentitySettings(user.access_key, Secret(user.secret_key)))
    assert -2_100 < api.now_ms() - time.time() * 1000 <= 0


@pytest.mark.parametrize("name", ["clicks", "nope"])
@pytest.mark.parametrize("call", ["describe", "get_iterator"])
def test_the_clock_is_fed_by_every_reply(api, aws, call, name):
    arguments = (SHARD, TRIM_HORIZON) if call == "get_iterator" else ()
    with suppress(StreamError):
        getattr(api, call)(StreamSettings.from_key(name), *arguments)
    calls = len(aws.call_log())
    api.now_ms()
    assert len(aws.call_log()) == calls


def test_replies_without_date():
    with web_server(200, "application/x-amz-json-1.1", b'{"StreamNames":[]}', dated=False) as url:
        api = connect(url, policy=QUICK)
        with pytest.raises(ServiceError, match=r"^\[SERVICE_CLOCK\] No reply .* Date header"):
            api.now_ms()
        api.close()


def test_the_clock_of_an_endpoint_that_is_not_there():
    with pytest.raises(ServiceError, match=r"^\[SERVICE_ENDPOINT\]"):
        connect("http://127.0.0.1:9", policy=QUICK).now_ms()


# --- one client for each process and settings ---------------------------------------------------


def test_a_client_pickles_as_its_settings():
    settings = ClientSettings("us-east-1", "http://127.0.0.1:9", TEST_KEYS)
    api = stream_api(settings)
    assert pickle.loads(pickle.dumps(api)) is api  # noqa: S301 - our own bytes
    assert stream_api(ClientSettings("us-east-1", "http://127.0.0.1:9", TEST_KEYS)) is api
    assert stream_api(ClientSettings("us-west-2", "http://127.0.0.1:9", TEST_KEYS)) is not api


def test_old_clients_are_forgotten():
    first = ClientSettings("eu-west-1")
    api = stream_api(first)
    for number in range(40):
        stream_api(ClientSettings("eu-west-1", f"http://127.0.0.1:{number}"))
    assert stream_api(first) is not api


def in_fork(check: Callable[[], object]) -> str:
    """Run a check in a forked child and return what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # a lock that the fork left held must fail the test, not hang it
        try:
            said = str(check())
        except BaseException as error:  # noqa: BLE001 - the child must not run the tests on
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_worker_has_connections_of_its_own(api):
    api.describe(CLICKS)
    parents = api._caller.connection
    with api._caller.lock, client_module._clients_lock:  # as if another thread held them just now
        said = in_fork(
            lambda: (
                api.describe(CLICKS).status,
                api._caller.connection is not parents,
                stream_api(api.settings).describe(CLICKS).status,
            )
        )
    assert said == "('ACTIVE', True, 'ACTIVE')"


def test_many_threads_share_one_client(api, aws, clicks):
    clicks.put(b"hello", "k", explicit_hash_key="0")
    pages: list[bytes] = []
    errors: list[KinesisSourceError] = []

    def read() -> None:
        try:
            pages.extend(read_all(api).data)
        except KinesisSourceError as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (pages, errors) == ([b"hello"] * 8, [])


def test_a_closed_client_opens_again(api):
    api.describe(CLICKS)
    api.close()
    assert api.describe(CLICKS).status == "ACTIVE"


def test_calls_say_what_software_makes_them(clicks, aws):
    seen: list[str] = []
    api = connect(aws.endpoint_url)
    api._caller.connect().client.meta.events.register(
        "before-send.kinesis", lambda request, **_: seen.append(str(request.headers["User-Agent"]))
    )
    api.describe(CLICKS)
    for _ in range(2):
        api.get_iterator(CLICKS, SHARD, TRIM_HORIZON)
    assert len(seen) == 3
    assert all("kinesis-source/" in software for software in seen)
    assert json.dumps(TEST_KEYS.access_key) not in seen[0]

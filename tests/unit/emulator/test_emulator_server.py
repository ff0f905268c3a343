"""The server itself: as a program, as a fixture, over CBOR, and with clients that misbehave."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ConnectionClosedError, HTTPClientError

from kinesis_source.emulator import Emulator, cbor
from kinesis_source.emulator.streams import Timestamp

NAME = "clicks"
SHARD = "shardId-000000000000"


def call_cbor(aws, operation, parameters):
    """Call an operation the way the SDK for Java does; return status and decoded body."""
    body = cbor.encode(parameters)
    request = AWSRequest(
        "POST",
        aws.endpoint_url + "/",
        headers={
            "X-Amz-Target": f"Kinesis_20131202.{operation}",
            "Content-Type": "application/x-amz-cbor-1.1",
        },
        data=body,
    )
    SigV4Auth(Credentials("test", "test"), "kinesis", "us-east-1").add_auth(request)
    connection = http.client.HTTPConnection(urlsplit(aws.endpoint_url).netloc, timeout=5)
    connection.request("POST", "/", body, dict(request.headers))
    with connection.getresponse() as reply:
        shown = reply.read()
        assert reply.headers["Content-Type"] == "application/x-amz-cbor-1.1"
    connection.close()
    return reply.status, cbor.decode(shown) if shown else {}


def test_records_go_in_and_out_as_cbor(aws, clock):
    aws.account().create_stream(NAME)
    entry = {"StreamName": NAME, "Data": bytes(range(256)), "PartitionKey": "k"}
    _, put = call_cbor(aws, "PutRecord", entry)
    _, made = call_cbor(
        aws,
        "GetShardIterator",
        {
            "StreamName": NAME,
            "ShardId": SHARD,
            "ShardIteratorType": "AT_TIMESTAMP",
            "Timestamp": Timestamp(clock()),
        },
    )
    status, page = call_cbor(aws, "GetRecords", {"ShardIterator": made["ShardIterator"]})
    assert status == 200
    (record,) = page["Records"]
    assert record["Data"] == bytes(range(256))
    assert record["SequenceNumber"] == put["SequenceNumber"]
    assert record["ApproximateArrivalTimestamp"] == clock()
    status, error = call_cbor(aws, "ListShards", {"StreamName": "none"})
    assert (status, error["__type"]) == (400, "ResourceNotFoundException")


@pytest.mark.parametrize(
    ("document", "value"),
    [
        # Examples of RFC 8949, appendix A.
        ("1903e8", 1000),
        ("1b000000e8d4a51000", 1_000_000_000_000),
        ("3863", -100),
        ("f93c00", 1.0),
        ("fb3ff199999999999a", 1.1),
        ("f4", False),
        ("f6", None),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("62c3bc", "\u00fc"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ],
)
def test_cbor_reads_the_rfcs_examples(document, value):
    assert cbor.decode(bytes.fromhex(document)) == value


@pytest.mark.parametrize("document", ["", "62c3", "1f", "a1", "ff", "0000", "fc"])
def test_broken_cbor_is_refused(document):
    with pytest.raises(ValueError, match=r"CBOR|cut"):
        cbor.decode(bytes.fromhex(document))


@pytest.mark.parametrize("value", [0, 23, 24, 255, 256, 65_536, 2**32, -1, -500, 1.5, True, "x"])
def test_cbor_round_trips(value):
    assert cbor.decode(cbor.encode({"v": [value]})) == {"v": [value]}


def test_runs_as_a_program_and_ends_on_sigterm():
    command = [sys.executable, "-W", "error", "-m", "kinesis_source.emulator.server", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        url = process.stdout.readline().decode().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert process.stdout.readline() == b"Ready.\n"
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.request("GET", "/_emulator/health")
        with connection.getresponse() as reply:
            assert json.load(reply) == {"status": "running"}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        connection.close()
        assert process.stderr.read() == b""


def test_the_fixture_gives_users_an_empty_emulator(kinesis_emulator, connect):
    assert kinesis_emulator.account().streams() == []
    kinesis_emulator.account().create_stream(NAME)
    kinesis_emulator.faults.add("throttle")


def test_the_fixture_is_emptied_between_tests(kinesis_emulator):
    assert kinesis_emulator.account().streams() == []
    assert kinesis_emulator.faults.rules() == []


def test_the_plugin_does_not_load_the_emulator():
    code = (
        "import sys, kinesis_source.emulator.pytest_plugin; "
        "assert 'kinesis_source.emulator.server' not in sys.modules; "
        "assert not [m for m in sys.modules if m.split('.')[0] in {'boto3', 'pyspark'}]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_stop_ends_open_connections_and_start_serves_again():
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.endpoint_url
    emulator.start()
    emulator.account().create_stream(NAME)
    address = urlsplit(emulator.endpoint_url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as idle:
        idle.sendall(b"GET /_emulator/health HTTP/1.1\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200 OK")
        emulator.stop()
        assert idle.recv(4096) == b""
    with emulator.start() as again:
        assert again.account().streams() == [NAME]


def test_stop_ends_a_hanging_call_at_once():
    with Emulator() as emulator:
        emulator.faults.add("hang", operation="GetCallerIdentity", delay_s=60)
        client = boto3.client(
            "sts",
            endpoint_url=emulator.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}),
        )
        broken: list[Exception] = []

        def call():
            try:
                client.get_caller_identity()
            except (ConnectionClosedError, HTTPClientError) as error:
                broken.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        deadline_s = time.monotonic() + 5
        while not emulator.faults.rules()[0].hits and time.monotonic() < deadline_s:
            time.sleep(0.005)
    thread.join(5)
    assert len(broken) == 1
    client.close()


@pytest.mark.parametrize(
    ("head", "reply"),
    [
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"HTTP/1.1 411 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"HTTP/1.1 413 "),
        (b"GET /_emulator/nothing HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 403 "),
        (b"rubbish\r\n\r\n", b""),
    ],
)
def test_odd_requests_get_a_plain_answer(aws, head, reply):
    address = urlsplit(aws.endpoint_url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(head)
        assert connection.recv(4096)[: len(reply)] == reply
    # The server still serves others.
    assert aws.account().streams() == []


def test_unknown_operations_and_broken_bodies_are_refused_in_awss_words(aws, kinesis, refused):
    event = "before-sign.kinesis.ListStreams"

    def change(**headers):
        def handler(request, **_):
            for name, value in headers.items():
                del request.headers[name.replace("_", "-")]
                request.headers[name.replace("_", "-")] = value

        return handler

    def broken(request, **_):
        request.data = b"{"

    for handler, code in [
        (change(X_Amz_Target="Kinesis_20131202.NoSuch"), "UnknownOperationException"),
        (broken, "SerializationException"),
    ]:
        kinesis.meta.events.register(event, handler)
        try:
            assert refused(kinesis.list_streams) == code
        finally:
            kinesis.meta.events.unregister(event, handler)


def test_the_log_tells_clients_apart_by_their_ports():
    with Emulator() as emulator:
        emulator.account().create_stream(NAME)
        for _ in range(2):
            call_cbor(emulator, "DescribeStreamSummary", {"StreamName": NAME})
        ports = [call.port for call in emulator.call_log("DescribeStreamSummary")]
    assert len(set(ports)) == 2
    assert None not in ports

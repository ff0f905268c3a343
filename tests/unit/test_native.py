"""Which decoder a process uses, and its columns as sequences and as Arrow arrays."""

from __future__ import annotations

import base64
import json
import logging
import sys
import threading
import types
from bisect import bisect_right
from collections.abc import Callable

import pyarrow as pa
import pytest

from kinesis_source import native
from kinesis_source.aws.client import BotoStreamApi
from kinesis_source.errors import OptionError
from kinesis_source.native import DECODER_VARIABLE, INTERFACE, find_decoder, total_length
from kinesis_source.options.parse import parse_options
from kinesis_source.options.settings import ClientSettings
from tests.decoding import need_native

KEYS = ["k0", "kéy", "\U0001f600", ""]


@pytest.fixture(autouse=True)
def _nothing_found_before(monkeypatch):
    monkeypatch.delenv(DECODER_VARIABLE, raising=False)
    native._find.cache_clear()
    yield
    native._find.cache_clear()


@pytest.fixture
def installed(monkeypatch) -> types.ModuleType:
    """Stands for the installed module."""
    module = types.ModuleType("kinesis_source_native")
    module.INTERFACE, module.__version__ = INTERFACE, "7.7"
    monkeypatch.setitem(sys.modules, "kinesis_source_native", module)
    return module


@pytest.fixture
def missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "kinesis_source_native", None)


@pytest.fixture
def decode():
    need_native()
    return find_decoder("native").decode_reply


def body_of(count: int = 4) -> bytes:
    records = [
        {
            "SequenceNumber": str(number * 7),
            "PartitionKey": KEYS[number % len(KEYS)],
            "ApproximateArrivalTimestamp": 1_767_225_600 + number / 1000,
            "Data": base64.b64encode(b"x" * number).decode(),
        }
        for number in range(count)
    ]
    return json.dumps({"Records": records}).encode()


# Which one


def test_the_native_decoder_is_used_where_it_is_installed(installed):
    assert find_decoder() is installed


def test_without_it_the_python_way_is_used(missing):
    assert find_decoder() is None


@pytest.mark.parametrize(
    ("setting", "variable", "is_native"),
    [
        ("auto", None, True),
        ("auto", "auto", True),
        ("auto", " Python ", False),
        ("auto", "native", True),
        ("python", "native", False),
        ("native", "python", True),
    ],
)
def test_the_option_goes_before_the_variable(installed, monkeypatch, setting, variable, is_native):
    if variable is not None:
        monkeypatch.setenv(DECODER_VARIABLE, variable)
    assert (find_decoder(setting) is installed) == is_native


def test_a_client_says_what_is_wrong_if_native_is_asked_for_and_missing(missing):
    with pytest.raises(OptionError, match=r"\[OPTION_DECODER\] Option 'decoder' is 'native', but"):
        BotoStreamApi(ClientSettings("us-east-1", decoder="native"))


def test_the_variable_is_named_if_it_asks_for_what_is_missing(missing, monkeypatch):
    monkeypatch.setenv(DECODER_VARIABLE, "native")
    with pytest.raises(OptionError, match=r"Environment variable KINESIS_SOURCE_DECODER is 'nati"):
        find_decoder()


def test_a_variable_of_another_value_is_an_error(installed, monkeypatch):
    monkeypatch.setenv(DECODER_VARIABLE, "rust")
    with pytest.raises(OptionError, match=r"\[OPTION_VALUE\] .*auto, python, native, got 'rust'"):
        find_decoder()


def test_a_module_of_another_release_counts_as_missing(installed):
    installed.INTERFACE = INTERFACE + 1
    assert find_decoder() is None
    with pytest.raises(OptionError, match=r"kinesis_source_native 7\.7 belongs to another version"):
        find_decoder("native")


def test_a_module_that_cannot_be_loaded_counts_as_missing(monkeypatch):
    def load(name):
        raise ImportError("wrong ELF class")

    monkeypatch.setattr(native.importlib, "import_module", load)
    assert find_decoder() is None
    with pytest.raises(OptionError, match="wrong ELF class"):
        find_decoder("native")


@pytest.mark.parametrize(
    ("way", "said"),
    [("auto", "natively, by kinesis_source_native 7.7"), ("python", "in Python: Option 'decoder'")],
)
def test_which_decoder_runs_is_logged_once(installed, caplog, way, said):
    with caplog.at_level(logging.DEBUG, "kinesis_source"):
        find_decoder(way)
        find_decoder(way)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert said in record.getMessage()


def test_the_option_reaches_the_client():
    options = {"streamName": "clicks", "region": "us-east-1"}
    assert parse_options(options).client.decoder == "auto"
    assert parse_options({**options, "decoder": "Python"}).client.decoder == "python"


# Its columns


def test_columns_are_sequences(decode):
    reply = decode(body_of(), b"")
    keys, numbers = reply.partition_keys, reply.sequence_numbers
    assert keys == KEYS
    assert KEYS == keys  # noqa: SIM300 - either side may be the list
    assert keys != KEYS[:3]
    assert keys != 5
    assert list(keys) == KEYS
    assert (keys[0], keys[-1], keys[1:3], keys[::-1]) == ("k0", "", KEYS[1:3], KEYS[::-1])
    assert keys[1:][1:] == KEYS[2:]
    assert keys[3:1] == []
    assert bisect_right(numbers, 10, key=int) == 2
    assert reply.arrival_ms[1:] == [1_767_225_600_001, 1_767_225_600_002, 1_767_225_600_003]
    assert reply.data == [b"", b"x", b"xx", b"xxx"]
    for index in (4, -5):
        with pytest.raises(IndexError):
            keys[index]
    with pytest.raises(TypeError):
        keys["a"]
    with pytest.raises(TypeError):
        hash(keys)


def test_lengths_together_are_known_without_the_items(decode):
    reply = decode(body_of(), b"")
    assert total_length(reply.partition_keys) == 6
    assert total_length(reply.partition_keys[1:3]) == 4
    assert total_length(reply.data) == 6
    assert total_length(reply.data[2:]) == 5
    assert total_length(["a", "bc"]) == 3


def test_arrow_takes_columns_and_slices_without_a_copy(decode):
    column = decode(body_of(1_000), b"").data
    whole, part = pa.array(column), pa.array(column[10:20])
    whole.validate(full=True)
    part.validate(full=True)
    assert whole.type == pa.binary()
    assert part.to_pylist() == [b"x" * number for number in range(10, 20)]
    assert whole.buffers()[2].address == part.buffers()[2].address
    assert pa.total_allocated_bytes() < whole.buffers()[2].size


def test_arrays_outlive_their_columns_and_the_body(decode):
    body = bytearray(body_of())
    reply = decode(memoryview(body), b"")
    array, moments = pa.array(reply.partition_keys), pa.array(reply.arrival_ms)
    del reply
    body[:] = b"\xff" * len(body)
    assert array.to_pylist() == KEYS
    assert moments.type == pa.timestamp("us", tz="UTC")
    assert moments[3].as_py().timestamp() == 1_767_225_600.003


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bodies_are_bytes_of_any_kind(decode, kind):
    assert decode(kind(body_of(2)), b"").data == [b"", b"x"]


def test_a_part_of_a_buffer_is_read_where_it_lies(decode):
    padded = memoryview(b"[[[" + body_of(2) + b"]]]")
    assert decode(padded[3:-3], b"").data == [b"", b"x"]


def test_what_is_no_body_is_a_type_error(decode):
    for other in ("text", 5, None):
        with pytest.raises(TypeError):
            decode(other, b"")
    with pytest.raises(BufferError):
        decode(memoryview(b"abcd")[::2], b"")


def test_other_threads_run_while_a_body_is_decoded(decode):
    record = {
        "SequenceNumber": "1",
        "PartitionKey": "k",
        "ApproximateArrivalTimestamp": 1.0,
        "Data": base64.b64encode(b"x" * 3_000_000).decode(),
    }
    body = json.dumps({"Records": [record] * 8}).encode()
    assert any(_runs_meanwhile(lambda: decode(body, b"")) for _ in range(20))
    assert not any(_runs_meanwhile(lambda: json.loads(body)) for _ in range(3))


def _runs_meanwhile(work: Callable[[], object]) -> bool:
    """Say whether a thread that becomes ready just before the work runs before its end."""
    may_run, began = threading.Lock(), threading.Event()
    may_run.acquire()

    def run() -> None:
        with may_run:
            began.set()

    thread = threading.Thread(target=run)
    thread.start()
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(60)  # nobody is asked to give the interpreter away
    try:
        may_run.release()
        work()
        return began.is_set()
    finally:
        sys.setswitchinterval(interval_s)
        thread.join()

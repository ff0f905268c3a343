"""Data as people read it: what is opened, what is named, and what no data can do to the reader."""

from __future__ import annotations

import gzip
import json
import uuid
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinesis_source.records.readable import read_data

EVENT = b'{"user": "j\xc3\xb6rg", "n": 1}'


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (EVENT, "json"),
        (b"[1, 2]", "json"),
        (gzip.compress(EVENT, mtime=0), "gzip, json"),
        (zlib.compress(EVENT), "zlib, json"),
        (gzip.compress(zlib.compress(EVENT), mtime=0), "gzip, zlib, json"),
        ("grüß dich\n".encode(), "text"),
        (b"{no json", "text"),
        (b"", "empty"),
        (b"\xf3\x89\x9a\xc2rest", "KPL aggregate"),
        (b"Obj\x01\x04", "Avro file"),
        (b"\xc3\x01" + bytes(8) + b"\x02", "Avro, single object"),
        (b"\x00\x00\x00\x00\x2a\x02\x08", "Confluent schema registry, schema 42"),
        (b"\x08\x96\x01\x12\x07testing", "Protobuf, probably"),
        (b"\xff\xfe\x00", "binary"),
        (b"\x00", "binary"),
    ],
)
def test_what_data_is(data, kind):
    assert read_data(data).kind == kind


def test_glue_s_header_names_the_schema():
    version = uuid.UUID("b0b2a1c8-2d4c-4f5e-9b0a-0f5f3d1a2b3c")
    found = read_data(b"\x03\x00" + version.bytes + b"\x02\x08")
    assert found.kind == f"Glue schema registry, schema version {version}"


def test_json_is_laid_out_and_keeps_its_letters():
    found = read_data(gzip.compress(EVENT))
    assert found.value == json.loads(EVENT)
    assert found.pretty() == '{\n  "user": "jörg",\n  "n": 1\n}'


def test_binary_data_is_shown_with_its_length():
    found = read_data(bytes(range(128, 228)))
    assert found.text.startswith("80 81 82")
    assert found.text.endswith("... (100 bytes)")


def test_a_bomb_is_opened_a_little():
    found = read_data(gzip.compress(b"a" * 50_000_000))
    assert found.is_cut
    assert len(found.text) == 64 * 1024


def test_a_character_at_the_cut_is_left_out():
    found = read_data(b"x" * (64 * 1024 - 1) + "ü".encode() * 10)
    assert found.kind == "text"
    assert found.is_cut
    assert found.text == "x" * (64 * 1024 - 1)


def test_deep_json_is_text():
    assert read_data(b"[" * 60_000).kind == "text"


@given(st.binary(max_size=300))
def test_any_data_can_be_shown(data):
    found = read_data(data)
    assert found.pretty() is not None
    assert "\x1b" not in found.text, "nothing that moves a terminal's cursor"

"""Record data as a person reads it: text, JSON laid out, compressed data opened, formats named.

Pure; runs where something is shown (notebook, terminal, doctor), on a few records, never in a read.
Bounded: what a few bytes unfold to is cut off, and what cannot be read is shown in hexadecimal with
its length. Formats are told by their published beginnings:

- gzip (RFC 1952), zlib (RFC 1950): opened, and looked at again;
- JSON (RFC 8259), UTF-8 text;
- Avro: object container files ("Obj" 1) and single-object encoding (C3 01), of the Avro
  specification; Confluent's and AWS Glue's schema registries by their headers (0, then the schema's
  id; 3 or 0, compression, UUID);
- Parquet ("PAR1"), KPL aggregates, protocol buffers that parse as such to the last byte.
"""

from __future__ import annotations

import json
import re
import uuid
import zlib
from dataclasses import dataclass
from typing import Final

from kinesis_source.records.kpl import AGGREGATE_PREFIX

__all__ = ["Readable", "read_data"]

_MOST_BYTES: Final = 64 * 1024
"""Of opened data: for the eye that is a lot."""
_SHOWN_HEX_BYTES: Final = 24
_DEEPEST: Final = 2
"""Compressed data in compressed data, and no more."""
_GLUE_VERSION, _GLUE_COMPRESSION = 3, (0, 5)
_GLUE_HEADER_BYTES: Final = 18
_REGISTRY_BYTES: Final = 5
_LARGEST_SCHEMA_ID: Final = 10_000_000
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Readable:
    """What data is, and how to show it.

    Parameters
    ----------
    kind : str
        ``json``, ``text``, ``empty``, ``binary`` or a format's name; with what it was packed in
        before it: ``gzip, json``.
    text : str
        JSON on one line, as it was written; text; or hexadecimal digits.
    value : object
        Of JSON, parsed; else None.
    is_cut : bool
        Whether there is more of it.
    """

    kind: str
    text: str
    value: object = None
    is_cut: bool = False

    def pretty(self) -> str:
        """Return JSON on several lines, and the rest as it is."""
        if isinstance(self.value, dict | list) and not self.is_cut:
            return json.dumps(self.value, indent=2, ensure_ascii=False)
        return self.text


def read_data(data: bytes, depth: int = 0) -> Readable:
    """Return what some data is.

    Parameters
    ----------
    data : bytes
    depth : int
        How often something was opened before.
    """
    if not data:
        return Readable("empty", "")
    opened = _opened(data) if depth < _DEEPEST else None
    if opened is not None:
        packing, inner, is_cut = opened
        found = read_data(inner, depth + 1)
        return Readable(f"{packing}, {found.kind}", found.text, found.value, found.is_cut or is_cut)
    return _text(data) or Readable(_format_name(data), *_hexadecimal(data))


def _opened(data: bytes) -> tuple[str, bytes, bool] | None:
    if data[:3] == b"\x1f\x8b\x08":
        name, window = "gzip", 16 + zlib.MAX_WBITS
    elif data[0] & 0x0F == 8 and len(data) > 2 and (data[0] << 8 | data[1]) % 31 == 0:
        name, window = "zlib", zlib.MAX_WBITS
    else:
        return None
    unpack = zlib.decompressobj(window)
    try:
        inner = unpack.decompress(data, _MOST_BYTES)
    except zlib.error:
        return None
    return name, inner, bool(unpack.unconsumed_tail)


def _text(data: bytes) -> Readable | None:
    is_cut = len(data) > _MOST_BYTES
    try:
        text = data[:_MOST_BYTES].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The cut may be within a character.
        if not is_cut or error.start < _MOST_BYTES - 4:
            return None
        text = data[: error.start].decode("utf-8-sig")
    if _CONTROLS.search(text):
        return None
    begins = text.lstrip()[:1]
    if begins in ("{", "["):
        try:
            return Readable("json", text.strip(), json.loads(text), is_cut)
        except (ValueError, RecursionError):
            kind = "json, cut" if is_cut else "text"
            return Readable(kind, text, None, is_cut)
    return Readable("text", text, None, is_cut)


def _format_name(data: bytes) -> str:
    for beginning, name in (
        (AGGREGATE_PREFIX, "KPL aggregate"),
        (b"Obj\x01", "Avro file"),
        (b"\xc3\x01", "Avro, single object"),
        (b"PAR1", "Parquet"),
    ):
        if data.startswith(beginning):
            return name
    if data[0] == _GLUE_VERSION and len(data) > _GLUE_HEADER_BYTES and data[1] in _GLUE_COMPRESSION:
        return f"Glue schema registry, schema version {uuid.UUID(bytes=data[2:18])}"
    if data[0] == 0 and len(data) > _REGISTRY_BYTES:
        schema_id = int.from_bytes(data[1:5], "big")
        if 0 < schema_id < _LARGEST_SCHEMA_ID:
            return f"Confluent schema registry, schema {schema_id}"
    return "Protobuf, probably" if _is_protobuf(data) else "binary"


def _is_protobuf(data: bytes) -> bool:
    """Say whether data is fields of a protocol buffer to its last byte, more than one of them."""
    at = fields = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire_type = tag >> 3, tag & 7
        if at < 0 or not 0 < field < 1 << 16:
            return False
        if wire_type == 0:
            _, at = _varint(data, at)
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        elif wire_type == 2:
            size, at = _varint(data, at)
            at = at + size if at >= 0 else at
        else:
            return False
        if at < 0 or at > len(data):
            return False
        fields += 1
    return fields > 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and the place behind it, -1 if there is none."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            return 0, -1
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    return 0, -1


def _hexadecimal(data: bytes) -> tuple[str, None, bool]:
    shown = data[:_SHOWN_HEX_BYTES].hex(" ")
    is_cut = len(data) > _SHOWN_HEX_BYTES
    return f"{shown}{' ...' if is_cut else ''} ({len(data):,} bytes)", None, is_cut

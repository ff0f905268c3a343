"""Replies and aggregates as nobody should send them, from a seeded source of chances.

Used by the fuzzer (fuzz_decoder.py) and by tests/property/test_decoders_agree.py: what the one
finds, the other can keep.
"""

from __future__ import annotations

import base64
import hashlib
import json
from random import Random

MAGIC = b"\xf3\x89\x9a\xc2"
PREFIXES = (b"", None, MAGIC)
"""Values of ``data_prefix``: all data, none, all if a record begins like an aggregate."""

SNIPPETS = (
    *(bytes([byte]) for byte in b'"\\{}[],:=A /\n\t\x00\x1f\x7f\xff'),
    *(b"null", b"true", b"fals", b"NaN", b"Infinity", b"-0", b"0", b"00", b"1.5", b"1e5", b"1E400"),
    *(b"9" * 25, b"1" * 400, b".5", b"5.", b"1e", b"-", b"+1", b"1e-400", b"7.0"),
    *(b"\\u0041", b"\\ud83d\\ude00", b"\\ud83d", b"\\ude00\\ud83d", b"\\u00e9", b"\\/", b"\\q"),
    *(b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xc0\x80", b"\xef\xbb\xbf"),
    *(b'"Data":', b'"Records":', b'"Data":"",', b'"SequenceNumber":"1",', b'"PartitionKey":null,'),
    *(b'"MillisBehindLatest":3,', b'"NextShardIterator":null,', b'"ChildShards":[],', b"[[]]"),
    *(b'"X":{"a":[1,2,{}]},', b'"":"",', b'"D\\u0061ta":"YQ==",', b"====", b"YR==", b"YQ"),
)
TEXTS = ("", "k", "kéy", 'a"b', "\\", "\U0001f600", "x" * 9, "x" * 300, "\x7f", "\u2028", "/")
MOMENTS = (
    *("1.767225600123E9", "1767225600.123", "1767225600", "0", "0.0", "1E9", "1e-3", "0.0005"),
    *("253402300799.999", "253402300799.9990", "253402300800", "-0", "-1", "1.5e+9", "1e300"),
    *("1767225600.0005", "1767225600.0015", "0.00049999999999999999", "9007199254740993"),
    *("1767225600123e-3", "17672256001230000000000000e-16", "1.2345678901234567890123456789e9"),
    *("true", "null", '"2026-01-01T00:00:00Z"', "[]"),
)
MILLIS = (
    "0",
    "7",
    "null",
    "7.0",
    "1e3",
    "-1",
    "-0",
    "9" * 18,
    "9" * 19,
    "9223372036854775808",
    '"3"',
)
NEXT = ('"AAA"', "null", '"\\u0041"', "5")
CHILDREN = (
    *("[]", "null", "[{}]", '[{"ShardId":"a","HashKeyRange":{"x":["1"]}},{"ShardId":"b"}]'),
    *('[{"ShardId":"a","ShardId":"b"}]', '[{"ShardId":null}]', "{}", '[{"ShardId":"\\u0041"}]'),
)


def reply_body(random: Random) -> bytes:
    """Return a reply: members in any order, some missing, some odd, some twice."""
    records = [_record(random) for _ in range(random.randrange(4))]
    members = [("Records", "[" + ",".join(records) + "]")]
    if random.random() < 0.8:
        members.append(("NextShardIterator", _mostly(random, '"AAA"', NEXT)))
    if random.random() < 0.8:
        members.append(("MillisBehindLatest", _mostly(random, "7", MILLIS)))
    if random.random() < 0.3:
        members.append(("ChildShards", random.choice(CHILDREN)))
    return _object(random, members).encode("utf-8", "surrogatepass")


def spoil(random: Random, body: bytes) -> bytes:
    """Return a body with some bytes lost, changed, put in, repeated, or cut off."""
    spoilt = bytearray(body)
    for _ in range(random.choice((0, 0, 0, 1, 1, 2, 4))):
        at = random.randrange(len(spoilt) + 1)
        other = random.randrange(len(spoilt) + 1)
        kind = random.randrange(6)
        if kind == 0:
            spoilt[at:at] = random.choice(SNIPPETS)
        elif kind == 1:
            del spoilt[at : at + random.randrange(1, 5)]
        elif kind == 2:
            spoilt[at : at + 1] = bytes([random.randrange(256)])
        elif kind == 3:
            snippet = random.choice(SNIPPETS)
            spoilt[at : at + len(snippet)] = snippet
        elif kind == 4:
            spoilt[at:at] = spoilt[min(at, other) : max(at, other)]
        else:
            del spoilt[at:]
    return bytes(spoilt)


def aggregate(random: Random) -> bytes:
    """Return data with the magic of an aggregate; mostly with its digest, at times a sound one."""
    fields = [_table_entry(random) for _ in range(random.randrange(4))]
    fields += [_user_record(random) for _ in range(random.randrange(5))]
    if random.random() < 0.3:
        fields.append(_any_field(random, depth=0))
    if random.random() < 0.3:
        random.shuffle(fields)
    body = b"".join(fields)
    if random.random() < 0.3:
        body = spoil(random, body)
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    if random.random() < 0.1:
        digest = spoil(random, digest)
    return MAGIC + body + digest


def payload(random: Random) -> bytes:
    """Return a record's data."""
    kind = random.randrange(4)
    if kind == 0:
        return random.choice(
            (b"", b"a", MAGIC, MAGIC[:3], MAGIC + b"\xc3", b"\xf3\x89\x9a\xc3 near")
        )
    if kind == 1:
        return bytes(random.randrange(256) for _ in range(random.randrange(40)))
    return aggregate(random) if kind == 2 else b"z" * random.randrange(600)


def _mostly(random: Random, usual: str, others: tuple[str, ...]) -> str:
    return usual if random.random() < 0.7 else random.choice(others)


def _record(random: Random) -> str:
    text = json.dumps(random.choice(TEXTS), ensure_ascii=random.random() < 0.5)
    members = [
        ("SequenceNumber", json.dumps(str(random.randrange(10 ** random.randrange(1, 60))))),
        ("ApproximateArrivalTimestamp", _moment(random)),
        ("Data", json.dumps(base64.b64encode(payload(random)).decode())),
        ("PartitionKey", text),
    ]
    if random.random() < 0.3:
        members.append(("EncryptionType", random.choice(('"NONE"', "null", "1.5", '{"a":[]}'))))
    return _object(random, members)


def _object(random: Random, members: list[tuple[str, str]]) -> str:
    if random.random() < 0.3:
        random.shuffle(members)
    if random.random() < 0.05:
        members.append(random.choice(members))
    if random.random() < 0.05:
        del members[random.randrange(len(members))]
    comma, colon = random.choice(((",", ":"), (", ", ": "), (" ,\r\n", "\t:")))
    return "{" + comma.join(f'"{name}"{colon}{value}' for name, value in members) + "}"


def _moment(random: Random) -> str:
    kind = random.randrange(5)
    if kind == 0:
        return _mostly(random, MOMENTS[0], MOMENTS)
    if kind == 1:
        return repr(random.random() * 10 ** random.randrange(12))
    if kind == 2:
        return f"{random.randrange(10**9)}.{random.randrange(10**9)}e{random.randrange(-3, 4)}"
    if kind == 3:
        # Halves of a millisecond, as near as a double comes.
        return repr((random.randrange(10**13) + 0.5) / 1000)
    return f"1.{random.randrange(10**12):012d}E9"


def _varint(random: Random, number: int) -> bytes:
    shown = bytearray()
    while number >= 128:
        shown.append(number % 128 + 128)
        number //= 128
    if random.random() < 0.02:
        # The same number, longer than need be, perhaps longer than allowed.
        extra = random.randrange(1, 10)
        return bytes([*shown, number + 128, *[128] * (extra - 1), 0])
    return bytes([*shown, number])


def _field(random: Random, number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(random, number * 8) + _varint(random, value)
    return _varint(random, number * 8 + 2) + _varint(random, len(value)) + value


def _table_entry(random: Random) -> bytes:
    if random.random() < 0.3:
        digits = random.choice(("0", "", "1" * 39, "1" * 40, "12a", "٣"))
        return _field(random, 2, digits.encode())
    key = random.choice((*TEXTS, "é" * 256, "é" * 257, "\U0001f600" * 256))
    encoded = key.encode() if random.random() < 0.97 else b"\xff" + key.encode()
    return _field(random, 1, encoded)


def _user_record(random: Random) -> bytes:
    index = random.choice((0, 0, 0, 1, 2, 2**32, 2**64 + 1, 2**69))
    parts = [
        _field(random, 1, index if random.random() < 0.1 else min(index, 2)),
        _field(random, 3, b"d" * random.choice((0, 1, 5, 127, 128, 300))),
    ]
    if random.random() < 0.2:
        parts.insert(1, _field(random, 2, random.choice((0, 1, 200, 2**64))))
    if random.random() < 0.2:
        parts.append(_any_field(random, depth=0))
    if random.random() < 0.1:
        random.shuffle(parts)
    if random.random() < 0.05:
        del parts[0]
    return _field(random, 3, b"".join(parts))


def _any_field(random: Random, depth: int) -> bytes:
    number, kind = random.choice((0, 1, 3, 4, 7, 200, 2**29)), random.randrange(8)
    tag = _varint(random, number * 8 + kind)
    if kind == 0:
        return tag + _varint(random, random.randrange(2 ** random.randrange(1, 71)))
    if kind == 1:
        return tag + b"\x80" * 8
    if kind == 2:
        return _field(random, number, b"\x08" * random.randrange(4))
    if kind == 3 and depth < 4:
        inner = b"".join(_any_field(random, depth + 1) for _ in range(random.randrange(3)))
        return tag + inner + _varint(random, number * 8 + 4)
    return tag + b"\x80" * 4 if kind == 5 else tag

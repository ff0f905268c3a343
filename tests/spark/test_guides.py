"""The guides' code runs as it stands: each page's Python blocks, one after the other.

A page's code names the streams of the page; here they are the emulator's. What cannot be run
anywhere has a comment before it: ``<!-- not executed: why -->``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.spark.support import source_options

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
OTHERS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "quickstarts").glob("*.md")),
    *sorted((ROOT / "docs" / "reference").glob("*.md")),
]
BLOCK = re.compile(r"(<!-- not executed: [^>]+ -->\n+)?^```python\n(.*?)^```$", re.M | re.S)
RELATIVE = re.compile(r'"((?:checkpoints/\w+|\w+\.log|\w+\.prom))"')
FORMAT = '.format("tecton-kinesis")'
USING = "OPTIONS (streamName 'clicks', region 'us-east-1'"
NAMED = '{"streamName": "clicks", "region": "us-east-1"'


def fill(stream) -> None:
    records = [
        {"Data": json.dumps({"id": n, "user": f"user {n % 7}"}).encode(), "PartitionKey": f"k{n}"}
        for n in range(300)
    ]
    reply = stream.client.put_records(StreamName=stream.name, Records=records)
    assert reply["FailedRecordCount"] == 0


@pytest.mark.parametrize("page", [*GUIDES, *OTHERS], ids=lambda page: page.stem)
def test_a_guides_code_runs(page: Path, spark, aws, make_stream, tmp_path, monkeypatch, capsys):
    fill(make_stream("clicks", shards=2))
    emulator = source_options(aws)
    del emulator["streamName"], emulator["initialPosition"]
    names = {"spark": spark, "emulator": emulator, "__name__": "guide"}
    monkeypatch.chdir(tmp_path)
    given = "".join(f", {name} '{value}'" for name, value in emulator.items() if name != "region")
    ran = 0
    for number, (skip, body) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), 1):
        if skip:
            continue
        text = body.replace(FORMAT, f"{FORMAT}.options(**emulator)").replace(USING, USING + given)
        text = text.replace("options={}", "options=emulator").replace(NAMED, f"{NAMED}, **emulator")
        # A path without beginning is in the folder of Spark's JVM.
        text = RELATIVE.sub(rf'"{tmp_path}/\1"', text)
        exec(compile(text, f"{page.name}, block {number}", "exec"), names)  # noqa: S102 - ours
        ran += 1
    assert ran or page in OTHERS, f"{page.name} has no code that runs"
    assert "Traceback" not in capsys.readouterr().out

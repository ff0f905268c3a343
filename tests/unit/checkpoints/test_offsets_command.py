"""kinesis-source offsets: what a checkpoint says, and a changed copy of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kinesis_source.cli.main import main

FROZEN = Path(__file__).parents[2] / "compat" / "0.1.0"
ONE, TWO = "shardId-000000000001", "shardId-000000000002"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A stopped query's, in the middle of its stream; its first shard is finished."""
    return Path(shutil.copytree(FROZEN / "finished_parent" / "checkpoint", tmp_path / "old"))


def run(*arguments: object) -> int:
    return main(["offsets", *map(str, arguments)])


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def positions(checkpoint: Path, batch: int) -> dict[str, object]:
    line = (checkpoint / "offsets" / str(batch)).read_text().splitlines()[2]
    return json.loads(line)["streams"]["events"]["shards"]


def test_where_a_query_is(checkpoint: Path, capsys) -> None:
    assert run(checkpoint) == 0
    text = capsys.readouterr().out
    assert "End of batch 2 (committed), begun 20" in text
    lines = {line.split()[1]: line for line in text.splitlines() if "shardId" in line}
    assert lines["shardId-000000000000"].split()[2] == "end"
    assert " after 4900" in lines[ONE]
    assert "2025-01-01T12:00:11.339Z" in lines[ONE]
    assert lines[ONE].split()[-1] == "-", "an offset of 0.1.0 does not know the retention"


def test_for_programs(checkpoint: Path, capsys) -> None:
    assert run(checkpoint, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["batch"], document["committed"]) == (2, True)
    assert [row["shard"] for row in document["shards"]][1:] == [ONE, TWO]
    assert document["shards"][1]["position"]["after"].startswith("4900")
    assert document["shards"][1]["age_s"] > 0


def test_an_unfinished_batch_is_said(tmp_path: Path, capsys) -> None:
    assert run(FROZEN / "uncommitted_last_batch" / "checkpoint") == 0
    assert "planned, not committed: it will run again" in capsys.readouterr().out


def test_a_changed_copy(checkpoint: Path, tmp_path: Path, capsys) -> None:
    before, target = files(checkpoint), tmp_path / "new"
    place = "after:123@2026-01-02T03:04:05Z"
    assert run(checkpoint, "--set", f"{ONE}={place}", "--output", target) == 0
    assert "behind batch 2" in capsys.readouterr().out
    assert files(checkpoint) == before, "the old one is as it was"
    old, new = positions(checkpoint, 2), positions(target, 2)
    assert new[ONE] == {"after": "123", "arrival": 1_767_323_045_000}
    assert new[TWO] == old[TWO]
    assert set(files(target)) == {name for name in before if name != "offsets/.2.crc"}
    assert not list(tmp_path.glob(".*incomplete"))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("trim_horizon", {"oldest"}),
        ("at:2026-01-02T03:04:05Z", {"at", "whole"}),
    ],
)
def test_other_places(checkpoint: Path, tmp_path: Path, place: str, expected: set[str]) -> None:
    assert run(checkpoint, "--set", f"{ONE}={place}", "--output", tmp_path / "new") == 0
    assert set(positions(tmp_path / "new", 2)[ONE]) == expected


def test_a_copy_leaves_out_a_batch_that_was_not_finished(tmp_path: Path, capsys) -> None:
    old = FROZEN / "uncommitted_last_batch" / "checkpoint"
    assert run(old) == 0
    last = int(capsys.readouterr().out.split("End of batch ")[1].split()[0])
    name = next(iter(positions(old, last - 1)))
    target = tmp_path / "new"
    assert run(old, "--set", f"{name}=trim_horizon", "--output", target) == 0
    assert f"Not in it: batch {last}" in capsys.readouterr().out
    assert not (target / "offsets" / str(last)).exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--set", f"{ONE}=trim_horizon"], "OFFSET_PLACE"),
        (["--output", "x"], "OFFSET_PLACE"),
        (["--set", "shardId-9=trim_horizon", "--output", "x"], "OFFSET_PLACE"),
        (["--set", ONE, "--output", "x"], "OFFSET_PLACE"),
        (["--set", f"{ONE}=at:yesterday", "--output", "x"], "OFFSET_PLACE"),
        (["--set", f"{ONE}=after:12", "--output", "x"], "OFFSET_PLACE"),
        (["--set", f"{ONE}=after:x@2026-01-02", "--output", "x"], "OFFSET_SEQUENCE_NUMBER"),
        (["--set", f"{ONE}=trim_horizon", "--output", "."], "OFFSET_TARGET"),
        (["--set", f"{ONE}=trim_horizon", "--output", "s3://bucket/x"], "OFFSET_TARGET"),
        (["--batch", "99"], "OFFSET_NO_CHECKPOINT"),
    ],
)
def test_what_is_refused(checkpoint: Path, tmp_path, monkeypatch, capsys, arguments, code) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(checkpoint)
    assert run(checkpoint, *arguments) == 1
    assert f"[{code}]" in capsys.readouterr().err
    assert files(checkpoint) == before
    assert not (tmp_path / "x").exists()


def test_directories_that_are_no_checkpoints_of_ours(tmp_path: Path, capsys) -> None:
    assert run(tmp_path) == 1
    assert "[OFFSET_NO_CHECKPOINT]" in capsys.readouterr().err
    assert run("dbfs:/checkpoints/x") == 1
    assert "only local directories" in capsys.readouterr().err
    offsets = tmp_path / "offsets"
    offsets.mkdir()
    for text in ('v1\n{}\n{"topic": {"0": 5}}', "v9\n{}\n{}", ""):
        (offsets / "0").write_text(text)
        assert run(tmp_path) == 1
        assert "[OFFSET_UNREADABLE]" in capsys.readouterr().err
    (offsets / "0").write_text('v1\n{}\n{"v": 99, "streams": {}}')
    assert run(tmp_path) == 1
    assert "[OFFSET_NEWER_VERSION]" in capsys.readouterr().err


def test_a_query_that_never_finished_a_batch_cannot_be_moved(tmp_path: Path, capsys) -> None:
    old = FROZEN / "latest_idle_uncommitted" / "checkpoint"
    place = "shardId-000000000000=trim_horizon"
    assert run(old, "--set", place, "--output", tmp_path / "new") == 1
    assert "[OFFSET_NOT_COMMITTED]" in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["copy", "offsets/copy", "../old/copy"])
def test_nothing_is_written_into_the_checkpoint(checkpoint: Path, capsys, inside: str) -> None:
    before = files(checkpoint)
    target = checkpoint / inside
    assert run(checkpoint, "--set", f"{ONE}=trim_horizon", "--output", target) == 1
    assert "[OFFSET_TARGET]" in capsys.readouterr().err
    assert files(checkpoint) == before


def test_another_source_s_line_stays_a_line(checkpoint: Path, tmp_path: Path, capsys) -> None:
    file = checkpoint / "offsets" / "2"
    lines = file.read_text("utf-8").split("\n")
    odd = '{"topic":"a\u2028b\u0085c"}'
    file.write_text("\n".join((*lines[:2], odd, *lines[2:])), "utf-8")
    new = tmp_path / "new"
    assert run(checkpoint, "--set", f"{ONE}=trim_horizon", "--output", new) == 0
    assert (new / "offsets" / "2").read_text("utf-8").split("\n")[2] == odd


@pytest.mark.parametrize(
    "places", [(f"{ONE}=at:2099-01-01T00:00:00Z",), (f"{ONE}=trim_horizon", f"{ONE}=end")]
)
def test_places_that_make_no_sense(checkpoint: Path, tmp_path: Path, capsys, places) -> None:
    given = [word for place in places for word in ("--set", place)]
    assert run(checkpoint, *given, "--output", tmp_path / "new") == 1
    assert "[OFFSET_PLACE]" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_time_s_error_gives_no_advice_that_is_refused(checkpoint: Path, tmp_path, capsys) -> None:
    assert run(checkpoint, "--set", f"{ONE}=at:soon", "--output", tmp_path / "new") == 1
    assert "latest" not in capsys.readouterr().err

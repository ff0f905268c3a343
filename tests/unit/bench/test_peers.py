"""The comparison with other connectors: who takes part, and what is computed of their turns."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.peers import contenders, installed, run
from bench.peers.contenders import AWSLABS_OPTIONS, CONTENDERS, OURS, filled
from bench.peers.installed import NotAvailableError, jars_of, python_with, reason_in
from bench.peers.process_tree import Sample
from bench.peers.results import exactness_of, figures_of_turns, missing_text, ratios
from bench.peers.turn import SHARDS, Load, Turn, turn_of

LOAD = Load("1 KB", 1_000, 75_000)
SERVER = SimpleNamespace(
    endpoint_url="http://127.0.0.1:9", settings=SimpleNamespace(shards=32, records_per_shard=7)
)
MAVEN_SAID = """
[\x1b[1;31mERROR\x1b[m] Failed to execute goal: Could not find artifact a:b:jar:1 in c (https://h/p)
[\x1b[1;31mERROR\x1b[m] For more information read
[\x1b[1;31mERROR\x1b[m] [Help 1] http://h/help
"""


def turn(value: float, *, rows: int = LOAD.rows, steady: float | None = 1.0) -> Turn:
    return Turn(value, steady, value, value, int(value * 1e6), rows)


def by_path():
    return next(each for each in CONTENDERS if each.name == "PEER_JAR")


@pytest.fixture
def jar(tmp_path, monkeypatch):
    monkeypatch.setattr(contenders, "python_with", lambda *_, offline: Path(sys.executable))
    for name in ("PEER_FORMAT", "PEER_OPTIONS", "PEER_PYSPARK"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "peer.jar"
    path.touch()
    monkeypatch.setenv("PEER_JAR", str(path))
    return path


# -- turns --------------------------------------------------------------------------------------


def test_a_load_is_of_all_shards():
    assert (LOAD.rows, LOAD.megabytes) == (2_400_000, 2_400.0)


def test_bytes_that_are_sent_twice_are_no_data_delivered():
    load = Load("x", 1_000_000, 1)  # 32 MB of data, of which 64 MB are sent
    samples = [Sample(n, n * 0.32, n * 1_000, n * 6_400_000) for n in range(11)]
    made = turn_of({"wall_s": 9.0, "first_s": None, "rows": 32}, samples, load)
    assert made.cpu_ms_per_mb == pytest.approx(100)
    assert made.steady_ms_per_mb == pytest.approx(100)
    assert made.peak_bytes == 10_000


def test_a_turn_without_samples_in_its_middle_has_no_steady_cpu():
    samples = [Sample(0, 0.0, 1, 0), Sample(1, 2.4, 1, 9_000)]
    made = turn_of({"wall_s": 1.0, "first_s": 1.0, "rows": 1}, samples, LOAD)
    assert made.steady_ms_per_mb is None
    assert made.cpu_ms_per_mb == pytest.approx(1.0)


# -- figures ------------------------------------------------------------------------------------


def test_figures_are_medians_and_say_that_all_rows_came():
    found = figures_of_turns(LOAD, "Other", [turn(1.0), turn(9.0), turn(2.0)])
    assert [(f.measure, f.value) for f in found] == [
        ("1 KB, Other: CPU, start to end", 2.0),
        ("1 KB, Other: CPU, steady", 1.0),
        ("1 KB, Other: query", 2.0),
        ("1 KB, Other: peak memory", 2.0),
    ]
    assert found[2].note == "2,400 MB, 3 rounds; all rows"


def test_lost_and_doubled_rows_are_in_the_note():
    turns = [turn(1.0, rows=LOAD.rows - 5, steady=None), turn(1.0, steady=None)]
    found = figures_of_turns(LOAD, "Other", turns)
    assert found[1].note.endswith("2 rounds; rows too many (or, below 0, too few): [-5]")
    assert not [figure for figure in found if "steady" in figure.measure]


def test_ratios_are_formed_in_each_round():
    turns = {OURS: [turn(2.0), turn(30.0), turn(4.0)], "Other": [turn(1.0), turn(10.0), turn(2.0)]}
    found = {figure.measure: figure.value for figure in ratios(LOAD, turns)}
    assert found["1 KB, query: this source / Other"] == 2.0
    assert found["1 KB, CPU, steady: this source / Other"] == 1.0


def test_there_is_no_ratio_where_a_turn_is_missing():
    assert ratios(LOAD, {OURS: [turn(1.0)], "Other": [turn(1.0), turn(2.0)]}) == []
    assert ratios(LOAD, {"Other": [turn(1.0)]}) == []


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "of 32: exact"),
        ({"fewest": 31, "most": 33}, "NOT EXACT"),
        ({"keys": 74_999}, "NOT EXACT"),
        ({"rows": 2_400_001}, "NOT EXACT"),
    ],
)
def test_exact_is_each_key_once_from_each_shard(changed, verdict):
    said = {"rows": LOAD.rows, "keys": 75_000, "fewest": SHARDS, "most": SHARDS, **changed}
    assert exactness_of("Other", LOAD, said).note.endswith(verdict)


# -- who takes part -----------------------------------------------------------------------------


def test_without_a_jar_that_contender_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("PEER_JAR", raising=False)
    with pytest.raises(NotAvailableError, match="awslabs publishes none"):
        by_path().install(True)
    monkeypatch.setenv("PEER_JAR", str(tmp_path / "none.jar"))
    with pytest.raises(NotAvailableError, match="is no file"):
        by_path().install(True)


def test_a_jar_is_taken_for_awslabs_connector(jar):
    program = by_path().install(True)(SERVER)
    assert program.format == "aws-kinesis"
    assert program.conf == {"spark.jars": str(jar)}
    assert program.options["kinesis.endpointUrl"] == "http://127.0.0.1:9"
    assert program.options["kinesis.maxFetchRecordsPerShard"] == "7"
    assert set(program.options) == set(AWSLABS_OPTIONS)


def test_a_jar_of_another_has_its_own_options_alone(jar, monkeypatch):
    monkeypatch.setenv("PEER_FORMAT", "other")
    monkeypatch.setenv("PEER_OPTIONS", json.dumps({"url": "{endpoint}/", "limit": 5}))
    program = by_path().install(True)(SERVER)
    assert program.format == "other"
    assert program.options == {"url": "http://127.0.0.1:9/", "limit": "5"}


def test_options_are_filled_in():
    options = {"a": "{endpoint}", "b": "{records}", "c": "{other}"}
    assert filled(options, endpoint="e", records=3) == {"a": "e", "b": "3", "c": "{other}"}


def test_offline_installs_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(installed, "CACHE", tmp_path / "cache")
    with pytest.raises(NotAvailableError, match=r"pyspark3\.5\.7 is not in cache/, and --offline"):
        python_with("pyspark==3.5.7", offline=True)
    with pytest.raises(NotAvailableError, match="g_a_1 is not in cache/, and --offline"):
        jars_of("g:a:1", offline=True)
    assert not list(tmp_path.iterdir())


def test_what_was_installed_is_taken_offline_too(monkeypatch, tmp_path):
    monkeypatch.setattr(installed, "CACHE", tmp_path)
    for name in ("pyspark3.5.7", "g_a_1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "complete").touch()
    assert python_with("pyspark==3.5.7", offline=True) == tmp_path / "pyspark3.5.7/bin/python"
    assert jars_of("g:a:1", offline=True) == []


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (MAVEN_SAID, "Failed to execute goal: Could not find artifact a:b:jar:1 in c (...)"),
        ("Looking in http://h/simple\nERROR: No matching distribution\n\n", "ERROR: No matching "),
        ("", "it said nothing"),
    ],
)
def test_a_reason_is_one_line_without_addresses(said, reason):
    assert reason_in(said).startswith(reason)
    assert "http" not in reason_in(said)


# -- the run ------------------------------------------------------------------------------------


def test_who_is_missing_is_shown_and_kept_and_a_failure_is_the_exit_code(
    monkeypatch, tmp_path, capsys
):
    def refuse(_):
        raise NotAvailableError("not served")

    def one_turn(program, load, server):
        if program == "bad":
            raise RuntimeError("exit code 1")
        return turn(2.0, rows=load.rows)

    fakes = [("good", lambda _: lambda _: "good"), ("bad", lambda _: lambda _: "bad")]
    monkeypatch.setattr(
        run,
        "CONTENDERS",
        [SimpleNamespace(name=n, install=i) for n, i in [*fakes, ("gone", refuse)]],
    )
    said = {"rows": 640_000, "keys": 20_000, "fewest": 32, "most": 32}
    monkeypatch.setattr(run, "one_turn", one_turn)
    monkeypatch.setattr(run, "run_program", lambda *_, verify: (said, None))
    monkeypatch.setattr(run, "serve", lambda _: nullcontext())
    monkeypatch.setattr(run, "use_no_aws_settings", lambda: None)
    monkeypatch.setattr(run.signal, "signal", lambda *_: None)
    monkeypatch.setattr(run, "_RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["run", "--quick", "--offline"])

    assert run.main() == 1

    shown = capsys.readouterr()
    assert "gone: not available: not served" in shown.out
    assert "FAILED: 1 KB, bad, 100 B, bad" in shown.out
    kept = json.loads((tmp_path / "peers-quick.json").read_text())
    assert set(kept["not_available"]) == {"Flink", "gone"}
    assert kept["figures"]["exactness"][0]["note"].endswith("exact")


def test_missing_text_is_a_line_each():
    assert missing_text({"a": "b", "c": "d"}) == "a: not available: b\nc: not available: d"

from __future__ import annotations

import json

import pytest

from bench.report import Figure, document, figure_of, figures_of, table, write_json


@pytest.mark.parametrize(
    ("value", "target", "target_is", "is_met"),
    [
        (2.0, 2.0, "at least", True),
        (1.9, 2.0, "at least", False),
        (2.0, 2.0, "at most", True),
        (2.1, 2.0, "at most", False),
        (2.0, None, None, None),
    ],
)
def test_a_target_is_met_on_its_own_side(value, target, target_is, is_met):
    assert Figure("m", value, "x", target=target, target_is=target_is).is_met is is_met


def test_repeats_become_their_median_with_the_spread():
    figure = figure_of("m", [3.0, 1.0, 2.0], "s", note="warm")

    assert (figure.value, figure.spread, figure.note) == (2.0, (1.0, 3.0), "warm")


def test_the_table_shows_what_was_missed():
    shown = table(
        {
            "decode": [Figure("fast", 9.0, "x", target=8.0, target_is="at least")],
            "latency": [
                Figure("slow", 1234.5, "ms", spread=(1.0, 2000.0), target=5.0, target_is="at most"),
                Figure("plain", 0.5, "s", note="noted"),
            ],
        }
    )

    fast, slow, plain = (line for line in shown.splitlines() if line.startswith(("f", "s", "p")))
    assert "at least 9.0" not in fast
    assert fast.split() == ["fast", "9", "x", "at", "least", "8", "met"]
    assert slow.split("  ")[0] == "slow"
    assert "1 .. 2,000" in slow
    assert "MISSED" in slow
    assert plain.endswith("no target  noted")


def test_figures_survive_the_file(tmp_path):
    groups = {"decode": [figure_of("m", [1.0, 2.0], "x", target=1.0, target_is="at least")]}
    path = tmp_path / "results" / "quick.json"

    write_json(path, document(groups, quick=True, load_average=(0.1, 0.2, 0.3)))

    content = json.loads(path.read_text())
    assert figures_of(content) == groups
    assert content["figures"]["decode"][0]["is_met"] is True
    assert content["machine"]["cores"] >= 1
    assert content["machine"]["load_average_at_start"] == [0.1, 0.2, 0.3]
    assert {"python", "pyspark", "botocore", "kinesis-source", "java"} <= set(content["versions"])

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bench import run
from bench.report import Figure


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Put modules in the place of the real ones; they run as files, in processes of their own."""
    (tmp_path / "results").mkdir()
    for name, value in {"startup": "1.0", "decode": "2.0", "zzz": "1 / 0", "_support": ""}.items():
        figure = f"[Figure('{name}', {value}, 'x', target=9.0, target_is='at least')]"
        (tmp_path / f"{name}.py").write_text(
            f"from bench.report import Figure, main\nmain(lambda quick: {figure})\n"
        )
    monkeypatch.setattr(run.measure, "__path__", [str(tmp_path)])
    monkeypatch.setattr(run, "_RESULTS", tmp_path / "results")

    def run_file(command, *, check, **rest):
        path = tmp_path / f"{command[2].rpartition('.')[2]}.py"
        return subprocess.run(
            [command[0], str(path), *command[3:]], check=check, env={"PYTHONPATH": "."}, **rest
        )

    fake = SimpleNamespace(run=run_file, DEVNULL=subprocess.DEVNULL)
    monkeypatch.setattr(run, "subprocess", fake)
    return tmp_path


def test_modules_run_in_their_order_and_helpers_do_not(modules):
    assert run.module_names() == ["decode", "startup", "zzz"]


def test_all_are_run_and_kept_though_one_fails(modules, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "--quick"])

    assert run.main() == 1

    shown = capsys.readouterr()
    assert "FAILED: zzz" in shown.out
    assert "MISSED" in shown.out
    kept = json.loads((modules / "results" / "quick.json").read_text())
    assert list(kept["figures"]) == ["decode", "startup"]
    assert kept["figures"]["decode"][0]["value"] == 2.0


def test_named_modules_alone_leave_the_results_as_they_are(modules, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "startup"])

    assert run.main() == 0

    assert "startup" in capsys.readouterr().out
    assert not list((modules / "results").iterdir())


def test_a_missed_target_is_no_failure(modules):
    assert run.run_module("decode", quick=True) == [
        Figure("decode", 2.0, "x", target=9.0, target_is="at least")
    ]

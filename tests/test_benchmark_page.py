"""The table of benchmarks in the documentation, and the command that makes its figures."""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.records import Record

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("benchmarktable", ROOT / "docs" / "_ext" / "benchmarktable.py")
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)

SPREAD = {
    "ours_s": 2e-3,
    "ours_min_s": 1.5e-3,
    "ours_max_s": 0.25,
    "peer_s": 1.0,
    "peer_min_s": 1.0,
    "peer_max_s": 70.0,
}


def record(**changes):
    fixed = {"peer": "peer | other", "peer_version": "1.2", "runs": 5, "at_least": 100.0, "instruction_set": "AVX2"}
    return Record(**{"task": "T1", "agreement": 1e-12, "agreement_limit": 1e-10, **SPREAD, **fixed, **changes})


def test_a_row_says_all_that_was_measured():
    lines = page.table([record().to_dict()]).splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        "| T1 | peer \\| other | 1.2 | 1 | 2.00 ms (1.50 ms to 250 ms) | 1.00 s (1.00 s to 70.0 s) | 500 × | 100 ×"
        " | 1.0e-12 (limit 1e-10) | AVX2 |"
    )


def test_a_disagreement_has_no_ratio_and_a_broken_promise_is_marked():
    apart, slow = record(task="T1", agreement=1e-3), record(task="T0", agreement=None, at_least=1000.0)
    lines = page.table([apart.to_dict(), slow.to_dict()]).splitlines()
    assert "| T0 " in lines[2]
    assert "| 1,000 × (below) | nothing to compare |" in lines[2]
    assert "| none: the results disagree | 100 × |" in lines[3]


def test_no_results_is_said():
    assert "No results" in page.table([])


def test_every_record_that_is_kept_can_be_shown():
    kept = page.records()
    assert kept
    assert page.table(kept).count("\n") == len(kept) + 1
    names = {name for each in kept for name in each}
    assert names == set(record().to_dict())


def test_the_page_has_the_mark():
    assert page.MARK in (ROOT / "docs" / "explanation" / "benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("agrees", [True, False])
def test_the_command_writes_its_records_and_fails_on_a_disagreement(agrees, tmp_path, monkeypatch, capsys):
    made = record(agreement=0.0 if agrees else 1.0)
    monkeypatch.setattr(benchmarks, "TASKS", {"T1": lambda: iter([made]), "T9": lambda: iter([made])})
    monkeypatch.setattr(benchmarks, "on_one_core", lambda: None)
    file = tmp_path / "made.json"
    for arguments in (["--json", str(file)], ["--only", "T9,T1"], ["--json"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", *arguments])
        assert benchmarks.main() == (0 if agrees else 1)
    assert json.loads(file.read_text(encoding="utf-8")) == [made.to_dict()] * 2
    assert json.loads(capsys.readouterr().out.split("[", 1)[1].join(["[", ""])) == [made.to_dict()] * 2


def test_a_task_that_there_is_not():
    with pytest.raises(argparse.ArgumentTypeError, match="no task T99"):
        benchmarks.tasks("T1,T99")

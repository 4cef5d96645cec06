"""The benchmark of swaps: books and histories that contain one another, what ORE reads, and agreement where it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # reads what the benchmark wrote

import numpy as np
import pytest

from benchmarks import swap_var
from benchmarks.swap_var import Case


def test_a_smaller_case_is_a_part_of_a_larger_one():
    """Or differences of their times would be no marginal cost."""
    large, small = Case(12, 60), Case(5, 30)
    assert large.swaps[:5] == small.swaps
    assert large.days[-31:] == small.days
    assert (large.history[-31:] == small.history).all()
    (pnl, _), (part, _) = swap_var.ours(Case(5, 60)), swap_var.ours(small)
    assert pnl[-30:] == pytest.approx(part, abs=1e-6)


def test_what_ore_reads(tmp_path):
    case = Case(3, 10)
    swap_var.write_inputs(case, tmp_path / "in")
    for file in (tmp_path / "in").glob("*.xml"):
        ET.parse(file)  # noqa: S314
    trades = ET.parse(tmp_path / "in" / "portfolio.xml").findall("Trade")  # noqa: S314
    assert len(trades) == 3
    assert [float(each.text) for each in trades[0].iter("Rate")] == [case.swaps[0].rate]
    lines = (tmp_path / "in" / "scenarios.csv").read_text().splitlines()
    assert len(lines) == 1 + 11
    factors = np.array(lines[-1].split(",")[3:], dtype=float)
    assert (factors[: len(factors) // 2] == factors[len(factors) // 2 :]).all()


def test_both_sides_agree(tmp_path, monkeypatch):
    python = swap_var.peer_python()
    if not python:
        pytest.skip(f"no ORE: {swap_var.PYTHON_OF} names no Python that has it")
    monkeypatch.setattr(swap_var, "INNER", 1)
    assert swap_var.turn(Case(4, 200), python, tmp_path)["agreement"] < swap_var.AGREEMENT


def test_without_ore_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(swap_var, "peer_python", lambda: "")
    assert list(swap_var.records()) == []
    assert "BENCH_ORE" in capsys.readouterr().err

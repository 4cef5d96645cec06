"""The sample book's figures have not moved.

Refresh on purpose only: `CROSSMARGIN_REFRESH_GOLDEN=1 python -m pytest tests/golden`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from crossmargin import samples
from crossmargin.analysis.attribution import attribute
from crossmargin.margin import compare

FROZEN = Path(__file__).with_name("basis_trade.json")
CENT = 0.01


@pytest.fixture(scope="module")
def found() -> dict:
    sample = samples.basis_trade()
    comparison = compare(*sample)
    levels = ("clearing", "customer")
    record = {
        "totals": {level: comparison.totals(level) for level in levels},
        "records": [record for report in comparison.reports for record in report.to_records()],
        "refused": {
            report.regime: {d.position: [r.condition for r in d.because] for d in report.refused()}
            for report in comparison.reports
        },
        "bridges": {
            f"siloed to {other}": {line.name: line.value for line in attribute(*sample, other=other).steps}
            for other in ("cross_margin", "harmonized")
        },
    }
    if os.environ.get("CROSSMARGIN_REFRESH_GOLDEN") == "1":
        FROZEN.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


@pytest.fixture(scope="module")
def frozen() -> dict:
    return json.loads(FROZEN.read_text(encoding="utf-8"))


def close(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return left == pytest.approx(right, rel=1e-9, abs=CENT)


def test_totals(found, frozen):
    assert found["totals"].keys() == frozen["totals"].keys()
    for level, totals in frozen["totals"].items():
        assert found["totals"][level].keys() == totals.keys()
        assert all(close(found["totals"][level][regime], total) for regime, total in totals.items())


def test_records(found, frozen):
    assert len(found["records"]) == len(frozen["records"])
    for now, then in zip(found["records"], frozen["records"], strict=True):
        assert {**now, "amount": 0} == {**then, "amount": 0}
        assert close(now["amount"], then["amount"]), now["pool"]


def test_bridges(found, frozen):
    assert found["bridges"].keys() == frozen["bridges"].keys()
    for pair, steps in frozen["bridges"].items():
        assert found["bridges"][pair].keys() == steps.keys()
        assert all(close(found["bridges"][pair][name], amount) for name, amount in steps.items())


def test_refusals(found, frozen):
    assert found["refused"] == frozen["refused"]

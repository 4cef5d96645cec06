"""The page on uncleared margin with SIMM runs from top to bottom, on a made-up calibration and a made-up book."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from attrs import evolve

from crossmargin.io.crif import crif_of, crif_text
from crossmargin.simm import LICENCE, Sensitivities, simm
from tests.simm import made_up

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "margin_uncleared_swaps_with_simm.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```{code-block} python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def names(tmp_path, monkeypatch, capsys):
    """What stands in the page's names after its last block, and what it printed."""
    monkeypatch.chdir(tmp_path)
    risks = Sensitivities.from_records(made_up.book(200, 3))
    both = [evolve(risks, amount_usd=risks.amount_usd * scale) for scale in (3.0, -50.0)]
    texts = [crif_text(crif_of(each, portfolio=name)) for each, name in zip(both, "AB", strict=True)]
    Path("book.csv").write_text(texts[0] + texts[1].partition("\n")[2], encoding="utf-8")
    Path("simm.json").write_text(json.dumps(made_up.calibration()), encoding="utf-8")
    found = {}
    for block in BLOCKS:
        exec(block, found)  # noqa: S102
    return found | {"printed": capsys.readouterr().out}


def test_the_page_runs(names):
    assert len(BLOCKS) == 5
    sets = {name: found.total for name, found in names["collect"].items()}
    assert sets.keys() == {"A", "B"}
    assert names["required"].value == pytest.approx(sum(sets.values()))
    threshold = names["p"].initial_margin_threshold
    assert names["required"].value > threshold
    assert names["to_collect"].value == pytest.approx(names["required"].value - threshold)
    assert names["moves"].value == names["to_collect"].value
    assert "cftc True" in names["printed"]


def test_margin_asks_what_the_other_party_asks_of_each_netting_set(names):
    crif, report = names["crif"], names["report"]
    asked = [
        simm(crif.sensitivities(name), names["calibration"], side="post", add_ons=crif.add_ons(name)).total
        for name in crif.portfolios
    ]
    assert report.total("customer") == pytest.approx(sum(asked))
    assert not report.partial
    assert "SIMM of what is held with B" in names["printed"]


def test_the_licence_is_met_on_the_way(names):
    assert LICENCE in names["printed"]
    assert all(LICENCE in found.line().note for found in names["collect"].values())
    assert all(word in " ".join(PAGE.split()) for word in ("needs a licence from ISDA", "isdalegal@isda.org"))

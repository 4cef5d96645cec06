"""The printed report says whose law protects what, what is locked, refused and left out, and where it sits."""

from __future__ import annotations

from crossmargin.collateral import balances, collateral_text
from tests.collateral.pots import GOLD, SECURITIES, UNPRICED, USD, A, box, market, need, posted


def test_every_table_is_there_and_says_its_part():
    asked = [need(50.0, "OCC", A, SECURITIES), need(50.0, owner=A), need(90.0, "carrying firm", A, level="customer")]
    held = [
        posted("s", USD, 80.0, "OCC", A, SECURITIES),
        posted("x", UNPRICED, 1.0, owner=A),
        posted("g", GOLD, 1.0, "OCC", A, SECURITIES),
        box("d", USD, 90.0, A),
        posted("p", USD, 40.0, owner=A, passed_on="d"),
    ]
    report = balances(asked, [], held, market())
    text = collateral_text(report, held)
    for said in (
        "Collateral owed to clearing houses, USD, as of 2026-06-30",
        "Collateral owed to the carrying firm by its customers",
        "Who is protected by which law",
        "17 CFR 240.15c3-3",
        "SIPA / chapter 7 subchapter III",
        "Excess that may cover nothing else",
        "securities_and_futures_apart",
        "Not eligible",
        "Not modelled (totals leave these out)",
        "NOPRICE",
        "* leaves something out",
        "Where each deposit sits",
        "40 at CME",
    ):
        assert said in text, said
    assert not any(line.startswith("p ") for line in text.splitlines())  # the dollar passed on is shown once
    assert str(report) == collateral_text(report)
    assert all(line == line.rstrip() for line in text.splitlines())


def test_an_empty_report_is_an_empty_text():
    assert collateral_text(balances([], [], [], market())) == "\n"


def test_the_house_is_not_segregated():
    assert "not segregated" in collateral_text(balances([need(1.0)], [], [], market()))

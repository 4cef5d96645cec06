"""Books from files in a study: the same on every day from the issue of all that they hold, gaps before it."""

from __future__ import annotations

from datetime import date
from functools import partial
from types import SimpleNamespace

import pytest
from attrs import evolve

from crossmargin.accounts import Account, Firm
from crossmargin.analysis.population import _on, population
from crossmargin.analysis.study import Plan, run, study_days
from crossmargin.errors import InputError
from crossmargin.io.book_writer import write_book
from crossmargin.io.market_files import packaged_history
from crossmargin.market import Market
from crossmargin.portfolio import Portfolio, Position
from crossmargin.posted import Posted
from crossmargin.products import (
    BondTotalReturnSwap,
    CreditDefaultSwap,
    FutureOption,
    Repo,
    TreasuryFuture,
    TreasuryNote,
)
from crossmargin.regimes import REGIMES

HOUSE = Account("A", "F", "F", "PROPRIETARY")
OLD, NEW = (TreasuryNote(0.02, date(year + 10, 2, 15), issue=date(year, 2, 15)) for year in (2014, 2016))
FUTURE = TreasuryFuture("ZN", 201703, (OLD, NEW))


@pytest.mark.parametrize(
    ("product", "first"),
    [
        (OLD, date(2014, 2, 15)),
        (NEW, date(2016, 2, 15)),
        (evolve(NEW, issue=None), None),
        (Repo(NEW, date(2016, 7, 1), date(2017, 7, 3), 0.01), date(2016, 2, 15)),
        (BondTotalReturnSwap(NEW, date(2017, 7, 3)), date(2016, 2, 15)),
        (FUTURE, date(2014, 2, 15)),
        (FutureOption(FUTURE, "call", 120.0, date(2017, 2, 24)), None),
        (CreditDefaultSwap("ACME", 0.01, date(2021, 6, 20)), None),
    ],
)
def test_a_book_begins_when_all_it_holds_is_issued(product, first):
    """What is not issued is no part of the book, a smaller figure would be wrong: the day is a gap, with its reason."""
    build = partial(_on, Portfolio([Firm("F")], [], [HOUSE], [Position("p", "A", product, 1.0)]))
    for day in (date(2000, 1, 3), date(2014, 2, 14), date(2014, 2, 15), date(2016, 2, 14), date(2016, 2, 15)):
        if first is None or day >= first:
            (held,) = build(SimpleNamespace(as_of=day))[0].positions
            assert held.id == "p"
        else:
            with pytest.raises(InputError, match=f"position 'p': .* cannot be held before {first}"):
                build(SimpleNamespace(as_of=day))


def test_the_basket_of_a_future_holds_what_is_issued():
    option = FutureOption(FUTURE, "call", 120.0, date(2017, 2, 24))
    held = Portfolio([Firm("F")], [], [HOUSE], [Position("f", "A", FUTURE, 1.0), Position("o", "A", option, 1.0)])
    future, on_it = (each.product for each in _on(held, SimpleNamespace(as_of=date(2016, 2, 14)))[0].positions)
    assert future.basket == on_it.underlying.basket == (OLD,)
    assert _on(held, SimpleNamespace(as_of=NEW.issue))[0] is held


def test_what_is_posted_before_its_issue_is_refused():
    posted = Posted("d", "F", "F", "CME", "PROPRIETARY", NEW, 1e6)
    held = Portfolio([Firm("F")], [], [HOUSE], [], [posted])
    with pytest.raises(InputError, match=r"posted 'd': .* cannot be held before 2016-02-15"):
        _on(held, SimpleNamespace(as_of=date(2016, 2, 12)))


def test_a_study_has_a_gap_before_the_issue(tmp_path):
    write_book(Portfolio([Firm("F")], [], [HOUSE], [Position("p", "A", NEW, 1e6)]), tmp_path / "books" / "fund")
    market = Market.from_history(packaged_history(), date(2015, 12, 31))
    days = study_days(market.history, date(2014, 12, 1), date(2015, 12, 31))
    plan = Plan("fund", population(tmp_path / "books"), market, days, REGIMES[:2], resamples=2, coverage_every=0)
    study = run(plan, tmp_path / "out")
    assert [(row["day"], row["step"]) for row in study.tables["gaps"]] == [(str(day), "figures") for day in days]
    assert len({row["why"] for row in study.tables["gaps"]}) == 1  # one line of the page
    assert "cannot be held before 2016-02-15" in study.tables["gaps"][0]["why"]
    assert not study.tables["figures"]

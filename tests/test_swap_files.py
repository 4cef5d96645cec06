"""Fixings, swap rates and credit spreads from files: read back, built into curves, every fault with its place."""

from __future__ import annotations

import gzip
from datetime import date
from io import StringIO

import numpy as np
import pytest
from attrs import evolve

from crossmargin.curves import zero_rates
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.io.market_files import packaged_market, read_market_directory, read_money_market
from crossmargin.io.swap_files import (
    SWAP_FILES,
    read_credit_spreads,
    read_fixings,
    read_swap_files,
    read_swap_rates,
)
from crossmargin.margin import margin
from crossmargin.market import Market
from crossmargin.pricing.swap_curve import spot_swap
from crossmargin.pricing.swaps import SwapCurves, par_rates
from crossmargin.products import InterestRateSwap
from crossmargin.swap_market import CreditSpreads, ZeroCurve
from tests.test_market_files import problems_of
from tests.test_swaps_in_portfolios import AS_OF, RUNNING, portfolio_of

MARKET = packaged_market()
QUOTES = {"1Y": 0.0370, "2Y": 0.0355, "5Y": 0.0361, "18M": 0.0360}
RATES = "index,tenor,rate_pct\n" + "".join(f"SOFR,{tenor},{100 * rate:.4f}\n" for tenor, rate in QUOTES.items())


def test_a_curve_reprices_what_it_was_built_from():
    curve = read_swap_rates(StringIO(RATES), MARKET)["SOFR"]
    swaps = [spot_swap(MARKET.as_of, tenor) for tenor in QUOTES]
    found = par_rates(swaps, MARKET.as_of, SwapCurves(curve.knots, curve.zeros[:, None]))
    assert found.ravel() == pytest.approx(list(QUOTES.values()), abs=1e-12)


@pytest.mark.parametrize("with_sofr", [True, False])
def test_a_term_curve_is_discounted_at_sofr_or_at_the_par_curve(with_sofr):
    table = (RATES if with_sofr else "index,tenor,rate_pct\n") + "TERM-SOFR-3M,1Y,3.75\nTERM-SOFR-3M,3Y,3.6\n"
    curves = read_swap_rates(StringIO(table), MARKET)
    term, par = curves["TERM-SOFR-3M"], zero_rates(MARKET.curve.tenors, MARKET.curve.par[:, None])
    discount = (curves["SOFR"].knots, curves["SOFR"].zeros[:, None]) if with_sofr else par
    spot = spot_swap(MARKET.as_of, "3Y")
    swap = InterestRateSwap("pay", 0.0, spot.start, spot.maturity)
    both = SwapCurves(*discount, {"TERM-SOFR-3M": (term.knots, term.zeros[:, None])})
    assert float(par_rates([swap], MARKET.as_of, both)[0, 0]) == pytest.approx(0.036, abs=1e-12)


def test_a_directory_gives_the_market_all_of_them(tmp_path):
    (tmp_path / "fixings.csv").write_text("date,index,rate_pct\n2026-06-29,SOFR,3.68\n", encoding="utf-8")
    (tmp_path / "swap_rates.csv.gz").write_bytes(gzip.compress(RATES.encode()))
    spreads = "reference,tenor,spread_bp,recovery_pct\nACME,5Y,110,25\nACME,6M,40,\nIG,10Y,90,\n"
    (tmp_path / "credit_spreads.csv").write_text(spreads, encoding="utf-8")
    known = evolve(MARKET, fixings={"SOFR": {date(2026, 6, 26): 0.03, date(2026, 6, 29): 0.03}})
    market = read_swap_files(tmp_path, known)
    assert market.fixings == {"SOFR": {date(2026, 6, 26): 0.03, date(2026, 6, 29): 0.0368}}
    assert set(market.projections) == {"SOFR"}
    acme, index = market.credit["ACME"], market.credit["IG"]
    assert (acme.spreads, acme.recovery, index.recovery) == ({0.5: 0.004, 5.0: 0.011}, 0.25, 0.4)
    assert read_swap_files(tmp_path / "nothing", MARKET) is MARKET


def test_a_running_swap_is_margined_from_files_alone(tmp_path):
    days = [date.fromordinal(AS_OF.toordinal() - back) for back in range(400)]
    yields = "\n".join(f"{day},3.6,{3.7 + 0.001 * (n % 7)},3.9,4.2,4.6" for n, day in enumerate(days))
    (tmp_path / "yields.csv").write_text(f"date,3M,2Y,5Y,10Y,30Y\n{yields}\n", encoding="utf-8")
    rates = "\n".join(f"{day},3.65" for day in days if day < AS_OF)
    (tmp_path / "overnight.csv").write_text(f"date,SOFR\n{rates}\n", encoding="utf-8")
    market = read_market_directory(tmp_path, AS_OF)
    assert not any("not read" in note for note in market.notes)
    book = load_book(write_book(portfolio_of((RUNNING, 1.0)), tmp_path / "book"))
    report = margin(book.portfolio, market)
    assert report.total() > 0
    (tmp_path / "overnight.csv").unlink()
    assert margin(book.portfolio, read_market_directory(tmp_path, AS_OF)).requirements[0].line.amount is None


def test_repo_before_sofr_is_no_fixing_of_it():
    table = "date,SOFR_or_GC_repo,IORB\n2018-03-30,1.8,1.75\n2018-04-02,1.8,1.75\n2018-04-03,1.83,1.75\n"
    assert read_money_market(StringIO(table), date(2018, 4, 3)).fixings == {
        "SOFR": {date(2018, 4, 2): 0.018, date(2018, 4, 3): 0.0183}
    }
    assert read_money_market(StringIO(table), date(2018, 3, 30)).fixings == {}


def test_the_files_of_the_reference_page_are_these():
    from tests.test_market_files import ROOT

    page = (ROOT / "docs" / "reference" / "market_files.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in SWAP_FILES)


@pytest.mark.parametrize(
    ("reads", "table", "says"),
    [
        (read_fixings, "date,index,rate\n2026-06-29,SOFR,3.68\n", "Did you mean 'rate_pct'?"),
        (read_fixings, "date,index\n2026-06-29,SOFR\n", "column 'rate_pct': the column is missing"),
        (read_fixings, "date,index,index,rate_pct\n", "stands twice"),
        (read_fixings, "date,index,rate_pct\n29.6.2026,SOFR,3.68\n", "row 2, field 'date'"),
        (read_fixings, "date,index,rate_pct\n2026-06-29,SOFR,\n", "field 'rate_pct': is missing"),
        (read_fixings, "date,index,rate_pct\n2026-06-29,SOFR,nan\n", "not finite"),
        (read_fixings, "date,index,rate_pct\n2026-06-29,SOFR,368\n", "100 % or more"),
        (read_fixings, "date,index,rate_pct\n2026-06-29,SOFR,1\n2026-06-29,SOFR,2\n", "row 3: SOFR 2026-06-29 stands"),
        (read_fixings, "date,index,rate_pct\n2026-06-29,SOFR,1,2\n", "4 fields"),
        (read_credit_spreads, "reference,tenor,spread_bp\nACME,5,110\n", "row 2, field 'tenor': '5' is no tenor"),
        (read_credit_spreads, "reference,tenor,spread_bp\nACME,5y,110\n", "Write months or years as 6M or 5Y"),
        (read_credit_spreads, "reference,tenor,spread_bp\nAC\0ME,5Y,110\n", "row 2: holds a null character"),
        (read_credit_spreads, "reference,tenor,spread_bp,\nACME,5Y,110,x\n", "column '': is unknown"),
        (read_credit_spreads, "reference,tenor,spread_bp\nACME,0Y,110\n", "'0Y' is no tenor"),
        (read_credit_spreads, "reference,tenor,spread_bp\nACME,9M,110\n", "no multiple of a half-year"),
        (read_credit_spreads, "reference,tenor,spread_bp\nACME,5Y,-1\n", "is no spread"),
        (
            read_credit_spreads,
            "reference,tenor,spread_bp\nA,1Y,9\nA,5Y,0.0123\n",
            "row 3, field 'spread_bp': 0.0123 bp",
        ),
        (read_credit_spreads, "reference,tenor,spread_bp\nA,5Y,.0123\n", "write 123, if 0.0123 is a decimal"),
        (read_credit_spreads, "reference,tenor,spread_bp\nA,5Y,12300\n", "100 % or more"),
        (read_credit_spreads, "reference,tenor,spread_bp,recovery_pct\nA,1Y,1,40\nA,2Y,1,25\n", "2 recoveries"),
        (read_credit_spreads, "reference,tenor,spread_bp,recovery_pct\nA,1Y,1,-4\n", "not in [0, 1)"),
    ],
)
def test_what_is_wrong_has_its_place(reads, table, says):
    said = problems_of(lambda: reads(StringIO(table)))
    assert any(says in line for line in said), said


def test_blank_columns_at_the_end_are_passed_over():
    table = "reference,tenor,spread_bp,,\nA,5Y,110,,\nB,5Y,90\n"
    assert set(read_credit_spreads(StringIO(table))) == {"A", "B"}


@pytest.mark.parametrize(("written", "decimal"), [("0", 0.0), ("0.1", 1e-5), ("0.4", 4e-5), ("5000", 0.5)])
def test_a_small_spread_is_a_spread(written, decimal):
    table = StringIO(f"reference,tenor,spread_bp\nA,5Y,{written}\n")
    assert read_credit_spreads(table)["A"].spreads == {5.0: decimal}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("SOFR,5,3.6\n", "no tenor"),
        ("SOFR,1Y,3.7\nSOFR,12M,3.8\n", "after that of the one before"),
        ("TERM,9M,3.7\n", "no whole number of half-years"),
        ("TERM,2W,3.7\n", "no tenor"),
        ("SOFR,1Y,3.7\nSOFR,30Y,99\n", "no discount factor"),
        ("SOFR,1Y,0.037\nSOFR,5Y,0.0361\n", "less than a twentieth of the par yield"),
    ],
)
def test_curves_that_cannot_be_built(rows, says):
    said = problems_of(lambda: read_swap_rates(StringIO(f"index,tenor,rate_pct\n{rows}"), MARKET))
    assert any(says in line for line in said), said


def test_all_files_of_a_folder_in_one_error(tmp_path):
    for name, table in (("fixings.csv", "a\n1\n"), ("swap_rates.csv", "b\n1\n"), ("credit_spreads.csv", "c\n1\n")):
        (tmp_path / name).write_text(table, encoding="utf-8")
    said = problems_of(lambda: read_swap_files(tmp_path, MARKET))
    assert all(any(name in line for line in said) for name in SWAP_FILES)


# --------------------------------------------------------------------------------------------- by hand, in a market


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fixings": {"SOFR": {date(2026, 6, 29): 3.68}}}, "no decimal rate"),
        ({"fixings": {"SOFR": {date(2026, 6, 29): float("nan")}}}, "no decimal rate"),
        ({"fixings": {"SOFR": {"2026-06-29": 0.03}}}, "is no date"),
        ({"projections": {"SOFR": ZeroCurve(date(2026, 6, 29), [1.0], [0.03])}}, "the curve is of 2026-06-29"),
        ({"credit": {"ACME": CreditSpreads("BRAVO", {5: 0.01})}}, "holds the spreads of 'BRAVO'"),
    ],
)
def test_a_market_checks_them(changes, says):
    with pytest.raises(InputError, match=says):
        evolve(MARKET, **changes)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ZeroCurve(AS_OF, [], []), "do not increase"),
        (lambda: ZeroCurve(AS_OF, [2.0, 1.0], [0.01, 0.01]), "do not increase"),
        (lambda: ZeroCurve(AS_OF, [1.0, np.nan], [0.01, 0.01]), "do not increase"),
        (lambda: ZeroCurve(AS_OF, [1.0], [0.01, 0.02]), "2 zero rates for 1 knot"),
        (lambda: ZeroCurve(AS_OF, [1.0], [np.nan]), "no decimals"),
        (lambda: ZeroCurve(AS_OF, [1.0], [3.6]), "no decimals"),
        (lambda: CreditSpreads(" ", {5: 0.01}), "no name"),
        (lambda: CreditSpreads("A", {}), "there is none"),
        (lambda: CreditSpreads("A", {5: 110}), "is no spread"),
        (lambda: CreditSpreads("A", {0.25: 0.01}), "no multiple of a half-year"),
        (lambda: CreditSpreads("A", {float("nan"): 0.01}), "no multiple of a half-year"),
        (lambda: CreditSpreads("A", {5: 0.01}, recovery=1.0), "not in [0, 1)"),
    ],
)
def test_what_is_no_curve_and_no_spreads(make, says):
    assert any(says in line for line in problems_of(make))


def test_a_market_keeps_its_own_copy():
    mine = {"SOFR": {date(2026, 6, 29): 0.03}}
    market = Market(MARKET.as_of, MARKET.curve, MARKET.history, fixings=mine)
    mine["SOFR"].clear()
    assert market.fixings == {"SOFR": {date(2026, 6, 29): 0.03}}

"""The models against what happened: real futures prices, real yields, real dates. Skipped without ../shared/data.

The contract in front is the one whose delivery month is the next after the calendar month of the day: it leaves the
front on the first day of its delivery month. Price changes are taken within one contract, over consecutive rows that
both traded. The model sees the par-yield changes of the same two days and nothing else.
"""

from __future__ import annotations

import csv
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from crossmargin.io.market_files import read_market_directory, read_tidy_par_yields
from crossmargin.margin import compare
from crossmargin.market import Market
from crossmargin.methodology import Inputs
from crossmargin.pnl import revalue
from crossmargin.portfolio import Position
from crossmargin.products import (
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
    contract_specs,
    deliverable_basket,
    next_business_day,
)
from crossmargin.products.calendars import add_months
from crossmargin.registry import rules
from crossmargin.rulesets import ficc_gsd
from crossmargin.scenarios import ScenarioSet, ScenarioSpec, scenario_set
from tests.properties.strategies import book

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
FUTURES = DATA / "market" / "ust_futures_contracts_barchart_daily.csv"
YIELDS = DATA / "market" / "ust_par_yields_daily.csv"
MASTER = DATA / "reference" / "ust_security_master_2025-03-13.csv"
pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in (FUTURES, YIELDS, MASTER)), reason="no real history in ../shared/data"
)
FIRST = date(2018, 1, 2)
ONE_DAY = ScenarioSpec("historical", 1, 1)


@cache
def yields():
    return read_tidy_par_yields(YIELDS)


@cache
def securities() -> tuple[TreasuryNote | TreasuryBond, ...]:
    with MASTER.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["inflation_indexed"] != "Yes"]
    found = []
    for row in rows:
        kind = TreasuryNote if float(row["orig_maturity_years"]) < 10.5 else TreasuryBond
        coupon, maturity = float(row["coupon_pct"]) / 100, date.fromisoformat(row["maturity_date"])
        found.append(kind(coupon, maturity, issue=date.fromisoformat(row["issue_date"]), cusip=row["cusip"]))
    return tuple(found)


def basket(contract: str, month: int, day: date) -> tuple[TreasuryNote | TreasuryBond, ...]:
    """What could be delivered, out of what was issued by then; or a stated proxy.

    The list of securities begins with maturities of November 2026. Where the shortest deliverable matures sooner the
    basket would lack its cheapest members: then a note of the least remaining term stands for them all, with the par
    yield of the day as coupon, to the eighth of a per cent.
    """
    first = date(month // 100, month % 100, 1)
    shortest = add_months(first, contract_specs()[contract].grade.min_remaining_months)
    if shortest >= min(security.maturity for security in securities()):
        issued = [security for security in securities() if security.issue <= day]
        if found := deliverable_basket(contract, month, issued):
            return found
    curve = Market.from_history(yields(), day).curve
    par = np.interp((shortest - day).days / 365, curve.tenors, curve.par)
    return (TreasuryNote(round(par * 800) / 800, shortest),)


def traded(contract: str) -> dict[date, tuple[int, float]]:
    """Day -> delivery month and close of the contract in front, on days on which it traded."""
    front: dict[date, tuple[int, float]] = {}
    with FUTURES.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            day, month = date.fromisoformat(row["date"]), int(row["contract"])
            if row["symbol"] != contract or day < FIRST or not float(row["volume"]):
                continue
            if month > day.year * 100 + day.month and month < front.get(day, (10**6, 0.0))[0]:
                front[day] = month, float(row["close"])
    return dict(sorted(front.items()))


def changes(contract: str) -> tuple[np.ndarray, np.ndarray]:
    """Model and real USD change per contract, day on day."""
    rows = {day: row for row, day in enumerate(yields().dates)}
    model, real = [], []
    baskets: dict[int, tuple] = {}
    for (day, (month, price)), (following, (next_month, next_price)) in pairwise(traded(contract).items()):
        if month != next_month or day not in rows or rows.get(following) != rows[day] + 1:
            continue
        held = TreasuryFuture(contract, month, baskets.setdefault(month, basket(contract, month, day)))
        now = Market.from_history(yields(), day)
        shift = yields().par[rows[following]] - yields().par[rows[day]]
        known = np.isfinite(shift)
        drawn = ScenarioSet(ONE_DAY, yields().tenors[known], shift[known, None])
        model.append(revalue([held], now, drawn).row(held)[0])
        real.append((next_price - price) * contract_specs()[contract].point_value)
    return np.array(model), np.array(real)


@pytest.mark.parametrize(("contract", "least_days"), [("ZN", 1600), ("ZF", 1700)])
def test_model_changes_follow_the_real_contract(contract, least_days):
    model, real = changes(contract)
    assert len(model) > least_days
    assert np.corrcoef(model, real)[0, 1] >= 0.9
    slope = float(model @ real / (model @ model))
    assert 0.9 < slope < 1.1  # USD for USD, not only in step
    assert np.std(real - model) < 0.4 * np.std(real)


# ---------------------------------------------------------------------------------------- three regimes on real dates

DATES = {
    date(2018, 12, 31): (date(2018, 2, 5),),
    date(2020, 3, 16): (date(2020, 3, 16), date(2020, 3, 9)),
    date(2023, 3, 13): (date(2023, 3, 13), date(2022, 6, 13), date(2020, 3, 17)),
    date(2025, 3, 13): (date(2023, 3, 13), date(2022, 6, 13), date(2020, 3, 17)),
    date(2026, 6, 30): (date(2023, 3, 13), date(2022, 6, 13), date(2020, 3, 17), date(2026, 6, 30)),
}
STRESSED = date(2008, 9, 15)  # in every window: by look-back or appended


def real_book(as_of: date, of: Market):
    """A note of seven years against the ten-year future, house and customer, in the programme's accounts."""
    coupon = round(float(np.interp(7.0, of.curve.tenors, of.curve.par)) * 800) / 800
    note = TreasuryNote(coupon, add_months(as_of, 84))
    month = next(m for m in (as_of.year * 100 + q for q in (3, 6, 9, 12, 103)) if m > as_of.year * 100 + as_of.month)
    future = TreasuryFuture("ZN", month, (TreasuryNote(coupon, add_months(date(month // 100, month % 100, 1), 80)),))
    settles = next_business_day(as_of)
    held = [
        Position(f"{account}-{kind}", account, product, quantity, settles if kind == "cash" else None)
        for account in ("DUAL-XM", "ALPHA-XM")
        for kind, product, quantity in (("cash", note, 100e6), ("future", future, -950.0))
    ]
    return book(*held)


@pytest.mark.parametrize("as_of", DATES, ids=str)
def test_three_regimes_on_a_real_date(as_of):
    of = read_market_directory(DATA / "market", as_of)
    comparison = compare(real_book(as_of, of), of, as_of=as_of)
    siloed, cross, harmonized = comparison.totals().values()
    assert harmonized > 0
    assert cross <= siloed
    house, customer = as_of >= date(2024, 1, 22), as_of >= date(2026, 4, 30)
    assert {credit.owner for credit in comparison["cross_margin"].credits} == {
        owner for owner, joined in (("DUAL", house), ("ALPHA", customer)) if joined
    }
    assert not [note for report in comparison.reports for note in report.notes if "gap" in note or "dropped" in note]
    assert not [note for note in comparison.reports[0].notes if "history ends" in note or "history begins" in note]


@pytest.mark.parametrize(
    ("as_of", "days"), DATES.items(), ids=lambda value: str(value) if isinstance(value, date) else ""
)
def test_the_look_back_holds_what_it_should(as_of, days):
    (spec,) = ficc_gsd.scenarios(rules("ficc_gsd").at(as_of))
    drawn = scenario_set(spec, yields(), as_of)
    assert {*days, STRESSED} <= set(drawn.ends)
    assert len(set(drawn.ends)) == len(drawn.ends)
    assert max(drawn.ends) == as_of
    assert len(drawn.ends) >= 2490  # ten years of business days
    assert np.isfinite(drawn.shifts).all()


def test_stress_shows_in_the_margin_of_an_unhedged_note():
    """NR-08: the same note asks for more after March 2020 than before, and more after 2022 than after 2020."""
    charges = {}
    for as_of in (date(2020, 2, 14), date(2020, 3, 31), date(2023, 3, 31)):
        of = Market.from_history(yields(), as_of)
        note = TreasuryNote(0.02, add_months(as_of, 120))
        (spec,) = ficc_gsd.scenarios(rules("ficc_gsd").at(as_of))
        spec = evolve(spec, stress_period=None, lookback_years=3)
        pnl = revalue([note], of, scenario_set(spec, yields(), as_of))
        inputs = Inputs(book(), of, {spec: pnl})
        charges[as_of] = -np.quantile(inputs.pooled([Position("p", "a", note, 1e6)], spec), 0.01)
    before, after, later = charges.values()
    assert before < after < later

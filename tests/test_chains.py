"""Chains of quotes: checked columns, robust parity lines, and what two real chains of one day imply."""

from __future__ import annotations

import csv
import math
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.pricing.chains import OptionQuotes, implied_forwards, name_rows
from crossmargin.pricing.implied import QuoteStatus, implied_volatility, implied_volatility_bid_ask
from crossmargin.pricing.volatility import VolatilitySurface

DAY = date(2026, 9, 18)
STRIKES = np.arange(90.0, 111.0, 2.0)


def parity_chain(forward, discount, noise=0.0, spread=0.1, day=DAY):
    gap = discount * (forward - STRIKES) + noise
    call, put = 3.0 + np.maximum(gap, 0.0), 3.0 + np.maximum(-gap, 0.0)
    right = np.repeat([True, False], len(STRIKES))
    mid = np.concatenate([call, put])
    days = [day] * len(mid)
    return OptionQuotes(days, np.tile(STRIKES, 2), right, bid=mid - spread / 2, ask=mid + spread / 2)


# ------------------------------------------------------------------------------------------------------- quotes


def test_every_row_that_is_wrong_is_named_at_once():
    with pytest.raises(InputError) as error:
        OptionQuotes(
            [DAY] * 7,
            [100.0, 100.0, math.nan, 0.0, 101.0, 102.0, 103.0],
            [True] * 7,
            bid=[1.0, 1.0, 1.0, 1.0, 3.0, -1.0, math.inf],
            ask=[2.0] * 7,
        )
    assert {(p.where, p.what.split()[0]) for p in error.value.problems} == {
        ("rows 2, 6", "a"),
        ("rows 3", "the"),
        ("rows 5", "a"),
        ("rows 4", "the"),
        ("rows 1", "the"),
    }


def test_columns_of_unlike_length_are_refused():
    with pytest.raises(InputError) as error:
        OptionQuotes([DAY], [1.0, 2.0], [True], bid=[1.0], ask=[])
    assert [p.where for p in error.value.problems] == ["strike", "ask"]


def test_quotes_are_read_only_columns():
    chain = parity_chain(100.0, 0.98)
    with pytest.raises(ValueError, match="read-only"):
        chain.bid[0] = 7.0
    assert len(chain) == 22
    assert chain.two_sided.all()
    assert chain.select([0, 3]).strike.tolist() == [90.0, 96.0]
    assert len(chain.select(np.zeros(22, dtype=bool))) == len(chain.select([])) == 0


def test_long_lists_of_rows_are_cut():
    assert name_rows(np.ones(12, dtype=bool)) == "rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


# ----------------------------------------------------------------------------------------------------- forwards


@given(st.floats(92.0, 108.0), st.floats(0.7, 1.02), st.floats(0.0, 0.5))
def test_a_line_without_noise_comes_back(forward, discount, spread):
    found = implied_forwards(parity_chain(forward, discount, spread=spread))
    assert found.forward == pytest.approx([forward], rel=1e-12)
    assert found.discount == pytest.approx([discount], rel=1e-11)
    assert found.deviation == pytest.approx([0.0], abs=1e-10)
    assert found.residuals[0] == pytest.approx(np.zeros(len(found.strikes[0])), abs=1e-10)


def test_a_stale_quote_counts_little():
    rng = np.random.default_rng(4)
    noise = rng.normal(0.0, 0.02, len(STRIKES))
    clean = implied_forwards(parity_chain(101.0, 0.97, noise))
    noise[2] += 5.0
    found = implied_forwards(parity_chain(101.0, 0.97, noise))
    assert found.forward == pytest.approx(clean.forward, abs=0.02)
    assert found.discount == pytest.approx(clean.discount, abs=0.004)
    assert np.argmax(np.abs(found.residuals[0])) == 2


def test_a_known_discount_factor_is_kept():
    rng = np.random.default_rng(4)
    chain = parity_chain(101.0, 0.97, rng.normal(0.0, 0.05, len(STRIKES)))
    found = implied_forwards(chain, discounts={DAY: 0.97}, band=0.05)
    assert found.discount.tolist() == [0.97]
    assert found.forward == pytest.approx([101.0], abs=0.1)
    assert len(found.strikes[0]) < len(STRIKES)


def test_expiries_without_a_line_are_noted():
    later = DAY + timedelta(days=30)
    good, bad = parity_chain(100.0, 0.98), parity_chain(100.0, 0.98, day=later)
    bad = bad.select(bad.is_call | (bad.strike < 93.0))
    columns = [np.concatenate([getattr(c, name) for c in (good, bad)]) for name in ("strike", "is_call", "bid", "ask")]
    both = OptionQuotes(good.expiry + bad.expiry, *columns[:2], bid=columns[2], ask=columns[3])
    found = implied_forwards(both)
    assert found.expiries == (DAY,)
    assert found.notes == (f"{later}: 2 strikes with a bid on both rights near the money, fewer than 3.",)
    assert both.expiries == (DAY, later)


def test_a_line_that_slopes_the_wrong_way_is_noted():
    upside_down = parity_chain(100.0, 0.98, noise=1.96 * (STRIKES - 100.0))
    with pytest.raises(InputError, match="no positive forward and discount factor"):
        implied_forwards(upside_down)


def test_rough_lines_are_noted():
    noise = 2.0 * (-1.0) ** np.arange(len(STRIKES))
    (note,) = implied_forwards(parity_chain(100.0, 0.98, noise, spread=0.01)).notes
    assert "take care" in note


@pytest.mark.parametrize("band", [0.0, -1.0, math.nan])
def test_forwards_from_nothing_are_refused(band):
    empty = OptionQuotes([], [], [], bid=[], ask=[])
    with pytest.raises(InputError, match="no expiry has a parity line"):
        implied_forwards(empty)
    with pytest.raises(InputError, match="band"):
        implied_forwards(empty, band=band)
    with pytest.raises(InputError) as error:
        implied_forwards(empty, discounts={DAY: 0.0, DAY + timedelta(days=1): math.nan})
    assert len(error.value.problems) == 2


# ---------------------------------------------------------------------------------------- real chains of one day

AS_OF = date(2023, 9, 14)
MARKET = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "market"
DECEMBER = date(2023, 12, 15)


@cache
def real_chain(name, root):
    """Return quotes and the vendor's printed volatilities of one root; one crossed SPX quote is dropped."""
    path = MARKET / f"options_{name}_{AS_OF}.csv"
    if not path.is_file():
        pytest.skip(f"no {path.name} in ../shared/data/market")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["root"] == root and float(row["bid"]) <= float(row["ask"])]
    strike, bid, ask, printed = (np.array([float(row[c]) for row in rows]) for c in ("strike", "bid", "ask", "iv"))
    days = [date.fromisoformat(row["expiration"]) for row in rows]
    return OptionQuotes(days, strike, [row["right"] == "C" for row in rows], bid=bid, ask=ask), printed


def years(day, root):
    """Act/365 to the settlement: SPX settles at the open, 6.5 hours before the close at which it was quoted."""
    return ((day - AS_OF).days - (6.5 / 24 if root == "SPX" else 0.0)) / 365


@pytest.mark.parametrize(("root", "deviation"), [("SPX", 0.113), ("SPXW", 0.120)])
def test_parity_of_the_index_chain(root, deviation):
    chain, _ = real_chain("spx", root)
    found = implied_forwards(chain)
    at = found.expiries.index(DECEMBER)
    assert found.residuals[at].std() == pytest.approx(deviation, abs=0.01)
    assert -math.log(found.discount[at]) / years(DECEMBER, root) == pytest.approx(0.057, abs=0.001)
    usual = [i for i, day in enumerate(found.expiries) if 30 < (day - AS_OF).days < 400]
    assert np.median([found.residuals[i].std() for i in usual]) == pytest.approx(0.11, abs=0.02)
    rates = [-math.log(found.discount[i]) / years(found.expiries[i], root) for i in usual]
    assert np.median(rates) == pytest.approx(0.057, abs=0.001)


def test_roots_have_their_own_forwards():
    open_, close = (implied_forwards(real_chain("spx", root)[0]) for root in ("SPX", "SPXW"))
    both = sorted(set(open_.expiries) & set(close.expiries))
    assert len(both) > 4
    for day in both[1:]:
        a, b = (f.forward[f.expiries.index(day)] for f in (open_, close))
        assert a == pytest.approx(b, rel=1e-4)


def solved_chain(name, root, **line):
    """Return quotes with a bid at expiries with a parity line, their volatilities, and the printed ones."""
    chain, printed = real_chain(name, root)
    found = implied_forwards(chain, **line)
    at = {day: i for i, day in enumerate(found.expiries) if years(day, root) > 0}
    rows = np.array([day in at for day in chain.expiry]) & chain.two_sided
    used, index = chain.select(rows), [at[day] for day in np.array(chain.expiry)[rows]]
    time = np.array([years(day, root) for day in used.expiry])
    forward, discount = found.forward[index], found.discount[index]
    sides = implied_volatility_bid_ask(
        used.bid, used.ask, forward=forward, strike=used.strike, time=time, discount=discount, is_call=used.is_call
    )
    return used, forward, time, sides, printed[rows]


@pytest.mark.parametrize("root", ["SPX", "SPXW"])
def test_every_two_sided_index_quote_has_a_volatility_or_a_reason(root):
    used, forward, _, sides, _ = solved_chain("spx", root)
    assert len(used) > 5000
    for side in (sides.bid, sides.mid, sides.ask):
        assert QuoteStatus.NOT_CONVERGED not in side.counts()
        assert np.array_equal(np.isfinite(side.volatility), side.solved)
    out = used.is_call == (used.strike >= forward)
    assert sides.mid.solved[out].all()
    counts = sides.mid.counts()
    assert set(counts) <= {QuoteStatus.SOLVED, QuoteStatus.BELOW_INTRINSIC, QuoteStatus.NO_TIME_VALUE}
    assert counts[QuoteStatus.SOLVED] > 0.9 * len(used)


@pytest.mark.parametrize("root", ["SPX", "SPXW"])
def test_index_volatilities_are_those_that_the_vendor_prints(root):
    used, forward, time, sides, printed = solved_chain("spx", root)
    # liquid: a month and more, within 10 % of the forward, out of the money, bid and ask half a point apart
    narrow = sides.ask.volatility - sides.bid.volatility < 0.005
    liquid = (time > 30 / 365) & (time < 1.4) & (np.abs(np.log(used.strike / forward)) < 0.1) & (printed > 0) & narrow
    liquid &= used.is_call == (used.strike >= forward)
    assert liquid.sum() > 500
    apart = np.abs(sides.mid.volatility - printed)[liquid]
    assert np.median(apart) < 5e-4
    assert np.quantile(apart, 0.99) < 2.5e-3


def test_the_smile_at_the_money_in_december():
    chain, _ = real_chain("spx", "SPX")
    times = {day: years(day, "SPX") for day in chain.expiries if years(day, "SPX") > 0}
    for form, limit in (("spline", 5e-4), ("svi", 1.5e-3)):
        surface = VolatilitySurface.from_quotes(chain, as_of=AS_OF, underlying="SPX", form=form, times=times)
        forward = surface.forward([DECEMBER])
        # 0.1197 is printed; 0.1195 was recomputed independently
        assert surface.volatility(forward, DECEMBER) == pytest.approx([0.1196], abs=limit)
        assert len(surface.expiries) >= 16


def test_the_fund_chain_near_the_money():
    """Options on SPY are American: parity near the money only, with the index's rate as discount factor."""
    chain, _ = real_chain("spy", "SPY")
    discounts = {day: math.exp(-0.057 * years(day, "SPY")) for day in chain.expiries}
    used, forward, time, sides, printed = solved_chain("spy", "SPY", band=0.02, discounts=discounts)
    assert QuoteStatus.NOT_CONVERGED not in sides.mid.counts()
    out = used.is_call == (used.strike >= forward)
    assert sides.mid.solved[out].all()
    narrow = sides.ask.volatility - sides.bid.volatility < 0.01
    liquid = out & narrow & (time > 14 / 365) & (time < 0.6) & (np.abs(np.log(used.strike / forward)) < 0.1)
    assert liquid.sum() > 300
    assert np.median(np.abs(sides.mid.volatility - printed)[liquid & (printed > 0)]) < 3e-3


def test_a_quote_of_the_chain_by_hand():
    """2023-12-15, strike 4500, call 143.9 / 145.9: printed 0.1269, from the forward 4559.24 and r = 5.7 %."""
    time = years(DECEMBER, "SPX")
    found = implied_volatility(144.9, 4559.24, 4500.0, time, discount=math.exp(-0.057 * time))
    assert found.volatility == pytest.approx(0.1269, abs=5e-4)

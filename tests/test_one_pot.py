"""The published pair of a swap and the futures that hedge it: margined apart, and in one pot.

What the page `docs/explanation/one_pot_swaps_futures.md` says is read from it, and every figure calculated anew.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

from crossmargin.historical_var import Reducer
from crossmargin.io.market_files import packaged_history, read_tidy_par_yields
from crossmargin.market import Market
from crossmargin.pnl import revalue, scenario_zero_rates
from crossmargin.pricing.swaps import SwapCurves, par_rates, pv01, swap_book, swap_values
from crossmargin.products import ShortRateFuture
from crossmargin.products.calendars import add_months, third_wednesday
from crossmargin.products.schedules import Convention
from crossmargin.products.swaps import OvernightSwap
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec, scenario_set

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "one_pot_swaps_futures.md"
TEXT = " ".join(PAGE.read_text(encoding="utf-8").split())
PUBLISHED = {"swap": 1_568_352, "futures": 569_910, "both": 46_161}
PER_FUTURE = 25.0  # USD per basis point of a lot of SR3
LOTS = np.array([100, 99, 99, 98, 97, 96, 95, 95])
PER_LOT = np.array([425, 650, 765, 825, 825, 825, 800, 750])
IMM = Convention(12, "act/360", 2, roll="third_wednesday")
CRISIS = (date(2008, 9, 2), date(2009, 6, 30))
FIVE_DAYS = ScenarioSpec("historical", 5, 5, CRISIS), 0.997  # as `cme_irs_like`, unfiltered
ONE_DAY = ScenarioSpec("historical", 1, 10), 0.99  # as the futures are margined in their own account


def table():
    """Return the figures of the page: for each line the published one, that to 2017 and that to 2025."""
    lines = PAGE.read_text(encoding="utf-8").split("<!-- one-pot:start -->")[1].split("<!-- one-pot:end -->")[0]
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in lines.split("\n") if line.startswith("|")
    ]
    return {name: [number(cell) for cell in cells] for name, *cells in rows[2:]}


def number(cell):
    return float(cell.replace(",", "").removesuffix(" %")) if cell else None


def swap_at_par(market, first, curves):
    """Return the two-year swap from the quarter `first` at the rate at which it is worth nothing."""
    ends = add_months(first, 24)
    start, end = (third_wednesday(day.year, day.month) for day in (first, ends))
    swap = OvernightSwap("receive", 0.0, start, end, notional=1e8, fixed=IMM, floating=IMM)
    return evolve(swap, rate=float(par_rates([swap], market.as_of, curves)[0, 0]))


def per_basis_point(market, first):
    """Return what the swap loses when rates rise by a basis point, USD."""
    drawn = scenario_set(ONE_DAY[0], market.history, market.as_of)
    knots, zeros = scenario_zero_rates(market.curve, drawn)
    today = SwapCurves(knots, zeros[:, :1])
    return -float(pv01(swap_book([swap_at_par(market, first, today)], market.as_of), today)[0])


def pnl(market, first, spec, *, scale=1.0):
    """Return the P&L [n_scenarios] of the swap at par and of the futures sold, quarter by quarter from `first`."""
    quarters = [add_months(first, 3 * n) for n in range(9)]
    futures = [ShortRateFuture("SR3", 100 * day.year + day.month) for day in quarters[:-1]]
    drawn = scenario_set(spec, market.history, market.as_of)
    knots, zeros = scenario_zero_rates(market.curve, drawn)
    swap = swap_at_par(market, first, SwapCurves(knots, zeros[:, :1]))
    values = swap_values(swap_book([swap], market.as_of), SwapCurves(knots, zeros))[0]
    return values[1:] - values[0], revalue(futures, market, drawn).pooled(futures, (-scale * LOTS).tolist())


def margins(market, first, *, scale=1.0):
    """Return margin in USD: swap, futures over five days, futures over one day, both over five days."""
    (spec, sure), (daily, daily_sure) = FIVE_DAYS, ONE_DAY
    swap, futures = pnl(market, first, spec, scale=scale)
    five = Reducer(TailMeasure("quantile", confidence=sure, quantile_type=1))
    one = Reducer(TailMeasure("quantile", confidence=daily_sure, quantile_type=1))
    own_account = one.of_pnl(pnl(market, first, daily, scale=scale)[1])
    return five.of_pnl(swap), five.of_pnl(futures), own_account, five.of_pnl(swap + futures)


def reduction(swap, futures, both):
    return 1.0 - both / (swap + futures)


def column(market, first):
    """Return the figures of one column of the page."""
    swap, _, futures, both = margins(market, first)
    risk, lots = per_basis_point(market, first), PER_FUTURE * LOTS.sum()
    shown = [swap, futures, swap + futures, both, 100.0 * reduction(swap, futures, both)]
    return [*shown, risk, swap / risk, lots, futures / lots]


def agrees(found, place):
    written = [row[place] for row in table().values()]
    limits = [0.5, 0.5, 1.0, 0.5, 0.005, 0.5, 0.05, 0.5, 0.05]  # half of the last digit that is shown
    return [abs(a - b) <= limit for a, b, limit in zip(found, written, limits, strict=True)]


def test_the_published_figures_hang_together():
    assert LOTS.sum() == 779
    assert PUBLISHED["futures"] == LOTS @ PER_LOT
    assert reduction(*PUBLISHED.values()) == pytest.approx(0.9784, abs=5e-5)


def test_the_page_quotes_what_was_published():
    swap, futures, both = PUBLISHED.values()
    here = table()["swap, USD per basis point"][2]
    lots = PER_FUTURE * LOTS.sum()
    shown = [swap, futures, swap + futures, both, 97.84, None, round(swap / here, 1), lots, round(futures / lots, 1)]
    assert [row[0] for row in table().values()] == shown


def test_on_the_packaged_history():
    """Together the swap and its futures need a fiftieth of what they need apart."""
    market, first = Market.from_history(packaged_history(), date(2017, 3, 29)), date(2017, 6, 1)
    assert all(agrees(column(market, first), 1))
    both = margins(market, first)[-1]
    assert "3.1 per cent more take three quarters of the remainder away" in TEXT
    assert margins(market, first, scale=1.031)[-1] == pytest.approx(both / 4, rel=0.05)


def test_on_the_history_of_the_publication(shared):
    """The five years to 12 June 2025, the swap from 17 September 2025."""
    history = read_tidy_par_yields(shared / "data" / "market" / "ust_par_yields_daily.csv")
    market, first = Market.from_history(history, date(2025, 6, 12)), date(2025, 9, 1)
    assert all(agrees(column(market, first), 2))
    assert "they leave 750 USD, and 4 per cent more of them would leave 47,525" in TEXT
    assert margins(market, first, scale=1.04)[-1] == pytest.approx(47_525, abs=0.5)

"""The published pair of a swap and the futures that hedge it: margined apart, and in one pot.

Published (CME, June 2025, as reported; see `PUBLISHED`): a two-year IMM overnight swap of 100 million received at
3.3304 per cent, and 779 SR3 sold in eight months.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from attrs import evolve

from crossmargin.historical_var import Reducer
from crossmargin.io.market_files import packaged_history, read_tidy_par_yields
from crossmargin.market import Market
from crossmargin.pnl import revalue, scenario_zero_rates
from crossmargin.pricing.swaps import SwapCurves, par_rates, swap_book, swap_values
from crossmargin.products import ShortRateFuture
from crossmargin.products.calendars import add_months, third_wednesday
from crossmargin.products.schedules import Convention
from crossmargin.products.swaps import OvernightSwap
from crossmargin.risk import TailMeasure
from crossmargin.scenarios import ScenarioSpec, scenario_set

PUBLISHED = {"swap": 1_568_352, "futures": 569_910, "both": 46_161}
LOTS = np.array([100, 99, 99, 98, 97, 96, 95, 95])
PER_LOT = np.array([425, 650, 765, 825, 825, 825, 800, 750])
IMM = Convention(12, "act/360", 2, roll="third_wednesday")
CRISIS = (date(2008, 9, 2), date(2009, 6, 30))
FIVE_DAYS = ScenarioSpec("historical", 5, 5, CRISIS), 0.997  # as `cme_irs_like`, unfiltered
ONE_DAY = ScenarioSpec("historical", 1, 10), 0.99  # as the futures are margined in their own account


def pnl(market, first, spec, *, scale=1.0):
    """Return the P&L [n_scenarios] of the swap at par and of the futures sold, quarter by quarter from `first`."""
    quarters = [add_months(first, 3 * n) for n in range(9)]
    start, end = (third_wednesday(day.year, day.month) for day in (quarters[0], quarters[-1]))
    swap = OvernightSwap("receive", 0.0, start, end, notional=1e8, fixed=IMM, floating=IMM)
    futures = [ShortRateFuture("SR3", 100 * day.year + day.month) for day in quarters[:-1]]
    drawn = scenario_set(spec, market.history, market.as_of)
    knots, zeros = scenario_zero_rates(market.curve, drawn)
    par = float(par_rates([swap], market.as_of, SwapCurves(knots, zeros[:, :1]))[0, 0])
    values = swap_values(swap_book([evolve(swap, rate=par)], market.as_of), SwapCurves(knots, zeros))[0]
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


def test_the_published_figures_hang_together():
    assert LOTS.sum() == 779
    assert PUBLISHED["futures"] == LOTS @ PER_LOT
    assert reduction(*PUBLISHED.values()) == pytest.approx(0.9784, abs=5e-5)


def test_on_the_packaged_history():
    """Together the swap and its futures need a fiftieth of what they need apart.

    ========================  ===========  ============  ============
    USD                         published  here, to 2017  here, to 2025
    ========================  ===========  ============  ============
    swap, five days             1,568,352       865,607       883,347
    futures, own account          569,910       301,166       315,659
    sum                         2,138,262     1,166,773     1,199,006
    both in one pot                46,161        22,784           750
    reduction                     97.84 %       98.05 %       99.94 %
    ========================  ===========  ============  ============

    Here: 99.7 per cent of five-day changes for the swap and for the pot, the last five years and the crisis of 2008;
    99 per cent of one-day changes of ten years for futures in their own account. The Treasury curve stands in for SOFR,
    and discounts and projects both sides. The packaged history ends on 29 March 2017, when SR3 did not trade yet.

    Why they differ. Apart: the published swap is margined for 80 basis points of its sensitivity, here for 44 and 46.
    Volatility scaling, the liquidity charge and history of SOFR are in the published figure and not in ours; how much
    each of them adds is not public. Together: on one curve what is left is a matter of lots. They were cut for the
    curve of 2025; on that of 2017 they hedge 97 per cent of the swap, and 3.1 per cent more of them take three quarters
    of the remainder away. The published remainder may also hold what moves the curve of the swap against that of the
    futures. All of them exceed the 80 per cent at which the two-pot programme stops.
    """
    market, first = Market.from_history(packaged_history(), date(2017, 3, 29)), date(2017, 6, 1)
    swap, five_days, futures, both = margins(market, first)
    assert [swap, futures, both] == pytest.approx([865_607, 301_166, 22_784], rel=1e-4)
    assert reduction(swap, futures, both) == pytest.approx(0.9805, abs=1e-4)
    assert five_days == pytest.approx(859_367, rel=1e-4)  # in the pot, futures count over five days too
    assert margins(market, first, scale=1.031)[-1] < both / 4


def test_on_the_history_of_the_publication(shared):
    """The five years to 12 June 2025, the swap from 17 September 2025; see the table above."""
    history = read_tidy_par_yields(shared / "data" / "market" / "ust_par_yields_daily.csv")
    swap, _, futures, both = margins(Market.from_history(history, date(2025, 6, 12)), date(2025, 9, 1))
    assert [swap, futures] == pytest.approx([883_347, 315_659], rel=1e-4)
    assert both == pytest.approx(750, abs=5)
    assert reduction(swap, futures, both) == pytest.approx(0.9994, abs=1e-4)

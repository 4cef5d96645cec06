"""Swaps beside futures, shares and one another in the one portfolio: values, pools, and what the market lacks."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import Account, AccountClass, Firm
from crossmargin.curves import zero_rates
from crossmargin.errors import InputError
from crossmargin.io.market_files import packaged_market, read_tidy_par_yields
from crossmargin.margin import compare, margin
from crossmargin.market import Market
from crossmargin.pnl import can_revalue, revalue, scenario_zero_rates
from crossmargin.portfolio import Portfolio, Position
from crossmargin.pricing.credit import DiscountCurve, hazard_curve, legs
from crossmargin.pricing.swaps import SwapCurves, par_rates, swap_book, swap_values
from crossmargin.pricing.swaps_market import curve_notes, why_no_value
from crossmargin.products import (
    BasisSwap,
    BondTotalReturnSwap,
    CreditDefaultSwap,
    EquityTotalReturnSwap,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
    ReferenceBond,
    ShortRateFuture,
    Stock,
    TreasuryNote,
)
from crossmargin.products.calendars import add_months, third_wednesday
from crossmargin.products.lifetime import expiry_of, longest_maturity
from crossmargin.products.schedules import QUARTERLY
from crossmargin.products.security_based import standard_maturity
from crossmargin.regimes import SILOED, Silo, with_rulesets
from crossmargin.scenarios import ScenarioSpec, scenario_set
from crossmargin.swap_market import CreditSpreads, ZeroCurve
from crossmargin.underlyings import Underlying
from tests.test_one_pot import CRISIS, IMM, LOTS

MARKET = packaged_market()
AS_OF = MARKET.as_of
DRAWN = scenario_set(ScenarioSpec("historical", 5, 1, CRISIS), MARKET.history, AS_OF)
DAYS = {"start": date(2026, 9, 16), "maturity": date(2031, 9, 17)}
FORWARD = OvernightSwap("receive", 0.04, **DAYS, notional=1e6, fixed=IMM, floating=IMM)
TERM = InterestRateSwap("pay", 0.043, date(2026, 7, 2), date(2033, 7, 2), notional=1e6)
LEGS = {"pay": FloatingLeg("SOFR", QUARTERLY, overnight=True), "receive": FloatingLeg("TERM", QUARTERLY, 1e-4)}
BASIS = BasisSwap(**LEGS, start=date(2026, 7, 2), maturity=date(2029, 7, 2))
FRA = ForwardRateAgreement("pay", 0.04, date(2026, 9, 16), date(2026, 12, 16), notional=1e6)
RUNNING = OvernightSwap("pay", 0.04, date(2026, 4, 16), date(2031, 4, 16), notional=1e6)
SWAPS = (FORWARD, TERM, BASIS, FRA)


def fixings(index="SOFR", rate=0.0365):
    return {index: {AS_OF - timedelta(days=back): rate for back in range(1, 100)}}


def portfolio_of(*held, account_class=AccountClass.PROPRIETARY, **account):
    positions = [Position(f"p{n}", "A", product, quantity) for n, (product, quantity) in enumerate(held)]
    return Portfolio([Firm("F", (), ("CME",))], [], [Account("A", "F", "F", account_class, **account)], positions)


def asked(*held, regime=SILOED, market=MARKET, **account):
    return margin(portfolio_of(*held, **account), market, regime)


def of_pot(report, pot, ruleset):
    (found,) = (each for each in report.requirements if (each.pot, each.ruleset) == (pot, ruleset))
    return found.line


# ---------------------------------------------------------------------------------------------------- revaluation


def test_a_swap_gains_what_pricing_alone_says():
    note, future = TreasuryNote(0.0425, date(2033, 8, 15)), ShortRateFuture("SR3", 202609)
    mixed = revalue([note, *SWAPS, future], MARKET, DRAWN)
    curves = SwapCurves(*scenario_zero_rates(MARKET.curve, DRAWN))
    values = swap_values(swap_book(SWAPS, AS_OF), curves)
    for swap, row in zip(SWAPS, values, strict=True):
        np.testing.assert_array_equal(mixed.row(swap), row[1:] - row[0])
    np.testing.assert_array_equal(mixed.base[1:5], values[:, 0])
    assert not mixed.basis[1:5].any()
    alone = revalue([note, future], MARKET, DRAWN)
    np.testing.assert_array_equal(mixed.row(note), alone.row(note))
    np.testing.assert_array_equal(mixed.row(future), alone.row(future))


def test_threads_change_nothing():
    one, two = (revalue(SWAPS, MARKET, DRAWN, threads=threads).values for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_swaps_alone_are_revalued_too():
    assert revalue([FORWARD], MARKET, DRAWN).values.shape == (1, DRAWN.shifts.shape[1])


def test_a_running_swap_needs_its_fixings():
    assert not can_revalue(RUNNING, MARKET, DRAWN)
    assert not can_revalue(RUNNING)
    assert why_no_value(RUNNING, MARKET).startswith("SOFR has no fixing on 51 days of a running period")
    with pytest.raises(InputError) as caught:
        revalue([RUNNING, evolve(RUNNING, rate=0.03), Stock("IBM")], MARKET, DRAWN)
    assert {problem.where for problem in caught.value.problems} >= {RUNNING.symbol, "IBM"}
    assert sum("has no fixing" in problem.what for problem in caught.value.problems) == 2
    fixed = evolve(MARKET, fixings=fixings())
    assert can_revalue(RUNNING, fixed, DRAWN)
    values = swap_values(swap_book([RUNNING], AS_OF, fixings=fixings()), SwapCurves(*zeros(MARKET)))
    assert revalue([RUNNING], fixed, DRAWN).base[0] == values[0, 0]
    partly = evolve(MARKET, fixings={"SOFR": {day: rate for day, rate in fixings()["SOFR"].items() if day.day != 9}})
    assert "on 1 day of" in why_no_value(RUNNING, partly)  # the ninth of May is a Saturday


@pytest.mark.parametrize("product", [CreditDefaultSwap("A", 0.01, date(2031, 6, 20)), TERM])
def test_what_yields_alone_do_not_move(product):
    assert not can_revalue(product)


def zeros(market):
    return zero_rates(market.curve.tenors, market.curve.par[:, None])


def test_a_curve_of_its_own_projects_and_that_of_sofr_discounts():
    moved = scenario_zero_rates(MARKET.curve, DRAWN)
    knots, par = moved[0], moved[1][:, :1]
    sofr = ZeroCurve(AS_OF, knots, par[:, 0] - 0.002)
    term = ZeroCurve(AS_OF, [1.0, 7.0], [0.038, 0.042])
    market = evolve(MARKET, projections={"SOFR": sofr, "TERM": term})
    curves = SwapCurves(knots, par - 0.002, {"TERM": (term.knots, term.zeros[:, None])})
    expected = swap_values(swap_book([FORWARD, BASIS], AS_OF, projections=["TERM"]), curves)
    found = revalue([FORWARD, BASIS], market, DRAWN)
    assert found.base == pytest.approx(expected[:, 0], rel=1e-12)
    shifted = SwapCurves(moved[0], moved[1] - 0.002)  # the spread to the par curve stands still
    rows = swap_values(swap_book([FORWARD], AS_OF), shifted)
    assert found.row(FORWARD) == pytest.approx(rows[0, 1:] - rows[0, 0], abs=1e-6)


def test_notes_say_which_curve_stands_in_for_which():
    assert curve_notes([], MARKET) == ()
    assert curve_notes(SWAPS, MARKET) == ("swaps: the par curve discounts, and projects SOFR, TERM, TERM-SOFR-3M too",)
    market = evolve(MARKET, projections={"SOFR": ZeroCurve(AS_OF, [1.0], [0.01])})
    said = curve_notes(SWAPS, market)
    assert said[0] == "swaps: the SOFR curve discounts, and projects TERM, TERM-SOFR-3M too"
    assert "curves of SOFR move" in said[1]
    assert said[0] in asked((FORWARD, 1.0), (TERM, 1.0), (BASIS, 1.0), market=market).notes
    assert not any("swaps" in note for note in asked((ShortRateFuture("SR3", 202609), 1.0)).notes)


# ------------------------------------------------------------------------------------------------------------ pools


def published(first, market):
    """The published swap at par and its futures in one account of swaps, as in `test_one_pot`."""
    quarters = [add_months(first, 3 * n) for n in range(9)]
    start, end = (third_wednesday(day.year, day.month) for day in (quarters[0], quarters[-1]))
    swap = OvernightSwap("receive", 0.0, start, end, notional=1e8, fixed=IMM, floating=IMM)
    rate = float(par_rates([swap], market.as_of, SwapCurves(*zeros(market)))[0, 0])
    months = (100 * day.year + day.month for day in quarters[:-1])
    strip = [(ShortRateFuture("SR3", month), -float(lots)) for month, lots in zip(months, LOTS, strict=True)]
    return (evolve(swap, rate=rate), 1.0), strip


def one_pot(first, market):
    """Margin of the swap, of the futures in their own account, of both in one pot, USD."""
    swap, strip = published(first, market)
    apart = asked(swap, *strip, market=market)
    together = asked(swap, *strip, regime=with_rulesets(SILOED, {"cme_rates_futures": "cme_irs_like"}), market=market)
    futures = of_pot(apart, "CME", "cme_rates_futures").value
    return of_pot(apart, "CME", "cme_irs_like").value, futures, of_pot(together, "CME", "cme_irs_like").value


def test_the_published_pair_through_a_portfolio():
    """Published, June 2025: 1,568,352 and 569,910 apart, 46,161 together, a reduction of 97.84 per cent."""
    swap, futures, both = one_pot(date(2026, 9, 1), MARKET)
    assert [swap, futures, both] == pytest.approx([841_679, 262_046, 8_873], rel=0.02)
    assert 1.0 - both / (swap + futures) == pytest.approx(0.992, abs=0.002)


def test_the_published_pair_on_the_history_of_the_publication(shared):
    history = read_tidy_par_yields(shared / "data" / "market" / "ust_par_yields_daily.csv")
    swap, futures, both = one_pot(date(2025, 9, 1), Market.from_history(history, date(2025, 6, 12)))
    assert 0.95 < 1.0 - both / (swap + futures) < 1.0


@pytest.mark.parametrize(
    ("place", "pot", "ruleset"), [("CME", "CME", "cme_irs_like"), ("LCH", "LCH", "lch_pairs_like")]
)
def test_a_cleared_swap_lies_where_it_is_cleared(place, pot, ruleset):
    report = asked((evolve(FORWARD, clearing=place), 1.0))
    assert of_pot(report, pot, ruleset).value > 0
    assert len(report.requirements) == 1


def test_futures_are_margined_with_swaps_by_either_model():
    swap, strip = published(date(2026, 9, 1), MARKET)
    lch = (evolve(swap[0], clearing="LCH"), 1.0)
    kinds, house = {lch[0].kind, "short_rate_future"}, (AccountClass.PROPRIETARY,)
    regime = evolve(SILOED, silos=(Silo("LCH", "lch_pairs_like", kinds=kinds, account_classes=house),))
    alone, both = (asked(*held, regime=regime) for held in ([lch], [lch, *strip]))
    assert of_pot(both, "LCH", "lch_pairs_like").value < 0.1 * of_pot(alone, "LCH", "lch_pairs_like").value


@pytest.mark.parametrize("place", ["CME", "LCH", "bilateral"])
def test_exact_opposites_owe_nothing(place):
    mine = evolve(TERM, clearing=place)
    report = asked((mine, 3.0), (evolve(mine, side="receive"), 3.0), (mine, 2.0), (mine, -2.0))
    assert (report.total() > 0.0) == (place == "bilateral")  # the schedule asks for notional, whatever nets


@given(st.integers(-4, 4).filter(bool), st.integers(-4, 4))
def test_splitting_and_renaming_change_nothing(part, rest):
    whole = asked((FORWARD, part + rest), (TERM, 2.0))
    split = asked((TERM, 2.0), (FORWARD, part), (FORWARD, rest))
    assert whole.total() == split.total()
    other = portfolio_of((FORWARD, part + rest), (TERM, 2.0))
    renamed = evolve(other, positions=[evolve(each, id=f"other {each.id}") for each in other.positions])
    assert margin(renamed, MARKET).total() == whole.total()


@given(st.sampled_from(SWAPS), st.floats(0.1, 1e3))
def test_margin_grows_with_the_position(swap, times):
    once = asked((swap, 1.0)).total()
    assert asked((swap, times)).total() == pytest.approx(times * once, rel=1e-9)
    assert asked((swap, 0.0)).total() == 0.0


def test_what_the_market_lacks_is_a_line_and_not_an_error():
    report = asked((RUNNING, 1.0), (FORWARD, 1.0))
    (gap,) = (line for _, line in report.not_modelled() if line.name.startswith("p0"))
    assert gap.note.startswith("SOFR has no fixing on 51 days")
    assert report.total() == asked((FORWARD, 1.0)).total()
    assert asked((RUNNING, 1.0)).requirements[0].line.amount is None
    fixed = asked((RUNNING, 1.0), market=evolve(MARKET, fixings=fixings()))
    assert fixed.total() > 0


def test_what_has_ended_is_refused_like_everything_else():
    ended = evolve(FORWARD, start=date(2025, 6, 30), maturity=AS_OF)
    settled = evolve(FRA, start=AS_OF)
    with pytest.raises(InputError) as caught:
        asked((ended, 1.0), (settled, 1.0), (CreditDefaultSwap("A", 0.01, date(2026, 6, 20)), 1.0))
    assert len(caught.value.problems) == 3
    assert all("not after as_of" in problem.what for problem in caught.value.problems)
    assert (expiry_of(FRA), expiry_of(TERM)) == (FRA.start, TERM.maturity)
    assert longest_maturity(FRA, AS_OF) == pytest.approx(169 / 365, abs=1e-9)


def test_a_swap_beyond_the_curve_is_refused():
    with pytest.raises(InputError, match="beyond the curve"):
        asked((evolve(TERM, maturity=date(2059, 7, 2)), 1.0))


def test_huge_and_tiny_notionals():
    values = [asked((evolve(FORWARD, notional=notional), 1e6 / notional)).total() for notional in (1.0, 1e6, 1e12)]
    assert values == pytest.approx([asked((FORWARD, 1.0)).total()] * 3, rel=1e-9)


# ---------------------------------------------------------------------------------------------------- credit, shares


def test_spreads_of_a_name_price_its_swaps():
    swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    quotes = {1: 0.006, 3: 0.011, 5: 0.013}
    market = evolve(MARKET, credit={"ACME": CreditSpreads("ACME", quotes)})
    report = asked((swap, -1e7), market=market)
    asks = of_pot(report, "ICC", "icc_cds_like").value
    discount = DiscountCurve.from_par(market.curve)
    ends = [standard_maturity(AS_OF, years) for years in quotes]
    fair = legs(swap, hazard_curve(ends, list(quotes.values()), discount), discount)
    price = {swap.symbol: 100.0 * (1.0 - float(fair.upfront[0]))}
    quoted = evolve(MARKET, prices=price)
    assert of_pot(asked((swap, -1e7), market=quoted), "ICC", "icc_cds_like").value == pytest.approx(asks, rel=1e-9)
    both = evolve(quoted, credit={"ACME": CreditSpreads("ACME", {5: 0.05})})
    assert of_pot(asked((swap, -1e7), market=both), "ICC", "icc_cds_like").value == pytest.approx(asks, rel=1e-9)


def test_a_name_without_quotes_is_a_line():
    swap = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    known = evolve(MARKET, credit={"OTHER": CreditSpreads("OTHER", {5: 0.01})})
    for product in (swap, evolve(swap, clearing="bilateral"), evolve(swap, names=20, clearing="bilateral")):
        report = asked((product, 1e6), market=known)
        assert report.requirements[0].line.amount is None
        assert any("nor spreads of ACME" in line.note for _, line in report.not_modelled())


def test_what_no_clearing_house_holds_is_not_said_to_be_owed_to_one():
    cleared, bilateral = (str(asked((evolve(FORWARD, clearing=place), 1.0))) for place in ("CME", "bilateral"))
    assert "owed to clearing houses, USD" in cleared
    assert "owed to clearing houses, and by firms for what none of them holds, USD" in bilateral


def test_bilateral_swaps_are_margined_between_the_parties():
    held = [(evolve(swap, clearing="bilateral"), 1.0) for swap in (FORWARD, TERM, FRA)]
    report = asked(*held)
    line = of_pot(report, "carrying firm", "schedule_im")
    assert line.part("gross initial margin").value == pytest.approx(1e6 * (0.04 + 0.04 + 0.01))
    values = swap_values(swap_book([FORWARD, TERM, FRA], AS_OF), SwapCurves(*zeros(MARKET)))[:, 0]
    ratio = max(0.0, -values.sum()) / np.maximum(0.0, -values).sum()
    assert line.value == pytest.approx(90_000 * (0.4 + 0.6 * ratio), rel=1e-9)
    assert not line.partial


def test_steps_count_as_they_stand_today():
    stepping = evolve(TERM, clearing="bilateral", steps={date(2026, 7, 2): 4e6, date(2028, 7, 2): 1e6})
    line = of_pot(asked((stepping, 1.0)), "carrying firm", "schedule_im")
    assert line.part("gross initial margin").value == pytest.approx(0.04 * 4e6)


def test_the_sec_s_table_shows_rate_swaps_and_does_not_drop_them():
    regime = with_rulesets(SILOED, {"schedule_im": "sbs_standardised"})
    report = asked((evolve(TERM, clearing="bilateral"), 1.0), regime=regime)
    assert report.requirements[0].line.amount is None
    assert "under the CFTC's rules" in report.not_modelled()[0][1].note


def test_a_return_swap_beside_the_share_sold_short():
    portfolio, market = samples.swap_book()
    report = compare(portfolio, market)["siloed"]
    assert of_pot(report, "carrying firm", "sbs_standardised").value == pytest.approx(0.15 * 5_000 * 148.0)
    assert of_pot(report, "ICC", "icc_cds_like").value > 0
    priceless = evolve(market, underlyings={"TLT": market.underlyings["TLT"]})
    lines = [line.note for _, line in margin(portfolio, priceless).not_modelled()]
    assert sum("no price of QUILL" in note for note in lines) == 2
    swap = EquityTotalReturnSwap("QUILL", date(2027, 6, 30), 145.0)
    assert swap.kind == "equity_total_return_swap"


def test_the_sample_shows_what_one_pot_saves():
    both = compare(*samples.swap_book())
    rates = of_pot(both["cross_margin"], "CME", "cme_swaps_futures").value
    apart = sum(each.line.value for each in both["siloed"].requirements if each.pot == "CME")
    assert rates < 0.05 * apart


def test_prices_that_are_none_are_refused_at_once():
    credit = CreditDefaultSwap("ACME", 0.01, date(2031, 6, 20))
    bond = ReferenceBond("ACME", 0.05, date(2032, 3, 1))
    end = date(2027, 6, 30)
    held = [credit, BondTotalReturnSwap(bond, end), EquityTotalReturnSwap("IBM", end, 250.0)]
    prices = {credit.symbol: -1.0, bond.symbol: 0.0, "IBM": -5.0}
    with pytest.raises(InputError) as caught:
        asked(*((product, 1.0) for product in held), market=evolve(MARKET, prices=prices))
    assert {problem.where for problem in caught.value.problems} == {product.symbol for product in held}
    twice = evolve(MARKET, prices={"IBM": 5.0}, underlyings={"IBM": Underlying("IBM", spot=6.0)})
    with pytest.raises(InputError, match="has a spot of 6, prices has 5"):
        asked((held[2], 1.0), market=twice)

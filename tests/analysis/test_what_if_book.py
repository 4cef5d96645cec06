"""The live book: every answer against margining the whole book anew, sizes on their limits, cliffs where they are."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.analysis.what_if import what_if
from crossmargin.analysis.what_if.arithmetic import OPERATIONS
from crossmargin.batch.terms import Columns, Term, Tile
from crossmargin.errors import InputError
from crossmargin.guardrails import GUARDRAILS
from crossmargin.margin import margin
from crossmargin.portfolio import Position
from crossmargin.products import ETF, TIPS, ShortRateFuture, Stock, TreasuryBill
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, STRATEGY_MARGIN, regime, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import LEVELS
from tests.reference.what_if_twin import modelled, totals, with_trade

CENT = 0.005
TODAY = (SILOED, CROSS_MARGIN, HARMONIZED)
SIZED = (with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "cme_span2_like"}), regime("harmonized_with_guardrails"))
UNPRICED, TIPS_NOTE = ETF("NOPRICE"), TIPS(0.0125, date(2034, 7, 15))
ACCOUNTS = ("NG-XM", "MER-XM", "MER-FUT", "MER-GOV", "HAR-XM")


@cache
def sample():
    """The sample book without accounts that nothing is traded in."""
    portfolio, market = samples.basis_trade()
    held = [each for each in portfolio.positions if each.account in ACCOUNTS]
    return evolve(
        portfolio, accounts=[each for each in portfolio.accounts if each.id in ACCOUNTS], positions=held
    ), market


@cache
def overlaid():
    on = [name for name in GUARDRAILS if name != "correlation_break"]
    terms = [{"firm": "NORTHGATE", "owners": ("MERIDIAN",), "multiplier": 1.25, "add_on": 1e4, "minimum": 5e6}]
    return (
        rules("harmonized_with_guardrails").with_values(because="test", guardrails=on),
        rules("house_overlay").with_values(because="test", terms=terms),
    )


@cache
def live(sized=False):
    """A live book, and what the spine asks of it as it is."""
    portfolio, market = sample()
    regimes, told = (SIZED, overlaid()) if sized else (TODAY, ())
    book = what_if(portfolio, market, regimes=regimes, settles=samples.SETTLES, rules=told)
    return book, totals(portfolio, market, regimes, told)


@cache
def usual():
    """How much of each product the sample holds."""
    return {position.product: abs(position.quantity) for position in sample()[0].positions}


def trade_of(account, number, share):
    product = list(usual())[number % len(usual())]
    return account, product, float(round(usual()[product] * share))


trades = st.builds(
    trade_of, st.sampled_from(ACCOUNTS), st.integers(0, 99), st.sampled_from([-3.0, -1.0, -0.1, 0.2, 1.0, 5.0])
)


# ---------------------------------------------------------------------------------------------- a trade


@pytest.mark.parametrize("sized", [False, True])
@given(trade=trades)
@settings(max_examples=6, deadline=None)
def test_a_delta_is_what_margining_the_whole_book_gives(sized, trade):
    book, before = live(sized)
    after = totals(with_trade(book.portfolio, trade, samples.SETTLES), book.market, book.regimes, overlaid() * sized)
    delta = book.delta(trade)
    for total, was in before.items():
        assert book.totals[total] == pytest.approx(was, abs=CENT)
        assert delta.whole(*total) is delta.modelled(*total) is not math.isnan(delta.change(*total))
        if delta.whole(*total):
            assert delta.change(*total) == pytest.approx(after[total] - was, abs=CENT)


@given(trade=trades)
@settings(max_examples=8, deadline=None)
def test_a_trade_is_not_modelled_where_the_report_says_so_of_the_position(trade):
    book, _ = live()
    report = margin(with_trade(book.portfolio, trade, samples.SETTLES), book.market, SILOED)
    named = f"trade: {trade[1].symbol}" in {line.name for _, line in report.not_modelled()}
    delta = book.delta(trade)
    assert [delta.modelled(SILOED, level) for level in LEVELS] == [not named] * 2


@cache
def securities():
    """A live book of shares and options, and of what the market has no price or no history of."""
    portfolio, market = samples.equity_options()
    return what_if(portfolio, market, regimes=(SILOED, STRATEGY_MARGIN), universe=[UNPRICED, TIPS_NOTE])


@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_modelled_says_what_the_report_of_the_trade_says(data):
    book = data.draw(st.sampled_from([securities(), live()[0]]))
    account = data.draw(st.sampled_from([each.id for each in book.portfolio.accounts]))
    product = data.draw(st.sampled_from(book.universe))
    trade = account, product, data.draw(st.sampled_from([-2e3, 1e3]))
    delta = book.delta(trade)
    for each in book.regimes:
        found = modelled(book.portfolio, book.market, each, trade, book.settles)
        assert {level: delta.modelled(each, level) for level in LEVELS} == found
        assert all(delta.modelled(each, level) for level in LEVELS if delta.whole(each, level))


def test_a_fund_without_a_price_is_modelled_by_nobody():
    book, priced = securities(), Stock("TARN")
    delta = book.delta(("ROB-MARGIN", UNPRICED, 100.0))
    assert not delta.modelled("siloed", "customer")
    assert "the market has no price of NOPRICE" in str(delta.not_modelled)
    assert str(delta).count("not modelled") == 4
    with pytest.raises(
        InputError, match=r"not modelled \(siloed, customer, carrying firm\): NOPRICE: the market has no"
    ):
        book.max_size(("ROB-MARGIN", UNPRICED, 1.0), 1e9, regime="siloed", level="customer")
    assert book.delta(("ROB-MARGIN", priced, 100.0)).modelled("siloed", "customer"), "the report has an amount for it"


def test_one_leg_without_a_price_takes_its_ticker_with_it():
    portfolio, market = samples.equity_options()
    held = next(each for each in portfolio.positions if each.product == Stock("TARN"))
    bare = evolve(market, prices={k: v for k, v in market.prices.items() if not k.startswith("TARN")})
    bare = evolve(bare, underlyings={**bare.underlyings, "TARN": evolve(bare.underlyings["TARN"], volatility=None)})
    option = next(each.product for each in portfolio.positions if each.product.symbol.startswith("TARN call"))
    alone = evolve(portfolio, positions=[held])
    with_leg = evolve(portfolio, positions=[held, Position("leg", held.account, option, 1.0)])
    for book, known in ((alone, True), (with_leg, False)):
        found = what_if(book, bare, regimes=SILOED).delta((held.account, held.product, 1.0))
        assert found.modelled("siloed", "customer") is known


def test_a_total_of_which_nothing_is_modelled_is_no_number():
    book = securities()
    assert math.isnan(book.totals["siloed", "clearing"])
    assert book.totals["siloed", "customer"] > 0.0


def test_a_change_that_is_not_known_is_no_number_to_anybody():
    book, _ = live()
    for account in ACCOUNTS:
        for level in LEVELS:
            more = book.marginal(account, level=level)
            for place in np.ndindex(more.shape):
                regime, trade = book.regimes[place[0]], (account, book.universe[place[1]], -1.0)
                delta = book.delta(trade)
                known = delta.whole(regime, level)
                assert known is not math.isnan(delta.change(regime, level)) is not np.isnan(more[place])
                assert known <= delta.modelled(regime, level)
                with nullcontext() if known else pytest.raises(InputError, match=r"(left out here|not modelled) \("):
                    assert book.max_size(trade, -math.inf, regime=regime, level=level) == 0.0


@pytest.mark.parametrize(
    ("account", "kind", "pot", "harmonized"),
    [
        ("MER-XM", "future_option", {"clearing": "clearing, CME", "customer": "customer, NORTHGATE"}, False),
        ("MER-FUT", "treasury_note", dict.fromkeys(LEVELS, "customer, carrying firm"), True),
        ("MER-GOV", "treasury_future", dict.fromkeys(LEVELS, "customer, carrying firm"), True),
    ],
)
def test_what_nobody_models_is_neither_free_nor_unlimited(account, kind, pot, harmonized):
    book, _ = live()
    trade = account, next(each for each in book.universe if each.kind == kind), 1e6
    delta = book.delta(trade)
    for level in LEVELS:
        assert not delta.modelled("siloed", level)
        assert math.isnan(delta.change("siloed", level))
        with pytest.raises(InputError, match=rf"{trade[1].symbol} in {account}: not modelled \(siloed, {pot[level]}"):
            book.max_size(trade, 1e9, regime="siloed", level=level)
    assert delta.modelled("harmonized") is harmonized
    assert "siloed not modelled" in repr(delta)
    assert str(delta).count("not modelled") == (4 if harmonized else 6)


def test_the_trade_that_fills_a_missing_leg_and_the_one_that_closes_a_position():
    book, before = live()
    zn = next(each.product for each in book.portfolio.positions if each.id == "H2")
    for trade in (("HAR-XM", zn, 900.0), ("NG-XM", ShortRateFuture("ZQ", 202609), -150.0)):
        after = totals(with_trade(book.portfolio, trade, samples.SETTLES), book.market, TODAY)
        for total, was in before.items():
            assert book.delta(trade).change(*total) == pytest.approx(after[total] - was, abs=CENT)


def test_gaps_travel_with_the_answer():
    portfolio, market = samples.basis_trade()
    held = [each for each in portfolio.positions if each.account == "PAT-SEC"]
    mine = [each for each in portfolio.accounts if each.id in {"PAT-SEC", "MER-FUT"}]
    book = what_if(evolve(portfolio, accounts=mine, positions=held), market, regimes=SILOED)
    delta = book.delta(("PAT-SEC", held[0].product, 1.0))
    assert np.isnan([delta.change("siloed", level) for level in LEVELS]).all()
    assert [delta.modelled("siloed", level) for level in LEVELS] == [False, True], "no price history, but a strategy"
    assert "siloed not modelled" in repr(delta)
    assert "no formula here" in str(delta)
    assert {gap.level for gap in delta.gaps if not gap.reported} == {"clearing"}
    assert any("TLT put 85 2026-09-18: the market has no price history" in told for told in delta.not_modelled)
    assert all(gap.reported for gap in delta.gaps if "all of finra_strategy" in gap.what)
    assert np.isnan(book.marginal("PAT-SEC", [held[0].product])).all()
    trade = "PAT-SEC", held[0].product, 1.0
    with pytest.raises(InputError, match=r"not modelled \(siloed, clearing, OCC\): TLT put"):
        book.max_size(trade, 1e9, regime="siloed")
    with pytest.raises(InputError, match=r"left out here \(siloed, customer, carrying firm\): all of finra_strategy"):
        book.max_size(trade, 1e9, regime="siloed", level="customer")


def test_marginals_are_deltas_of_one_unit():
    book, _ = live()
    some = book.universe[:4]
    found = book.marginal("MER-XM", some, level="customer")
    assert found.shape == (3, 4)
    assert found[1, 2] == book.delta(("MER-XM", some[2], 1.0)).change(CROSS_MARGIN, "customer")
    assert book.marginal("MER-XM", []).shape == (3, 0)


def test_any_number_of_threads_may_ask():
    book, _ = live()
    asked = [("MER-XM", book.universe[2], size) for size in np.linspace(-900.0, 900.0, 60)]
    alone = [book.delta(each).changes for each in asked]
    with ThreadPoolExecutor(4) as threads:
        assert [each.changes for each in threads.map(book.delta, asked)] == alone


def test_a_copy_answers_alike():
    book, _ = live()
    trade = ("MER-XM", book.universe[2], -50.0)
    assert pickle.loads(pickle.dumps(book)).delta(trade) == book.delta(trade)  # noqa: S301 - our own bytes


# ---------------------------------------------------------------------------------------- the largest size


@given(trade=trades, where=st.sampled_from([each.name for each in TODAY]), share=st.sampled_from([1.0, 1.01, 1.3, 4.0]))
@settings(max_examples=12, deadline=None)
def test_max_size_lands_on_the_limit_and_nothing_below_exceeds_it(trade, where, share):
    book, _ = live()
    account, product, quantity = trade
    if not book.delta(trade).whole(where):
        return
    now = book.totals[where, "clearing"]
    limit, sign = share * now, math.copysign(1.0, quantity)
    size = book.max_size(trade, limit, regime=where)
    assert size >= 0.0
    if size == math.inf:
        assert now + book.delta((account, product, sign * 1e12)).change(where) <= limit + CENT
        return
    beyond = now + book.delta((account, product, sign * (size * (1.0 + 1e-9) + 1e-9))).change(where)
    assert beyond == pytest.approx(limit, abs=CENT + 1e-8 * limit) or beyond > limit
    for part in np.linspace(0.0, 1.0, 13):
        assert now + book.delta((account, product, sign * part * size)).change(where) <= limit + CENT


def test_no_room_and_no_end():
    book, _ = live()
    trade = ("MER-XM", book.universe[2], -1.0)
    assert book.max_size(trade, 0.0, regime="siloed") == 0.0
    assert book.max_size(("NG-XM", book.universe[2], 1.0), 1e9, regime="siloed", level="customer") == math.inf


# ------------------------------------------------------------------------------------------------- cliffs


def test_cliffs_are_sorted_and_stand_where_the_credit_turns():
    book, _ = live()
    zn = book.universe[2]
    found = book.distance_to_cliff("MER-XM", [zn])
    assert [each.nearness for each in found] == sorted(each.nearness for each in found)
    assert min(each.slack for each in found) >= 0.0
    caps = [each for each in found if each.kind == "cap" and "MERIDIAN" in each.where and each.sizes]
    nearest = min(caps, key=lambda each: each.slack)
    ((product, size),) = nearest.sizes
    notes = [_note(book, (product, share * size)) for share in (0.999, 1.001)]
    assert product == zn
    assert notes[0].endswith("the cap binds")
    assert not notes[1].endswith("the cap binds")


def test_until_the_next_scenario_a_tail_is_linear():
    book, _ = live()
    future = book.universe[2]
    found = [each for each in book.distance_to_cliff("MER-XM", [future]) if each.kind == "scenario" and each.sizes]
    along = book._place(("MER-XM", future, 1.0))[0].along
    assert len(found) >= len(along.tailed) > 1
    nearest = min((each.sizes[0][1] for each in found), key=abs)
    at_half, at_end = along.at(0.5 * nearest), along.at(nearest)
    for node in along.tailed:
        assert 2.0 * at_half[node] == pytest.approx(along.base[node] + at_end[node], rel=1e-12)


def _note(book, trade):
    report = margin(with_trade(book.portfolio, ("MER-XM", *trade), None), book.market, CROSS_MARGIN)
    return next(each.line.note for each in report.credits if each.owner == "MERIDIAN")


def test_without_an_account_cliffs_have_no_sizes():
    book, _ = live()
    assert not any(each.sizes for each in book.distance_to_cliff())


def test_a_treasury_leaves_the_programme_a_year_before_it_matures():
    book, _ = live()
    ends = [each for each in book.distance_to_cliff() if each.name == "remaining_maturity"]
    two_year = next(each for each in ends if "2028-06-30" in each.where)
    assert book.market.as_of + timedelta(two_year.slack) == two_year_end(book)
    assert {each.regime for each in ends} == {"cross_margin"}


def two_year_end(book):
    matures = next(each.maturity for each in book.universe if "91282CHK0" in each.symbol)
    return matures.replace(year=matures.year - 1)


def test_sizes_of_positions_have_their_thresholds():
    book, _ = live(sized=True)
    zn = book.universe[2]
    found = [each for each in book.distance_to_cliff("MER-FUT", [zn]) if each.kind == "threshold"]
    assert found
    assert all(each.unit == "% of daily volume" for each in found)
    assert any(each.sizes for each in found)


# --------------------------------------------------------------------------------------------- below the book

numbers = st.floats(0.0, 1e6) | st.sampled_from([0.0, 1.0])
HOWS = sorted(OPERATIONS)
PARTS = {"product": 2, "reduction": 2, "diversified": 2, "scaled": 1, "at_least": 1, "unless": 2, "where": 3}


@given(
    st.sampled_from(HOWS), st.lists(st.tuples(numbers, numbers), min_size=3, max_size=3), st.floats(0.0, 1.0), st.data()
)
@settings(max_examples=200, deadline=None)
def test_ranges_hold_every_amount_and_amounts_are_those_of_the_batch(how, ends, factor, data):
    ranges = [(min(each), max(each)) for each in ends[: PARTS.get(how, 3)]]
    if how in {"unless", "where"}:
        ranges[0] = (float(ends[0][0] > 1.0),) * 2
    parts = [data.draw(st.floats(*each)) for each in ranges]
    of, over = OPERATIONS[how]
    low, high = over(ranges, factor)
    amount = of(parts, factor)
    near = 1e-9 * (1.0 + abs(amount))
    assert low - near <= amount <= high + near
    constants = tuple(Term("", "constant", factor=part) for part in parts)
    tile = Tile(Columns(0, {}, {}), np.zeros((1, 0)), *(np.zeros(0, dtype=kind) for kind in (int, np.int32, float)))
    assert tile.amount(Term("", how, constants, factor))[0] == pytest.approx(amount, rel=1e-12, abs=1e-12)


@given(trade=trades, far=st.floats(1.1, 3.0), share=st.floats(0.0, 1.0))
@settings(max_examples=10, deadline=None)
def test_every_amount_of_a_book_lies_in_its_range(trade, far, share):
    book, _ = live(sized=True)
    asked, size = book._place(trade)
    if not size:
        return
    between = size * (1.0 + share * (far - 1.0))
    ranges = asked.along.over(size, far * size)
    for (low, high), amount in zip(ranges, asked.along.at(between), strict=True):
        near = 1e-9 * (1.0 + abs(amount))
        assert low - near <= amount <= high + near


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("trade", "told"),
    [
        (("MER-XN", None, 1.0), "Did you mean 'MER-XM'"),
        (("MER-XM", None, 1.0), "not in the universe"),
        (("MER-XM", ShortRateFuture("SR3", 203003), 1.0), "not in the universe"),
        (("MER-XM", [], 1.0), "not in the universe"),
        ("MER-XM", "is no trade"),
        (("MER-XM", ShortRateFuture("SR3", 203003)), "a tuple of 2 is no trade"),
        (None, "is no trade"),
    ],
)
def test_trades_that_are_none(trade, told):
    with pytest.raises(InputError, match=told):
        live()[0].delta(trade)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300, "1", None, SILOED])
def test_quantities_that_are_none(bad):
    book, _ = live()
    with pytest.raises(InputError, match="quantity is"):
        book.delta(("MER-XM", book.universe[0], bad))


def test_questions_that_are_none():
    book, _ = live()
    trade = ("MER-XM", book.universe[2], 1.0)
    with pytest.raises(InputError, match="no regime 'silo'"):
        book.delta(trade).change("silo")
    with pytest.raises(InputError, match="a list is no regime"):
        book.delta(trade).whole([SILOED])
    with pytest.raises(InputError, match="no regime 'cross_margin_cme_span2_like'") as unknown:
        book.delta(trade).change(SIZED[0])
    assert len(str(unknown.value)) < 200
    for limit in ("5", None, math.nan, 1j):
        with pytest.raises(InputError, match="a limit of"):
            book.max_size(trade, limit, regime=SILOED)
    for ask in (book.marginal, book.distance_to_cliff):
        for universe in (trade[1], "ZN"):
            with pytest.raises(InputError, match="Give products in a list"):
                ask("MER-XM", universe)
    with pytest.raises(InputError, match="no level 'clear'"):
        book.max_size(trade, 1e9, regime="siloed", level="clear")
    with pytest.raises(InputError, match="a quantity of 0"):
        book.max_size((*trade[:2], 0.0), 1e9, regime="siloed")
    with pytest.raises(InputError, match="unknown account"):
        book.distance_to_cliff("nobody")


def test_books_that_are_none():
    portfolio, market = sample()
    with pytest.raises(InputError, match="'ZN' is no product"):
        what_if(portfolio, market, universe=["ZN"])
    with pytest.raises(InputError, match="a Portfolio is no product"):
        what_if(portfolio, market, universe=[portfolio])
    with pytest.raises(InputError, match="Give products in a list"):
        what_if(portfolio, market, universe=portfolio.products[0])
    with pytest.raises(InputError, match="None was given") as none:
        what_if(None, None)
    assert len(none.value.problems) == 2
    with pytest.raises(InputError, match="no regime"):
        what_if(portfolio, market, regimes=[])
    with pytest.raises(InputError, match="is not a date"):
        what_if(portfolio, market, settles="2026-07-01")
    with pytest.raises(InputError, match="ended on") as ended:
        what_if(portfolio, market, universe=[TreasuryBill(date(2020, 1, 2))])
    assert len(ended.value.problems) == 1


def test_an_empty_book_owes_nothing_and_answers():
    portfolio, market = sample()
    zn = next(each.product for each in portfolio.positions if each.id == "M3")
    book = what_if(evolve(portfolio, positions=[]), market, regimes=SILOED, universe=[zn])
    assert set(book.totals.values()) == {0.0}
    assert book.delta(("MER-FUT", zn, 0.0)).change("siloed") == 0.0
    one, ten = (book.delta(("MER-FUT", zn, size)).change("siloed") for size in (1.0, 10.0))
    assert 0.0 < 10.0 * one == pytest.approx(ten)
    assert book.max_size(("MER-FUT", zn, 1.0), ten, regime="siloed") == pytest.approx(10.0)

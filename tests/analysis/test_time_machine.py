"""The time machine: each figure is that of `compare` on its day, whoever else is there, and no day sees a later one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.analysis.backtest import exceptions, procyclicality
from crossmargin.analysis.coverage import coverage, held_at
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.analysis.time_machine import time_machine, time_machine_of
from crossmargin.errors import InputError
from crossmargin.io.market_files import packaged_history
from crossmargin.margin import compare
from crossmargin.market import History
from crossmargin.price_history import PriceHistory
from crossmargin.products import Index, ListedOption, Stock
from crossmargin.products.calendars import add_months
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rulebook
from crossmargin.underlyings import Underlying

CENT = 0.005
THREE = (SILOED, CROSS_MARGIN, HARMONIZED)
CALIBRATION, STOOD = date(2026, 6, 30), (date(2007, 8, 1), date(2007, 9, 28))
DAYS = (date(2008, 11, 6), date(2008, 11, 7), date(2008, 11, 10), date(2008, 11, 11), date(2008, 11, 12))
HOLIDAY = date(2008, 11, 11)


@cache
def history():
    """Some two years before the days, and what came after them."""
    whole = packaged_history()
    kept = slice(whole.row_at(date(2006, 9, 1)), whole.row_at(date(2008, 12, 31)))
    return MarketHistory(History(whole.dates[kept], whole.tenors, whole.par[kept], whole.source))


@cache
def rules():
    """Today's rules on all days, with a stress period that lies before them."""
    held = [held_at(each, CALIBRATION) for each in rulebook(()).values()]
    return tuple(
        each.with_values(stress_period=STOOD, because="a stand-in") if lies_ahead(each) else each for each in held
    )


def lies_ahead(each):
    return "stress_period" in each.parameters and each.in_force("stress_period", DAYS[0]).value[1] > DAYS[-1]


STAND_IN = {"calibration": CALIBRATION, "stress_periods": [STOOD]}


def part(*accounts, size=1.0):
    """Some accounts of the sample, without bonds that past curves do not reach."""
    portfolio, _ = samples.basis_trade()
    held = [each for each in portfolio.positions if each.account in accounts and each.id not in {"M4", "M5"}]
    alike = [each for each in portfolio.accounts if each.id in accounts]
    positions = [evolve(each, quantity=size * each.quantity) for each in held]
    return evolve(portfolio, accounts=alike, positions=positions, posted=())


@cache
def books():
    return {"house": part("NG-XM"), "customer": part("MER-XM", "MER-FUT"), "half": part("MER-XM", size=-0.5)}


@cache
def replays():
    return time_machine_of(books(), history(), DAYS, THREE, **STAND_IN)


def test_what_is_wholly_unknown_is_not_nothing():
    found = time_machine(part("MER-XM", "PAT-SEC"), history(), DAYS[:2], **STAND_IN)
    assert np.isnan(found.requirement("siloed", owner="PAT")).all()
    assert (found.requirement("siloed") == found.requirement("siloed", owner="MERIDIAN")).all()
    pat, *_ = (owed for owed in found.gained if owed[1] == "PAT")
    assert not found.series(*pat).tested()[0].size
    assert {each.owner for each in found.coverage()} == {"MERIDIAN"}
    assert found.procyclicality("siloed") is not None


@pytest.mark.parametrize("name", ["house", "customer", "half"])
def test_every_figure_is_that_of_compare_on_its_day(name):
    found = replays()[name]
    assert found.dates == tuple(day for day in DAYS if day != HOLIDAY)
    for n, day in enumerate(found.dates[:2]):
        compared = compare(books()[name], history().market(day), THREE, rules=rules())
        for report in compared.reports:
            for level in report.levels:
                assert found.requirement(report.regime, level)[n] == pytest.approx(report.total(level), abs=CENT)
                pots = {entry.pot for entry in report.entries if entry.level == level}
                amounts = [found.requirement(report.regime, level, pot=pot)[n] for pot in pots]
                assert sum(amounts) == pytest.approx(report.total(level), abs=CENT)


def test_gaps_say_why():
    for found in replays().values():
        assert [gap.day for gap in found.gaps] == [HOLIDAY]
        assert str(HOLIDAY) in found.gaps[0].why
        assert any("study" in note for note in found.notes)


def same(one, other):
    assert one.dates == other.dates
    assert one.gaps == other.gaps
    for table in ("asked", "credited", "gained"):
        mine, theirs = getattr(one, table), getattr(other, table)
        assert list(mine) == list(theirs)
        assert all(np.array_equal(mine[key], theirs[key], equal_nan=True) for key in mine)


@given(st.sets(st.sampled_from(["house", "customer", "half"]), min_size=1), st.permutations(DAYS))
@settings(max_examples=4, deadline=None)
def test_no_figure_hangs_on_other_books_or_on_the_order_of_days(names, days):
    some = time_machine_of({name: books()[name] for name in sorted(names)}, history(), days[:2], THREE, **STAND_IN)
    for name, found in some.items():
        for n, day in enumerate(found.dates):
            at = replays()[name].dates.index(day)
            assert {unit: amounts[n] for unit, amounts in found.asked.items()} == {
                unit: amounts[at] for unit, amounts in replays()[name].asked.items()
            }


def test_threads_change_no_bit():
    with ThreadPoolExecutor(2) as executor:
        shared = time_machine_of(books(), history(), DAYS, THREE, executor=executor, **STAND_IN)
    for name, found in shared.items():
        same(found, replays()[name])


def test_no_day_sees_a_later_one():
    yields = history().yields
    until = slice(0, yields.row_at(DAYS[2]) + 1)
    cut = MarketHistory(History(yields.dates[until], yields.tenors, yields.par[until]))
    found = time_machine(books()["house"], cut, DAYS[1:3], THREE, **STAND_IN)
    for unit, amounts in found.asked.items():
        assert amounts.tolist() == replays()["house"].asked[unit][1:3].tolist()
    assert all(np.isnan(amounts).all() for amounts in found.gained.values())  # what came after is not known
    assert found.coverage() == ()


def test_what_came_after_feeds_the_back_tests():
    found = replays()["customer"]
    theirs, gaps, _ = coverage(books()["customer"], history(), THREE, DAYS, rules=rules())
    assert [gap.day for gap in gaps] == [gap.day for gap in found.gaps]
    for one, other in zip(found.coverage(), theirs, strict=True):
        assert (one.regime, one.owner, one.firm, one.days, one.exceptions, one.zone) == (
            *(other.regime, other.owner, other.firm),
            *(other.days, other.exceptions, other.zone),
        )
        assert one.cost == pytest.approx(other.cost)
        assert one.uncovered == pytest.approx(other.uncovered, abs=CENT)
    regime, owner, firm = next(iter(found.gained))
    series = found.series(regime, owner, firm)
    assert exceptions(*series.tested()).shape == (4,)
    assert found.procyclicality(regime) == procyclicality(found.requirement(regime), 1)
    assert found.procyclicality(regime, "customer", horizon_days=99) is None


def test_a_book_that_fails_leaves_the_others_whole():
    def late(market):
        if market.as_of == DAYS[1]:
            return part("NG-XM", size=float("nan"))
        return part("NG-XM")

    found = time_machine_of({"late": late, **books()}, history(), DAYS[:2], THREE, **STAND_IN)
    assert [gap.day for gap in found["late"].gaps] == [DAYS[1]]
    for name in books():
        assert found[name].requirement("siloed").tolist() == replays()[name].requirement("siloed")[:2].tolist()


def test_shares_with_and_without_a_price():
    """The lack of one book is not passed on to another that holds the same ticker."""
    dates = history().yields.dates
    prices = PriceHistory(dates, {"XYZ": np.linspace(90.0, 110.0, len(dates))})
    holder, _ = samples.equity_options()
    account = next(each for each in holder.accounts if each.account_class.value == "SEC_15C3_3")
    position = evolve(holder.positions[0], account=account.id, product=Stock("XYZ"), quantity=100.0)
    stock = evolve(holder, accounts=[account], positions=[position], posted=())
    mixed = evolve(stock, positions=[position, evolve(position, id="N", product=Stock("NOPE"))])
    market = MarketHistory(history().yields, prices)
    both = time_machine_of({"stock": stock, "mixed": mixed, "house": books()["house"]}, market, DAYS[:2], **STAND_IN)
    for name, book in {"stock": stock, "mixed": mixed}.items():
        same(both[name], time_machine(book, market, DAYS[:2], **STAND_IN))


def index_option(market):
    """A put on an index as it is struck on the day, and what it is priced from that day."""
    holder, _ = samples.equity_options()
    account = next(each for each in holder.accounts if each.account_class.value == "SEC_15C3_3")
    spot = market.prices["SPX"]
    put = ListedOption(
        "SPX", "put", round(spot), add_months(market.as_of, 3), settlement="cash", underlying_kind="index"
    )
    position = evolve(holder.positions[0], account=account.id, product=put, quantity=-10.0)
    book = evolve(holder, accounts=[account], positions=[position], posted=())
    return book, {"SPX": Underlying("SPX", 0.4, spot, security=Index("SPX", "broad_high_cap"))}


def test_a_book_brings_the_underlyings_of_its_day():
    yields = history().yields
    levels = 900.0 + 100.0 * np.sin(np.arange(len(yields.dates)) / 20.0)
    market = MarketHistory(yields, PriceHistory(yields.dates, {"SPX": levels}))
    found = time_machine_of({"option": index_option, "house": books()["house"]}, market, DAYS[:2], THREE, **STAND_IN)
    same(found["house"], time_machine(books()["house"], market, DAYS[:2], THREE, **STAND_IN))
    told, underlyings = index_option(market.market(DAYS[0]))
    known = evolve(market.market(DAYS[0]), underlyings=underlyings)
    report = compare(told, known, THREE, rules=rules()).reports[0]
    assert found["option"].requirement("siloed")[0] == pytest.approx(report.total(), abs=CENT)
    assert report.total() > 0.0
    assert all((gained != 0.0).all() for gained in found["option"].gained.values())
    tested, gaps, notes = coverage(index_option, market, THREE[:1], DAYS[:2], rules=rules())
    assert [each.days for each in tested] == [1]
    assert (gaps, notes) == ((), ())


@pytest.mark.parametrize(("told", "says"), [(None, "book: None was given"), ((None, {}), "None"), ("both", "a tuple")])
def test_what_is_no_book_is_a_gap_that_says_so(told, says):
    book = books()["house"]
    answer = (book, (1, 2)) if told == "both" else told
    found = time_machine_of({"mine": lambda _: answer, "house": book}, history(), DAYS[:1], THREE, **STAND_IN)
    assert says in found["mine"].gaps[0].why
    assert not found["house"].gaps


def test_days_of_nothing():
    found = time_machine(books()["house"], history(), [], THREE)
    assert (found.dates, found.gaps, found.regimes, found.coverage()) == ((), (), (), ())
    everything_failed = time_machine(books()["house"], history(), [HOLIDAY, date(2030, 3, 29)], THREE)
    assert len(everything_failed.gaps) == 2


@pytest.mark.parametrize("wrong", [None, packaged_history()])
def test_yields_alone_are_no_history_of_markets(wrong):
    for of in (time_machine, coverage):
        with pytest.raises(InputError, match=r"Give MarketHistory\(yields, prices\)"):
            of(books()["house"], wrong, THREE, DAYS)


def test_what_makes_no_sense_is_refused_at_once():
    with pytest.raises(InputError) as caught:
        time_machine(
            books()["house"], history(), DAYS, (SILOED, SILOED), horizon_days=0, stress_periods=[(DAYS[1], DAYS[0])]
        )
    assert len(caught.value.problems) == 3
    with pytest.raises(InputError, match=r"days\[1\]: a str was given"):
        time_machine(books()["house"], history(), [DAYS[0], "2016-03-01"], THREE)
    found = replays()["house"]
    with pytest.raises(InputError, match="siloed"):
        found.requirement("silod")
    with pytest.raises(InputError, match="no level"):
        found.requirement("siloed", "middle")
    with pytest.raises(InputError, match="no owner"):
        found.requirement("siloed", owner="NOBODY")
    with pytest.raises(InputError, match="confidence"):
        found.coverage(1.0)

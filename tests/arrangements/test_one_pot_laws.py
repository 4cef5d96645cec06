"""Laws of the one-pot programmes, through the spine: the margin of the union, and nothing for who is not enrolled."""

from __future__ import annotations

import math
from datetime import date
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, Agreement
from crossmargin.errors import InputError
from crossmargin.margin import compare, margin
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.price_history import PriceHistory
from crossmargin.products import FutureOption, Index, IndexFuture, ListedOption, ShortRateFuture
from crossmargin.regimes import CROSS_MARGIN, SILOED
from crossmargin.registry import module, rules
from crossmargin.results import Line
from crossmargin.underlyings import Underlying
from tests.arrangements.test_one_pot_programmes import FUND, JOINT, OTHER, PAPERS, PRO, RETAIL
from tests.properties.strategies import AS_OF, ZN, few, history, market

ONE_POT = ("occ_cme", "occ_internal", "cme_swaps_futures", "icc_cds")
EXPIRY = date(2026, 9, 18)
ES, NQ, SR3 = IndexFuture("ES", 202609), IndexFuture("NQ", 202609), ShortRateFuture("SR3", 202609)
ES_PUT = FutureOption(ES, "put", 6000.0, EXPIRY)
TERMS = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
SPX_PUT, SPX_CALL = (ListedOption("SPX", right, 6200.0, EXPIRY, **TERMS) for right in ("put", "call"))
XYZ_PUT = ListedOption("XYZ", "put", 90.0, EXPIRY)


# ------------------------------------------------------------------------------------------- the requirement alone

weights = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.floats(-1e6, 1e6), min_size=1)


@pytest.mark.parametrize("programme", ONE_POT)
@given(weights, weights)
def test_one_pot_is_the_model_of_the_union_and_of_several_the_largest(programme, one, other):
    positions = tuple(Position(name, "A", ZN, 1.0) for name in one)
    pool = Pool("PRO", "JOINT", AccountClass.XM_FUTURES_4D_AB, "pot", programme, programme, positions)
    said = {"one": one, "other": {**dict.fromkeys(one, 0.0), **other}}

    def models(ruleset, asked):
        return Line(ruleset, abs(math.fsum(said[ruleset].get(each.id, 0.0) for each in asked.positions)))

    alone = rules(programme).with_values(models=["one"], because="test").at(AS_OF)
    both = rules(programme).with_values(models=["one", "other"], because="test").at(AS_OF)
    answer, higher = (module(programme).requirement(pool, models, p) for p in (alone, both))
    assert answer.value == pytest.approx(models("one", pool).value)
    assert higher.value == pytest.approx(max(models("one", pool).value, models("other", pool).value))
    assert higher.value >= answer.value >= 0.0
    assert "models" in {read.name for read in answer.all_reads()}


@pytest.mark.parametrize("programme", ONE_POT)
def test_a_programme_without_a_model_is_refused(programme):
    p = rules(programme).with_values(models=[], because="test").at(AS_OF)
    pool = Pool("PRO", "JOINT", AccountClass.XM_FUTURES_4D_AB, "pot", programme, programme)
    with pytest.raises(InputError, match="models is empty"):
        module(programme).requirement(pool, lambda *_: Line("none", 0.0), p)


# ------------------------------------------------------------------------------------------- OCC-CME in the spine


@cache
def index_market():
    """The shared market with made-up indices of thirty months, their volatilities, and futures on them."""
    days, draws = history().dates, np.random.default_rng(7)
    moves = draws.normal(0.0, 0.012, (len(days), 2)) @ np.array([[1.0, 0.9], [0.0, 0.5]])
    levels = np.exp(np.cumsum(moves, axis=0))
    prices = {"SPX": 6200.0 * levels[:, 0] / levels[-1, 0], "NDX": 22000.0 * levels[:, 1] / levels[-1, 1]}
    fear = np.exp(np.cumsum(-3.0 * moves[:, 0] - 0.05 * np.cumsum(-3.0 * moves[:, 0]) / len(days)))
    told = {
        "SPX": Underlying("SPX", 0.17, 6200.0, security=Index("SPX", "broad_high_cap")),
        "NDX": Underlying("NDX", 0.21, 22000.0, security=Index("NDX", "broad_high_cap")),
        "ES 2026-09": Underlying("ES 2026-09", 0.17),
        "XYZ": Underlying("XYZ", 0.3, 100.0),
    }
    past = PriceHistory(days, prices, volatilities={"SPX": 0.17 * fear / fear[-1]})
    return evolve(market(), price_history=past, underlyings=told)


def joint(*lines, papers=PAPERS, owner="PRO", account_class=AccountClass.XM_FUTURES_4D_AB, arrangement="occ_cme"):
    account = Account("X", owner, "JOINT", account_class, arrangement, papers)
    positions = [Position(f"p{n}", "X", product, float(count)) for n, (product, count) in enumerate(lines)]
    return Portfolio((JOINT, OTHER), (PRO, FUND, RETAIL), (account,), positions)


def run(*lines, **more):
    return compare(joint(*lines, **more), index_market(), (SILOED, CROSS_MARGIN))


def entry(report, ruleset):
    return next(each for each in report.requirements if each.ruleset == ruleset and each.level == "clearing")


HEDGED = ((ES, -2), (SPX_CALL, 3))


def test_index_futures_and_index_options_are_margined_in_one_pool():
    found = run(*HEDGED)
    siloed, crossed = found.reports
    assert {(each.pot, each.ruleset) for each in siloed.requirements if each.level == "clearing"} == {
        ("CME", "cme_span2_like"),
        ("OCC", "occ_stans_like"),
    }
    (joined,) = (each for each in crossed.requirements if each.level == "clearing")
    assert (joined.pot, joined.positions) == ("OCC and CME", ("p0", "p1"))
    assert not crossed.credits
    base = joined.line.part("base_expected_shortfall").value
    assert 0.0 < base < entry(siloed, "occ_stans_like").line.value + entry(siloed, "cme_span2_like").line.value
    left_out = {line.name for line in joined.line.walk() if line.how == "not_modelled"}
    assert left_out == {"collateral_in_margins", "high_volatility_control_settings"}


def test_all_kinds_of_one_index_are_one_class_of_the_model():
    joined = run((ES, -2), (ES_PUT, 1), (SPX_CALL, 3), (SPX_PUT, 1))["cross_margin"]
    line = entry(joined, "occ_cme").line
    stressed = line.part("dependence_stressed_shortfall")
    assert [part.name for part in stressed.parts] == ["SPX"]
    assert line.part("excess of dependence_stressed_shortfall").value == pytest.approx(0.0, abs=1e-6)


def test_a_future_and_its_option_alone_reach_the_index_by_its_history():
    only = run((ES_PUT, -1))["cross_margin"]
    assert entry(only, "occ_cme").line.value > 0.0
    lines = entry(only, "occ_cme").line.walk()
    assert not [line for line in lines if line.how == "not_modelled" and line.name.startswith("p0")]


def test_options_on_index_futures_take_the_volatility_of_their_index():
    still = evolve(index_market(), price_history=PriceHistory(history().dates, index_market().price_history.prices))
    held = joint((ES_PUT, -5), (ES, -2))
    moved, stood = (margin(held, known, CROSS_MARGIN) for known in (index_market(), still))
    assert entry(moved, "occ_cme").line.value != pytest.approx(entry(stood, "occ_cme").line.value)
    assert "volatility of SPX" in {line.name for line in entry(stood, "occ_cme").line.walk()}


@pytest.mark.parametrize(
    ("gone", "said"),
    [("SPX", "the market has no price of ES 2026-09"), ("ES 2026-09", "the market has no volatility of ES 2026-09")],
)
def test_what_the_market_lacks_for_an_option_on_a_future_is_said(gone, said):
    known = {symbol: told for symbol, told in index_market().underlyings.items() if symbol != gone}
    report = margin(joint((ES_PUT, 1)), evolve(index_market(), underlyings=known), CROSS_MARGIN)
    assert said in {line.note for _, line in report.not_modelled()}


def test_the_higher_of_both_houses_is_a_switch():
    both = rules("occ_cme").with_values(models=["occ_stans_like", "cme_span2_like"], because="as remembered")
    held = joint((ES, -2), (SPX_CALL, 1))
    alone = margin(held, index_market(), CROSS_MARGIN).total()
    higher = margin(held, index_market(), CROSS_MARGIN, rules=[both])
    line = entry(higher, "occ_cme").line
    assert (line.how, [part.name for part in line.parts]) == (
        "max",
        ["occ_stans_like requirement", "cme_span2_like requirement"],
    )
    assert higher.total() >= alone
    assert higher.total() == pytest.approx(max(part.value for part in line.parts))


@pytest.mark.parametrize("paper", [Agreement.PARTICIPANT_AGREEMENT, Agreement.SUBORDINATION])
def test_without_a_paper_the_positions_stay_in_their_silos(paper):
    siloed, crossed = run(*HEDGED, papers=PAPERS - {paper}).reports
    assert crossed.total() == siloed.total()
    assert {each.pot for each in crossed.requirements} == {each.pot for each in siloed.requirements}


def test_a_customer_who_is_no_market_professional_stays_in_silos():
    siloed, crossed = run(*HEDGED, owner="FUND").reports
    assert crossed.total() == siloed.total()


def test_the_house_is_one_pot_too():
    house = run(*HEDGED, owner="JOINT", account_class=AccountClass.PROPRIETARY)["cross_margin"]
    assert [each.pot for each in house.requirements] == ["OCC and CME"]


lots = st.integers(-6, 6).filter(bool)
books = st.lists(st.tuples(st.sampled_from([ES, NQ, ES_PUT, SPX_PUT, SPX_CALL]), lots), min_size=1, max_size=4)


@few
@given(books, st.randoms(use_true_random=False))
def test_order_changes_nothing_and_nothing_is_negative(lines, random):
    shuffled = list(lines)
    random.shuffle(shuffled)
    found, other = (run(*each)["cross_margin"].total() for each in (lines, shuffled))
    assert found == pytest.approx(other, rel=1e-12, abs=1e-6)
    assert found >= 0.0


@few
@given(books, st.sampled_from([(XYZ_PUT, -1), (IndexFuture("VX", 202609), 1), (ZN, 1)]))
def test_what_is_not_listed_leaves_the_pot_as_it_was(lines, added):
    before, after = run(*lines)["cross_margin"], run(*lines, added)["cross_margin"]
    assert entry(after, "occ_cme").line.value == entry(before, "occ_cme").line.value
    refused = {each.position for each in after.decisions if each.programme == "occ_cme" and not each.allowed}
    assert refused == {f"p{len(lines)}"}


@few
@given(books)
def test_the_shortfall_of_the_pot_is_at_most_that_of_its_positions_apart(lines):
    joined = entry(run(*lines)["cross_margin"], "occ_cme").line
    (part,) = joined.parts
    assert part.name == "occ_stans_like requirement"
    assert joined.value == part.value
    apart = [entry(run(line)["cross_margin"], "occ_cme").line for line in lines]
    base = joined.part("base_expected_shortfall").value
    assert base <= sum(each.part("base_expected_shortfall").value for each in apart) + 1e-6


# ------------------------------------------------------------------------------------- swaps and futures, in the spine


def test_rate_futures_moved_to_the_swaps_are_margined_by_the_model_of_the_swaps():
    held = joint(
        (ZN, 10), (SR3, -30), owner="FUND", account_class=AccountClass.CFTC_4D_F, arrangement="cme_swaps_futures"
    )
    siloed, crossed = compare(held, market(), (SILOED, CROSS_MARGIN)).reports
    assert [(e.pot, e.ruleset) for e in siloed.requirements if e.level == "clearing"] == [("CME", "cme_rates_futures")]
    (joined,) = (each for each in crossed.requirements if each.level == "clearing")
    assert joined.line.parts[0].name == "cme_irs_like requirement"
    spec = joined.line.part("historical_var")
    assert {read.name: read.value for read in spec.reads}["horizon_days"] == 5
    (passed,) = (each for each in crossed.requirements if each.level == "customer")
    assert passed.line.value == pytest.approx(joined.line.value)

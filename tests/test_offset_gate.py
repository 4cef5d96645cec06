"""The offset gate: what is open, what is closed and why, and who is margined together."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.io.price_files import read_index_history
from crossmargin.market import History, Market, ParCurve
from crossmargin.offset_gate import Gate, PairTest, _blocks, group_of, offset_gate, unknown_groups
from crossmargin.price_history import PriceHistory
from crossmargin.products import STRIPS, FutureOption, IndexFuture, ListedOption, Stock
from crossmargin.registry import rules
from crossmargin.samples import basis_trade
from tests.properties.strategies import (
    AS_OF,
    BILL,
    BOND,
    NOTE_2,
    NOTE_7,
    OPTION,
    REPO,
    SR3,
    TIPS_8,
    UB,
    ZN,
    ZT,
    market,
)
from tests.reference.offset_gate_twin import blocks, correlation

P = rules("harmonized_with_guardrails").at(AS_OF)
STRESS = (date(2026, 1, 5), date(2026, 1, 30))
TESTS = {
    "horizon_days": 1,
    "lookback_years": 1,
    "windows": 2,
    "observations": 10,
    "level": 0.7,
    "weakest_window": 0.5,
    "stressed": 0.5,
}
HISTORY = ({"group": "a", "tenor_years": 2.0}, {"group": "b", "tenor_years": 10.0}, {"group": "x", "ticker": "SPX"})


def row(first="a", second="b", sign=1):
    return {"first": first, "second": second, "sign": sign, "basis": "one curve"}


def walk(two, ten, spx=None) -> Market:
    """A market whose 2Y and 10Y yields made these daily changes, in business days up to AS_OF."""
    days = [AS_OF - timedelta(days=n) for n in range(400) if (AS_OF - timedelta(days=n)).weekday() < 5]
    days = sorted(days[: len(two) + 1])
    par = 0.05 + np.cumsum(np.vstack([np.zeros(2), np.column_stack([two, ten])]), axis=0)
    curve = ParCurve(AS_OF, [1.0, 2.0, 5.0, 10.0, 30.0], [0.04] * 5)
    prices = None if spx is None else PriceHistory(days, {"SPX": spx})
    return Market(AS_OF, curve, History(days, [2.0, 10.0], par), price_history=prices)


def one(made: Market, *, pair=None, stress=STRESS, **tests) -> PairTest:
    (found,) = offset_gate(made, [pair or row()], HISTORY, {**TESTS, **tests}, stress_period=stress).pairs
    return found


DRAWS = np.random.default_rng(3).normal(0.0, 5e-4, (2, 240))


# ----------------------------------------------------------------------------------------------------- one pair


def test_yields_that_move_together_open_the_gate():
    found = one(walk(DRAWS[0], 0.9 * DRAWS[0] + 0.1 * DRAWS[1]))
    assert found.open
    assert found.level > 0.95
    assert found.line.note == "open; basis: one curve"


def test_unrelated_yields_leave_it_closed_and_say_by_which_tests():
    found = one(walk(*DRAWS))
    assert not found.open
    assert "level correlation" in found.why
    assert "< 0.7" in found.why


def test_the_sign_must_be_the_one_declared():
    assert not one(walk(DRAWS[0], -DRAWS[0])).open
    assert one(walk(DRAWS[0], -DRAWS[0]), pair=row(sign=-1)).open
    assert not one(walk(DRAWS[0], DRAWS[0]), pair=row(sign=-1)).open


def test_a_correlation_that_broke_in_one_window_is_not_reliable():
    turned = DRAWS[0].copy()
    turned[:60] = 0.2 * DRAWS[1, :60]
    found = one(walk(DRAWS[0], turned), windows=4, stress=(date(2026, 6, 1), AS_OF))
    assert found.level > 0.7
    assert found.why.startswith("weakest correlation")


def test_a_correlation_that_broke_in_stress_is_not_reliable():
    days = sorted([AS_OF - timedelta(days=n) for n in range(400) if (AS_OF - timedelta(days=n)).weekday() < 5][:241])
    broken = np.array([STRESS[0] <= day <= STRESS[1] for day in days[1:]])
    found = one(walk(DRAWS[0], np.where(broken, -DRAWS[0], DRAWS[0])), windows=1)
    assert found.level > 0.7
    assert found.stressed == pytest.approx(-1.0)
    assert found.why == "stressed correlation -1.00 < 0.5"


def test_prices_and_yields_have_opposite_signs():
    spx = 5000 * np.exp(np.concatenate([[0.0], np.cumsum(DRAWS[0] * 10)]))
    assert one(walk(DRAWS[0], DRAWS[1], spx), pair=row("a", "x", -1)).open  # the share rises as the bond falls


@pytest.mark.parametrize("group", ["nowhere", "x"])
def test_missing_evidence_closes(group):
    found = one(walk(DRAWS[0], DRAWS[0]), pair=row("a", group))
    assert not found.open
    assert found.line.how == "not_modelled"


def test_few_observations_no_stress_and_yields_that_stand_still_close():
    assert "observations < 1000" in one(walk(DRAWS[0], DRAWS[0]), observations=1000).why
    assert "stressed" in one(walk(DRAWS[0], DRAWS[0]), stress=(date(2001, 1, 1), date(2001, 2, 1))).why
    assert "unknown" in one(walk(DRAWS[0], np.zeros(240))).why
    assert not one(walk(DRAWS[0][:1], DRAWS[0][:1])).open
    assert not one(walk(DRAWS[0][:1], DRAWS[0][:1]), horizon_days=5).open


def test_changes_over_a_gap_of_the_history_are_no_evidence():
    made = walk(DRAWS[0], DRAWS[0])
    far = History([date(2020, 1, 2), *made.history.dates], [2.0, 10.0], np.vstack([[0.2, 0.01], made.history.par]))
    assert one(evolve(made, history=far), lookback_years=20).level == pytest.approx(1.0)


def test_nothing_after_the_date_of_the_market_is_read():
    made = walk(DRAWS[0], DRAWS[0])
    later = History([*made.history.dates, date(2026, 7, 1)], [2.0, 10.0], np.vstack([made.history.par, [0.2, 0.01]]))
    assert one(evolve(made, history=later)) == one(made)


def test_correlations_agree_with_their_textbook_sums():
    made = walk(*DRAWS)
    found = one(made, windows=3, stress=STRESS)
    one_side, other = (-np.diff(made.history.par[:, column]) for column in (0, 1))
    assert found.observations == 240
    assert found.level == pytest.approx(correlation(list(one_side), list(other)), abs=1e-12)
    parts = zip(np.array_split(one_side, 3), np.array_split(other, 3), strict=True)
    assert found.weakest == pytest.approx(min(correlation(list(a), list(b)) for a, b in parts), abs=1e-12)


# ------------------------------------------------------------------------------------------------------- blocks


def pairs_of(*pairs) -> list[PairTest]:
    return [PairTest(first, second, "basis") for first, second in pairs]


def test_a_closed_pair_never_shares_a_block_even_through_a_third():
    assert _blocks(pairs_of(("a", "b"), ("b", "c"))) == (("a", "b"),)
    assert _blocks(pairs_of(("b", "c"), ("a", "b"))) == (("b", "c"),)  # the table's order is the precedence
    assert _blocks(pairs_of(("a", "b"), ("b", "c"), ("a", "c"))) == (("a", "b", "c"),)
    assert _blocks(()) == ()


@given(st.lists(st.sampled_from([(a, b) for a in "abcdef" for b in "abcdef" if a < b]), unique=True))
def test_blocks_agree_with_the_slow_twin_and_hold_open_pairs_only(pairs):
    found = _blocks(pairs_of(*pairs))
    assert {frozenset(block) for block in found} == blocks(pairs)
    named = [group for block in found for group in block]
    assert len(named) == len(set(named))
    for block in found:
        assert all((a, b) in pairs or (b, a) in pairs for a in block for b in block if a < b)


def test_a_group_alone_is_its_own_block():
    gate = Gate(blocks=[("a", "b")])
    assert [gate.block(each) for each in "abc"] == ["a + b", "a + b", "c"]


# ------------------------------------------------------------------------------------------------------- groups


@pytest.mark.parametrize(
    ("product", "group"),
    [
        (NOTE_2, "short Treasuries"),
        (ZT, "short Treasuries"),
        (NOTE_7, "intermediate Treasuries"),
        (REPO, "intermediate Treasuries"),
        (ZN, "intermediate Treasuries"),
        (OPTION, "intermediate Treasuries"),
        (BOND, "long Treasuries"),
        (STRIPS(date(2045, 2, 15)), "long Treasuries"),
        (UB, "long Treasuries"),
        (BILL, "money market"),
        (SR3, "money market"),
        (FutureOption(SR3, "call", 96.0, date(2026, 8, 21)), "money market"),
        (TIPS_8, "tips"),
        (IndexFuture("ES", 202609), "large-cap index"),
        (ListedOption("SPX", "put", 6000.0, date(2026, 9, 18)), "large-cap index"),
        (Stock("XYZ"), "XYZ"),
        (ListedOption("XYZ", "put", 60.0, date(2026, 9, 18)), "XYZ"),
    ],
    ids=lambda each: getattr(each, "symbol", each),
)
def test_the_group_of_a_product(product, group):
    assert group_of(product, P.offset_groups, AS_OF) == group


def test_every_pair_of_the_proposal_names_groups_that_exist():
    unknown_groups(P.offset_pairs, P.offset_groups)
    with pytest.raises(InputError, match="gold"):
        unknown_groups([row("gold", "long Treasuries")], P.offset_groups)


# --------------------------------------------------------------------------------------------------- real history


def test_on_the_packaged_history_neighbours_on_the_curve_offset_and_its_ends_do_not():
    _, made = basis_trade()
    gate = offset_gate(made, P.offset_pairs, P.offset_history, P.gate_tests, stress_period=P.stress_period)
    found = {(pair.first, pair.second): pair for pair in gate.pairs}
    assert found["intermediate Treasuries", "long Treasuries"].open
    assert not found["money market", "intermediate Treasuries"].open
    assert not found["interest-rate swaps", "intermediate Treasuries"].open  # no history of swap rates
    assert gate.blocks == (("intermediate Treasuries", "long Treasuries"),)


def test_on_real_index_closes_large_and_small_caps_offset(shared):
    closes = shared / "data" / "market" / "equity_indices_daily.csv"
    if not closes.is_file():
        pytest.skip("no closes of indices in ../shared")
    past = read_index_history(closes, columns={"SPX": "SPX_close", "RUT": "RUT_close"})
    _, made = basis_trade()
    made = evolve(made, price_history=past)
    gate = offset_gate(made, P.offset_pairs, P.offset_history, P.gate_tests, stress_period=P.stress_period)
    found = {(pair.first, pair.second): pair for pair in gate.pairs}
    caps = found["large-cap index", "small-cap index"]
    assert caps.open
    assert 0.7 < caps.weakest <= caps.level < 1.0
    assert gate.block("large-cap index") != gate.block("long Treasuries")


# ----------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("pairs", "tests", "said"),
    [
        ([row(sign=0)], {}, "sign is 0"),
        ([row("a", "a")], {}, "with itself"),
        ([row(), row("b", "a")], {}, "stands twice"),
        ([row()], {"level": float("nan")}, "no correlation"),
        ([row()], {"windows": 0}, "below 1"),
        ([row(sign=3)], {"stressed": 2.0, "horizon_days": 0}, "sign is 3"),
    ],
)
def test_what_makes_no_sense_is_refused(pairs, tests, said):
    with pytest.raises(InputError, match=said):
        offset_gate(market(), pairs, HISTORY, {**TESTS, **tests}, stress_period=STRESS)


def test_a_missing_test_is_named():
    with pytest.raises(InputError, match="windows"):
        offset_gate(market(), [], (), {k: v for k, v in TESTS.items() if k != "windows"}, stress_period=STRESS)

"""Required, posted, excess, deficit and locked: by hand, under limits, behind walls, and for every book."""

from __future__ import annotations

import math
import time

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass, InsolvencyRegime
from crossmargin.collateral import Cash, CollateralReport, OtherAsset, Posted, balances, collateral_rules
from crossmargin.errors import InputError
from crossmargin.results import Line, not_modelled, total
from tests.collateral.pots import (
    AS_OF,
    BILL,
    EUR,
    FIRM,
    FUTURES,
    GOLD,
    HOUSE,
    IBM,
    NOTE,
    NOTE_H,
    PORTFOLIO,
    SECURITIES,
    SPY,
    SWAPS,
    UNPRICED,
    USD,
    XM,
    A,
    B,
    box,
    credit,
    market,
    need,
    place,
    posted,
)


def one(requirements, held, **more):
    [balance] = balances(requirements, [], held, market(), **more).balances
    return balance


def amounts(balance):
    return tuple(line.amount for line in balance.lines)


# ------------------------------------------------------------------------------------------------- by hand


def test_a_bill_and_cash_against_a_requirement():
    """100,000 of bills at 0.99 less 0.5 % is 98,505; with 10,000 of cash 108,505 against 90,000."""
    balance = one([need(90_000.0)], [posted("b", BILL, 100_000.0), posted("c", USD, 10_000.0)])
    expected = (90_000.0, 109_000.0, 108_505.0, 90_000.0, 18_505.0, 0.0, 0.0)
    assert amounts(balance) == pytest.approx(expected)
    assert balance.schedules == ("cme_collateral",)


def test_too_little_is_a_deficit():
    balance = one([need(100.0)], [posted("c", USD, 60.0)])
    assert amounts(balance) == (100.0, 60.0, 60.0, 60.0, 0.0, 40.0, 0.0)


def test_credits_lower_the_requirement_of_their_pool():
    unit = need(100.0, owner=A, account_class=XM)
    report = balances([unit, need(50.0, owner=A, account_class=XM)], [credit(unit, -80.0)], [], market())
    assert report.balances[0].required.amount == 70.0


def test_a_credit_never_turns_a_requirement_into_a_claim():
    unit = need(100.0, owner=A, account_class=XM)
    [balance] = balances(
        [unit], [credit(unit, -150.0)], [posted("c", USD, 10.0, owner=A, account_class=XM)], market()
    ).balances
    assert (balance.required.amount, balance.excess.amount, balance.deficit.amount) == (0.0, 10.0, 0.0)


def test_the_firms_own_box_is_nobodys_collateral():
    assert balances([], [], [box("own", USD, 10.0)], market()).balances == ()
    asked = balances([need(6.0, "carrying firm")], [], [box("own", USD, 10.0)], market())
    assert asked.balances[0].excess.amount == 4.0


def test_nothing_and_nobody():
    report = balances([], [], [], market())
    assert report.balances == ()
    assert report.totals() == dict.fromkeys(report.totals(), 0.0)
    assert amounts(one([need(5.0)], [])) == (5.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0)
    assert amounts(one([], [posted("c", USD, 5.0)])) == (0.0, 5.0, 5.0, 0.0, 5.0, 0.0, 0.0)


def test_foreign_cash_and_gold_after_their_haircuts():
    """1,000 EUR at 1.10 less 5 % is 1,045; 2 ounces at 2,000 less 15 % are 3,400."""
    balance = one([need(4_445.0)], [posted("e", EUR, 1_000.0), posted("g", GOLD, 2.0)])
    assert balance.lendable.amount == pytest.approx(4_445.0)
    assert balance.deficit.amount == pytest.approx(0.0, abs=1e-9)


def test_a_note_is_worth_its_price_with_accrued_interest():
    """1,000,000 at par and 46 of 184 days of 1.875 %: 1,004,687.50; less 4.5 % 959,476.5625."""
    balance = one([need(1.0)], [posted("n", NOTE, 1_000_000.0)])
    assert balance.market_value.amount == pytest.approx(1_004_687.5)
    assert balance.lendable.amount == pytest.approx(959_476.5625)


def test_what_is_not_eligible_counts_nothing_and_is_a_decision():
    report = balances([need(100.0, "FICC")], [], [posted("g", GOLD, 1.0, "FICC")], market())
    [balance], [decision] = report.balances, report.refused()
    assert (balance.market_value.amount, balance.lendable.amount, balance.deficit.amount) == (2000.0, 0.0, 100.0)
    assert not balance.partial
    assert (decision.position, decision.because[0].condition) == ("g", "listed")


def test_own_paper_counts_nothing():
    held = [posted("x", IBM, 10.0, issuer="AFFILIATE"), posted("y", IBM, 10.0, issuer="IBM")]
    report = balances([need(1_400.0)], [], held, market(), portfolio=PORTFOLIO)
    assert report.balances[0].lendable.amount == pytest.approx(700.0)
    assert [each.position for each in report.refused()] == ["x"]


def test_what_has_no_price_counts_nothing_and_is_named():
    balance = one([need(100.0)], [posted("x", UNPRICED, 10.0)])
    assert amounts(balance) == (100.0, None, None, 0.0, None, 100.0, None)
    assert balance.line.amount is None, "nobody knows whether it is in excess"
    assert balance.partial
    report = balances([need(100.0)], [], [posted("x", UNPRICED, 10.0), posted("c", USD, 30.0)], market())
    assert report.balances[0].deficit.amount == 70.0
    [(where, line)] = report.not_modelled()
    assert (line.name, "NOPRICE" in line.note, "CME" in where) == ("x", True, True)


def test_a_pot_without_a_schedule_takes_nothing_and_says_so():
    report = balances([need(10.0, "MOON")], [], [posted("c", USD, 10.0, "MOON")], market())
    assert (report.balances[0].market_value.amount, report.balances[0].deficit.amount) == (10.0, 10.0)
    assert "no schedule" in report.not_modelled()[0][1].note


# ------------------------------------------------------------------------------------------------- limits


def test_one_issue_counts_for_a_tenth_at_occ():
    """10 shares of IBM at 100 less 30 % are 700, of a requirement of 1,000 no more than 100; SPY the same."""
    held = [posted("i", IBM, 10.0, "OCC"), posted("s", SPY, 10.0, "OCC"), posted("c", USD, 300.0, "OCC")]
    balance = one([need(1_000.0, "OCC")], held)
    assert balance.lendable.amount == pytest.approx(700.0 + 3_500.0 + 300.0)
    assert balance.covered.amount == pytest.approx(100.0 + 100.0 + 300.0)
    assert (balance.deficit.amount, balance.excess.amount) == pytest.approx((500.0, 4_000.0))


def test_two_deposits_of_one_issuer_share_its_limit():
    held = [posted(id, IBM, 10.0, "OCC") for id in ("i", "j")]
    assert one([need(1_000.0, "OCC")], held).covered.amount == pytest.approx(100.0)


def test_the_house_meets_part_of_icc_in_dollars_and_customers_need_not():
    """1,010,101.01 of bills at 0.99 less 1 % is 990,000: of 1,000,000 no more than 55 % for the house."""
    face = 1_000_000.0 / 0.99
    house = one([need(1_000_000.0, "ICC")], [posted("b", BILL, face, "ICC")])
    assert house.covered.amount == pytest.approx(550_000.0)
    customer = one([need(1_000_000.0, "ICC", A, SWAPS)], [posted("b", BILL, face, "ICC", A, SWAPS)])
    assert customer.covered.amount == pytest.approx(990_000.0)


def test_other_currencies_count_for_a_part_at_icc():
    balance = one([need(1_000.0, "ICC", A, SWAPS)], [posted("e", EUR, 1_000.0, "ICC", A, SWAPS)])
    assert balance.lendable.amount == pytest.approx(1_100.0 * 0.9525)
    assert balance.covered.amount == pytest.approx(350.0)


def test_a_limit_in_dollars():
    """1.2 bn of gold less 15 % is 1.02 bn; CME lets 750 mm count."""
    balance = one([need(1e9)], [posted("g", GOLD, 600_000.0)])
    assert (balance.lendable.amount, balance.covered.amount) == pytest.approx((1.02e9, 0.75e9))


def test_limits_of_two_schedules_hold_together_in_a_joint_account():
    study = collateral_rules()["segregation_walls"].with_values(
        takers=({"level": "clearing", "pot": "OCC", "schedules": ("occ_collateral", "cme_collateral")},), because="x"
    )
    held = [posted(f"s{n}", OtherAsset("gold", "GOLD"), 1.0, "OCC") for n in range(2)]
    held += [posted("i", IBM, 1e8, "OCC")]
    balance = one([need(1e10, "OCC")], held, rules=[study])
    assert balance.covered.amount == pytest.approx(5e8)  # a tenth is 1 bn, CME's limit on stocks 500 mm


def test_cash_below_the_target_is_shown_beside():
    balance = one([need(1_000.0)], [posted("b", BILL, 2_000.0), posted("c", USD, 100.0)])
    [memo] = balance.covered.parts[1].memo
    assert (memo.amount, "not modelled" in memo.note) == (200.0, True)


# ------------------------------------------------------------------------------------------------- levels


def test_a_dollar_passed_on_is_seen_at_both_levels_and_added_at_neither():
    asked = [need(100.0, owner=A), need(100.0, FIRM, A, level="customer")]
    held = [box("d", USD, 100.0, A), posted("p", USD, 80.0, owner=A, passed_on="d")]
    report = balances(asked, [], held, market())
    assert report.levels == ("clearing", "customer")
    assert report.totals("customer")["market_value"] == 100.0
    assert report.totals("clearing")["market_value"] == 80.0
    assert (report.totals("customer")["deficit"], report.totals("clearing")["deficit"]) == (0.0, 20.0)


def test_what_customers_owe_their_firm_is_one_balance_whatever_its_pot_is_called():
    asked = [need(60.0, FIRM, A, level="customer"), need(40.0, "carrying firm", A, level="customer")]
    balance = one(asked, [posted("d", USD, 100.0, FIRM, A)])
    assert (balance.pot, balance.required.amount, balance.deficit.amount) == ("carrying firm", 100.0, 0.0)


def test_customers_never_cover_one_another():
    report = balances([need(50.0, owner=A), need(50.0, owner=B)], [], [posted("a", USD, 100.0, owner=A)], market())
    assert [balance.deficit.amount for balance in report.balances] == [0.0, 50.0]


def test_every_balance_names_its_law_and_insolvency_regime():
    classes = [each for each in AccountClass if each is not HOUSE]
    report = balances([need(1.0, "CME", A, each) for each in classes], [], [], market())
    for balance in report.balances:
        assert balance.law
        assert balance.insolvency_regime is balance.account_class.insolvency_regime
    house = one([need(1.0)], [])
    assert (house.law, house.insolvency_regime) == ("", InsolvencyRegime.GENERAL_ESTATE)


# ------------------------------------------------------------------------------------------------- locked


def locked(report, where):
    line = report.at(where).locked
    names = [part.name for part in line.parts if part.value == line.value > 0.0]
    return line.amount, names, "".join(part.note for part in line.parts)


def test_excess_alone_is_not_locked():
    assert one([need(10.0)], [posted("c", USD, 30.0)]).locked.amount == 0.0


def test_excess_behind_walls_is_locked():
    """Securities excess of one customer beside the futures deficit of the same: locked until it instructs."""
    asked = [need(50.0, "OCC", A, SECURITIES), need(50.0, "CME", A)]
    held = [posted("c", USD, 80.0, "OCC", A, SECURITIES)]
    where = place("OCC", A, SECURITIES)
    amount, names, walls = locked(balances(asked, [], held, market()), where)
    assert (amount, names) == (30.0, ["behind walls"])
    assert "securities_and_futures_apart" in walls
    assert locked(balances(asked, [], held, market(), instructed=[A]), where)[0] == 0.0
    assert locked(balances(asked, [], held, market(), instructed=[B]), where)[0] == 30.0


@pytest.mark.parametrize(
    ("source", "other", "free"),
    [
        (("CME", A, FUTURES), ("ICC", A, FUTURES), True),
        (("CME", A, FUTURES), ("CME", B, FUTURES), False),
        (("ICC", A, SWAPS), ("ICC", B, SWAPS), False),
        (("CME", A, XM), ("FICC", A, XM), False),
        (("CME", FIRM, HOUSE), ("CME", A, FUTURES), True),
        (("CME", A, FUTURES), ("CME", FIRM, HOUSE), False),
    ],
)
def test_what_keeps_excess_from_another_place(source, other, free):
    asked = [need(10.0, source[0], *source[1:]), need(10.0, other[0], *other[1:])]
    held = [posted("c", USD, 30.0, source[0], *source[1:])]
    assert locked(balances(asked, [], held, market()), place(*source))[0] == (0.0 if free else 20.0)


def test_the_minimum_of_a_segregated_participant_stays():
    """1.5 mm against 0.4 mm: 1.1 mm in excess, of which 0.6 mm fill the minimum of 1 mm."""
    balance = one([need(4e5, "FICC", A, NOTE_H)], [posted("c", USD, 1.5e6, "FICC", A, NOTE_H)])
    assert (balance.excess.amount, balance.locked.amount) == (1.1e6, 6e5)
    enough = one([need(2e6, "FICC", A, NOTE_H)], [posted("c", USD, 2.5e6, "FICC", A, NOTE_H)])
    assert enough.locked.amount == 0.0


def test_a_requirement_known_in_part_is_partial_and_one_not_known_locks():
    partly = total("requirement", [Line("known", 40.0), not_modelled("the rest", "no model")])
    balance = one([need(0, line=partly)], [posted("c", USD, 100.0)])
    assert (balance.required.amount, balance.excess.amount, balance.locked.amount) == (40.0, 60.0, 0.0)
    assert balance.partial
    nothing = one([need(0, line=not_modelled("requirement", "no model"))], [posted("c", USD, 100.0)])
    assert amounts(nothing) == (None, 100.0, 100.0, None, 100.0, None, 100.0)
    assert nothing.line.amount is None


# ------------------------------------------------------------------------------------- problems and records


def test_problems_of_requirements_and_deposits_are_told_together():
    asked = [evolve(need(1.0), firm=""), evolve(need(1.0), account_class="CFTC_4DAB")]
    lost = credit(need(1.0, pool="gone"), -1.0)
    with pytest.raises(InputError) as caught:
        balances(asked, [lost], [posted("x", USD, -1.0)], market())
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "Did you mean 'CFTC_4D_AB'" in text
    assert "names no firm" in text
    assert "no requirement in this pot" in text


def test_the_report_survives_json_and_tells_its_sources():
    held = [posted("b", BILL, 100.0), posted("x", UNPRICED, 1.0), posted("p", OtherAsset("painting", "GOLD"), 1.0)]
    report = balances([need(90.0), need(10.0, owner=A)], [], held, market())
    assert CollateralReport.from_json(report.to_json()) == report
    assert {read.name for read in report.reads()} >= {"treasuries", "takers", "cash_target"}
    assert {read.grade for read in report.assumptions()} == {"assumed"}
    record = report.to_records()[0]
    assert (record["pot"], record["account_class"], record["required"]) == ("CME", "PROPRIETARY", 90.0)
    with pytest.raises(InputError, match="balances: 3 is no list"):
        CollateralReport.from_json('{"schema": "crossmargin/collateral/1", "balances": 3}')
    with pytest.raises(InputError, match="nothing is required or posted"):
        report.at(place("OCC"))
    assert "value after haircuts" in report.balances[0].explain()
    assert report.balances[0].line.amount == pytest.approx(98.505 - 90.0)


# ---------------------------------------------------------------------------------------------------- laws

ASSETS = st.sampled_from([USD, EUR, GOLD, BILL, NOTE, IBM, SPY, UNPRICED])
PLACES = st.sampled_from(
    [
        ("CME", FIRM, HOUSE),
        ("ICC", FIRM, HOUSE),
        ("OCC", FIRM, HOUSE),
        ("CME", A, FUTURES),
        ("ICC", A, SWAPS),
        ("FICC", A, NOTE_H),
        ("OCC", B, SECURITIES),
        ("carrying firm", B, SECURITIES),
        ("MOON", FIRM, HOUSE),
    ]
)
AMOUNTS = st.floats(0.0, 1e9, allow_subnormal=False)
NEEDS = st.lists(st.tuples(AMOUNTS, PLACES), max_size=6)
HELD = st.lists(st.tuples(ASSETS, st.floats(0.0, 1e7, allow_subnormal=False), PLACES), max_size=8)


def made_needs(drawn):
    return [
        need(amount, *where, level="customer" if where[0] == "carrying firm" else "clearing") for amount, where in drawn
    ]


def made_held(drawn, prefix="h"):
    return [posted(f"{prefix}{n}", asset, quantity, *where) for n, (asset, quantity, where) in enumerate(drawn)]


@given(NEEDS, HELD)
def test_the_amounts_hold_together(asked, held):
    report = balances(made_needs(asked), [], made_held(held), market())
    for balance in report.balances:
        required, worth, lendable, covered, excess, deficit, stuck = amounts(balance)
        assert (lendable is None) == (excess is None) == (stuck is None)
        if lendable is None:
            assert (covered, deficit) == (0.0, required), "what has no value covers nothing"
            continue
        assert min(required, worth, lendable, covered, excess, deficit, stuck) >= 0.0
        assert lendable <= worth
        assert covered <= min(required, lendable)
        assert stuck <= excess
        assert math.isclose(required + excess, lendable + deficit, rel_tol=1e-12, abs_tol=1e-6)


@given(NEEDS, HELD, HELD)
def test_more_collateral_never_raises_a_deficit(asked, held, more):
    asked = made_needs(asked)
    before = {each.place: each for each in balances(asked, [], made_held(held), market()).balances}
    after = balances(asked, [], [*made_held(held), *made_held(more, "m")], market())
    for balance in after.balances:
        if balance.place in before:
            slack = 1e-9 * (1.0 + balance.required.amount)
            assert balance.deficit.amount <= before[balance.place].deficit.amount + slack


@given(NEEDS, HELD, st.randoms(use_true_random=False))
def test_order_and_splitting_change_nothing(asked, held, random):
    asked, whole = made_needs(asked), made_held(held)
    halves = [evolve(each, id=f"{each.id}{side}", quantity=each.quantity / 2) for each in whole for side in "ab"]
    random.shuffle(halves)
    one_way = {each.place: amounts(each) for each in balances(asked, [], whole, market()).balances}
    other = {each.place: amounts(each) for each in balances(asked[::-1], [], halves, market()).balances}
    assert one_way.keys() == other.keys()
    for where, expected in one_way.items():
        for one, two in zip(other[where], expected, strict=True):
            assert one is two is None or one == pytest.approx(two, rel=1e-9, abs=1e-6)


@given(st.lists(st.tuples(st.one_of(st.none(), AMOUNTS), PLACES), max_size=6), HELD)
def test_a_total_is_a_number_only_if_some_part_of_it_is_modelled(asked, held):
    lines = [Line("r", amount) if amount is not None else not_modelled("r", "no model") for amount, _ in asked]
    made = [
        evolve(each, line=line) for each, line in zip(made_needs([(1.0, at) for _, at in asked]), lines, strict=True)
    ]
    report = balances(made, [], made_held(held), market())
    for level in ("clearing", "customer"):
        mine = [each for each in report.balances if each.level == level]
        for name, amount in report.totals(level).items():
            known = [line.amount for each in mine if (line := getattr(each, name)).amount is not None]
            assert amount == (math.fsum(known) if known or not mine else None)
            assert ("not modelled" in str(report)) or amount is not None
    records = report.to_records()
    assert [record["required"] for record in records] == [each.required.amount for each in report.balances]
    assert CollateralReport.from_json(report.to_json()) == report


@given(NEEDS, HELD)
def test_one_pot_never_changes_another(asked, held):
    asked, held = made_needs(asked), made_held(held)
    report = balances(asked, [], held, market())
    for balance in report.balances:
        mine = [each for each in held if each.place == balance.place]
        level = balance.level
        mine_asked = [
            each
            for each in asked
            if (each.owner, each.account_class, each.level) == (balance.owner, balance.account_class, level)
            and (each.pot == balance.pot or level == "customer")
        ]
        [alone] = balances(mine_asked, [], mine, market()).balances
        assert amounts(alone)[:6] == amounts(balance)[:6]  # what is locked depends on where else it could go


def test_thousands_of_pools_stay_quick():
    owners = [f"C{n}" for n in range(3_000)]
    asked = [need(1_000.0, "CME", owner, FUTURES) for owner in owners]
    held = [Posted(f"d{n}", owner, FIRM, "CME", FUTURES, BILL, 900.0 + n) for n, owner in enumerate(owners)]
    balances(asked[:10], [], held[:10], market())
    start = time.process_time()
    report = balances(asked, [], held, market())
    took = time.process_time() - start
    assert len(report.balances) == 3_000
    assert took < 3.0  # 0.7 s of one core, measured
    assert report.as_of == AS_OF
    assert Cash() == USD

"""Attribution: hand-worked games, the laws of the Shapley mean, and steps that really lead from regime to regime."""

from __future__ import annotations

import json
from itertools import combinations, permutations
from math import fsum, nan

import numpy as np
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crossmargin.accounts import Agreement
from crossmargin.analysis.attribution import MOST_STEPS, attribute, shapley
from crossmargin.analysis.between_regimes import (
    COLLATERAL,
    CREDIT,
    ELIGIBILITY,
    FLOORS,
    MODEL,
    POOLING,
    Between,
    _without_papers,
    between,
)
from crossmargin.errors import InputError, NumericalError
from crossmargin.margin import collateral_report, compare, margin
from crossmargin.portfolio import Portfolio, Position
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, PORTFOLIO_MARGIN, SILOED, STRATEGY_MARGIN, regime
from crossmargin.registry import rulebook
from crossmargin.risk import TailMeasure
from crossmargin.samples import basis_trade, equity_options, group, swap_book
from tests.properties.strategies import (
    NOTE_2,
    NOTE_7,
    OPTION,
    PAPERS,
    SETTLES,
    UB,
    ZN,
    ZT,
    accounts_of,
    as_much,
    basis,
    book,
    holdings,
    market,
)

rarely = settings(max_examples=3)  # each example reprices a book and evaluates up to 32 regimes
PAIRS = ((SILOED, CROSS_MARGIN), (SILOED, HARMONIZED), (CROSS_MARGIN, HARMONIZED), (HARMONIZED, CROSS_MARGIN))
TWO_POT = regime("any_pair_two_pot")
SAMPLES = {"basis_trade": basis_trade, "equity_options": equity_options, "swap_book": swap_book, "group": group}

SCATTERED = (
    Position("note", "ALPHA-GOV", NOTE_7, 80e6, SETTLES),
    Position("older", "ALPHA-XM", NOTE_2, -150e6, SETTLES),
    Position("ten", "ALPHA-FUT", ZN, -400),
    Position("two", "ALPHA-XM", ZT, 500),
    Position("long", "BETA-FUT", UB, 30),
)

# ------------------------------------------------------------------------------------------------------------ shapley


def test_a_step_whose_effect_depends_on_the_order_has_its_mean_effect():
    # 100 siloed; pooled 60; capped 90; both 70. Pooling first: -40, then +10; the cap first: -10, then -20
    asked = {"": 100.0, "p": 60.0, "c": 90.0, "cp": 70.0}
    effects = shapley(lambda taken: asked["".join(sorted(taken))], ["p", "c"])
    in_orders = {"p": [60.0 - 100.0, 70.0 - 90.0], "c": [70.0 - 60.0, 90.0 - 100.0]}
    assert in_orders["p"][0] != in_orders["p"][1]
    assert effects == {"p": -30.0, "c": 0.0}
    assert effects == {step: fsum(found) / 2 for step, found in in_orders.items()}


def test_the_glove_game():
    # one left glove, two right ones, a pair is worth 6: the left one gets 4, each right one 1 (Shapley 1953)
    found = shapley(lambda held: 6.0 * ("left" in held and len(held) > 1), ["left", "right 1", "right 2"])
    assert found == {"left": 4.0, "right 1": 1.0, "right 2": 1.0}


@st.composite
def games(draw, steps="abcd"):
    names = steps[: draw(st.integers(1, len(steps)))]
    subsets = [frozenset(taken) for n in range(len(names) + 1) for taken in combinations(names, n)]
    worth = st.integers(-(10**9), 10**9).map(float)
    return names, dict(zip(subsets, draw(st.lists(worth, min_size=len(subsets), max_size=len(subsets))), strict=True))


def by_orders(names, game):
    """The mean over all orders, one after another: slow and obvious."""
    gains = {name: [] for name in names}
    for order in permutations(names):
        for n, name in enumerate(order):
            gains[name].append(game[frozenset(order[: n + 1])] - game[frozenset(order[:n])])
    return {name: fsum(found) / len(found) for name, found in gains.items()}


@given(games())
def test_it_is_the_mean_over_orders_and_adds_up(drawn):
    names, game = drawn
    found = shapley(game.__getitem__, names)
    assert found == pytest.approx(by_orders(names, game), rel=1e-12, abs=1e-6)
    assert fsum(found.values()) == pytest.approx(game[frozenset(names)] - game[frozenset()], abs=1e-6)


@given(games(), games())
def test_it_is_linear(one, two):
    names, game = one
    other = {taken: two[1].get(taken, 0.0) for taken in game}
    both = shapley(lambda taken: game[taken] + 3.0 * other[taken], names)
    apart = shapley(game.__getitem__, names), shapley(other.__getitem__, names)
    assert both == pytest.approx({name: apart[0][name] + 3.0 * apart[1][name] for name in names}, abs=1e-4)


@given(games("abc"), st.integers(-1000, 1000))
def test_a_step_that_always_adds_the_same_gets_that_and_equals_are_equal(drawn, amount):
    names, game = drawn
    found = shapley(lambda taken: game[taken - {"x", "y"}] + amount * len(taken & {"x", "y"}), [*names, "x", "y"])
    assert found["x"] == found["y"] == amount
    assert found == pytest.approx({**shapley(game.__getitem__, names), "x": amount, "y": amount}, abs=1e-6)


def test_every_set_is_evaluated_once():
    seen = []
    shapley(lambda taken: float(len(seen.append(taken) or taken)), "abcde")
    assert len(seen) == len(set(seen)) == 32


def test_bad_games_are_refused():
    with pytest.raises(InputError, match="step 'a': stands twice"):
        shapley(len, ["a", "a"])
    with pytest.raises(InputError, match=f"Give at most {MOST_STEPS}"):
        shapley(len, map(str, range(MOST_STEPS + 1)))
    with pytest.raises(NumericalError, match="'a'"):
        shapley(lambda taken: nan if taken else 0.0, ["a"])
    assert shapley(lambda _: 5.0, []) == {}


# ----------------------------------------------------------------------------------------------- it adds up to the cent


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(("level", "pair"), [("clearing", PAIRS[2]), ("customer", PAIRS[0])])
def test_the_bridges_of_the_samples_add_up(name, level, pair):
    portfolio, found_in = SAMPLES[name]()
    base, other = (margin(portfolio, found_in, each).total(level) for each in pair)
    bridge = attribute(portfolio, found_in, *pair, level=level)
    assert bridge.line.parts[0].amount == base
    if base is None or other is None:
        assert (bridge.line.amount, {line.amount for line in bridge.steps}) == (other, {None})
        assert None in bridge.states.values()
        return
    assert bridge.line.value == pytest.approx(other, abs=0.001)
    assert bridge.line.value == fsum(line.value for line in bridge.line.parts)
    for shares in (bridge.by_position, bridge.by_account, bridge.by_asset_class, bridge.by_pot):
        assert fsum(share.base or 0.0 for share in shares) == pytest.approx(base, abs=0.001)
        assert fsum(share.change or 0.0 for share in shares) == pytest.approx(other - base, abs=0.001)


@example((Position("p", "ALPHA-XM", OPTION, 1.0),), PAIRS[0], "clearing")  # nothing of it is modelled
@rarely
@given(holdings(), st.sampled_from(PAIRS), st.sampled_from(["clearing", "customer"]))
def test_the_ends_are_what_the_regimes_ask_for_any_book(positions, pair, level):
    portfolio = book(*positions)
    ways = between(portfolio, market(), pair, rulebook())
    ends = compare(portfolio, market(), pair).totals(level)
    assert as_much(ways.total((), level), ends[pair[0].name], rel_tol=1e-12)
    assert as_much(ways.total(ways.steps, level), ends[pair[1].name], rel_tol=1e-12)


@pytest.mark.parametrize("proposal", [id for id, rule in rulebook().items() if rule.kind == "proposal"])
def test_the_ends_are_right_for_every_proposal(proposal):
    other = evolve(SILOED, name=proposal, proposal=proposal)
    ways = between(book(*SCATTERED), market(), (CROSS_MARGIN, other), rulebook())
    assert ways.total(ways.steps) == pytest.approx(margin(book(*SCATTERED), market(), other).total(), rel=1e-12)
    assert FLOORS in ways.steps


@rarely
@given(holdings(most=4))
def test_the_way_back_has_the_opposite_steps(positions):
    there = attribute(book(*positions), market(), CROSS_MARGIN, HARMONIZED)
    back = attribute(book(*reversed(positions)), market(), HARMONIZED, CROSS_MARGIN)
    for line in there.steps:
        assert back.step(line.name) == pytest.approx(-line.value, rel=1e-9, abs=1e-4)


def test_no_step_without_a_difference():
    same = attribute(book(*basis()), market(), SILOED, evolve(SILOED, name="again"))
    assert same.steps == ()
    assert attribute(book(), market()).line.value == 0.0


# ------------------------------------------------------------------------------------------------------- single steps


def test_the_credit_of_one_unit_and_its_cap_by_hand():
    # uncapped the unit would save r of its legs L, capped c: before or after the cap the credit is worth r L or c L
    report = margin(book(*basis()), market(), CROSS_MARGIN)
    legs = report.gross()
    lower, cap = (report.credits[0].line.part(name).value for name in ("lower factor", "reduction cap"))
    assert lower > cap, "the cap binds, or the example shows nothing"
    bridge = attribute(book(*basis()), market())
    assert bridge.step(CREDIT) == pytest.approx(-(lower + cap) / 2 * legs, rel=1e-9)
    assert bridge.step(FLOORS) == pytest.approx((lower - cap) / 2 * legs, rel=1e-9)
    assert [bridge.step(name) for name in (POOLING, MODEL, ELIGIBILITY)] == [0.0, 0.0, 0.0]


def test_an_overlaid_rule_is_overlaid_in_every_state():
    capped = rulebook()["cme_ficc"].with_values(reduction_cap=0.25, because="test")
    bridge = attribute(book(*basis()), market(), rules=[capped])
    shipped = attribute(book(*basis()), market())
    assert bridge.line.value == pytest.approx(0.75 * bridge.line.parts[0].value, rel=1e-9)
    assert bridge.states[frozenset({CREDIT, ELIGIBILITY})] == shipped.states[frozenset({CREDIT, ELIGIBILITY})]


def test_what_a_missing_paper_costs():
    accounts = accounts_of("ALPHA", papers=PAPERS - {Agreement.SUBORDINATION})
    unsigned = book(*basis(), accounts=accounts)
    signed = attribute(book(*basis()), market())
    bridge = attribute(unsigned, market())
    assert bridge.line.value == bridge.line.parts[0].value, "nothing is credited"
    assert bridge.step(ELIGIBILITY) > 0.0
    # the paper, and the credit it opens, would bring what the signed book gets
    ways = between(unsigned, market(), (SILOED, CROSS_MARGIN), rulebook())
    assert ways.total({CREDIT, FLOORS}) == pytest.approx(signed.line.value, rel=1e-12)


def test_what_nothing_cures_always_binds():
    for id in (*CROSS_MARGIN.arrangements, HARMONIZED.proposal):
        kept = _without_papers(rulebook()[id])
        names = {condition.id for condition in kept.conditions}
        assert names & {"product_list", "rates_product"}
        assert all(
            each.cure.startswith("None") or each.id in {"directed", "programme_open"} for each in kept.conditions
        )


def test_pooling_alone_is_one_account_under_the_rule_sets_of_today():
    ways = between(book(*SCATTERED), market(), (SILOED, HARMONIZED), rulebook())
    together = [evolve(each, account=f"{each.account.split('-')[0]}-FUT") for each in SCATTERED]
    together = [evolve(each, account=each.account.replace("FUT", "XM")) for each in together]
    accounts = [evolve(each, arrangement="") for each in book().accounts]
    assert ways.total({POOLING}) == pytest.approx(margin(book(*together, accounts=accounts), market()).total())
    assert ways.total({POOLING}) != pytest.approx(ways.total(()))


def test_the_model_alone_margins_each_silo_by_the_common_model():
    ways = between(book(*SCATTERED), market(), (SILOED, HARMONIZED), rulebook())
    silos = [each.positions for each in margin(book(*SCATTERED), market()).requirements if each.level == "clearing"]
    alone = [book(*(each for each in SCATTERED if each.id in silo)) for silo in silos]
    asked = [margin(silo, market(), HARMONIZED).total() for silo in alone]
    assert ways.total({MODEL, FLOORS, ELIGIBILITY}) == pytest.approx(fsum(asked), rel=1e-12)


def test_floors_and_caps_are_those_of_the_overlaid_proposal():
    off = rulebook()["harmonized_rates"].with_values(reduction_cap=1.0, floor_share=0.0, because="test")
    ways = between(book(*SCATTERED), market(), (SILOED, HARMONIZED), rulebook())
    assert ways.total({POOLING, MODEL, ELIGIBILITY}) == pytest.approx(
        margin(book(*SCATTERED), market(), HARMONIZED, rules=[off]).total(), rel=1e-12
    )


def test_floors_and_add_ons_of_a_rule_set_count_where_its_regime_is_taken():
    # gross positions that hedge one another: the percentage floor of FICC binds
    held = (Position("a", "ALPHA-GOV", NOTE_7, 900e6, SETTLES), Position("b", "ALPHA-GOV", NOTE_2, -2900e6, SETTLES))
    ways = between(book(*held), market(), (SILOED, HARMONIZED), rulebook())
    plain = margin(book(*held), market(), SILOED, rules=[rulebook()["ficc_gsd"].plain]).total()
    assert ways.total({FLOORS}) == pytest.approx(plain, rel=1e-12)
    assert ways.total({POOLING, FLOORS}) == pytest.approx(plain, rel=1e-12)
    assert plain < margin(book(*held), market(), SILOED).total()
    assert FLOORS in ways.steps


def test_a_rule_set_of_both_regimes_keeps_its_floors_in_every_state():
    unit = (*basis(), Position("x", "ALPHA-GOV", NOTE_7, 1e9, SETTLES))
    ways = between(book(*unit), market(), (SILOED, CROSS_MARGIN), rulebook())
    assert ways.total({FLOORS}) == ways.total(()) == margin(book(*unit), market()).total()


@rarely
@given(holdings())
def test_pooling_under_one_model_and_horizon_never_raises_an_expected_shortfall(positions):
    ways = between(book(*positions), market(), (SILOED, regime("full_harmonized")), rulebook())
    for others in ((), (ELIGIBILITY,), (FLOORS, ELIGIBILITY)):
        assert ways.total({POOLING, MODEL, *others}) <= ways.total({MODEL, *others}) * (1 + 1e-9) + 1e-6


def test_house_terms_stand_in_every_state():
    terms = rulebook()["house_overlay"].with_values(terms=[{"firm": "DUAL", "multiplier": 1.5}], because="test")
    bridge = attribute(book(*basis()), market(), level="customer", rules=[terms])
    shipped = attribute(book(*basis()), market(), level="customer")
    assert bridge.line.value == pytest.approx(1.5 * shipped.line.value)
    assert bridge.step(CREDIT) == pytest.approx(1.5 * shipped.step(CREDIT))


def test_another_way_to_margin_securities_is_a_step_of_the_model():
    portfolio, found_in = equity_options()
    bridge = attribute(portfolio, found_in, STRATEGY_MARGIN, PORTFOLIO_MARGIN, level="customer")
    totals = compare(portfolio, found_in, (STRATEGY_MARGIN, PORTFOLIO_MARGIN)).totals("customer")
    assert [line.name for line in bridge.steps] == [MODEL, FLOORS]
    both = bridge.step(MODEL) + bridge.step(FLOORS)
    assert both == pytest.approx(totals["portfolio_margin"] - totals["strategy_margin"])


# ---------------------------------------------------------------------------------------------------------- positions


def test_positions_of_a_common_pool_have_their_euler_shares():
    held = (Position("cash", "ALPHA-XM", NOTE_7, 100e6, SETTLES), Position("hedge", "ALPHA-FUT", ZN, -300))
    bridge = attribute(book(*held), market(), SILOED, HARMONIZED)
    ways = between(book(*held), market(), (SILOED, HARMONIZED), rulebook())
    (spec,) = [each for each in ways.inputs.pnl if each.kind == "historical"]
    rows = np.stack([each.quantity * ways.inputs.pnl[spec].row(each.product) for each in held])
    p = rulebook()["harmonized_rates"].at(market().as_of)
    measure = TailMeasure("quantile", confidence=p.confidence, quantile_type=p.quantile_type)
    assert [share.other for share in bridge.by_position] == pytest.approx(measure.contributions(rows).tolist())
    assert bridge.by_position[1].other < 0.0 < bridge.by_position[1].base


@rarely
@given(holdings())
def test_of_rates_books_everything_is_divided_and_a_split_position_has_its_parts(positions):
    bridge = attribute(book(*positions), market(), SILOED, CROSS_MARGIN)
    assert [share.name for share in bridge.by_position] == [position.id for position in positions]
    first, *rest = positions
    parts = (evolve(first, id="a", quantity=first.quantity / 4), evolve(first, id="b", quantity=first.quantity * 3 / 4))
    split = {share.name: share for share in attribute(book(*parts, *rest), market()).by_position}
    assert split["a"].base + split["b"].base == pytest.approx(bridge.by_position[0].base, rel=1e-6, abs=1e-3)
    assert 3 * split["a"].other == pytest.approx(split["b"].other, rel=1e-6, abs=1e-3)


def test_what_is_no_position_s_stays_with_its_pool_and_goes_to_its_account():
    bridge = attribute(*equity_options(), level="customer")
    pools = [share for share in bridge.by_position if share.name.startswith("not divided: ")]
    accounts = {share.name: share.base for share in bridge.by_account}
    assert pools
    assert set(accounts) == {"ROB-MARGIN", "LUX-PM"}
    assert min(accounts.values()) > 0.0


def test_accounts_and_asset_classes_gather_positions():
    bridge = attribute(*basis_trade())
    portfolio, _ = basis_trade()
    mine = {position.id for position in portfolio.positions if position.account == "MER-XM"}
    account = next(share for share in bridge.by_account if share.name == "MER-XM")
    assert account.other == pytest.approx(
        fsum(share.other or 0.0 for share in bridge.by_position if share.name in mine)
    )
    classes = {share.name for share in bridge.by_asset_class}
    assert classes == {"Treasuries", "repo", "interest-rate futures", "equity"}


# ------------------------------------------------------------------------------------------------- what must be brought


@pytest.mark.parametrize(
    ("other", "level"),
    [(CROSS_MARGIN, "clearing"), (HARMONIZED, "clearing"), (HARMONIZED, "customer"), (TWO_POT, "clearing")],
    ids=["programmes", "common pool", "common pool, customer", "two pots"],
)
def test_the_bridge_of_a_deficit_adds_up_to_the_cent(other, level):
    portfolio, found_in = group()
    bridge = attribute(portfolio, found_in, SILOED, other, level=level, of="deficit")
    reports = compare(portfolio, found_in, (SILOED, other)).reports
    base, end = (collateral_report(portfolio, found_in, each).totals(level)["deficit"] for each in reports)
    assert bridge.line.parts[0].value == base
    assert bridge.line.value == pytest.approx(end, abs=0.001)
    assert fsum(share.other or 0.0 for share in bridge.by_pot) == pytest.approx(end, abs=0.001)
    assert bridge.by_position == ()
    assert bridge.steps[-1].name == COLLATERAL
    assert bridge.step(COLLATERAL) <= 0.0 or other is TWO_POT


def test_the_deficit_at_the_ends_is_that_of_the_collateral_report_state_by_state():
    portfolio, found_in = group()
    ways = between(portfolio, found_in, (SILOED, HARMONIZED), rulebook())
    before = collateral_report(portfolio, found_in, margin(portfolio, found_in)).totals()["deficit"]
    assert ways.deficit(()) == pytest.approx(before, rel=1e-12)
    merged = ways.deficits({COLLATERAL})  # today's requirements, in the pots and with the deposits of the proposal
    assert merged["common pool"] > 0.0
    assert merged.get("FICC", 0.0) == 0.0
    assert fsum(amount or 0.0 for amount in merged.values()) < before


def test_without_deposits_collateral_is_no_cause_and_the_bridge_says_so():
    portfolio, found_in = group()
    bare = evolve(portfolio, posted=())
    bridge, asked = (attribute(bare, found_in, SILOED, HARMONIZED, of=of) for of in ("deficit", "requirement"))
    assert bridge.step(COLLATERAL) == 0.0
    assert any("nothing is posted" in note for note in bridge.notes)
    assert [line.value for line in bridge.steps[:-1]] == pytest.approx([line.value for line in asked.steps])


# --------------------------------------------------------------------------------------------------------- not modelled


@pytest.mark.parametrize("of", ["requirement", "deficit"])
def test_what_nobody_models_has_no_steps_and_no_shares(of):
    bridge = attribute(*equity_options(), SILOED, CROSS_MARGIN, of=of)
    assert {line.amount for line in (*bridge.line.parts, bridge.line)} == {None}
    assert bridge.step(ELIGIBILITY) is None
    assert [(each.name, each.base, each.other, each.change) for each in bridge.by_pot] == [("OCC", None, None, None)]
    assert {each.base for each in (*bridge.by_account, *bridge.by_asset_class)} <= {None}
    assert {record["amount"] for record in bridge.to_records() if record["kind"] != "position"} == {None}
    assert all("0.00" not in line for line in str(bridge).splitlines() if not line.startswith("note"))


def test_a_position_without_a_model_has_no_share_and_one_that_owes_nothing_has_nothing():
    portfolio, _ = equity_options()
    kinds = {position.id: position.product.kind for position in portfolio.positions}
    shares = {each.name: each for each in attribute(*equity_options()).by_position}
    assert {kinds[name] for name, each in shares.items() if each.base is None} == {"listed_option", "security_future"}
    assert {each.base for name, each in shares.items() if kinds[name] == "stock"} == {0.0}


def test_totals_that_leave_something_out_are_called_partial():
    assert str(attribute(book(*basis()), market())).count("total (partial)") == 2
    assert "(partial)" not in str(attribute(book(), market()))


# ------------------------------------------------------------------------------------------------------------ printing


def test_it_prints_its_steps_and_says_what_is_only_proposed():
    bridge = attribute(*basis_trade(), SILOED, HARMONIZED)
    text = str(bridge)
    assert text.startswith("siloed to harmonized, clearing, USD (proposed: no such rule is in force)\n")
    assert all(line.name in text for line in bridge.steps)
    assert "0.00 may be what is not modelled: both totals leave out" in text
    assert bridge._repr_html_().count("<tr>") == len(text.splitlines())
    kinds = {record["kind"] for record in bridge.to_records()}
    assert kinds == {"start", "step", "total", "pot", "account", "asset_class", "position"}
    waterfall = [record["amount"] for record in bridge.to_records() if record["kind"] in {"start", "step"}]
    assert fsum(waterfall) == pytest.approx(bridge.line.value)
    assert len(bridge.states) == 2 ** len(bridge.steps)


def test_date_and_statuses_travel_with_every_export():
    bridge = attribute(*basis_trade(), CROSS_MARGIN, HARMONIZED)
    assert (bridge.as_of, bridge.of) == (basis_trade()[1].as_of, "requirement")
    assert {record["status"] for record in bridge.to_records()} == {"proposed"}
    assert {record["as_of"] for record in bridge.to_records()} == {"2026-06-30"}
    plain = json.loads(bridge.to_json())
    assert plain["statuses"] == {"cross_margin": "in_force", "harmonized": "proposed"}
    assert plain["records"] == bridge.to_records()
    back = attribute(*basis_trade(), HARMONIZED, CROSS_MARGIN)
    assert back.status == "proposed", "a proposal at either end makes the difference one"


def test_unknown_levels_and_steps_are_refused():
    for regimes in ((None, HARMONIZED), (SILOED, SILOED), ("siloed", "harmonised")):
        with pytest.raises(InputError, match="regime"):
            attribute(book(*basis()), market(), *regimes)
    with pytest.raises(InputError, match="Did you mean 'deficit'"):
        attribute(book(*basis()), market(), of="deficits")
    with pytest.raises(InputError, match="Did you mean 'clearing'"):
        attribute(book(*basis()), market(), level="clearng")
    with pytest.raises(InputError, match="Did you mean 'pooling'"):
        attribute(book(*basis()), market()).step("poolin")


def test_a_figure_that_only_some_states_leave_out_is_said(monkeypatch):
    monkeypatch.setattr(Between, "left_out", lambda _, taken: frozenset({"p1: X"} if len(taken) == 1 else ()))
    assert attribute(book(*basis()), market()).notes == ("not modelled in some states only: p1: X",)


def test_states_of_which_nothing_is_modelled_have_no_figure(monkeypatch):
    right = Between.total
    between = lambda self, taken, level: None if len(taken) == 1 else right(self, taken, level)  # noqa: E731
    monkeypatch.setattr(Between, "total", between)
    found = attribute(book(*basis()), market())
    assert None in found.states.values()
    assert {line.amount for line in found.steps} == {None}, "a mean over what is not known is not known"
    assert found.line.amount == margin(book(*basis()), market(), CROSS_MARGIN).total()


def test_steps_that_lead_elsewhere_are_a_fault(monkeypatch):
    right = Between.total
    monkeypatch.setattr(Between, "total", lambda self, taken, level: right(self, taken, level) + len(taken))
    with pytest.raises(NumericalError, match="The steps lead to"):
        attribute(book(*basis()), market())


def test_a_portfolio_of_nobody():
    assert attribute(Portfolio(), market(), SILOED, HARMONIZED).by_position == ()

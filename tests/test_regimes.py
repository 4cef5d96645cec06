"""How pools are drawn: by owner, firm, class of account, pot and programme."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.eligibility import Decision, case_of
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import IndexFuture, Stock
from crossmargin.regimes import (
    COMMON_POOL,
    CROSS_MARGIN,
    ELSEWHERE,
    HARMONIZED,
    PORTFOLIO_MARGIN,
    PROPOSALS,
    REGIMES,
    SILOED,
    STRATEGY_MARGIN,
    TODAY,
    Silo,
    common_pools,
    decisions,
    enrolment,
    pools,
    regime,
    with_rulesets,
)
from crossmargin.registry import rules
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    BILL,
    ETF_OPTION,
    NOTE_7,
    OPTION,
    REPO,
    SETTLES,
    TIPS_8,
    ZN,
    basis,
    book,
    market,
)


def drawn(portfolio: Portfolio, enrolled=None, silos=TODAY):
    cases = [case_of(portfolio, position, AS_OF) for position in portfolio.positions]
    return pools(cases, silos, enrolled or {})


def enrolled(portfolio: Portfolio, as_of: date = AS_OF) -> dict[str, str]:
    return enrolment(portfolio, decisions(portfolio, as_of, rules("cme_ficc")))


def test_three_regimes_and_what_they_are():
    assert REGIMES[:3] == (SILOED, CROSS_MARGIN, HARMONIZED)
    assert [item.name for item in REGIMES[3:5]] == ["strategy_margin", "portfolio_margin"]
    assert REGIMES[5:] == PROPOSALS
    assert SILOED.programmes == ()
    assert CROSS_MARGIN.programmes == ("cme_ficc", "occ_cme", "occ_internal", "cme_swaps_futures", "icc_cds")
    assert HARMONIZED.programmes == ("harmonized_rates",)
    assert SILOED.silos == CROSS_MARGIN.silos == HARMONIZED.silos == TODAY


@pytest.mark.parametrize("name", ["siloed", "SILOED", "cross-margin", "Cross_Margin", "HARMONIZED"])
def test_regimes_are_found_by_name(name):
    assert regime(name).name == name.lower().replace("-", "_")


@pytest.mark.parametrize(("name", "message"), [("harmonised", "Did you mean 'harmonized'"), ("", "Known: ")])
def test_an_unknown_regime_gets_a_suggestion(name, message):
    with pytest.raises(InputError, match=message):
        regime(name)


# ---------------------------------------------------------------------------------------------------------------- silos

FICC_CLASSES = {"PROPRIETARY", "XM_FUTURES_4D_AB", "SEC_NOTE_H"}
CME_CLASSES = {"PROPRIETARY", "XM_FUTURES_4D_AB", "CFTC_4D_AB", "CFTC_4D_F"}


@pytest.mark.parametrize("account_class", AccountClass)
@pytest.mark.parametrize(
    ("product", "pot", "classes"),
    [
        (NOTE_7, "FICC", FICC_CLASSES),
        (BILL, "FICC", FICC_CLASSES),
        (TIPS_8, "FICC", FICC_CLASSES),
        (REPO, "FICC", FICC_CLASSES),
        (ZN, "CME", CME_CLASSES),
        (OPTION, "CME", CME_CLASSES),
        (IndexFuture("ES", 202609), "CME", CME_CLASSES - {"CFTC_4D_F"}),
    ],
    ids=lambda value: getattr(value, "symbol", None),
)
def test_where_each_product_is_margined(account_class, product, pot, classes):
    (pool,) = drawn(book(Position("p", "ALPHA-GOV", product, 1.0), accounts=all_of(account_class)))
    expected = pot if account_class.value in classes else ELSEWHERE.pot
    assert pool.pot == expected
    assert bool(pool.ruleset) is (account_class.value in classes)


def all_of(account_class):
    return [evolve(account, account_class=account_class) for account in ACCOUNTS]


def test_an_option_owes_its_broker_and_its_clearing_house():
    held = book(Position("p", "ALPHA-GOV", ETF_OPTION, 1.0), accounts=all_of(AccountClass.SEC_15C3_3))
    assert {(pool.pot, pool.ruleset) for pool in drawn(held)} == {
        ("OCC", "occ_stans_like"),
        (ELSEWHERE.pot, "finra_strategy"),
    }


def test_portfolio_margin_is_for_those_who_asked_and_are_admitted():
    held = book(Position("p", "ALPHA-GOV", ETF_OPTION, 1.0), accounts=all_of(AccountClass.SEC_15C3_3))
    cases = [case_of(held, held.positions[0], AS_OF)]
    for admitted, rule in ((frozenset("p"), "portfolio_margin"), (frozenset(), "finra_strategy")):
        found = pools(cases, TODAY, {}, {"portfolio_margin": admitted})
        assert {pool.ruleset for pool in found} == {"occ_stans_like", rule}


@pytest.mark.parametrize(
    ("regime", "rule"), [(STRATEGY_MARGIN, "finra_strategy"), (PORTFOLIO_MARGIN, "portfolio_margin")]
)
def test_two_regimes_put_every_securities_account_under_one_rule(regime, rule):
    held = book(Position("p", "ALPHA-GOV", Stock("IBM"), 1.0), accounts=all_of(AccountClass.SEC_15C3_3))
    assert [pool.ruleset for pool in drawn(held, silos=regime.silos)] == [rule]


def test_a_regime_may_try_other_rule_sets():
    tried = with_rulesets(SILOED, {"cme_rates_futures": "lch_pairs_like"})
    renamed = [silo.ruleset.replace("cme_rates_futures", "lch_pairs_like") for silo in SILOED.silos]
    assert [silo.ruleset for silo in tried.silos] == renamed != [silo.ruleset for silo in SILOED.silos]
    with pytest.raises(InputError) as caught:
        with_rulesets(SILOED, {"cme_rates": "span", "ficc_gsd": "spam"})
    assert [problem.what for problem in caught.value.problems] == ["no silo uses 'cme_rates'.", "unknown rule 'spam'."]


def test_no_kind_of_product_has_two_silos_at_a_level():
    for account_class in AccountClass:
        for kind in {kind for silo in TODAY for kind in silo.kinds}:
            takers = [s for s in TODAY if kind in s.kinds and account_class in s.account_classes and not s.elected_by]
            assert len(takers) == len({silo.level for silo in takers})


def test_stock_is_margined_although_its_trade_has_settled():
    held = book(Position("p", "ALPHA-GOV", Stock("IBM"), 1.0, AS_OF), accounts=all_of(AccountClass.SEC_15C3_3))
    assert [pool.ruleset for pool in drawn(held)] == ["finra_strategy"]


def test_a_settled_trade_leaves_its_clearing_house():
    held = [Position("open", "ALPHA-GOV", NOTE_7, 1.0, SETTLES), Position("done", "ALPHA-GOV", NOTE_7, 1.0, AS_OF)]
    assert {p.positions[0].id: p.pot for p in drawn(book(*held))} == {"open": "FICC", "done": ELSEWHERE.pot}


# ---------------------------------------------------------------------------------------------------------------- pools


def test_who_shares_a_pool():
    held = {
        "alpha": ("ALPHA-GOV", NOTE_7),
        "alpha too": ("ALPHA-GOV", BILL),
        "beta": ("BETA-GOV", NOTE_7),
        "alpha in another class": ("ALPHA-XM", NOTE_7),
        "alpha elsewhere": ("ALPHA-GOV2", NOTE_7),
        "alpha future": ("ALPHA-FUT", ZN),
    }
    found = drawn(book(*(Position(id, *line, 1.0) for id, line in held.items())))
    assert [sorted(p.id for p in pool.positions) for pool in found] == [
        ["alpha", "alpha too"],
        ["beta"],
        ["alpha in another class"],
        ["alpha elsewhere"],
        ["alpha future"],
    ]


def test_every_position_stands_in_exactly_one_pool():
    portfolio = book(*basis(), *basis("BETA"), *basis("DUAL"), Position("x", "ALPHA-XM", BILL, 1.0))
    ids = [p.id for pool in drawn(portfolio, enrolled(portfolio)) for p in pool.positions]
    assert sorted(ids) == sorted(p.id for p in portfolio.positions)


def test_an_enrolled_position_does_not_share_with_one_that_is_not():
    portfolio = book(*basis(), Position("x", "ALPHA-XM", BILL, 1.0))
    found = drawn(portfolio, enrolled(portfolio))
    assert [(pool.pot, pool.programme, len(pool.positions)) for pool in found] == [
        ("FICC", "cme_ficc", 1),
        ("CME", "cme_ficc", 1),
        ("FICC", "", 1),
    ]
    assert len({pool.id for pool in found}) == 3


def test_enrolment_is_what_the_programme_admits():
    assert enrolled(book(*basis())) == {"ALPHA-cash": "cme_ficc", "ALPHA-future": "cme_ficc"}
    assert enrolled(book(*basis()), date(2026, 4, 29)) == {}


def test_a_position_is_enrolled_in_the_programme_that_its_account_names():
    taken = [
        Decision(programme, "ALPHA-cash", "note", allowed=True)
        for programme in ("other", "cme_ficc", "harmonized_rates")
    ]
    assert enrolment(book(*basis()), taken) == {"ALPHA-cash": "cme_ficc"}
    assert enrolment(book(*basis()), [evolve(each, allowed=False) for each in taken]) == {}


def test_the_pot_of_a_one_pot_programme_takes_its_positions_out_of_every_silo():
    portfolio = book(*basis(), Position("x", "ALPHA-XM", BILL, 1.0))
    cases = [case_of(portfolio, position, AS_OF) for position in portfolio.positions]
    found = pools(cases, TODAY, enrolled(portfolio), one_pots={"cme_ficc": "one"})
    assert [(pool.pot, pool.ruleset, pool.one_pot, len(pool.positions)) for pool in found] == [
        ("one", "cme_ficc", True, 2),
        ("FICC", "ficc_gsd", False, 1),
    ]
    assert not any(pool.one_pot for pool in pools(cases, TODAY, enrolled(portfolio), one_pots={"other": "one"}))


def test_index_products_of_a_cross_margin_account_stand_in_the_silos_of_both_clearing_houses():
    held = (Position("f", "ALPHA-XM", IndexFuture("ES", 202609), 1.0), Position("o", "ALPHA-XM", ETF_OPTION, 1.0))
    assert [(pool.pot, pool.ruleset) for pool in drawn(book(*held))] == [
        ("CME", "cme_span2_like"),
        ("OCC", "occ_stans_like"),
    ]


def test_silos_of_ones_own():
    one = Silo("POT", "ficc_gsd", kinds={"treasury_future"}, account_classes={AccountClass.CFTC_4D_AB})
    (pool,) = drawn(book(Position("p", "ALPHA-FUT", ZN, 1.0)), silos=(one,))
    assert (pool.pot, pool.ruleset) == ("POT", "ficc_gsd")


# --------------------------------------------------------------------------------------------------------- common pools


def test_no_proposal_no_common_pool():
    portfolio = book(*basis())
    assert common_pools(portfolio, CROSS_MARGIN, {}) == ()
    assert common_pools(portfolio, HARMONIZED, {}) == ()


def test_a_common_pool_is_one_owner_at_one_firm_house_and_customer_apart():
    portfolio = book(*basis(), *basis("BETA"), *basis("DUAL"), Position("x", "ALPHA-FUT2", ZN, 1.0))
    taken = {"harmonized_rates": decisions(portfolio, AS_OF, rules("harmonized_rates"))}
    found = common_pools(portfolio, HARMONIZED, taken)
    assert {(pool.owner, pool.firm, pool.account_class.value, len(pool.positions)) for pool in found} == {
        ("ALPHA", "DUAL", "XM_FUTURES_4D_AB", 2),
        ("BETA", "DUAL", "XM_FUTURES_4D_AB", 2),
        ("DUAL", "DUAL", "PROPRIETARY", 2),
        ("ALPHA", "TWIN", "XM_FUTURES_4D_AB", 1),
    }


def test_a_net_account_is_its_holder_s_only_where_the_proposal_nets_customers():
    omnibus = [evolve(each, beneficial_owner="BETA", net=each.id == "ALPHA-GOV") for each in ACCOUNTS]
    held = (Position("a", "ALPHA-GOV", NOTE_7, 1e6, SETTLES), Position("b", "ALPHA-FUT", ZN, -3.0))
    portfolio = book(*held, accounts=[each for each in omnibus if each.owner == "ALPHA"])
    taken = {"harmonized_rates": decisions(portfolio, AS_OF, rules("harmonized_rates"))}
    for netting, owners in (("gross", ["BETA"]), ("net", ["ALPHA", "BETA"])):
        found = common_pools(portfolio, HARMONIZED, taken, netting=netting)
        assert [pool.owner for pool in found] == owners
    with pytest.raises(InputError, match="Did you mean 'gross'"):
        common_pools(portfolio, HARMONIZED, taken, netting="grss")


def test_the_netting_of_customers_is_a_switch_of_the_proposal_and_shows():
    omnibus = [evolve(each, beneficial_owner="BETA", net=True) for each in ACCOUNTS if each.owner == "ALPHA"]
    portfolio = book(*basis(), accounts=omnibus)
    net = rules("harmonized_rates").with_values(customer_netting="net", because="test")
    for overlaid, owner in (((), "BETA"), ([net], "ALPHA")):
        report = margin(portfolio, market(), HARMONIZED, rules=overlaid)
        pool = next(each for each in report.requirements if each.pot == COMMON_POOL)
        assert pool.owner == owner
        assert any(read.name == "customer_netting" for read in pool.line.all_reads())

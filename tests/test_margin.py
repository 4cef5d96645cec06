"""The spine: refuses bad input whole, reprices once, and every regime answers over the same matrix."""

from __future__ import annotations

from datetime import date
from importlib import import_module

import numpy as np
import pytest
from attrs import evolve

from crossmargin.accounts import Account, AccountClass, Agreement, Customer
from crossmargin.analysis.allocation import best_allocation
from crossmargin.analysis.what_if import what_if
from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import collateral_report, compare, margin
from crossmargin.market import History, Market, ParCurve
from crossmargin.portfolio import Position
from crossmargin.products import (
    ETF,
    CreditDefaultSwap,
    IndexFuture,
    ListedOption,
    Stock,
    TreasuryBill,
    TreasuryBond,
    TreasuryFuture,
    TreasuryNote,
)
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, REGIMES, SILOED, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import Comparison, Report
from crossmargin.underlyings import Underlying
from tests.properties.strategies import (
    ACCOUNTS,
    AS_OF,
    BILL,
    DUAL,
    ETF_OPTION,
    FRN,
    INELIGIBLE,
    NOTE_7,
    OPTION,
    SETTLES,
    STRIP,
    TIPS_8,
    TWIN,
    ZN,
    basis,
    book,
    history,
    market,
)

# --------------------------------------------------------------------------------------------------------- bad input


def test_everything_wrong_with_book_and_market_is_raised_at_once():
    held = [
        Position("matured", "ALPHA-GOV", TreasuryBill(date(2026, 6, 1)), 1e6),
        Position("no basket", "ALPHA-FUT", TreasuryFuture("ZN", 202609), 1.0),
        Position("too long", "ALPHA-GOV", TreasuryBond(0.04, date(2066, 5, 15)), 1e6),
    ]
    with pytest.raises(InputError) as caught:
        compare(book(*held), market(), as_of=date(2026, 7, 2))
    message = str(caught.value)
    assert len(caught.value.problems) == 4
    for part in ("2 days older than as-of", "'matured'", "'no basket'", "'too long'"):
        assert part in message


@pytest.mark.parametrize(("as_of", "said"), [(date(2026, 7, 1), "1 day older"), (date(2026, 6, 29), "1 day later")])
def test_a_market_of_another_date_is_refused(as_of, said):
    with pytest.raises(InputError, match=said):
        margin(book(*basis()), market(), as_of=as_of)
    assert margin(book(*basis()), market(), as_of=AS_OF).as_of == AS_OF


def test_a_history_without_the_scenarios_asked_for_is_refused_for_every_rule_at_once():
    late = [day > date(2026, 1, 1) for day in history().dates]
    recent = History(
        [d for d, keep in zip(history().dates, late, strict=True) if keep], history().tenors, history().par[late]
    )
    with pytest.raises(InputError, match="2008-09-02 to 2009-06-30"):
        margin(book(*basis()), Market.from_history(recent, AS_OF))


def test_rows_of_the_history_after_the_date_are_never_read():
    early = date(2026, 5, 29)
    until = [day <= early for day in history().dates]
    cut = History(
        [d for d, keep in zip(history().dates, until, strict=True) if keep], history().tenors, history().par[until]
    )
    left, right = (compare(book(*basis()), Market.from_history(h, early)) for h in (history(), cut))
    assert left.totals() == right.totals()


def test_before_any_rule_the_answer_is_not_in_force():
    old = date(2009, 6, 30)
    with pytest.raises(NotInForce, match="2018"):
        margin(book(*basis()), Market.from_history(history(), old))


@pytest.mark.parametrize("quantity", [1e-300, 9e15, -9e15])
def test_absurd_sizes_give_finite_figures(quantity):
    report = margin(book(Position("p", "ALPHA-GOV", NOTE_7, quantity)), market(), HARMONIZED)
    assert np.isfinite(report.total())
    assert report.total() >= 0.0


@pytest.mark.parametrize(
    "call",
    [
        margin,
        compare,
        what_if,
        lambda *given: best_allocation(*given, "a"),
        lambda *given: collateral_report(*given, asked()),
    ],
    ids=["margin", "compare", "what_if", "best_allocation", "collateral_report"],
)
def test_a_portfolio_and_a_market_in_the_wrong_order_are_both_told(call):
    with pytest.raises(InputError) as caught:
        call(market(), book())
    assert [problem.where for problem in caught.value.problems] == ["portfolio", "market"]
    for wrong in (None, book().positions, (book(), market())):
        with pytest.raises(InputError, match="Give a Portfolio: the order is portfolio, market"):
            call(wrong, market())


def asked():
    return margin(book(), market())


@pytest.mark.parametrize("wrong", [None, SILOED, Comparison(())])
def test_collateral_is_told_of_one_report(wrong):
    with pytest.raises(InputError, match="Give one report"):
        collateral_report(book(), market(), wrong)
    with pytest.raises(InputError, match="None is no rule"):
        collateral_report(book(), market(), asked(), rules=None)
    study = rules("cme_collateral").with_values(call_rounding=1, because="test")
    one, several = (collateral_report(book(), market(), asked(), rules=each) for each in (study, [study]))
    assert one == several


@pytest.mark.parametrize("depth", ["3", None, -1, 2.5])
def test_what_is_no_depth_is_refused(depth):
    with pytest.raises(InputError, match="is no number of levels"):
        asked().explain(depth)


def test_no_regime_is_refused():
    with pytest.raises(InputError):
        compare(book(*basis()), market(), ())


# ----------------------------------------------------------------------------------------------- one of each product

ALONE = {product.symbol: product for product in (*INELIGIBLE, NOTE_7, ZN)}


@pytest.mark.parametrize("product", ALONE.values(), ids=ALONE)
@pytest.mark.parametrize("account", ["ALPHA-XM", "ALPHA-FUT", "ALPHA-GOV", "RETAIL-SEC", "DUAL-XM"])
def test_any_product_alone_in_any_account_gives_an_answer_under_every_regime(product, account):
    comparison = compare(book(Position("p", account, product, 1_000.0)), market())
    for report in comparison.reports:
        assert report.total() is None or report.total() >= 0.0
        assert report.total() or report.partial  # never a silent zero
        assert (report.total() is None) == (report.line().amount is None)
        assert str(report)


@pytest.mark.parametrize("product", [OPTION, STRIP])
def test_what_no_rule_set_takes_is_visible(product):
    report = margin(book(Position("p", "RETAIL-SEC", product, 3.0)), market())
    (entry,) = report.requirements
    assert (entry.level, entry.ruleset, entry.line.amount) == ("customer", "", None)
    assert product.symbol in report.not_modelled()[0][1].name


def test_what_the_market_cannot_price_is_visible_and_takes_its_hedge_with_it():
    held = (
        Position("p", "RETAIL-SEC", ETF_OPTION, -3.0),
        Position("q", "RETAIL-SEC", Stock(ETF_OPTION.underlying), 300.0),
    )
    priced = evolve(market(), prices={ETF_OPTION.underlying: 90.0})
    report = margin(book(*held), priced)
    (owed,) = [entry for entry in report.requirements if entry.level == "customer"]
    assert (owed.ruleset, owed.line.amount) == ("finra_strategy", None)
    assert all("has no price" in line.note for line in owed.line.parts)
    assert len(owed.line.parts) == 2


def test_a_ticker_is_one_thing():
    held = (Position("p", "RETAIL-SEC", ETF("TLT", "sector"), 3.0),)
    told = evolve(market(), underlyings={"TLT": Underlying("TLT", 0.15, 90.0, security=ETF("TLT", "broad"))})
    with pytest.raises(InputError, match="Give both the same terms"):
        margin(book(*held), told)


# -------------------------------------------------------------------------------------------------------- one matrix


def test_regimes_may_be_named_once_each():
    named = compare(book(*basis()), market(), ["siloed", CROSS_MARGIN])
    assert [report.regime for report in named.reports] == ["siloed", "cross_margin"]
    assert margin(book(*basis()), market(), "siloed") == named.reports[0]
    with pytest.raises(InputError, match="siloed stands twice"):
        compare(book(*basis()), market(), (SILOED, "siloed"))
    with pytest.raises(InputError, match="unknown regime 'silod'"):
        margin(book(*basis()), market(), "silod")


def test_every_regime_draws_over_one_revaluation(monkeypatch):
    spine, calls = import_module("crossmargin.margin"), []

    def counted(products, of, scenarios):
        calls.append(scenarios.spec)
        return revalue(products, of, scenarios)

    revalue = spine.revalue
    monkeypatch.setattr(spine, "revalue", counted)
    compare(book(*basis(), *basis("DUAL")), market())
    assert len(calls) == len(set(calls)) == 3  # FICC and the proposal ask for the same scenarios


def test_one_regime_is_the_comparisons_report_of_it():
    comparison = compare(book(*basis()), market(), REGIMES)
    for item in REGIMES:
        alone = margin(book(*basis()), market(), item)
        assert alone.requirements == comparison[item.name].requirements
        assert alone.credits == comparison[item.name].credits


def test_siloed_and_cross_margin_differ_by_the_credit_alone():
    held = (*basis(), Position("x", "ALPHA-XM", BILL, 5e6), Position("y", "ALPHA-GOV", TIPS_8, 1e6))
    comparison = compare(book(*held), market())
    siloed, cross = comparison["siloed"], comparison["cross_margin"]
    clearing = [entry for entry in siloed.requirements if entry.level == "clearing"]
    assert [entry for entry in cross.requirements if entry.level == "clearing"] == clearing
    assert comparison.benefit("cross_margin") == pytest.approx(-cross.credit())


def test_the_house_owes_no_customer_margin():
    report = margin(book(*basis("DUAL")), market())
    assert report.levels == ("clearing",)
    assert report.total("customer") == 0.0


def test_an_affiliate_is_a_unit_of_its_own():
    own = [evolve(a, id="AFF-XM", owner="AFFILIATE") if a.id == "DUAL-XM" else a for a in ACCOUNTS]
    accounts = (*ACCOUNTS, *(a for a in own if a.id == "AFF-XM"))
    affiliate = [evolve(p, id=f"a{p.id}", account="AFF-XM", quantity=-p.quantity) for p in basis("DUAL")]
    report = margin(book(*basis("DUAL"), *affiliate, accounts=accounts), market(), CROSS_MARGIN)
    assert {credit.owner for credit in report.credits} == {"DUAL", "AFFILIATE"}
    alone = margin(book(*basis("DUAL")), market(), CROSS_MARGIN)
    assert report.total() > 1.5 * alone.total()


def test_two_programme_accounts_of_one_owner_at_one_firm_are_one_unit():
    second = Account("ALPHA-XM-B", "ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "cme_ficc", ACCOUNTS[3].agreements)
    cash, future = basis()
    split = book(cash, evolve(future, account="ALPHA-XM-B"), accounts=(*ACCOUNTS, second))
    assert margin(split, market(), CROSS_MARGIN).total() == margin(book(cash, future), market(), CROSS_MARGIN).total()


# ------------------------------------------------------------------------------------------------------ dates, rules


def test_before_the_customer_programme_there_is_no_credit_and_a_dated_reason():
    early = date(2026, 4, 29)
    report = margin(book(*basis(), *basis("DUAL")), Market.from_history(history(), early), CROSS_MARGIN)
    assert {credit.owner for credit in report.credits} == {"DUAL"}  # the house programme is older
    reasons = [r for d in report.refused() if d.position.startswith("ALPHA") for r in d.because]
    assert {r.condition for r in reasons} == {"programme_open"}
    assert all("2026-04-30" in r.cure for r in reasons)


def test_an_overlaid_rule_is_used_and_shown():
    study = rules("cme_ficc").with_values(reduction_cap=0.25, because="what if")
    report = margin(book(*basis()), market(), CROSS_MARGIN, rules=[study])
    assert report.credit() == pytest.approx(-0.25 * report.gross(), rel=0.01)
    assert "what if" in {read.because for read in report.assumptions()}
    assert "what if" in str(report)


def test_a_regime_of_ones_own():
    house_only = evolve(SILOED, name="mine", title="Mine", arrangements=("cme_ficc",))
    mine, cross = (margin(book(*basis()), market(), item) for item in (house_only, CROSS_MARGIN))
    assert mine.total() == cross.total()
    assert mine.regime == "mine"


def test_notes_say_each_gap_of_the_history_once():
    comparison = compare(book(*basis()), market())
    notes = comparison.reports[0].notes
    assert len(notes) == len(set(notes))
    assert any("stress period" in note for note in notes)
    assert any("gap" in note for note in notes)


def test_positions_in_two_firms_with_different_standing():
    cash, future = basis()
    weak = evolve(TWIN, compliant=False)
    held = (cash, future, *(evolve(p, id=f"t{p.id}", account="ALPHA-XM2") for p in basis()))
    report = margin(book(*held, firms=(DUAL, weak)), market(), CROSS_MARGIN)
    assert len(report.credits) == 2
    assert all("TWIN" not in credit.pool for credit in report.credits)


def test_a_curve_that_ends_early_refuses_what_it_cannot_price():
    short = ParCurve(AS_OF, [0.25, 2.0, 5.0, 10.0], [0.04] * 4)
    of = Market(AS_OF, short, history())
    assert margin(book(*basis()), of).total() > 0
    with pytest.raises(InputError, match="beyond the curve's last tenor"):
        margin(book(Position("p", "ALPHA-GOV", TreasuryNote(0.04, date(2037, 7, 31)), 1.0)), of)
    assert margin(book(Position("p", "ALPHA-GOV", TreasuryNote(0.04, date(2037, 6, 15)), 1.0, SETTLES)), of)


def test_a_floating_rate_note_beside_its_haircut_neighbours_is_priced_by_table():
    report = margin(book(Position("p", "ALPHA-GOV", FRN, 40e6)), market())
    assert report.total() == pytest.approx(40e6 * 0.0015)


# ------------------------------------------------------------------------------------------------- found once


def test_names_that_run_together_do_not_mix_two_customers():
    firms = (evolve(DUAL, id="Y / Z"), evolve(TWIN, id="Z"))
    customers = (Customer("X"), Customer("X / Y"))
    shared = (AccountClass.XM_FUTURES_4D_AB, "cme_ficc", frozenset(Agreement))
    accounts = (Account("1", "X", "Y / Z", *shared), Account("2", "X / Y", "Z", *shared))
    cash, future = basis()
    held = [evolve(p, id=f"{account}{p.id}", account=account) for account in "12" for p in (cash, future)]
    report = margin(book(*held, firms=firms, customers=customers, accounts=accounts), market(), CROSS_MARGIN)
    assert report.total() == pytest.approx(2 * margin(book(cash, future), market(), CROSS_MARGIN).total())


def test_a_basket_that_cannot_be_delivered_is_told_with_the_rest():
    early = TreasuryFuture("ZN", 202609, (TreasuryNote(0.04, date(2026, 8, 15)),))
    held = (Position("early", "ALPHA-FUT", early, 1.0), Position("matured", "ALPHA-GOV", TreasuryBill(AS_OF), 1.0))
    with pytest.raises(InputError) as caught:
        margin(book(*held), market())
    assert len(caught.value.problems) == 2


def test_an_overlay_of_the_wrong_type_is_refused():
    with pytest.raises(InputError, match="is a text, the rule has a number"):
        rules("cme_ficc").with_values(reduction_cap="0.8", because="a typo")


def test_what_the_house_holds_is_never_customer_margin():
    report = margin(book(Position("o", "DUAL-FUT", ETF_OPTION, 1.0)), market())
    assert report.levels == ("clearing",)


# -------------------------------------------------------------------------------------------------- programmes


def test_programmes_that_do_not_exist_or_have_ended_are_refused_all_at_once():
    accounts = [evolve(a, arrangement="cme_fic") if a.id == "ALPHA-XM" else a for a in ACCOUNTS]
    strange = evolve(CROSS_MARGIN, arrangements=("cme_ficc", "occ_cm", "ficc_gsd", "nypc_ficc"))
    with pytest.raises(InputError) as caught:
        compare(book(*basis(), accounts=accounts), market(), [SILOED, strange])
    said = "\n".join(map(str, caught.value.problems))
    assert len(caught.value.problems) == 4
    assert "account 'ALPHA-XM', field 'arrangement': unknown programme 'cme_fic'. Did you mean 'cme_ficc'?" in said
    assert "regime cross_margin: unknown programme 'occ_cm'. Did you mean 'occ_cme'?" in said
    assert "unknown programme 'ficc_gsd'" in said
    assert "'nypc_ficc' (withdrawn) has no conditions to join it by." in said


def test_a_unit_asks_the_rule_sets_of_its_own_pools_and_no_others():
    tried = with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "cme_irs_like"})
    (credit, _) = margin(book(*basis()), market(), tried).credits
    reads = {read.rule for read in credit.line.all_reads()}
    assert {"ficc_gsd", "cme_irs_like"} <= reads
    assert "cme_rates_futures" not in reads


def test_scenarios_are_drawn_for_the_models_of_a_one_pot_programme_once_something_is_in_it():
    moved = Account("ALPHA-4DF", "ALPHA", "DUAL", AccountClass.CFTC_4D_F, "cme_swaps_futures")
    held = book(Position("p", "ALPHA-4DF", ZN, 10.0), accounts=(*ACCOUNTS, moved))
    siloed, cross = compare(held, market(), (SILOED, CROSS_MARGIN)).reports
    assert {entry.ruleset for entry in siloed.requirements} == {"cme_rates_futures"}
    assert {entry.ruleset for entry in cross.requirements} == {"cme_swaps_futures"}
    assert not cross.partial or cross.total() > 0
    five_days = "over 5 d"
    assert any(five_days in note for note in cross.notes)
    assert not any(five_days in note for note in margin(held, market(), SILOED).notes)


def test_before_a_one_pot_programme_its_positions_stay_in_their_silos():
    moved = Account("ALPHA-4DF", "ALPHA", "DUAL", AccountClass.CFTC_4D_F, "cme_swaps_futures")
    held = book(*basis(), Position("p", "ALPHA-4DF", ZN, 10.0), accounts=(*ACCOUNTS, moved))
    later = rules("cme_swaps_futures")
    later = evolve(later, conditions=[evolve(each, start=date(2030, 1, 1)) for each in later.conditions])
    siloed, cross = compare(held, market(), (SILOED, CROSS_MARGIN), rules=[later]).reports
    clearing = [entry for entry in siloed.requirements if entry.level == "clearing"]
    assert [entry for entry in cross.requirements if entry.level == "clearing"] == clearing


def test_where_no_share_is_known_what_the_customer_owes_is_visibly_not_modelled():
    index = IndexFuture("ES", 202609)
    account = Account("PRO", "ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "", ())
    terms = {"exercise": "european", "settlement": "cash", "underlying_kind": "index"}
    option = ListedOption("SPX", "put", 6000.0, date(2026, 9, 18), **terms)
    held = (Position("f", "PRO", index, -1.0), Position("o", "PRO", option, 1.0))
    report = margin(book(*held, accounts=(*ACCOUNTS, account)), market())
    clearing = {entry.pot: entry.ruleset for entry in report.requirements if entry.level == "clearing"}
    assert clearing == {"CME": "cme_span2_like", "OCC": "occ_stans_like"}
    (owed,) = [e for e in report.requirements if e.level == "customer" and e.ruleset == "occ_stans_like"]
    assert owed.line.amount is None
    assert "no share is published" in owed.line.parts[0].note


@pytest.mark.parametrize(
    ("account", "settles", "why"),
    [
        ("PLAIN", None, "no rule-set yet for treasury_note in class CFTC_4D_AB, only in PROPRIETARY, SEC_NOTE_H, XM_"),
        ("DUAL-GOV", date(2026, 6, 29), "the trade has settled and left its clearing house"),
    ],
)
def test_what_no_rule_takes_says_why(account, settles, why):
    plain = Account("PLAIN", "ALPHA", "DUAL", AccountClass.CFTC_4D_AB)
    held = Position("n", account, NOTE_7, 1e6, settles=settles)
    ((_, line),) = margin(book(held, accounts=(*ACCOUNTS, plain)), market()).not_modelled()
    assert line.note.startswith(why)


def test_a_customer_owes_visibly_nothing_where_the_clearing_house_is_not_modelled():
    swap = CreditDefaultSwap("NOPE", 0.01, date(2031, 6, 20))
    account = Account("SWAPS", "ALPHA", "DUAL", AccountClass.CFTC_4D_F)
    report = margin(book(Position("c", "SWAPS", swap, 1e7), accounts=(*ACCOUNTS, account)), market())
    assert {entry.level: entry.line.amount for entry in report.requirements} == {"clearing": None, "customer": None}


@pytest.mark.parametrize("regime", REGIMES, ids=lambda regime: regime.name)
def test_firm_and_class_of_account_travel_with_every_figure(regime):
    report = margin(book(*basis(), *basis("DUAL")), market(), regime)
    found = {(entry.owner, entry.firm, entry.account_class) for entry in (*report.requirements, *report.credits)}
    assert found == {("ALPHA", "DUAL", regime.account_host.value), ("DUAL", "DUAL", "PROPRIETARY")}
    assert {(r["owner"], r["firm"], r["account_class"]) for r in report.to_records()} == found
    assert Report.from_json(report.to_json()) == report

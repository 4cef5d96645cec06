"""Which positions a cross-margin account would take: what is told is what the spine then does."""

from __future__ import annotations

from attrs import evolve

from crossmargin import samples
from crossmargin.accounts import Account, AccountClass
from crossmargin.analysis.transfers import transfers, transfers_text
from crossmargin.margin import margin
from crossmargin.portfolio import Portfolio
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.registry import rules

PORTFOLIO, MARKET = samples.group()


def told(portfolio=PORTFOLIO, **more) -> dict[str, str]:
    found = transfers(portfolio, MARKET.as_of, **more)
    return {each.decision.position: ",".join(why.condition for why in each.decision.because) for each in found}


def test_by_hand():
    refused = dict.fromkeys(("E1", "E2", "S1", "G2"), "product_list")
    assert told() == {"F1": "", "G1": "", **refused}
    assert {(each.source, each.target) for each in transfers(PORTFOLIO, MARKET.as_of) if each.allowed} == {
        ("MER-FUT", "MER-XM"),
        ("MER-GOV", "MER-XM"),
    }


def test_the_spine_admits_exactly_what_may_move():
    found = transfers(PORTFOLIO, MARKET.as_of)
    target = {each.decision.position: each.target for each in found}
    moved = [evolve(each, account=target.get(each.id, each.account)) for each in PORTFOLIO.positions]
    report = margin(evolve(PORTFOLIO, positions=moved), MARKET, CROSS_MARGIN)
    admitted = {each.position for each in report.decisions if each.programme == "cme_ficc" and each.allowed}
    assert {each.decision.position for each in found if each.allowed} == admitted & set(target)


def test_once_moved_nothing_is_left_to_move():
    target = {each.decision.position: each.target for each in transfers(PORTFOLIO, MARKET.as_of) if each.allowed}
    moved = [evolve(each, account=target.get(each.id, each.account)) for each in PORTFOLIO.positions]
    assert set(told(evolve(PORTFOLIO, positions=moved))) == {"E1", "E2", "S1", "G2"}


def test_order_of_positions_does_not_matter():
    assert told(evolve(PORTFOLIO, positions=PORTFOLIO.positions[::-1])) == told()


def test_nobody_else_s_account_and_no_other_firm_s_is_looked_at():
    accounts = [evolve(each, arrangement="") if each.owner == "MERIDIAN" else each for each in PORTFOLIO.accounts]
    assert told(evolve(PORTFOLIO, accounts=accounts)) == {}
    elsewhere = [evolve(each, firm="NG-BANK") if each.id == "MER-XM" else each for each in PORTFOLIO.accounts]
    assert told(evolve(PORTFOLIO, accounts=elsewhere)) == {}


def test_a_paper_that_is_missing_keeps_all_out():
    accounts = [evolve(each, agreements=()) if each.id == "MER-XM" else each for each in PORTFOLIO.accounts]
    assert all("subordination" in failed for failed in told(evolve(PORTFOLIO, accounts=accounts)).values())


def test_unknown_and_ended_programmes_take_nothing():
    for arrangement in ("no_such_programme", "nypc_ficc"):
        extra = Account("MER-OLD", "MERIDIAN", "NORTHGATE", AccountClass.XM_FUTURES_4D_AB, arrangement)
        assert told(evolve(PORTFOLIO, accounts=[*PORTFOLIO.accounts, extra])) == told()


def test_overlaid_rules_are_heard():
    wider = rules("cme_ficc").with_values(cash_products=["treasury_bill", "treasury_note"], because="study")
    assert told(rules=[wider])["G2"] == ""


def test_the_text_says_yes_or_why_not():
    text = transfers_text(transfers(PORTFOLIO, MARKET.as_of))
    assert text.startswith("Which positions could move into a cross-margin account\n=")
    rows = {line.split()[0]: line for line in text.splitlines()[4:]}
    assert rows["F1"].endswith("MER-FUT   MER-XM  cme_ficc   yes")
    assert rows["G2"].endswith("no: product_list")
    assert transfers_text(transfers(Portfolio(), MARKET.as_of)) == ""

"""The sample book shows what it is meant to show."""

from __future__ import annotations

import pytest

from crossmargin import samples
from crossmargin.checking import check
from crossmargin.margin import compare
from crossmargin.products import PRODUCT_KINDS
from crossmargin.products.calendars import is_business_day, next_business_day
from crossmargin.products.lifetime import expiry_of
from crossmargin.regimes import PORTFOLIO_MARGIN, SILOED, STRATEGY_MARGIN
from crossmargin.results import Comparison


@pytest.fixture(scope="module")
def basis():
    return samples.basis_trade()


@pytest.fixture(scope="module")
def comparison(basis):
    return compare(*basis)


def test_what_is_offered_are_the_books():
    assert {"basis_trade", "equity_options", "group", "swap_book"} <= set(dir(samples)) == set(samples.__all__)
    assert not {"Any", "evolve", "Stock"} & set(dir(samples))


def test_a_line_tells_what_is_held_and_owed(basis, comparison):
    for each in (comparison, *comparison.reports, basis[1], basis[1].history, Comparison(())):
        assert "\n" not in repr(each)
        assert len(repr(each)) < 200
    told = repr(comparison["harmonized"])
    assert "harmonized (proposed)" in told
    assert f"{comparison['harmonized'].total():,.2f}" in told
    assert str(comparison) != repr(comparison)
    assert str(Comparison(()))


def test_it_is_made_anew_and_equal_each_time(basis):
    assert samples.basis_trade()[0] == basis[0]


def test_three_regimes_each_cheaper_than_the_one_before(comparison):
    totals = list(comparison.totals().values())
    assert list(comparison.totals()) == ["siloed", "cross_margin", "harmonized"]
    assert totals == sorted(totals, reverse=True)
    assert totals[-1] > 0


def test_every_kind_of_refusal_is_in_it(comparison):
    failed = {r.condition for d in comparison["cross_margin"].refused() for r in d.because}
    assert {"directed", "product_list", "remaining_maturity", "subordination", "institutional"} <= failed
    assert {"dual_registration", "common_member"} <= failed


def test_nr_01_the_retail_account_is_the_same_under_all(comparison):
    kept = [[e for e in report.requirements if e.owner == "PAT"] for report in comparison.reports]
    assert kept[0]
    assert kept[0] == kept[1] == kept[2]
    assert not any(credit.owner == "PAT" for report in comparison.reports for credit in report.credits)


def test_the_pension_trust_lacks_one_paper_and_earns_nothing(comparison):
    report = comparison["cross_margin"]
    reasons = {d.position: {r.condition for r in d.because} for d in report.refused()}
    assert reasons["H1"] == reasons["H2"] == {"subordination"}
    assert {credit.owner for credit in report.credits} == {"NORTHGATE", "MERIDIAN"}


def test_its_products_are_alive_and_its_dates_real(basis):
    portfolio, market = basis
    assert is_business_day(market.as_of)
    assert next_business_day(market.as_of) == samples.SETTLES
    assert all(expiry_of(product) > market.as_of for product in portfolio.products)
    assert len({security.cusip for security in samples.SECURITIES}) == len(samples.SECURITIES)
    assert all(is_business_day(day.issue) for day in samples.SECURITIES if day.issue and day.issue.weekday() < 5)


def test_securities_agree_with_the_real_master(shared):
    """Coupon, issue date and maturity of every CUSIP in the published security list."""
    import csv

    path = shared / "data" / "reference" / "ust_security_master_2025-03-13.csv"
    if not path.is_file():
        pytest.skip("no security master in ../shared/data")
    with path.open(encoding="utf-8") as file:
        master = {row["cusip"]: row for row in csv.DictReader(file)}
    for security in samples.SECURITIES:
        row = master[security.cusip]
        assert float(row["coupon_pct"]) / 100 == pytest.approx(security.coupon)
        assert row["maturity_date"] == str(security.maturity)
        assert row["issue_date"] == str(security.issue)


def test_the_retail_spread_is_margined_at_its_broker_and_not_modelled_at_the_clearing_house(comparison):
    pat = {e.ruleset: e.line for e in comparison["siloed"].requirements if e.owner == "PAT"}
    assert pat["finra_strategy"].amount is not None
    assert not pat["finra_strategy"].partial
    assert {line.note for line in pat["occ_stans_like"].parts if "TLT" in line.name} == {
        "the market has no price history"
    }
    assert any(note.startswith("TLT") and "made up" in note for note in comparison["siloed"].notes)


# ------------------------------------------------------------------------------------------- stock and its options


@pytest.fixture(scope="module")
def equity():
    return samples.equity_options()


@pytest.fixture(scope="module")
def margined(equity):
    return compare(*equity, (SILOED, STRATEGY_MARGIN, PORTFOLIO_MARGIN))


def test_the_second_sample_is_made_anew_and_sound(equity):
    portfolio, market = equity
    assert samples.equity_options()[0] == portfolio
    check(portfolio, market)
    assert {product.kind for product in portfolio.products} == {"stock", "etf", "listed_option", "security_future"}
    assert {product.kind for product in portfolio.products} < set(PRODUCT_KINDS)
    assert all(expiry_of(product) > market.as_of for product in portfolio.products)
    assert is_business_day(samples.EXPIRY)


def test_its_prices_are_labelled_as_made_up(margined):
    for report in margined.reports:
        assert any("made up" in note and "shares" in note for note in report.notes)
        assert report.status == "in_force"


def test_each_account_is_under_the_rule_that_it_asked_for(margined):
    rules = {(e.owner, e.ruleset) for e in margined["siloed"].requirements if e.level == "customer"}
    assert ("ROBIN", "finra_strategy") in rules
    assert ("LUX", "portfolio_margin") in rules
    assert ("ROBIN", "portfolio_margin") not in rules
    assert not margined["siloed"].refused()


def test_every_customer_owes_something_under_every_regime(margined):
    for report in margined.reports:
        owed = {e.owner for e in report.requirements if e.level == "customer" and e.line.value > 0.0}
        assert owed == {"ROBIN", "LUX"}
    lux = {r.regime: sum(e.line.value for e in r.requirements if e.owner == "LUX") for r in margined.reports}
    assert lux["portfolio_margin"] < lux["strategy_margin"]


def test_the_clearing_level_says_why_it_is_not_modelled(margined):
    clearing = [e.line for e in margined["siloed"].requirements if e.level == "clearing"]
    assert [line.amount for line in clearing] == [None, None]
    assert margined["siloed"].partial

"""Who collects from whom, the threshold, the transfer amount, categories that never offset."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError, NotInForce
from crossmargin.registry import rules
from crossmargin.results import Line
from crossmargin.rulesets.uncleared_margin import (
    PROGRAMMES,
    TESTS,
    Pair,
    Party,
    applicable,
    collectible,
    margin_of_categories,
    requirement,
    scenarios,
    transfer,
)
from tests.properties.swap_books import ACME, inputs_of, pool_of

RULES = rules("uncleared_margin")
TODAY = date(2026, 6, 30)
P = RULES.at(TODAY)
SD = Party("swap dealer", swap_dealer=True)
SBSD = Party("security-based dealer", security_based_dealer=True, broker_dealer=True)
BANK = Party("bank", swap_dealer=True, security_based_dealer=True, prudential=True)
BROKER = Party("broker", broker_dealer=True)
FUND = Party("fund", average_notional=2e10)
SMALL = Party("small fund", average_notional=7e9)
AIRLINE = Party("airline", financial=False, average_notional=9e10)


def collects(party, other, *, security_based=False, as_of=TODAY):
    found = applicable(Pair(party, other, as_of, security_based), RULES)
    assert [decision.programme for decision in found] == list(PROGRAMMES)
    assert all(decision.allowed != bool(decision.because) for decision in found)
    return [decision.programme for decision in found if decision.allowed]


@pytest.mark.parametrize(
    ("party", "other", "security_based", "expected"),
    [
        (SD, FUND, False, ["cftc"]),
        (SD, BANK, False, ["cftc"]),
        (SD, SMALL, False, []),
        (SD, AIRLINE, False, []),
        (SD, FUND, True, []),
        (SBSD, FUND, True, ["sec"]),
        (SBSD, SMALL, True, ["sec"]),  # no material exposure is asked for
        (SBSD, AIRLINE, True, []),
        (SBSD, BANK, True, []),  # an intermediary
        (SBSD, FUND, False, []),
        (BANK, FUND, False, ["prudential"]),
        (BANK, FUND, True, ["prudential"]),
        (BANK, SMALL, True, []),
        (BROKER, FUND, True, ["finra"]),
        (BROKER, FUND, False, []),
        (FUND, BROKER, True, []),
    ],
)
def test_which_rule_binds(party, other, security_based, expected):
    assert collects(party, other, security_based=security_based) == expected


@pytest.mark.parametrize(
    ("as_of", "notional", "bound"),
    [
        (date(2016, 8, 31), 9e12, False),
        (date(2016, 9, 1), 9e12, True),
        (date(2019, 8, 31), 1e12, False),
        (date(2019, 9, 1), 1e12, True),
        (date(2021, 8, 31), 6e10, False),
        (date(2021, 9, 1), 6e10, True),
        (date(2022, 8, 31), 9e9, False),
        (date(2022, 9, 1), 9e9, True),
    ],
)
def test_the_phases(as_of, notional, bound):
    assert (collects(SD, Party("fund", average_notional=notional), as_of=as_of) == ["cftc"]) is bound


def test_a_refusal_says_why_and_where():
    decision = applicable(Pair(SD, SMALL, TODAY, id="t1"), RULES)[1]
    assert (decision.programme, decision.position, decision.product) == ("cftc", "t1", "swap")
    (reason,) = decision.because
    assert reason.condition == "cftc_counterparty"
    assert "23.152" in reason.citation


def test_before_its_date_a_rule_is_not_in_force():
    before = applicable(Pair(SBSD, FUND, date(2021, 10, 5), security_based=True), RULES)[2]
    assert not before.allowed
    assert before.because[0].condition == "in_force"
    assert "2021-10-06" in before.because[0].cure


def test_every_condition_belongs_to_a_programme():
    assert all(condition.split("_")[0] in PROGRAMMES for condition in TESTS)


@pytest.mark.parametrize("notional", [float("nan"), -1.0])
def test_bad_parties_are_refused(notional):
    with pytest.raises(InputError, match="average_notional"):
        applicable(Pair(SD, Party("f", average_notional=notional), TODAY), RULES)


# ------------------------------------------------------------------------------------------------ threshold, transfers


@pytest.mark.parametrize(
    ("margin", "used", "left"), [(4e7, 0, 0), (5e7, 0, 0), (8e7, 0, 3e7), (8e7, 2e7, 5e7), (8e7, 9e7, 8e7), (0, 0, 0)]
)
def test_the_threshold(margin, used, left):
    assert collectible(Line("m", margin), P, used=used).value == pytest.approx(left)


@pytest.mark.parametrize(
    ("required", "held", "separate", "moved"),
    [
        (5e5, 0, False, 0),
        (500001, 0, False, 500001),
        (0, 5e5, False, 0),
        (0, 6e5, False, -6e5),
        (6e4, 0, True, 6e4),
        (5e4, 0, True, 0),
    ],
)
def test_the_transfer_amount(required, held, separate, moved):
    assert transfer(Line("r", required), held, P, separately_managed=separate).value == pytest.approx(moved)


def test_the_transfer_amount_of_separate_accounts_begins_with_the_amendment():
    assert RULES.at(date(2021, 2, 24)).separate_account_transfer_amount == 50_000
    with pytest.raises(NotInForce):
        _ = RULES.at(date(2021, 2, 23)).separate_account_transfer_amount


@pytest.mark.parametrize(
    "make",
    [
        lambda: collectible(Line("m", 1.0), P, used=-1.0),
        lambda: transfer(Line("m", 1.0), float("nan"), P),
        lambda: margin_of_categories({"rates": Line("m", 1.0)}, P),
        lambda: margin_of_categories({"credit": Line("m", -1.0)}, P),
    ],
)
def test_bad_amounts_are_refused(make):
    with pytest.raises(InputError):
        make()


categories = st.dictionaries(st.sampled_from(P.broad_categories), st.floats(0, 1e9))


@given(categories)
def test_nothing_offsets_across_categories(margins):
    whole = margin_of_categories({name: Line("m", amount) for name, amount in margins.items()}, P)
    assert whole.value == pytest.approx(sum(margins.values()))


@given(st.floats(0, 1e9), st.floats(0, 1e8))
def test_the_threshold_takes_no_more_than_it_is(margin, used):
    asked = collectible(Line("m", margin), P, used=used).value
    assert max(0.0, margin - 5e7) <= asked + 1e-6
    assert asked <= margin + 1e-6


def test_the_frame_margins_nothing():
    pool = pool_of((ACME, 1e6))
    assert requirement(pool, inputs_of(pool), P).amount is None
    assert scenarios(P) == ()

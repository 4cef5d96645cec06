"""House terms: by hand, on requirements of every rule-set, and what is refused."""

from __future__ import annotations

import math
from datetime import date

import pytest
from attrs import evolve

from crossmargin.accounts import AccountClass
from crossmargin.errors import InputError, NotInForce
from crossmargin.margin import margin
from crossmargin.portfolio import Pool, Position
from crossmargin.regimes import CROSS_MARGIN, SILOED, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import Line, Report, Requirement, not_modelled, total
from crossmargin.rulesets import house_overlay
from crossmargin.rulesets.house_overlay import HouseTerms, house_terms, on_top, overlay
from tests.properties.strategies import AS_OF, NOTE_7, ZN, ZT, basis, book, market

RULES = rules("house_overlay")
RATIO = RULES.at(AS_OF).speculator_ratio


def reader(*rows, as_of=AS_OF, **more):
    return RULES.with_values(because="credit policy", terms=list(rows), **more).at(as_of)


def owed(amount, *, owner="ALPHA", firm="DUAL", account_class="CFTC_4D_AB", level="customer", **more) -> Requirement:
    line = Line("customer initial margin", amount) if not isinstance(amount, Line) else amount
    parts = {"pool": "p", "pot": firm, "ruleset": "span", "positions": ("one",)} | more
    return Requirement(owner=owner, level=level, line=line, firm=firm, account_class=account_class, **parts)


def extra(requirements, *rows, **more) -> dict[str, float]:
    """What house terms ask on top, by owner."""
    return {each.owner: each.line.value for each in on_top(requirements, reader(*rows, **more))}


# ------------------------------------------------------------------------------------------------------------ by hand


def test_without_terms_nothing_is_asked():
    assert on_top([owed(1_000.0)], RULES.at(AS_OF)) == ()
    assert on_top([owed(1_000.0)], reader({"firm": "TWIN", "multiplier": 2.0})) == ()
    assert on_top([owed(1_000.0)], reader({})) == ()
    assert on_top([], reader({"minimum": 5_000.0})) == ()


@pytest.mark.parametrize(
    ("terms", "more"),
    [
        ({"multiplier": 1.25}, 250.0),
        ({"add_on": 70.0}, 70.0),
        ({"minimum": 5_000.0}, 4_000.0),
        ({"minimum": 900.0}, 0.0),
        ({"speculators": True}, 1_000.0 * (RATIO - 1)),
        ({"multiplier": 1.2, "speculators": True}, 1_000.0 * (1.2 * RATIO - 1)),
        ({"multiplier": 1.2, "add_on": 70.0, "minimum": 1_280.0}, 280.0),
        ({"multiplier": 1.2, "add_on": 70.0, "minimum": 1_200.0}, 270.0),
        ({"speculators": True, "hedgers": ["ALPHA"], "add_on": 1.0}, 1.0),
        ({"speculators": True, "hedgers": ["BETA"]}, 1_000.0 * (RATIO - 1)),
    ],
)
def test_terms_by_hand(terms, more):
    assert extra([owed(1_000.0)], terms) == {"ALPHA": pytest.approx(more)}


def test_terms_that_meet_on_an_account_are_combined():
    rows = [{"multiplier": 1.2}, {"multiplier": 1.3, "owners": "ALPHA"}, {"add_on": 10.0}, {"add_on": 5.0}]
    asked = [owed(1_000.0), owed(1_000.0, owner="BETA")]
    assert extra(asked, *rows) == {"ALPHA": pytest.approx(315.0), "BETA": pytest.approx(215.0)}
    assert extra(asked, {"multiplier": 1.2}, {"speculators": True, "owners": ["BETA"]}) == {
        "ALPHA": pytest.approx(200.0),
        "BETA": pytest.approx(1_000 * (1.2 * RATIO - 1)),
    }


@pytest.mark.parametrize(
    ("terms", "bound"),
    [
        ({"firm": "DUAL"}, True),
        ({"firm": "TWIN"}, False),
        ({"owners": ["BETA", "ALPHA"]}, True),
        ({"owners": ["BETA"]}, False),
        ({"account_classes": ["SEC_NOTE_H"]}, False),
        ({"account_classes": "CFTC_4D_AB", "owners": "ALPHA", "firm": "DUAL"}, True),
    ],
)
def test_whom_terms_bind(terms, bound):
    assert bool(extra([owed(1_000.0)], {"multiplier": 2.0} | terms)) is bound


def test_an_account_is_one_whatever_pots_it_lies_in():
    """The minimum meets the sum of its requirements, and the add-on is asked once."""
    asked = [owed(1_500.0, pot="CME"), owed(2_000.0, pot="FICC", ruleset="ficc_gsd", positions=("two",))]
    (found,) = on_top(asked, reader({"minimum": 5_000.0, "add_on": 100.0}))
    assert found.line.value == 1_500.0
    assert (found.pot, found.ruleset, found.level) == ("DUAL", "house_overlay", "customer")
    assert found.positions == ("one", "two")
    assert found.pool == "ALPHA / DUAL / CFTC_4D_AB / house terms"


def test_accounts_and_customers_do_not_share_a_minimum():
    asked = [owed(4_000.0), owed(4_000.0, account_class="SEC_NOTE_H"), owed(4_000.0, firm="TWIN")]
    assert [each.line.value for each in on_top(asked, reader({"minimum": 5_000.0}))] == [1_000.0] * 3
    assert extra([owed(4_000.0), owed(9_000.0, owner="BETA")], {"minimum": 5_000.0}) == {"ALPHA": 1_000, "BETA": 0}


def test_the_house_and_the_clearing_level_owe_nothing_more():
    house = owed(1_000.0, owner="DUAL", account_class=AccountClass.PROPRIETARY.value)
    clearing = owed(1_000.0, level="clearing", pot="CME")
    assert on_top([house, clearing], reader({"multiplier": 2.0, "add_on": 1e6, "minimum": 1e6})) == ()


def test_what_the_rules_leave_out_stays_visible():
    unknown = total("customer initial margin", [Line("known", 100.0), not_modelled("unknown", "no price")])
    (found,) = on_top([owed(unknown)], reader({"multiplier": 1.5}))
    assert found.line.value == pytest.approx(50.0)
    assert found.line.partial
    (found,) = on_top([owed(not_modelled("unknown", "no price"))], reader({"minimum": 700.0}))
    assert found.line.value == 700.0
    assert found.line.partial


def test_a_multiple_of_what_is_not_modelled_is_not_modelled():
    unknown = owed(not_modelled("unknown", "no price"))
    (found,) = on_top([unknown], reader({"multiplier": 1.5, "speculators": True}))
    assert found.line.amount is None
    assert {line.amount for line in found.line.walk() if line.how != "not_modelled"} == {None}, "no 0 stands beside"
    (found,) = on_top([unknown], reader({"multiplier": 1.5, "add_on": 70.0}))
    assert (found.line.amount, found.line.partial) == (70.0, True), "an add-on is known by itself"
    (found,) = on_top([unknown, owed(100.0, pool="q")], reader({"multiplier": 1.5}))
    assert (found.line.amount, found.line.partial) == (50.0, True)


def test_less_than_nothing_is_not_multiplied():
    assert overlay(Line("credit", -10.0), [HouseTerms(multiplier=2.0)]).amount == -10.0


def test_the_terms_and_their_reason_are_on_the_figure():
    (found,) = on_top([owed(1_000.0)], reader({"speculators": True, "because": "retail day traders"}))
    reads = {read.name: read for read in found.line.all_reads()}
    assert set(reads) == {"terms", "speculator_ratio"}
    assert reads["terms"].because == "credit policy"
    assert reads["terms"].value[0]["because"] == "retail day traders"
    (found,) = on_top([owed(1_000.0)], reader({"add_on": 1.0}))
    assert {read.name for read in found.line.all_reads()} == {"terms"}


def test_the_speculators_ratio_is_dated():
    assert (RULES.at(date(2026, 6, 30)).speculator_ratio, RULES.in_force("speculator_ratio", AS_OF).grade) == (
        1.10,
        "disclosure",
    )
    assert RULES.in_force("speculator_ratio", date(2015, 1, 2)).grade == "assumed"
    with pytest.raises(NotInForce, match="speculator_ratio"):
        extra([owed(1_000.0)], {"speculators": True}, as_of=date(2008, 1, 2))
    assert extra([owed(1_000.0)], {"multiplier": 1.1}, as_of=date(2008, 1, 2)) == {"ALPHA": pytest.approx(100.0)}
    assert extra([owed(1_000.0)], {"speculators": True}, speculator_ratio=1.35) == {"ALPHA": pytest.approx(350.0)}


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"multiplier": 0.9}, "never milder than the rules"),
        ({"multiplier": math.nan}, "multiplier"),
        ({"multiplier": True}, "multiplier"),
        ({"multiplier": "1.2"}, "multiplier"),
        ({"add_on": -1.0}, "add_on"),
        ({"minimum": math.inf}, "minimum"),
        ({"account_classes": ["CFTC_4D"]}, "Did you mean 'CFTC_4D_"),
        ({"owners": 5}, "5 is no id"),
        ({"hedgers": [None]}, "None is no id"),
        ({"speculators": "yes"}, "speculators"),
        ({"multiplyer": 1.2}, "Did you mean 'multiplier'"),
    ],
)
def test_terms_that_are_none_are_refused(terms, told):
    with pytest.raises(InputError, match=told):
        on_top([owed(1.0)], reader(terms))


def test_everything_wrong_with_all_terms_is_told_at_once():
    rows = [{"multiplier": 0.5, "add_on": -1.0}, {"minimum": math.nan, "firmm": "DUAL"}]
    with pytest.raises(InputError) as caught:
        house_terms(rows)
    assert len(caught.value.problems) == 4


# ----------------------------------------------------------------------------- on whatever asks (NR-09), and as a rule

STRICT = {"multiplier": 1.1, "speculators": True, "add_on": 1_000.0, "minimum": 250_000.0}
HELD = (*basis(), *basis("BETA"), Position("g", "ALPHA-GOV", NOTE_7, 20e6), Position("f", "BETA-FUT", ZT, -3.0))


def with_house_terms(report: Report, *rows) -> Report:
    return evolve(report, requirements=(*report.requirements, *on_top(report.requirements, reader(*rows))))


@pytest.mark.parametrize("regime", [SILOED, CROSS_MARGIN, with_rulesets(SILOED, {"cme_rates_futures": "span"})])
def test_the_result_is_never_below_the_regulatory_number(regime):
    report = margin(book(*HELD, Position("h", "DUAL-FUT", ZN, 5.0)), market(), regime)
    strict = with_house_terms(report, STRICT)
    assert strict.total("clearing") == report.total("clearing")  # a firm's terms are between it and its customers
    assert strict.total("customer") > report.total("customer")
    by_account: dict[tuple[str, str], list[float]] = {}
    for each in report.requirements:
        if each.level == "customer":
            by_account.setdefault((each.owner, each.account_class), []).append(each.line.value)
    found = {(each.owner, each.account_class): each for each in on_top(report.requirements, reader(STRICT))}
    assert set(found) == set(by_account)
    for account, asked in by_account.items():
        due = max(250_000.0, 1.1 * RATIO * math.fsum(asked) + 1_000.0)
        assert found[account].line.value == pytest.approx(due - math.fsum(asked))
    assert with_house_terms(report) == report
    assert Report.from_json(strict.to_json()) == strict


def test_as_the_rule_set_of_a_pool_it_models_nothing():
    held = (Position("p", "ALPHA-FUT", ZN, 1.0),)
    drawn = Pool("ALPHA", "DUAL", AccountClass.CFTC_4D_AB, "CME", "house_overlay", "", held)
    line = house_overlay.requirement(drawn, None, RULES.at(AS_OF))
    assert line.partial
    assert house_overlay.scenarios(RULES.at(AS_OF)) == ()


def test_terms_that_would_bind_nobody_are_refused():
    rows = [{"firm": "DUEL", "multiplier": 1.2}, {"owners": ["ALFA"], "speculators": True, "hedgers": ["BETTA"]}]
    overlaid = RULES.with_values(terms=rows, because="credit policy")
    with pytest.raises(
        InputError, match=r"(?s)unknown firm 'DUEL'.*unknown owner 'ALFA'.*unknown owner 'BETTA'"
    ) as raised:
        margin(book(*basis()), market(), SILOED, rules=[overlaid])
    assert len(raised.value.problems) == 3

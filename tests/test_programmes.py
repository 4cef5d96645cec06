"""What programmes share: one requirement for a pool, and the tests that conditions name."""

from __future__ import annotations

from datetime import date

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import programmes
from crossmargin.accounts import AccountClass, Agreement, ClearingHouse, CustomerKind, Firm, Registration
from crossmargin.eligibility import case_of
from crossmargin.errors import InputError
from crossmargin.parameters import DatedValue, Parameter, Reader, Rules, Source
from crossmargin.portfolio import Pool, Position
from crossmargin.results import Line, not_modelled, total
from tests.properties.strategies import ACCOUNTS, ALPHA, AS_OF, DUAL, NOTE_7, PAPERS, SETTLES, TWIN, ZN, book

POOL = Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, "pot", "toy", "toy", (Position("p", "ALPHA-XM", ZN, 1.0),))


def reading(**values) -> Reader:
    """A reader of a made-up programme's parameters."""
    dated = {name: (DatedValue(date(2020, 1, 1), value, "s", "rule"),) for name, value in values.items()}
    parameters = {name: Parameter(name, "text", "", items) for name, items in dated.items()}
    return Rules("toy", sources={"s": Source("Rule book")}, parameters=parameters).at(AS_OF)


def answers(**figures: Line):
    def models(ruleset: str, pool: Pool) -> Line:
        assert pool is POOL
        return figures[ruleset]

    return models


@given(st.lists(st.floats(0, 1e12), min_size=1, max_size=4))
def test_one_pot_is_its_model_and_of_several_the_largest(amounts):
    lines = {f"m{n}": Line(f"m{n}", amount) for n, amount in enumerate(amounts)}
    line = programmes.one_pot("toy", POOL, answers(**lines), reading(models=tuple(lines)))
    assert line.value == max(amounts)
    assert line.parts == tuple(lines.values())
    assert [read.name for read in line.reads] == ["models"]


def test_no_model_is_refused_and_what_a_model_leaves_out_stays_visible():
    with pytest.raises(InputError, match="models is empty"):
        programmes.one_pot("toy", POOL, answers(), reading(models=()))
    gap = total("a", [Line("x", 5.0), not_modelled("y", "no figure")])
    line = programmes.one_pot("toy", POOL, answers(a=gap, b=Line("b", 7.0)), reading(models=("a", "b")))
    assert (line.value, line.partial) == (7.0, True)


def case(account: str = "ALPHA-XM", *, firm: Firm = DUAL, others=(TWIN,), customer=ALPHA, settles=SETTLES, **changes):
    accounts = [evolve(each, **changes) if each.id == account else each for each in ACCOUNTS]
    customers = [customer if each.id == customer.id else each for each in book().customers]
    held = book(
        Position("p", account, NOTE_7, 1e6, settles), firms=(firm, *others), customers=customers, accounts=accounts
    )
    return case_of(held, held.positions[0], AS_OF)


BOTH = {"clearing_houses": ("FICC", "CME")}
ONLY_FICC = evolve(DUAL, memberships=[ClearingHouse.FICC])
AT_CME = Firm("AFFILIATE", memberships=[ClearingHouse.CME])


@pytest.mark.parametrize(
    ("test", "holds", "fails"),
    [
        (programmes.directed_to("cme_ficc"), case(), case(arrangement="")),
        (programmes.agreed(Agreement.DISCLOSURE), case(), case(agreements=PAPERS - {Agreement.DISCLOSURE})),
        (programmes.in_class(AccountClass.XM_FUTURES_4D_AB), case(), case(account_class="SEC_NOTE_H")),
        (programmes.same_owner, case(beneficial_owner="ALPHA"), case(beneficial_owner="BETA")),
        (programmes.house_owner, case("DUAL-XM"), case()),
        (programmes.house_owner, case("DUAL-XM", owner="AFFILIATE"), case("DUAL-XM", owner="TWIN")),
        (programmes.dual_registration, case(), case(firm=evolve(DUAL, registrations=[Registration.FCM]))),
        (programmes.registered(), case(firm=evolve(DUAL, registrations=[])), None),
        (programmes.common_member, case(), case(firm=ONLY_FICC)),
        (programmes.firm_standing, case(), case(firm=evolve(DUAL, compliant=False))),
        (programmes.institutional, case(), case(customer=evolve(ALPHA, kind="retail"))),
        (programmes.institutional, case(beneficial_owner="BETA"), case("DUAL-XM")),
        (programmes.institutional, case(), case(beneficial_owner="RETAIL")),
        (programmes.market_professional, case(customer=evolve(ALPHA, kind="market_professional")), case()),
        (programmes.programme_open, case(), case("DUAL-XM")),
        (programmes.product_list, case(), None),
        (programmes.unsettled, case(), case(settles=AS_OF)),
    ],
)
def test_each_test_holds_and_fails(test, holds, fails):
    p = reading(open_to=("customer",), products=("treasury_note",), **BOTH)
    assert test(holds, p) is True
    assert fails is None or test(fails, p) is False


@pytest.mark.parametrize(
    ("firm", "others", "holds"),
    [
        (DUAL, (), True),
        (ONLY_FICC, (AT_CME, TWIN), False),  # an affiliate that nobody guarantees
        (evolve(ONLY_FICC, guarantees=["AFFILIATE"]), (AT_CME, TWIN), True),
        (evolve(ONLY_FICC, guarantees=["AFFILIATE"]), (), False),  # the book does not say what the affiliate is
        (evolve(ONLY_FICC, guarantees=["AFFILIATE"]), (evolve(AT_CME, memberships=[]), TWIN), False),
    ],
)
def test_a_guaranteed_affiliate_lends_its_membership(firm, others, holds):
    found = case(firm=firm, others=others or (TWIN,))
    assert programmes.affiliated_member(found, reading(**BOTH)) is holds


def test_every_kind_of_customer_but_retail_is_institutional():
    for kind in CustomerKind:
        found = case(customer=evolve(ALPHA, kind=kind))
        assert programmes.institutional(found, reading()) is (kind is not CustomerKind.RETAIL)
        assert programmes.customer_kind(kind)(found, reading())

"""Swaps in book files: what is written is read back, what is wrong is named with its place; names tell swaps apart."""

from __future__ import annotations

import json
import tomllib
from datetime import date, timedelta
from itertools import combinations

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.accounts import Account, Firm
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.portfolio import Portfolio, Position
from crossmargin.products import (
    BasisSwap,
    BondTotalReturnSwap,
    Convention,
    CreditDefaultSwap,
    EquityForward,
    EquityTotalReturnSwap,
    FloatingLeg,
    ForwardRateAgreement,
    InterestRateSwap,
    OvernightSwap,
    ReferenceBond,
    TreasuryNote,
)
from crossmargin.products.schedules import ADJUSTMENTS, DAY_COUNTS, QUARTERLY, ROLLS
from crossmargin.products.security_based import CREDIT_CLEARING, CREDIT_KINDS
from crossmargin.products.swaps import CLEARING, kinds_at

START, END = date(2026, 9, 16), date(2031, 9, 17)
IMM = Convention(12, "act/360", 2, roll="third_wednesday")
STEPS = ((date(2028, 9, 20), 5e5), (date(2029, 9, 19), 1e6 / 3))
OIS = OvernightSwap("receive", 0.0333041, START, END, notional=1e8)
IRS = InterestRateSwap("pay", -0.00125, START, END, notional=1e6, spread=0.00012)
BASIS = BasisSwap(
    FloatingLeg("SOFR", Convention(3, "act/360", 2), overnight=True),
    FloatingLeg("TERM-SOFR-3M", QUARTERLY, 0.000525),
    START,
    END,
)
FRA = ForwardRateAgreement("receive", 0.04, START, date(2026, 12, 16))
INDEX = CreditDefaultSwap("EXAMPLE IG 46", 0.01, date(2031, 6, 20), names=3, members=("Acme Corp", "B & Co.", "Ç"))
NOTE = TreasuryNote(0.0425, date(2033, 8, 15), cusip="91282CHT1")
BOND = ReferenceBond("Acme Corp", 0.0557, date(2032, 3, 1))
HELD = (
    OIS,
    evolve(OIS, clearing="LCH"),
    evolve(OIS, clearing="bilateral", fixed=IMM, floating=IMM),
    evolve(OIS, steps=STEPS, index="EFFR", spread=-0.0025, floating=Convention(0, "act/act", 1)),
    IRS,
    evolve(IRS, fixing_days=0, fixed=Convention(12, "30/360", adjustment="unadjusted")),
    BASIS,
    evolve(BASIS, receive=FloatingLeg("BSBY-1M", Convention(1, "act/365f", 5), -1 / 3000, fixing_days=1), steps=STEPS),
    FRA,
    evolve(FRA, notional=1e9, day_count="act/365f", fixing_days=1, index="BSBY-1M"),
    CreditDefaultSwap("ACME", 0.05, date(2028, 6, 20), recovery=0.25),
    CreditDefaultSwap("ACME", 0.01, date(2031, 12, 20), clearing="bilateral"),
    INDEX,
    evolve(INDEX, members=()),
    EquityTotalReturnSwap("IBM", date(2027, 6, 30), 250.5, spread=0.0045),
    BondTotalReturnSwap(BOND, date(2027, 6, 30), 1.0125),
    BondTotalReturnSwap(BOND, date(2027, 6, 30), spread=-0.001),
    BondTotalReturnSwap(NOTE, date(2027, 6, 30), 0.975),
    EquityForward("IBM", date(2027, 6, 30), 260.0, dividends=[(date(2027, 2, 9), 1.68), (date(2027, 5, 9), 1 / 3)]),
    EquityForward("IBM", date(2027, 6, 30), 260.0),
)


def portfolio_of(*products):
    positions = [Position(f"{n}", "A", product, (-1.0) ** n * 1e6) for n, product in enumerate(products)]
    return Portfolio([Firm("F")], [], [Account("A", "F", "F", "PROPRIETARY")], positions)


# ---------------------------------------------------------------------------------------------------- round trips


def test_every_kind_of_swap_is_written_and_read_back(tmp_path):
    path = write_book(portfolio_of(*HELD), tmp_path)
    assert load_book(path).portfolio == portfolio_of(*HELD)


def test_the_same_book_in_json(tmp_path):
    path = write_book(portfolio_of(*HELD), tmp_path)
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    header, *rows = (path.parent / "positions.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("id,account,product,quantity,")
    assert len(rows) == len(HELD)
    other = tmp_path / "book.json"
    other.write_text(json.dumps(document, default=str), encoding="utf-8")
    assert load_book(other).portfolio == portfolio_of(*HELD)


def test_a_sample_of_swaps_is_written_and_read_back(tmp_path):
    portfolio, _ = samples.swap_book()
    assert load_book(write_book(portfolio, tmp_path)).portfolio == portfolio


rates = st.floats(-0.2, 0.2).map(lambda rate: round(rate, 8))
dates = st.dates(date(2026, 1, 1), date(2040, 1, 1))
amounts = st.floats(1e-3, 1e12)
words = st.text("ABCZ0-.", min_size=1, max_size=8).filter(lambda word: word.strip("-.0") != "")
places = st.sampled_from(CLEARING)
lags = st.integers(0, 30)
conventions = st.builds(
    Convention,
    st.sampled_from([0, 1, 2, 3, 4, 6, 12]),
    st.sampled_from(DAY_COUNTS),
    lags,
    adjustment=st.sampled_from(ADJUSTMENTS),
    roll=st.sampled_from([roll for roll in ROLLS if roll != "month_end"]),
)
legs = st.builds(FloatingLeg, words, conventions, rates, overnight=st.booleans(), fixing_days=lags)
steps = st.dictionaries(dates, st.floats(0.0, 1e12), max_size=4)


@st.composite
def swaps(draw):
    """Any interest-rate swap; dates that its schedules refuse are drawn again."""
    start = draw(dates)
    end = start + timedelta(days=draw(st.integers(30, 400)))
    life = {"start": start, "maturity": end, "notional": draw(amounts), "clearing": draw(places)}
    kind = draw(st.sampled_from([OvernightSwap, InterestRateSwap, BasisSwap, ForwardRateAgreement]))
    if kind is BasisSwap:
        more = {"pay": draw(legs), "receive": draw(legs), "steps": draw(steps)}
    else:
        more = {"side": draw(st.sampled_from(["pay", "receive"])), "rate": draw(rates), "index": draw(words)}
    if kind in (OvernightSwap, InterestRateSwap):
        more |= {"fixed": draw(conventions), "floating": draw(conventions), "steps": draw(steps), "spread": draw(rates)}
    if kind in (InterestRateSwap, ForwardRateAgreement):
        more["fixing_days"] = draw(lags)
    if kind is ForwardRateAgreement:
        more["day_count"] = draw(st.sampled_from(DAY_COUNTS))
    try:
        return kind(**life, **more)
    except InputError:
        assume(False)
        raise


@given(st.lists(swaps(), max_size=4))
def test_any_interest_rate_swap_is_written_and_read_back(tmp_path_factory, held):
    portfolio = portfolio_of(*held)
    assert load_book(write_book(portfolio, tmp_path_factory.mktemp("book"))).portfolio == portfolio


credit = st.builds(
    CreditDefaultSwap,
    st.sampled_from(["ACME", "Example IG 46", "B & Co."]),
    st.sampled_from([0.01, 0.05, 0.0025]),
    st.sampled_from([date(2027, 3, 20), date(2031, 6, 20)]),
    recovery=st.floats(0.0, 0.99).map(lambda share: round(share, 6)),
    clearing=st.sampled_from(CREDIT_CLEARING),
) | st.builds(
    lambda members, clearing: evolve(INDEX, names=len(members), members=members, clearing=clearing),
    st.lists(st.text("abc ,&", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=12, unique=True),
    st.sampled_from(CREDIT_CLEARING),
)


@given(credit)
def test_any_credit_default_swap_is_written_and_read_back(tmp_path_factory, swap):
    portfolio = portfolio_of(swap)
    assert load_book(write_book(portfolio, tmp_path_factory.mktemp("book"))).portfolio == portfolio


# --------------------------------------------------------------------------------------------- names and kinds


@given(st.lists(swaps() | credit | st.sampled_from(HELD), min_size=2, max_size=6))
def test_symbols_tell_swaps_apart(held):
    for one, other in combinations(held, 2):
        assert (one == other) == (one.symbol == other.symbol)


def test_one_term_more_one_name_more():
    assert len({product.symbol for product in HELD}) == len(HELD)
    assert evolve(OIS, fixed=IMM, floating=IMM).symbol.endswith("USD 100000000 both 12M act/360 2d third_wednesday")
    assert evolve(OIS, clearing="LCH").symbol == f"{OIS.symbol} LCH"
    assert evolve(OIS, index="USD SOFR").symbol.startswith("USD SOFR OIS")


def test_a_quote_does_not_depend_on_who_clears_or_who_is_in_the_index():
    assert {each.quoted for each in (INDEX, evolve(INDEX, members=()), evolve(INDEX, clearing="bilateral"))} == {
        "EXAMPLE IG 46 x3 CDS 100bp 2031-06-20"
    }


def test_the_kind_says_who_margins_a_swap():
    for place in CLEARING:
        held = [evolve(each, clearing=place) for each in (OIS, IRS, BASIS, FRA)]
        assert tuple(each.kind for each in held) == kinds_at(place)
    assert len({kind for place in CLEARING for kind in kinds_at(place)}) == 12
    bilateral = [evolve(INDEX, names=names, members=(), clearing="bilateral").kind for names in (1, 9, 10, 125)]
    assert bilateral == [CREDIT_KINDS[1]] * 2 + [CREDIT_KINDS[2]] * 2
    assert INDEX.kind == CREDIT_KINDS[0]


# --------------------------------------------------------------------------------------------- what is refused

COLUMNS = (
    "id,account,product,quantity,side,rate_pct,start,maturity,notional,steps,fixed,floating,pay,receive,clearing,"
    "reference,coupon_bp,recovery_pct,names,members,underlying,initial_price,spread_bp,bond,issuer,coupon_pct,"
    "bond_maturity,price,dividends,fixing_days\n"
)
SWAP = {"product": "overnight_swap", "side": "pay", "rate_pct": "4.1", "start": "2026-09-16", "maturity": "2031-09-17"}
LEGS = {**SWAP, "product": "basis_swap", "side": "", "rate_pct": "", "pay": "SOFR 3M act/360 2d overnight"}
CREDIT = {"product": "credit_default_swap", "reference": "ACME", "coupon_bp": "100", "maturity": "2031-06-20"}
TERM_SWAP = {**SWAP, "product": "interest_rate_swap"}
FORWARD = {"product": "equity_forward", "underlying": "IBM", "maturity": "2027-06-30", "price": "260"}
ON_BOND = {"product": "bond_total_return_swap", "maturity": "2027-06-30"}


def book(folder, *rows):
    path = write_book(portfolio_of(), folder)
    names = COLUMNS.strip().split(",")
    lines = [",".join(["M", "A", *(str({"quantity": 1, **row}.get(name, "")) for name in names[2:])]) for row in rows]
    (folder / "positions.csv").write_text(COLUMNS + "\n".join([*lines, ""]), encoding="utf-8")
    return path


def test_rows_by_hand(tmp_path):
    row = {**SWAP, "fixed": "third_wednesday 2d act/360 12M", "floating": "12M act/360 2d third_wednesday"}
    (held,) = load_book(book(tmp_path, row)).portfolio.positions
    assert held.product == OvernightSwap("pay", 0.041, START, END, fixed=IMM, floating=IMM)


@pytest.mark.parametrize(
    ("row", "where", "says"),
    [
        ({**SWAP, "product": "overnight_swop"}, "'product'", "Did you mean 'overnight_swap'?"),
        ({**SWAP, "product": "lch_overnight_swap"}, "'product'", "Did you mean 'overnight_swap'?"),
        ({**SWAP, "side": "recieve"}, "'side'", "Did you mean 'receive'?"),
        ({**SWAP, "side": ""}, "'side'", "is missing"),
        ({**SWAP, "rate_pct": "410"}, "'rate_pct'", "100 % or more"),
        ({**SWAP, "rate_pct": "nan"}, "'rate_pct'", "not finite"),
        ({**SWAP, "maturity": "2026-09-16"}, "'maturity'", "is not after the start"),
        ({**SWAP, "notional": "0"}, "'notional'", "not above zero"),
        ({**SWAP, "notional": "-1e9"}, "'notional'", "not above zero"),
        ({**SWAP, "clearing": "CEM"}, "'clearing'", "Did you mean 'CME'?"),
        ({**SWAP, "clearing": "ICC"}, "'clearing'", "Known: CME, LCH, bilateral"),
        ({**SWAP, "fixed": "12M act/360 third_wednsday"}, "'fixed'", "Did you mean 'third_wednesday'?"),
        ({**SWAP, "fixed": "act/360"}, "'fixed'", "months is missing"),
        ({**SWAP, "fixed": "12M 6M act/360"}, "'fixed'", "a second months"),
        ({**SWAP, "fixed": "5M act/360"}, "'fixed'", "5 months between payments"),
        ({**SWAP, "fixed": "12M act/360 overnight"}, "'fixed'", "'overnight' is unknown"),
        ({**SWAP, "floating": "12M"}, "'floating'", "day_count is missing"),
        ({**SWAP, "steps": "2027-09-15=5"}, "'steps'", "is no date and amount"),
        ({**SWAP, "steps": "2027-09-31:5"}, "'steps'", "not in the calendar"),
        ({**SWAP, "steps": "2027-09-15:many"}, "'steps'", "no number"),
        ({**SWAP, "steps": "2028-09-15:5 2027-09-15:4"}, "'steps'", "do not increase"),
        ({**SWAP, "reference": "ACME"}, "'reference'", "does not belong to an overnight_swap"),
        ({**TERM_SWAP, "fixing_days": "1.5"}, "'fixing_days'", "no whole number"),
        ({**TERM_SWAP, "fixing_days": "-1"}, "'fixing_days'", "no count of business days"),
        ({**LEGS, "receive": ""}, "'receive'", "is missing"),
        ({**LEGS, "receive": "3M act/360"}, "'receive'", "not with its index"),
        ({**LEGS, "receive": "TERM 3M act/360 fivebp"}, "'receive'", "no number"),
        ({**LEGS, "receive": "TERM 3M act/360 fixing40d"}, "'receive'", "no count of business days"),
        ({**LEGS, "receive": "TERM 3M act/360 5"}, "'receive'", "'5' is unknown"),
        ({**CREDIT, "maturity": "2031-06-17"}, "'maturity'", "no standard date"),
        ({**CREDIT, "coupon_bp": ""}, "'coupon_bp'", "is missing"),
        ({**CREDIT, "coupon_bp": "0.01"}, "'coupon_bp'", "write 100, if 0.01 is a decimal"),
        ({"product": "treasury_frn", "spread_bp": "-0.0015", "maturity": "2028-04-30"}, "'spread_bp'", "write -15, if"),
        ({**CREDIT, "recovery_pct": "-1"}, "'recovery_pct'", "negative"),
        ({**CREDIT, "names": "0"}, "'names'", "no number of names"),
        ({**CREDIT, "names": "3", "members": "A; B"}, "'members'", "2 members for 3 names"),
        ({**CREDIT, "names": "2", "members": "A;;B"}, "'members'", "no list of names"),
        ({**CREDIT, "clearing": "CME"}, "'clearing'", "Known: ICC, bilateral"),
        (ON_BOND, "'bond'", "no bond is given"),
        ({**ON_BOND, "issuer": "ACME"}, "'bond'", "no bond is given"),
        ({**ON_BOND, "bond": "N1"}, "'bond'", "not among the securities"),
        (
            {**ON_BOND, "issuer": "ACME", "coupon_pct": 5, "bond_maturity": "2026-12-01"},
            "'maturity'",
            "after the bond's end",
        ),
        ({**FORWARD, "price": "0"}, "'price'", "not above zero"),
        ({**FORWARD, "dividends": "2028-01-01:1"}, "'dividends'", "after the maturity"),
        ({**FORWARD, "product": "equity_total_return_swap"}, "'initial_price'", "is missing"),
    ],
)
def test_one_bad_field_gives_its_place_and_the_way_out(tmp_path, row, where, says):
    with pytest.raises(InputError) as caught:
        load_book(book(tmp_path, row))
    said = [str(problem) for problem in caught.value.problems if where in str(problem)]
    assert said, caught.value
    assert "positions.csv row 2" in said[0]
    assert any(says in line for line in said), said


def test_all_that_is_wrong_comes_at_once(tmp_path):
    bad = {**SWAP, "side": "both", "rate_pct": "x", "fixed": "12M act/361", "steps": "soon", "clearing": "nowhere"}
    worse = {**CREDIT, "coupon_bp": "one", "names": "some"}
    with pytest.raises(InputError) as caught:
        load_book(book(tmp_path, bad, worse))
    for name in ("side", "rate_pct", "fixed", "steps", "clearing", "coupon_bp", "names"):
        assert any(f"field {name!r}" in str(problem) for problem in caught.value.problems), name

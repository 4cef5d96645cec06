"""SIMM inside `margin()`: equal to the room of its own, netting sets, what is left out, files and what is refused."""

from __future__ import annotations

import gzip
import json
from datetime import date

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.accounts import Account, AccountClass, Customer, Firm
from crossmargin.errors import InputError
from crossmargin.io.book import load_book
from crossmargin.io.book_writer import write_book
from crossmargin.io.crif import crif_of, crif_text, read_crif, write_crif
from crossmargin.io.market_files import packaged_market
from crossmargin.io.swap_files import read_swap_files
from crossmargin.margin import compare, margin
from crossmargin.market import Market
from crossmargin.portfolio import Pool, Portfolio, Position
from crossmargin.products import SensitivityPortfolio, Stock
from crossmargin.products.lifetime import expiry_of
from crossmargin.registry import rules
from crossmargin.rulesets.simm import requirement
from crossmargin.simm import AddOns, NotionalAddOn, Sensitivities, calibration_from, simm
from crossmargin.simm.netting_sets import Part, netting_set
from tests.simm import made_up

CALIBRATION = calibration_from(made_up.calibration())
WITHOUT = packaged_market()
MARKET = evolve(WITHOUT, simm=CALIBRATION)
RULES = rules("simm")
ROWS, MORE = made_up.book(120, 5), made_up.book(90, 6)
AGREED = AddOns({"RatesFX": 1.5}, (1e6,), (NotionalAddOn("Product Alpha", 12.5, 1e6),))


def portfolio(rows, name="A", **more):
    held = rows if isinstance(rows, Sensitivities) else Sensitivities.from_records(rows)
    return SensitivityPortfolio(name, held, **more)


def turned(rows):
    return [row | {"amount_usd": -row["amount_usd"]} for row in rows]


def book(*held, account_class=AccountClass.SEC_15C3_3):
    """Products with quantities in one account of a customer."""
    owner = "FUND" if account_class.origin == "customer" else "DEALER"
    account = Account("ACC", owner, "DEALER", account_class)
    positions = [Position(f"p{n}", "ACC", product, quantity) for n, (product, quantity) in enumerate(held)]
    return Portfolio([Firm("DEALER")], [Customer("FUND")], [account], positions)


def asked(*held, market=MARKET):
    """What the one requirement of a book asks."""
    (found,) = margin(book(*held), market).requirements
    assert (found.ruleset, found.pot, found.level) == ("simm", "carrying firm", "customer")
    return found.line


# --------------------------------------------------------------------------------------------------------- the figure


def test_it_is_what_the_other_party_asks():
    assert asked((portfolio(ROWS), 1.0)).value == pytest.approx(simm(ROWS, CALIBRATION, side="post").total, abs=0.005)
    assert asked((portfolio(ROWS), -1.0)).value == pytest.approx(simm(ROWS, CALIBRATION).total, abs=0.005)


def test_the_two_sides_differ_by_their_curvature_alone():
    rows = [row for row in ROWS if "Vol" not in row["risk_type"]]
    one, other = (asked((portfolio(rows), quantity)).value for quantity in (1.0, -1.0))
    assert one == pytest.approx(other)
    bought = [{"product_class": "Equity", "risk_type": "Risk_EquityVol", "qualifier": "X", "bucket": "1"}]
    bought[0] |= {"label1": "6m", "amount_usd": 1e5}
    long, short = (asked((portfolio(bought), quantity)).value for quantity in (1.0, -1.0))
    assert long < short  # who sold the option owes the gap


def test_one_tenor_by_hand():
    row = {"product_class": "RatesFX", "risk_type": "Risk_IRCurve", "qualifier": "USD", "label1": "5y", "label2": "OIS"}
    line = asked((portfolio([row | {"amount_usd": 1000.0}]), -3.0))
    assert line.value == pytest.approx(3 * 1000 * (40 + 3 * 7))
    assert [part.name for part in line.walk()][:5] == [
        "simm requirement",
        "SIMM of what is held with DEALER",
        "RatesFX",
        "interest_rate after diversification",
        "interest_rate",
    ]
    assert "needs a licence from ISDA" in line.parts[0].note


def test_the_tree_and_its_parameters_are_told():
    line = asked((portfolio(ROWS, add_ons=AGREED), 1.0))
    names = {part.name for part in line.walk()}
    assert {"delta", "vega", "curvature", "fixed add-on", "add-on for Product Alpha", "RatesFX multiplied"} <= names
    assert {read.name for read in line.all_reads()} == {"horizon_days", "calculation_currency"}
    assert line.value == pytest.approx(simm(ROWS, CALIBRATION, add_ons=AGREED, side="post").total, abs=0.005)


def test_another_horizon_is_an_overlay():
    tried = RULES.with_values(horizon_days=1, because="study")
    found = margin(book((portfolio(ROWS), 1.0)), MARKET, rules=[tried]).requirements[0].line
    assert found.value == pytest.approx(simm(ROWS, CALIBRATION, side="post", horizon_days=1).total)
    with pytest.raises(InputError, match="no horizon of 5 days"):
        margin(book((portfolio(ROWS), 1.0)), MARKET, rules=[RULES.with_values(horizon_days=5, because="study")])


# ------------------------------------------------------------------------------------------------------- netting sets


def test_two_portfolios_of_one_account_are_their_union():
    both = asked((portfolio(ROWS, "A"), 1.0), (portfolio(MORE, "B"), 1.0))
    assert both.value == pytest.approx(simm([*ROWS, *MORE], CALIBRATION, side="post").total, abs=0.005)


def test_the_exact_opposite_leaves_nothing():
    one, other = portfolio(ROWS, "A"), portfolio(turned(ROWS), "B")
    for held in ([(one, 1.0), (other, 1.0)], [(one, 1.0), (one, -1.0)], [(one, 0.0)], [(portfolio([]), 1.0)]):
        line = asked(*held)
        assert line.value == 0.0
        assert not line.partial


def test_what_is_held_with_two_parties_does_not_net():
    one, other = portfolio(ROWS), portfolio(turned(ROWS), counterparty="BANK")
    line = asked((one, 1.0), (other, 1.0))
    assert [part.name for part in line.parts] == [f"SIMM of what is held with {name}" for name in ("DEALER", "BANK")]
    alone = [simm(ROWS, CALIBRATION, side=side).total for side in ("post", "collect")]
    assert line.value == pytest.approx(sum(alone))


def test_the_house_is_margined_alike():
    (found,) = margin(book((portfolio(ROWS), 1.0), account_class=AccountClass.PROPRIETARY), MARKET).requirements
    assert found.line.value == asked((portfolio(ROWS), 1.0)).value


def test_every_regime_has_it_where_it_is_today():
    totals = compare(book((portfolio(ROWS), 1.0)), MARKET).totals("customer")
    assert len(set(totals.values())) == 1


def test_add_ons_of_a_set_add_up_and_the_larger_multiplier_counts():
    other = AddOns({"RatesFX": 1.2, "Equity": 2.0}, (5e5,), (NotionalAddOn("Product Beta", 1.0, 2e6),))
    held = Sensitivities.from_records([])
    _, found = netting_set([Part(held, AGREED, -2.0), Part(held, other), Part(held, other, 0.0)])
    assert found.multipliers == {"RatesFX": 1.5, "Equity": 2.0}
    assert found.fixed_usd == (1e6, 5e5)
    assert [(each.product, each.notional_usd) for each in found.notional] == [
        ("Product Alpha", 2e6),
        ("Product Beta", 2e6),
    ]


quantities = st.floats(-1e3, 1e3).filter(lambda quantity: quantity == 0.0 or abs(quantity) > 1e-6)


@settings(max_examples=30, deadline=None)
@given(quantities, quantities)
def test_a_position_may_be_split(first, second):
    held = portfolio(ROWS[:30])
    split = asked((held, first), (held, second)).value
    assert split == pytest.approx(asked((held, first + second)).value, rel=1e-9, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)), st.lists(quantities, min_size=4, max_size=4))
def test_order_and_cut_of_the_portfolios_do_not_matter(order, times):
    cuts = [ROWS[n * 30 : (n + 1) * 30] for n in range(4)]
    held = [(portfolio(rows, f"P{n}"), times[n]) for n, rows in enumerate(cuts)]
    scaled = [row | {"amount_usd": times[n] * row["amount_usd"]} for n, rows in enumerate(cuts) for row in rows]
    whole = simm(scaled, CALIBRATION, side="post").total
    assert asked(*(held[n] for n in order)).value == pytest.approx(whole, rel=1e-9, abs=1e-6)


# --------------------------------------------------------------------------------------------------- what is left out


def test_without_a_calibration_it_is_not_modelled():
    report = margin(book((portfolio(ROWS), 1.0)), WITHOUT)
    ((pool, line),) = report.not_modelled()
    assert report.partial
    assert "simm" in pool
    assert line.name.startswith("p0: A #")
    assert "Market(simm=load_calibration(path))" in line.note
    assert "needs a licence from ISDA" in line.note
    assert report.total("customer") is None, "never a silent zero"


def test_rows_for_the_schedule_stay_in_sight():
    line = asked((portfolio(ROWS, schedule_rows=3), 1.0))
    assert line.partial
    assert line.value == asked((portfolio(ROWS), 1.0)).value
    assert "the schedule is for 3 rows of it" in line.parts[-1].note


def test_other_products_are_shown():
    pool = Pool(
        "FUND", "DEALER", AccountClass.SEC_15C3_3, "carrying firm", "simm", positions=book((Stock("X"), 1.0)).positions
    )
    line = requirement(pool, None, RULES.at(date(2026, 6, 30)))
    assert line.amount is None
    assert "p0: X" in [part.name for part in line.parts]


def test_what_the_calibration_does_not_know_is_refused_with_its_position():
    wrong = [
        {"product_class": "Equity", "risk_type": "Risk_Equity", "qualifier": "X", "bucket": "77", "amount_usd": 1.0}
    ]
    with pytest.raises(InputError) as caught:
        margin(book((portfolio(ROWS), 1.0), (portfolio([*ROWS, *wrong], "B"), 1.0)), MARKET)
    (problem,) = caught.value.problems
    assert problem.where == "position 'p1', row 121, field 'bucket'"
    assert "'77' is not in the calibration for Risk_Equity" in problem.what


def test_a_path_is_no_calibration():
    with pytest.raises(InputError, match=r"str is no calibration.*load_calibration"):
        evolve(WITHOUT, simm="simm.json")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SensitivityPortfolio("", Sensitivities.from_records(ROWS)), "name"),
        (lambda: SensitivityPortfolio("A", ROWS), "a list is no table"),
        (lambda: SensitivityPortfolio("A", read_crif), "no table of sensitivities"),
        (lambda: SensitivityPortfolio("A", _with_nan()), "no finite number"),
        (lambda: SensitivityPortfolio(3, None, counterparty=4), "3 problems"),
    ],
)
def test_bad_portfolios_are_refused(make, says):
    with pytest.raises(InputError, match=says):
        make()


def _with_nan():
    held = Sensitivities.from_records(ROWS)
    return evolve(held, amount_usd=np.full(len(held), np.nan))


# ------------------------------------------------------------------------------------------------------- the product


def test_two_of_the_same_content_are_one_product():
    one, other = portfolio(ROWS, add_ons=AGREED), portfolio([dict(row) for row in ROWS], add_ons=AGREED)
    assert one == other
    assert hash(one) == hash(other)
    assert portfolio(ROWS) == portfolio(ROWS, add_ons=AddOns())
    distinct = [one, portfolio(ROWS), portfolio(turned(ROWS)), portfolio(ROWS[1:]), portfolio([])]
    distinct += [portfolio(ROWS, "B"), portfolio(ROWS, counterparty="X"), portfolio(ROWS, schedule_rows=1)]
    assert len({*distinct}) == len(distinct)
    assert expiry_of(one) == date.max


def test_content_does_not_depend_on_how_texts_are_coded():
    held = Sensitivities.from_records([*MORE, *ROWS])[len(MORE) :]
    assert portfolio(held) == portfolio(ROWS)


# -------------------------------------------------------------------------------------------------------------- files

HEAD = """
[[firms]]
id = "DEALER"
[[customers]]
id = "FUND"
[[accounts]]
id = "ACC"
owner = "FUND"
firm = "DEALER"
account_class = "SEC_15C3_3"
"""


def on_disk(folder, *rows):
    """A book whose positions are these rows, and beside it `two.crif` with the portfolios A and B."""
    texts = [
        crif_text(crif_of(Sensitivities.from_records(each), portfolio=n)) for n, each in (("A", ROWS), ("B", MORE))
    ]
    (folder / "two.crif").write_text(texts[0] + texts[1].partition("\n")[2], encoding="utf-8")
    header = "id,account,product,quantity,crif,portfolio,counterparty\n"
    (folder / "positions.csv").write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    (folder / "book.toml").write_text('positions = "positions.csv"\n' + HEAD, encoding="utf-8")
    return folder / "book.toml"


def said(path):
    with pytest.raises(InputError) as caught:
        load_book(path)
    return [str(problem) for problem in caught.value.problems]


def test_a_book_names_its_crif_files(tmp_path):
    write_crif(crif_of(Sensitivities.from_records(ROWS), add_ons=AGREED), tmp_path / "alone.csv.gz")
    rows = ("1,ACC,sensitivity_portfolio,1,two.crif,A,", "2,ACC,sensitivity_portfolio,-2,two.crif,B,BANK")
    path = on_disk(tmp_path, *rows, "3,ACC,sensitivity_portfolio,1,alone.csv.gz,,")
    held = load_book(path).portfolio.products
    expected = portfolio(ROWS), portfolio(MORE, "B", counterparty="BANK"), portfolio(ROWS, "alone", add_ons=AGREED)
    assert held == expected
    line = margin(load_book(path).portfolio, MARKET).requirements[0].line
    assert line.value > 0


def test_a_book_is_written_with_its_crif_files(tmp_path):
    held = (portfolio(ROWS, add_ons=AGREED), 1.0), (portfolio(MORE, "B", counterparty="BANK"), -0.5), (portfolio([]), 2)
    path = write_book(book(*held, (portfolio(MORE, "B", counterparty="BANK"), 3.0)), tmp_path)
    assert sorted(each.name for each in tmp_path.glob("*.crif")) == [f"sensitivities-{n}.crif" for n in (1, 2, 3)]
    assert [position.product for position in load_book(path).portfolio.positions][:3] == [each for each, _ in held]


def test_rows_for_the_schedule_are_counted_and_not_written(tmp_path):
    path = on_disk(tmp_path, "1,ACC,sensitivity_portfolio,1,two.crif,B,")
    text = (tmp_path / "two.crif").read_text(encoding="utf-8")
    row = "\t\tA\tRatesFX\tPV\t\t\t\t\t1\tUSD\t1\tSchedule\t\t\t\n"
    (tmp_path / "two.crif").write_text(text + row + row.replace("\tA\t", "\tB\t"), encoding="utf-8")
    (held,) = load_book(path).portfolio.products
    assert held.schedule_rows == 1
    with pytest.raises(InputError, match="1 row for the schedule"):
        write_book(book((held, 1.0)), tmp_path / "again")


def test_a_typo_is_listed_with_everything_else(tmp_path):
    path = on_disk(
        tmp_path, "1,ACC,sensitivity_portfolio,one,two.crif,AA,", "2,NOWHERE,sensitivity_portfolio,1,two.crif,A,"
    )
    lines = said(path)
    assert len(lines) == 3
    assert any("row 2 (id '1'), field 'quantity'" in line and "is no number" in line for line in lines)
    assert any("row 2 (id '1'), field 'portfolio'" in line and "no portfolio 'AA'" in line for line in lines)
    assert any("row 3 (id '2'), field 'account'" in line for line in lines)


def test_a_typo_in_the_crif_comes_with_both_places_and_once(tmp_path):
    path = on_disk(tmp_path, *(f"{n},ACC,sensitivity_portfolio,1,two.crif,A," for n in (1, 2)))
    text = (tmp_path / "two.crif").read_text(encoding="utf-8")
    (tmp_path / "two.crif").write_text(text.replace("Risk_Equity\t", "Risk_Equty\t"), encoding="utf-8")
    (line,) = said(path)
    assert line.startswith("positions.csv row 2 (id '1'), field 'crif', two.crif row")
    assert "Did you mean 'Risk_Equity'?" in line


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("1,ACC,sensitivity_portfolio,1,two.crif,,", "2 portfolios, which do not net"),
        ("1,ACC,sensitivity_portfolio,1,nothing.crif,,", "cannot be read"),
        ("1,ACC,sensitivity_portfolio,1,.,,", "cannot be read"),
        ("1,ACC,sensitivity_portfolio,1,a\x00b,,", "null character"),
        ("1,ACC,sensitivity_portfolio,1,book.toml,,", "no column ProductClass"),
        ("1,ACC,sensitivity_portfolio,1,,A,", "field 'crif': is missing"),
        ("1,ACC,sensitivity_portfolo,1,two.crif,A,", "Did you mean 'sensitivity_portfolio'?"),
        ("1,ACC,treasury_bill,1,two.crif,,", "does not belong to a treasury_bill"),
    ],
)
def test_one_bad_field_gives_its_place_and_the_way_out(tmp_path, row, says):
    lines = said(on_disk(tmp_path, row))
    assert any(says in line and "row 2" in line for line in lines), lines


def test_a_market_directory_may_hold_a_calibration(tmp_path):
    assert read_swap_files(tmp_path, WITHOUT).simm is None
    (tmp_path / "simm.json").write_text(json.dumps(made_up.calibration()), encoding="utf-8")
    found: Market = read_swap_files(tmp_path, WITHOUT)
    assert asked((portfolio(ROWS), 1.0), market=found).value == asked((portfolio(ROWS), 1.0)).value
    (tmp_path / "simm.json").write_bytes(gzip.compress(b"{}"))
    with pytest.raises(InputError, match=r"simm\.json"):
        read_swap_files(tmp_path, WITHOUT)

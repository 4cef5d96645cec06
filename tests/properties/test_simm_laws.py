"""Laws of SIMM that hold for every book, under a made-up calibration."""

import copy
import random
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.io.crif import crif_of, crif_text, read_crif
from crossmargin.simm import AddOns, Sensitivities, calibration_from, notional_add_ons, simm
from tests.reference.simm_twin import twin
from tests.simm import made_up

JSON = made_up.calibration()
MADE_UP = calibration_from(JSON)
sizes = st.sampled_from([1.0, 1e3, 1e6, 1e9])
seeds = st.integers(0, 2**32 - 1)
horizons = st.sampled_from([10, 1])


@st.composite
def books(draw, most=60):
    return made_up.book(draw(st.integers(0, most)), draw(seeds), size=draw(sizes), names=draw(st.integers(1, 30)))


def margin(rows, **more):
    return simm(rows, MADE_UP, **more).total


def scaled(rows, factor):
    return [row | {"amount_usd": factor * row["amount_usd"]} for row in rows]


@given(books(most=25), horizons, st.sampled_from(["USD", "ARS"]))
def test_the_twin_agrees(rows, horizon, currency):
    expected = twin(rows, JSON, horizon_days=horizon, currency=currency)[0]
    assert margin(rows, horizon_days=horizon, calculation_currency=currency) == pytest.approx(expected, rel=1e-9)


@given(books(), horizons)
def test_an_exact_opposite_nets_to_nothing(rows, horizon):
    alone = margin(rows, horizon_days=horizon)
    assert margin(rows + scaled(rows, -1.0), horizon_days=horizon) <= 1e-9 * alone + 1e-6


@given(books(), horizons)
def test_product_classes_do_not_offset(rows, horizon):
    apart = [[row for row in rows if row["product_class"] == name] for name in made_up.PRODUCTS]
    total = sum(margin(mine, horizon_days=horizon) for mine in apart)
    assert margin(rows, horizon_days=horizon) == pytest.approx(total, rel=1e-12)


@given(books())
def test_risk_classes_of_a_product_class_never_cost_more_than_their_sum(rows):
    found = simm(rows, MADE_UP)
    for name in found.product_classes:
        amounts = [each.amount for each in found.risk_classes if each.product_class == name]
        assert max(amounts) * (1 - 1e-12) <= found.product_class(name) <= sum(amounts) * (1 + 1e-12)


@given(books(), seeds)
def test_order_does_not_matter(rows, seed):
    mixed = rows[:]
    random.Random(seed).shuffle(mixed)
    assert margin(mixed) == pytest.approx(margin(rows), rel=1e-9, abs=1e-6)


@given(books(), st.floats(0.1, 0.9))
def test_splitting_a_row_changes_nothing(rows, share):
    split = [part for row in rows for part in scaled([row], share) + scaled([row], 1 - share)]
    assert margin(split) == pytest.approx(margin(rows), rel=1e-9, abs=1e-6)


SWAPS = [("EUR", "GBP"), ("ARS", "NGN"), ("BRL", "MXN"), ("ZAR", "TRY")]  # alike in every group of the calibration


@given(books(), st.sampled_from(SWAPS), horizons)
def test_currencies_of_the_same_groups_may_trade_names(rows, swap, horizon):
    first, second = swap

    def renamed(text):
        return text.replace(first, "***").replace(second, first).replace("***", second)

    relabelled = [row | {"qualifier": renamed(row["qualifier"])} for row in rows]
    assert margin(relabelled, horizon_days=horizon) == pytest.approx(margin(rows, horizon_days=horizon), rel=1e-12)


@given(books(), st.floats(1.0, 100.0))
def test_size_is_proportional_without_concentration_and_worse_with_it(rows, factor):
    assert margin(scaled(rows, factor), horizon_days=1) == pytest.approx(
        factor * margin(rows, horizon_days=1), rel=1e-9
    )
    amounts = (simm(each, MADE_UP) for each in (scaled(rows, factor), rows))
    large, small = ([part.measure("delta") for part in found.risk_classes] for found in amounts)
    assert all(big >= 0 for big in large)
    assert len(large) == len(small)


@given(st.lists(st.floats(1.0, 1e9), min_size=1, max_size=4), st.sampled_from(made_up.TYPES))
def test_a_larger_position_never_asks_less(amounts, kind):
    row = made_up.row(random.Random(1), kind=kind)
    margins = [margin([row | {"amount_usd": amount}]) for amount in sorted(amounts)]
    assert margins == sorted(margins)


WEIGHTS = [  # of risk classes without negative correlations: there a long book grows with any one weight
    ("equity", "Equity", ["delta_risk_weights", "10"]),
    ("equity", "EquityVol", ["vega_risk_weights", "10"]),
    ("commodity", "Commodity", ["delta_risk_weights", "10"]),
    ("credit_qualifying", "CreditQ", ["delta_risk_weights", "10"]),
    ("credit_non_qualifying", "CreditNonQ", ["delta_risk_weights", "10"]),
]


@given(st.sampled_from(WEIGHTS), st.data(), st.floats(1.0, 3.0))
def test_a_long_book_grows_with_every_risk_weight(which, data, factor):
    risk_class, kind, way = which
    heavier = copy.deepcopy(JSON)
    table = heavier[risk_class]
    for key in way:
        table = table[key]
    bucket = data.draw(st.sampled_from(sorted(table)))
    table[bucket] *= factor
    rows = made_up.book(30, data.draw(seeds), kind=kind, size=1e6)
    rows = [row | {"amount_usd": abs(row["amount_usd"]), "product_class": "Credit"} for row in rows]
    assert simm(rows, calibration_from(heavier)).total >= simm(rows, MADE_UP).total * (1 - 1e-12)


@given(st.data(), st.floats(1.0, 3.0), seeds)
def test_a_long_book_of_rates_grows_with_every_risk_weight(data, factor, seed):
    heavier = copy.deepcopy(JSON)
    weights = heavier["interest_rate"]["delta_risk_weights"]["10"][
        data.draw(st.sampled_from(["regular", "low", "high"]))
    ]
    weights[data.draw(st.integers(0, 11))] *= factor
    rows = [row | {"amount_usd": abs(row["amount_usd"])} for row in made_up.book(30, seed, kind="IRCurve")]
    assert simm(rows, calibration_from(heavier)).total >= margin(rows) * (1 - 1e-12)


@given(books(), horizons)
def test_the_other_side_is_the_opposite_book(rows, horizon):
    posted = margin(rows, horizon_days=horizon, side="post")
    assert posted == pytest.approx(margin(scaled(rows, -1.0), horizon_days=horizon), rel=1e-12)


@given(books(), horizons)
def test_the_tree_adds_up(rows, horizon):
    found = simm(rows, MADE_UP, horizon_days=horizon)
    assert found.line().amount == pytest.approx(found.total, rel=1e-9, abs=1e-6)


@given(books(), st.floats(1.0, 5.0), st.floats(0.0, 1e9))
def test_add_ons_only_add(rows, multiplier, fixed):
    add_ons = AddOns({"RatesFX": multiplier}, (fixed,))
    found = simm(rows, MADE_UP)
    expected = found.total + (multiplier - 1) * found.product_class("RatesFX") + fixed
    assert margin(rows, add_ons=add_ons) == pytest.approx(expected, rel=1e-12)


names = (
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1).map(str.strip).filter(bool)
)


@given(books(most=20), names, names, st.floats(1.0, 9.0), st.sampled_from("\t,;"))
def test_a_crif_comes_back_as_it_was(rows, portfolio, product, multiplier, delimiter):
    rows = [row | {"qualifier": row["qualifier"].replace("Name", product)} for row in rows]
    add_ons = AddOns({"Equity": multiplier}, (1.5,), notional_add_ons([(product, 2.5)], [(product, 1e7)]))
    crif = crif_of(Sensitivities.from_records(rows), portfolio=portfolio, add_ons=add_ons)
    back = read_crif(StringIO(crif_text(crif, delimiter=delimiter)))
    assert back == crif
    assert back.add_ons(portfolio) == add_ons
    assert margin(back.sensitivities(portfolio)) == margin(rows)

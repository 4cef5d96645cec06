"""Sensitivities: columns, validation of every row, netting."""

import numpy as np
import pytest

from crossmargin.errors import InputError
from crossmargin.simm import Sensitivities, net
from crossmargin.simm.risk_types import KEYS, calendar_days
from crossmargin.simm.sensitivities import Column, dense
from tests.simm import made_up


def problems_of(rows):
    with pytest.raises(InputError) as caught:
        Sensitivities.from_records(rows)
    return [(problem.where, problem.what) for problem in caught.value.problems]


def row(**fields):
    return {"product_class": "RatesFX", "risk_type": "Risk_FX", "qualifier": "EUR", "amount_usd": 1.0} | fields


def test_columns_code_and_decode():
    column = Column.of(["b", "a", "b"])
    assert column.texts() == ["b", "a", "b"]
    assert column[[1, 2]].texts() == ["a", "b"]
    assert column.mapped(str.upper).texts() == ["B", "A", "B"]
    assert column.mapped(lambda _: "same").values == ("same",)
    assert column.coded({"a": 7}).tolist() == [-1, 7, -1]
    assert column.among({"a"}).tolist() == [False, True, False]
    assert len(Column.of([])) == 0
    assert Column.of([]).among({"a"}).tolist() == []


def test_fields_are_read_as_they_are_compared():
    rows = [
        row(qualifier=" eur "),
        row(risk_type="Risk_FXVol", qualifier="USDEUR", label1="1Y"),
        row(risk_type="Risk_Equity", product_class="Equity", qualifier="X", bucket="residual", label1="junk"),
    ]
    found = Sensitivities.from_records(rows)
    assert found.qualifier.texts() == ["EUR", "EURUSD", "X"]
    assert found.label1.texts() == ["", "1y", ""]  # equity delta has no tenor
    assert found.bucket.texts() == ["", "", "Residual"]


def test_what_is_no_row_is_refused():
    with pytest.raises(InputError, match="a str stands among them"):
        Sensitivities.from_records(["product_class", "risk_type"])  # as of a data frame


def test_every_bad_row_is_listed():
    rows = [
        row(),
        row(product_class="Rates"),
        row(risk_type="Risk_Fx"),
        row(qualifier="EURO"),
        row(qualifier=""),
        row(amount_usd=float("nan")),
        row(amount_usd="much"),
        row(amount_usd=None),
        row(amount_usd=float("-inf")),
        row(risk_type="Risk_FXVol", qualifier="EUREUR", label1="1y"),
        row(risk_type="Risk_IRCurve", label1="soon"),
        row(risk_type="Risk_IRCurve", label1="0y"),
        row(risk_type="Risk_Equity", qualifier="X"),
    ]
    assert problems_of(rows) == [
        ("row 2, field 'product_class'", "'Rates' is unknown."),
        ("row 3, field 'risk_type'", "'Risk_Fx' is unknown."),
        ("row 4, field 'qualifier'", "'EURO' does not fit Risk_FX."),
        ("row 5, field 'qualifier'", "is blank, which Risk_FX does not allow."),
        ("row 10, field 'qualifier'", "'EUREUR' does not fit Risk_FXVol."),
        ("row 13, field 'bucket'", "is blank, which Risk_Equity does not allow."),
        ("row 11, field 'label1'", "'soon' does not fit Risk_IRCurve."),
        ("row 12, field 'label1'", "'0y' does not fit Risk_IRCurve."),
        ("rows 6, 7, 8, 9, field 'amount_usd'", "is no finite number."),
    ]


def test_many_rows_with_one_fault_are_one_problem():
    assert problems_of([row(qualifier="?")] * 40)[0][0] == "rows 1, 2, 3, 4, 5 and 35 more, field 'qualifier'"


def test_amounts_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Sensitivities.from_records([row()]).amount_usd[0] = 2.0


def test_netting_adds_rows_of_equal_key():
    rows = made_up.book(500, 1)
    found = net(Sensitivities.from_records(rows))
    expected = {}
    clean = Sensitivities.from_records(rows)
    for key, amount in zip(
        zip(*(getattr(clean, name).texts() for name in KEYS), strict=True), clean.amount_usd, strict=True
    ):
        expected[key] = expected.get(key, 0.0) + amount
    got = dict(
        zip(zip(*(getattr(found, name).texts() for name in KEYS), strict=True), found.amount_usd.tolist(), strict=True)
    )
    assert got.keys() == expected.keys()
    assert got == pytest.approx(expected)
    assert len(net(Sensitivities.from_records([]))) == 0


@pytest.mark.parametrize("size", [50, 1 << 40])  # by a table, by sorting
def test_dense_codes_keep_their_order(size):
    codes = np.array([40, 7, 40, 7, 12]) * (size // 50)
    found, count = dense(codes, size)
    assert (found.tolist(), count) == ([2, 0, 2, 0, 1], 3)


@pytest.mark.parametrize(("tenor", "days"), [("3d", 3), ("2w", 14), ("12m", 365), ("10y", 3650)])
def test_days_of_a_tenor(tenor, days):
    assert calendar_days(tenor) == pytest.approx(days)


def test_what_is_no_tenor_has_no_days():
    with pytest.raises(ValueError, match="is no tenor"):
        calendar_days("1 year")

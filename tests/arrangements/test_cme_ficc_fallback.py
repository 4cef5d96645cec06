"""The CME-FICC programme while a calculation is missing, and the cycles that both factors belong to."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.accounts import AccountClass
from crossmargin.arrangements.cme_ficc import CME, FICC, CycleFactor, ModelAmounts, credits, factor_of_cycle, two_pot
from crossmargin.errors import InputError
from crossmargin.margin import margin
from crossmargin.portfolio import Pool, Position
from crossmargin.regimes import CROSS_MARGIN
from crossmargin.registry import rules
from crossmargin.results import Line, not_modelled, total
from tests.properties.strategies import AS_OF, NOTE_7, ZN, basis, book, market

RULES = rules("cme_ficc")
MONDAY = date(2026, 6, 29)
FRIDAY = date(2026, 6, 26)
POOL = Pool("ALPHA", "DUAL", AccountClass.XM_FUTURES_4D_AB, FICC, "rule", "cme_ficc")
CASH, FUTURE = Position("cash", "ALPHA-XM", NOTE_7, 1e6), Position("future", "ALPHA-XM", ZN, -10)
UNIT = {FICC: evolve(POOL, positions=(CASH,)), CME: evolve(POOL, pot=CME, positions=(FUTURE,))}
ROW = {"owner": "ALPHA", "firm": "DUAL", "factor": 0.5, "as_of": MONDAY}


def model(component, *amounts):
    """A model that answers (Treasury leg, futures leg, both), None for what it cannot."""

    def answer(pool):
        amount = amounts[2] if len(pool.positions) == 2 else amounts[pool.positions[0] is not CASH]
        if amount is None:
            gaps = [not_modelled(f"{each.id}: {each.product.symbol}", "no price") for each in pool.positions]
            return total("requirement", gaps)
        return total("requirement", [Line(component, amount), not_modelled("special charge", "not public")])

    return answer


WHOLE = {FICC: model("var_charge", 100.0, 80.0, 54.0), CME: model("base_charge", 90.0, 110.0, 80.0)}  # 0.7 and 0.6


def found(*, models=WHOLE, **overlaid):
    p = RULES.with_values(because="study", **overlaid).at(AS_OF) if overlaid else RULES.at(AS_OF)
    return credits(UNIT, models, p)


def amounts(**overlaid):
    return {pot: line.amount for pot, line in found(**overlaid).items()}


def test_both_sides_there():
    assert amounts() == {FICC: pytest.approx(-60.0), CME: pytest.approx(-66.0)}


def test_known_gaps_of_a_model_do_not_make_it_late_and_positions_left_out_do():
    assert "no calculation" not in found()[FICC].note
    blind = {**WHOLE, CME: model("base_charge", 90.0, None, 80.0)}
    lines = found(models=blind)
    assert {pot: line.amount for pot, line in lines.items()} == {FICC: 0.0, CME: 0.0}
    assert all(line.note == "no calculation of CME: zero reduction" for line in lines.values())
    assert {read.name for line in lines.values() for read in line.reads} == {"missing_side_policy"}


@pytest.mark.parametrize("late", [[FICC], [CME], [FICC, CME]])
def test_a_late_side_earns_nothing_by_default(late):
    assert amounts(late_sides=late) == {FICC: 0.0, CME: 0.0}


USE = {"missing_side_policy": "use_last_factor"}


@pytest.mark.parametrize(
    ("late", "factor", "applied"),
    [
        ([FICC, CME], 0.5, 0.5),
        ([FICC], 0.5, 0.5),
        ([FICC], 0.75, 0.6),  # CME's own factor is lower
        ([CME], 0.75, 0.7),  # FICC's is
        ([FICC, CME], 0.9, 0.8),  # the cap
        ([FICC, CME], 0.0, 0.0),
    ],
)
def test_the_last_factor_never_beats_what_is_known_or_the_cap(late, factor, applied):
    got = amounts(late_sides=late, last_factors=[{**ROW, "factor": factor}], **USE)
    assert got == {FICC: pytest.approx(-100.0 * applied), CME: pytest.approx(-110.0 * applied)}


def test_the_minimum_holds_for_the_last_factor_too():
    assert amounts(late_sides=[FICC, CME], last_factors=[{**ROW, "factor": 0.005}], reduction_minimum=0.01, **USE) == {
        FICC: 0.0,
        CME: 0.0,
    }


def test_a_pot_whose_own_leg_is_unknown_is_not_reduced():
    blind = {**WHOLE, CME: model("base_charge", 90.0, None, None)}
    lines = found(models=blind, last_factors=[ROW], **USE)
    assert lines[FICC].amount == pytest.approx(-50.0)
    assert lines[CME].amount == 0.0
    assert "its pot is not reduced" in lines[CME].note


def test_the_line_says_whose_calculation_is_missing_and_of_when_the_factor_is():
    line = found(late_sides=[FICC], last_factors=[ROW], **USE)[FICC]
    assert line.note == "no calculation of FICC: last factor, of 2026-06-29"
    assert {read.name for read in line.all_reads()} >= {
        "last_factors",
        "last_factor_days",
        "late_sides",
        "missing_side_policy",
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (None, "no last factor is given"),
        ({**ROW, "owner": "BETA"}, "no last factor is given"),
        ({**ROW, "firm": "TWIN"}, "no last factor is given"),
        ({**ROW, "account_class": "PROPRIETARY"}, "no last factor is given"),
        ({**ROW, "as_of": FRIDAY}, "the last factor, of 2026-06-26, is more than 1 business days old"),
    ],
)
def test_without_a_fresh_factor_of_its_own_the_unit_earns_nothing(row, said):
    lines = found(late_sides=[FICC], last_factors=[] if row is None else [row], **USE)
    assert {line.amount for line in lines.values()} == {0.0}
    assert all(said in line.note for line in lines.values())


def test_age_counts_in_business_days():
    friday = [{**ROW, "as_of": FRIDAY}]
    p = RULES.with_values(late_sides=[FICC], last_factors=friday, because="study", **USE).at(MONDAY)
    assert credits(UNIT, WHOLE, p)[FICC].amount < 0
    assert amounts(late_sides=[FICC], last_factors=friday, last_factor_days=2, **USE)[FICC] < 0


def test_the_row_of_the_class_of_account_comes_first():
    rows = [ROW, {**ROW, "account_class": "XM_FUTURES_4D_AB", "factor": 0.25}]
    assert amounts(late_sides=[FICC], last_factors=rows, **USE)[FICC] == pytest.approx(-25.0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"owner": "ALPHA"}], ["has no firm, factor, as_of"]),
        ([{**ROW, "factor": 1.2}, {**ROW, "owner": "B", "factor": float("nan")}], ["factor is 1.2", "factor is nan"]),
        ([{**ROW, "factor": True}], ["factor is True"]),
        ([{**ROW, "factor": "0.5"}], ["factor is '0.5'"]),
        ([{**ROW, "as_of": date(2026, 7, 1)}], ["as_of is datetime.date(2026, 7, 1)"]),
        ([{**ROW, "as_of": "2026-06-29"}], ["as_of is '2026-06-29'"]),
        ([ROW, ROW], ["stands twice"]),
    ],
)
def test_rows_that_cannot_be_read_are_all_named(rows, said):
    with pytest.raises(InputError) as caught:
        found(late_sides=[FICC], last_factors=rows, **USE)
    assert all(text in str(caught.value) for text in said)


def test_a_cap_that_is_none_is_refused_here_too():
    with pytest.raises(InputError, match=r"1\.5 is out of range"):
        found(late_sides=[FICC], last_factors=[ROW], reduction_cap=1.5, **USE)


def test_unknown_policies_and_clearing_houses_are_refused():
    with pytest.raises(InputError, match="Did you mean 'use_last_factor'"):
        found(late_sides=[FICC], missing_side_policy="use_last_facto")
    with pytest.raises(InputError, match="unknown clearing house 'OCC'"):
        found(late_sides=["OCC"])


money, shares = st.floats(0.0, 1e9), st.floats(0.0, 1.0)


@given(st.tuples(money, money, money), st.tuples(money, money, money), shares, st.sets(st.sampled_from([FICC, CME])))
def test_credits_stay_within_the_cap_whatever_is_late(ficc, cme, factor, late):
    models = {FICC: model("var_charge", *ficc), CME: model("base_charge", *cme)}
    rows = [{**ROW, "factor": factor}]
    got = found(models=models, late_sides=sorted(late), last_factors=rows, **USE)
    assert 0.0 <= -got[FICC].amount <= 0.8 * ficc[0] * (1 + 1e-12)
    assert 0.0 <= -got[CME].amount <= 0.8 * cme[1] * (1 + 1e-12)
    punctual = two_pot(ModelAmounts(*ficc), ModelAmounts(*cme), cap=0.8, minimum=0.0)
    if not late:
        assert got[FICC].amount == pytest.approx(punctual.ficc_credit.value, abs=1e-6)
    zero = found(models=models, late_sides=sorted(late))
    assert all(zero[pot].amount >= got[pot].amount for pot in got)


def test_through_the_spine_a_late_side_takes_the_credit_away_and_the_last_factor_brings_some_back():
    held = book(*basis())
    whole = margin(held, market(), CROSS_MARGIN)
    late = RULES.with_values(late_sides=["FICC"], because="late")
    none = margin(held, market(), CROSS_MARGIN, rules=[late])
    row = {**ROW, "factor": 0.1}
    some = margin(held, market(), CROSS_MARGIN, rules=[late.with_values(last_factors=[row], because="late", **USE)])
    assert none.credit() == 0.0 > some.credit() > whole.credit()
    assert some.credit() == pytest.approx(-0.1 * scaled_legs(whole))


def scaled_legs(report):
    """The legs that a factor is applied to: the charges that the credits scale."""
    legs = (credit.line.parts[1] for credit in report.credits)
    return sum(leg.value for leg in legs)


# ----------------------------------------------------------------------------------------------------------- cycles

NOON = datetime(2026, 6, 30, 12, 0)  # noqa: DTZ001 - both moments are without a zone
EARLY = CycleFactor("FICC", "intraday", NOON, 0.7)
LATE = CycleFactor("CME", "intraday", datetime(2026, 6, 30, 15, 0), 0.6)  # noqa: DTZ001


def test_one_cycle_joins_both_and_keeps_their_stamps():
    line = factor_of_cycle(EARLY, LATE, RULES.at(AS_OF))
    assert line.amount == 0.6
    assert line.note == "FICC intraday at 2026-06-30 12:00, CME intraday at 2026-06-30 15:00"
    assert [part.name for part in line.walk()][2:] == ["FICC reduction factor", "CME reduction factor", "reduction cap"]
    assert factor_of_cycle(evolve(EARLY, factor=1.0), evolve(LATE, factor=0.9), RULES.at(AS_OF)).amount == 0.8


@pytest.mark.parametrize(
    "other",
    [
        evolve(LATE, calculated=datetime(2026, 6, 30, 18, 1)),  # noqa: DTZ001
        evolve(LATE, calculated=datetime(2026, 6, 29, 12, 0)),  # noqa: DTZ001
        evolve(LATE, cycle="end_of_day"),
    ],
)
def test_what_is_not_of_one_cycle_gives_nothing_and_shows_both_stamps(other):
    line = factor_of_cycle(EARLY, other, RULES.at(AS_OF))
    assert line.amount == 0.0
    assert line.note.startswith("not of one cycle: FICC intraday at 2026-06-30 12:00, CME ")


def test_everything_wrong_with_the_inputs_is_named():
    bad = CycleFactor("CME", "midnight", datetime(2026, 6, 30, 12, 0, tzinfo=UTC), 1.5)
    with pytest.raises(InputError) as caught:
        factor_of_cycle(bad, LATE, RULES.at(AS_OF))
    said = str(caught.value)
    assert all(text in said for text in ("is of 'CME'", "unknown cycle 'midnight'", "factor is 1.5", "a time zone"))


def test_the_times_of_ficc_are_published_and_those_of_cme_are_not():
    ficc, cme = (RULES.parameters[name].values[-1] for name in ("ficc_cycles", "cme_cycles"))
    assert (ficc.grade, cme.grade) == ("disclosure", "assumed")
    assert [row["collected"] for row in ficc.value] == ["2:45 p.m.", "9:30 a.m. of the next business day"]
    assert {row["collected"] for row in cme.value} == {"not known"}

"""Evidence: a calculation redrawn unchanged is itself, errors agree with theory, and coverage is counted by hand."""

from __future__ import annotations

from datetime import date, timedelta
from math import fsum

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.analysis.backtest import kupiec, traffic_light
from crossmargin.analysis.between_regimes import repriced
from crossmargin.analysis.coverage import coverage
from crossmargin.analysis.euler import walks
from crossmargin.analysis.evidence import Sampled, evidence, sampling
from crossmargin.analysis.margin_series import MarketHistory
from crossmargin.analysis.resampling import Draws, redrawn
from crossmargin.errors import InputError
from crossmargin.margin import compare, margin
from crossmargin.market import History
from crossmargin.portfolio import Position
from crossmargin.products import TreasuryNote
from crossmargin.products.calendars import is_business_day
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED
from crossmargin.registry import rulebook
from crossmargin.risk import value_at_risk_standard_error
from crossmargin.samples import basis_trade, equity_options, swap_book
from tests.properties.strategies import AS_OF, BETA, NOTE_7, SETTLES, ZN, basis, book, history, holdings, market

THREE = (SILOED, CROSS_MARGIN, HARMONIZED)
rarely = settings(max_examples=6)

# ------------------------------------------------------------------------------------------------------------ redrawn


def unchanged(portfolio, found_in, regime, level):
    """The total when every resample takes every scenario once, in its place."""
    report, book_of_rules = margin(portfolio, found_in, regime), rulebook()
    draws = Draws(repriced(portfolio, found_in, THREE, book_of_rules), 2, 1, 0)
    for spec, pnl in draws.inputs.pnl.items():
        draws._taken[spec] = np.tile(np.arange(pnl.values.shape[1]), (2, 1))
    siloed = [each.positions for each in margin(portfolio, found_in).requirements]
    below = redrawn(walks(report, "clearing", draws.inputs, book_of_rules, drawn=siloed), draws)
    if level == "customer":
        below = redrawn(walks(report, level, draws.inputs, book_of_rules, drawn=siloed), draws, below)
    return sum(below.values(), np.zeros(2)), report.total(level)


@pytest.mark.parametrize("sample", [basis_trade, equity_options, swap_book])
@pytest.mark.parametrize(("regime", "level"), [(CROSS_MARGIN, "clearing"), (HARMONIZED, "customer")])
def test_a_sample_redrawn_unchanged_is_itself(sample, regime, level):
    found, total = unchanged(*sample(), regime, level)
    assert found == pytest.approx([total or 0.0] * 2, rel=1e-12, abs=1e-6)


@rarely
@given(holdings(), st.sampled_from(THREE), st.sampled_from(["clearing", "customer"]))
def test_any_book_redrawn_unchanged_is_itself(positions, regime, level):
    found, total = unchanged(book(*positions), market(), regime, level)
    assert found == pytest.approx([total or 0.0] * 2, rel=1e-9, abs=1e-4)


def test_blocks_are_neighbours_and_begin_at_the_same_places():
    draws = Draws(repriced(book(*basis()), market(), THREE, rulebook()), 3, 4, 7)
    for spec, pnl in draws.inputs.pnl.items():
        n = pnl.values.shape[1]
        taken = draws.taken(spec)
        assert taken.shape == (3, n)
        whole = taken[:, : n // 4 * 4].reshape(3, -1, 4)
        assert ((whole - whole[..., :1]) % n == np.arange(4)).all()
    starts = [draws.taken(spec)[:, ::4][:, :20] / pnl.values.shape[1] for spec, pnl in draws.inputs.pnl.items()]
    assert np.abs(starts[0] - starts[-1]).max() < 0.02


# ----------------------------------------------------------------------------------------------------- sampling errors

ALONE = (Position("note", "ALPHA-GOV", NOTE_7, 50e6, SETTLES),)


def test_the_error_of_one_quantile_is_that_of_its_exact_bootstrap():
    # one position and one quantile of independent draws: Maritz and Jarrett need no random numbers
    switched_off = rulebook()["harmonized_rates"].with_values(reduction_cap=1.0, floor_share=0.0, because="test")
    found = sampling(book(*ALONE), market(), [HARMONIZED], rules=[switched_off], resamples=4000, block_days=1).totals[0]
    inputs = repriced(book(*ALONE), market(), [HARMONIZED], rulebook())
    (spec,) = [each for each in inputs.pnl if each.horizon_days == 3 and each.kind == "historical"]
    exact = value_at_risk_standard_error(50e6 * inputs.pnl[spec].row(NOTE_7), 0.99)
    assert found.standard_error == pytest.approx(exact, rel=0.05)


def test_errors_are_of_the_scale_of_the_book_and_repeat_with_the_seed():
    one, again, other = (sampling(book(*basis()), market(), resamples=50, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    twice = [evolve(each, quantity=2 * each.quantity) for each in basis()]
    double = sampling(book(*twice), market(), resamples=50, seed=1)
    for small, large in zip(one.totals, double.totals, strict=True):
        assert large.standard_error == pytest.approx(2 * small.standard_error, rel=1e-9)
        assert (large.low, large.high) == pytest.approx((2 * small.low, 2 * small.high), rel=1e-9)


def test_what_two_regimes_share_is_no_error_of_their_difference():
    found = sampling(book(*basis()), market(), [SILOED, evolve(SILOED, name="again")], resamples=20)
    gap = found.gap("siloed", "again")
    assert found.totals[0].standard_error > 0.0
    assert (gap.difference.figure, gap.difference.standard_error, gap.inside_noise) == (0.0, 0.0, True)


@rarely
@given(holdings(most=4))
def test_a_difference_errs_no_more_than_both_totals_together(positions):
    found = sampling(book(*positions), market(), resamples=20)
    errors = {each.name: each.standard_error for each in found.totals}
    for gap in found.gaps:
        assert gap.difference.standard_error <= errors[gap.first] + errors[gap.second] + 1e-6


def test_a_gap_is_noise_when_it_could_have_been_none():
    assert Sampled("gap", 2.0, 3.0, -4.0, 8.0).holds_zero
    assert not Sampled("gap", 5.0, 1.0, 3.0, 7.0).holds_zero
    assert not evidence(book(*basis()), market(), resamples=50).gap("siloed", "cross_margin").inside_noise


def test_figures_that_no_simulation_stands_behind_are_named():
    found = evidence(*equity_options(), (SILOED, HARMONIZED), level="customer", resamples=10)
    assert "siloed: 0% of the total is simulated, of the rest no error is known" in found.notes
    assert found.gaps[0].simulated == 0.0
    of_rates = evidence(book(*basis()), market(), (SILOED, CROSS_MARGIN), level="customer", resamples=10)
    assert len(of_rates.notes) == 1
    assert of_rates.gaps[0].simulated == pytest.approx(1.0)


def test_settings_out_of_range_are_refused_at_once():
    with pytest.raises(InputError) as refused:
        sampling(book(), market(), [SILOED, SILOED], level="customers", resamples=1, block_days=0, interval=1.0)
    wheres = [problem.where for problem in refused.value.problems]
    assert wheres == ["regime 'siloed'", "level", "resamples", "block_days", "interval"]
    with pytest.raises(InputError, match="siloed to cross_margin"):
        sampling(book(*basis()), market(), resamples=2).gap("siloed", "sliced")


def test_a_book_of_nothing_is_sure():
    found = sampling(book(), market(), resamples=3)
    assert [(each.figure, each.standard_error) for each in found.totals] == [(0.0, 0.0)] * 3


# ------------------------------------------------------------------------------------------------- coverage by hand

FIRST = date(2025, 6, 2)
QUIET = [day for n in range(420) if is_business_day(day := FIRST + timedelta(n)) and day > AS_OF]


def with_crash():
    """The shared walk, then days on which nothing moves but for one, on which all yields rise by two per cent."""
    past = history()
    after = QUIET[:12]
    par = np.repeat(past.par[-1:], len(after), axis=0)
    par[6:] += 0.02
    return MarketHistory(History([*past.dates, *after], past.tenors, np.vstack([past.par, par]), "made up")), after


def test_exceptions_are_counted_by_hand():
    past, after = with_crash()
    settles = after[-1] + timedelta(days=30)
    held = (
        Position("long", "ALPHA-GOV", NOTE_7, 10e6, settles),
        Position("short", "BETA-GOV", NOTE_7, -10e6, settles),
    )
    found, missing, _ = coverage(book(*held), past, [SILOED], after[:9], horizon_days=1)
    long, short = found
    assert (long.owner, short.owner, missing) == ("ALPHA", BETA.id, ())
    # nine days; on the sixth the change to the seventh costs the long side about 6 x 2 % of 10 million
    assert (long.days, long.exceptions, short.exceptions) == (9, 1, 0)
    asked = margin(book(held[0]), past.market(after[5])).total()
    assert 0.9e6 < long.uncovered + asked < 1.3e6
    assert long.coverage == kupiec(9, 1, 0.01)
    assert long.zone == traffic_light(9, 1, 0.01)
    assert long.clusters.transitions == ((6, 1), (1, 0))
    assert long.cost == 1.0
    assert long.procyclicality.peak_to_trough >= 1.0


def test_changes_that_overlap_are_tested_once():
    past, after = with_crash()
    held = Position("long", "ALPHA-GOV", NOTE_7, 10e6, after[-1] + timedelta(days=30))
    found, _, _ = coverage(book(held), past, [SILOED], after[:9], horizon_days=3)
    assert found[0].days == 3, "days 1, 4 and 7"
    assert found[0].exceptions == 1


def test_a_day_without_figures_says_why():
    past, after = with_crash()
    days = [after[0], after[-1], date(2026, 7, 4)]
    held = evolve(ALONE[0], settles=after[-1] + timedelta(days=30))
    found, missing, _ = coverage(book(held), past, [SILOED], days, horizon_days=2)
    assert [gap.day for gap in missing] == [date(2026, 7, 4), after[-1]]
    assert "no row 2 business days later" in missing[1].why
    assert found[0].days == 1


def test_a_study_lets_a_programme_run_before_it_began():
    day = date(2026, 3, 16)
    past = MarketHistory(history())
    as_then, _, _ = coverage(book(*basis()), past, [SILOED, CROSS_MARGIN], [day])
    study, _, notes = coverage(book(*basis()), past, [SILOED, CROSS_MARGIN], [day], calibration=AS_OF)
    assert [each.cost for each in as_then] == [1.0, 1.0]
    assert study[1].cost < 0.5
    assert notes == (f"the rules of {AS_OF} on every day: a study, hypothetical on past days",)


def test_a_book_may_be_told_from_the_market_of_the_day():
    def rolled(at):
        note = TreasuryNote(0.04, at.as_of.replace(year=at.as_of.year + 7))
        return book(Position("rolled", "ALPHA-GOV", note, 10e6, at.as_of + timedelta(days=10)))

    days = [day for day in history().dates if day > date(2026, 6, 1)][:4]
    found, missing, _ = coverage(rolled, MarketHistory(history()), [SILOED], days)
    assert missing == ()
    assert found[0].days == 2, "three days apart"


def test_firms_do_not_cover_one_another_and_what_cannot_be_repriced_is_named():
    day = date(2026, 6, 1)
    held = (*basis(), *basis(start="t", end="2"), *equity_option())
    found, _, notes = coverage(book(*held), MarketHistory(history()), [SILOED], [day])
    assert [(each.owner, each.firm) for each in found if each.owner == "ALPHA"] == [
        ("ALPHA", "DUAL"),
        ("ALPHA", "TWIN"),
    ]
    assert any(note.startswith("profit and loss leaves out") for note in notes)


def equity_option():
    from tests.properties.strategies import ETF_OPTION

    return (Position("put", "RETAIL-SEC", ETF_OPTION, 5),)


def test_impossible_settings_of_coverage_are_refused():
    with pytest.raises(InputError) as refused:
        coverage(book(), MarketHistory(history()), [SILOED], [], confidence=1.0, horizon_days=0)
    assert [problem.where for problem in refused.value.problems] == ["confidence", "horizon_days"]
    assert coverage(book(), MarketHistory(history()), [SILOED], []) == ((), (), ())


def test_evidence_prints_errors_and_coverage():
    past, after = with_crash()
    held = (Position("long", "ALPHA-GOV", NOTE_7, 10e6, SETTLES), Position("ten", "ALPHA-FUT", ZN, -50))
    found = evidence(
        book(*held),
        market(),
        (SILOED, HARMONIZED),
        resamples=20,
        history=past,
        days=[AS_OF],
        book=lambda _: book(*held),
    )
    assert after
    text = str(found)
    assert "siloed to harmonized" in text
    assert "siloed: ALPHA at DUAL" in text
    totals = compare(book(*held), market(), (SILOED, HARMONIZED)).totals()
    records = found.to_records()
    assert [each["figure"] for each in records if each["kind"] == "total"] == list(totals.values())
    assert fsum(each["exceptions"] for each in records if each["kind"] == "coverage") <= 2


def test_a_total_of_which_nothing_is_modelled_has_no_error_and_is_named():
    found = sampling(*equity_options(), (SILOED, CROSS_MARGIN), resamples=2)
    assert found.totals == found.gaps == ()
    assert [note for note in found.notes if "nothing that it asks for is modelled" in note] == [
        f"{name}: nothing that it asks for is modelled" for name in ("siloed", "cross_margin")
    ]

"""Offset classes before 2024: matching by hand, against a slow twin, and its laws. Every table here is made up."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.arrangements.cme_ficc_offset_classes import ClassPair, Residual, offset_reductions
from crossmargin.errors import InputError
from crossmargin.registry import rules
from tests.reference.offset_class_twin import reduction as twin

CASES = tomllib.loads(Path(__file__).with_name("offset_classes.toml").read_text(encoding="utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_by_hand(case):
    residuals = [Residual(*row) for row in case["residuals"]]
    equivalents = {name: tuple(to) for name, to in case.get("equivalents", {}).items()}
    found = offset_reductions(residuals, [ClassPair(*row) for row in case["pairs"]], equivalents=equivalents)
    assert found.line.value == pytest.approx(case["reduction"]), case["note"]
    for side, account, share in case.get("shares", []):
        assert found.by_account[side, account] == pytest.approx(share), case["note"]


amounts = st.integers(-1000, 1000).map(float)
residual_lists = st.lists(
    st.builds(Residual, st.sampled_from(["FICC", "CME"]), st.sampled_from("AB"), st.sampled_from("xyz"), amounts),
    max_size=8,
)
tables = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz"), st.floats(0.0, 1.0)),
    max_size=6,
    unique_by=lambda t: t[:2],
).map(lambda rows: [ClassPair(ficc, cme, n, share) for n, (ficc, cme, share) in enumerate(rows)])


def legs(residuals, side):
    """What is left over on a side, class by class, the accounts netted."""
    classes = {each.offset_class for each in residuals}
    mine = [[e.amount for e in residuals if (e.side, e.offset_class) == (side, name)] for name in classes]
    return sum(abs(math.fsum(found)) for found in mine)


@given(residual_lists, tables)
def test_the_slow_twin_agrees(residuals, pairs):
    expected = twin(
        [(e.side, e.offset_class, e.amount) for e in residuals],
        [(p.priority, p.ficc_class, p.cme_class, p.disallowance) for p in pairs],
    )
    assert offset_reductions(residuals, pairs).line.value == pytest.approx(expected, abs=1e-6)


@given(residual_lists, tables)
def test_a_reduction_is_never_more_than_either_side_and_is_shared_in_full(residuals, pairs):
    found = offset_reductions(residuals, pairs)
    assert 0.0 <= found.line.value <= min(legs(residuals, "FICC"), legs(residuals, "CME")) * (1 + 1e-12)
    for side in ("FICC", "CME"):
        shares = [share for (name, _), share in found.by_account.items() if name == side]
        assert math.fsum(shares) == pytest.approx(found.line.value, abs=1e-9)
        assert all(share >= 0 for share in shares)


@given(residual_lists, tables, st.randoms(use_true_random=False))
def test_the_order_of_accounts_and_rows_does_not_matter(residuals, pairs, random):
    one = offset_reductions(residuals, pairs)
    random.shuffle(residuals)
    random.shuffle(pairs)
    other = offset_reductions(residuals, pairs)
    assert other.line.value == pytest.approx(one.line.value, abs=1e-9)
    assert dict(other.by_account) == pytest.approx(dict(one.by_account), abs=1e-9)


@given(residual_lists, tables)
def test_full_disallowance_and_an_empty_table_forgive_nothing(residuals, pairs):
    assert offset_reductions(residuals, []).line.value == 0.0
    assert offset_reductions(residuals, [evolve(pair, disallowance=1.0) for pair in pairs]).line.value == 0.0


@given(residual_lists, tables, st.floats(0.0, 1.0))
def test_more_disallowance_never_forgives_more(residuals, pairs, more):
    stricter = [evolve(pair, disallowance=max(pair.disallowance, more)) for pair in pairs]
    assert offset_reductions(residuals, stricter).line.value <= offset_reductions(residuals, pairs).line.value + 1e-9


@given(residual_lists, tables)
def test_signs_of_the_whole_book_do_not_matter(residuals, pairs):
    turned = [evolve(each, amount=-each.amount) for each in residuals]
    assert offset_reductions(turned, pairs).line.value == pytest.approx(offset_reductions(residuals, pairs).line.value)


def test_everything_wrong_is_named_at_once():
    residuals = [Residual("OCC", "A", "x", 1.0), Residual("CME", "A", "x", math.nan)]
    pairs = [ClassPair("x", "x", 1, 1.2), ClassPair("y", "x", 1, math.nan), ClassPair("x", "x", 2, 0.5)]
    with pytest.raises(InputError) as caught:
        offset_reductions(residuals, pairs, equivalents={"TY": ("x", 0.0), "US": ("x", math.inf)})
    said = str(caught.value)
    assert len(caught.value.problems) == 8
    for text in ("unknown side 'OCC'", "amount is nan", "disallowance is 1.2", "disallowance is nan", "stands twice"):
        assert text in said


def test_nothing_in_nothing_out():
    found = offset_reductions([], [])
    assert (found.line.value, dict(found.by_account), found.unmatched) == (0.0, {}, ())


def test_the_design_is_over_and_no_table_is_shipped():
    written = rules("cme_ficc_offset_classes")
    assert (written.status, written.structure) == ("withdrawn", "two_pot")
    assert not written.parameters
    assert "from memory" in " ".join(written.scope.split())

"""The batch: each account as the spine has it, whatever the order of rows, the number of threads or the split."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.batch import Positions, margin_many, plan
from crossmargin.errors import InputError
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, SILOED, with_rulesets

CENT = 0.005
N_ACCOUNTS, N_ROWS = 12, 120


@cache
def made(account="NG-XM"):
    """A plan for accounts like one of the sample's, and its P&L."""
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=[each for each in portfolio.accounts if each.id == account], positions=[])
    planned = plan(portfolio.products, market, alike, settles=samples.SETTLES)
    return planned, planned.revalue()


def rows(seed=0, n_products=None):
    rng = np.random.default_rng(seed)
    n_products = n_products or len(made()[0].products)
    sizes = rng.integers(-60, 61, N_ROWS) * 1e3
    return Positions(rng.integers(0, N_ACCOUNTS, N_ROWS), rng.integers(0, n_products, N_ROWS), sizes)


@cache
def batch(account="NG-XM"):
    planned, pnl = made(account)
    return margin_many(rows(), pnl, planned)


def simulated(report, figure):
    """The amount that a report's tree has for the legs of a figure, pools without a requirement being nothing."""
    found = {}
    for requirement in report.requirements:
        if requirement.level == "clearing" and requirement.ruleset == figure.rule and requirement.pot == figure.pool:
            found[requirement.pool] = [requirement.line.part(leg.name).value for leg in figure.legs]
    return found


@pytest.mark.parametrize("account", ["NG-XM", "MER-XM", "MER-FUT"])
@pytest.mark.parametrize("regime", [SILOED, CROSS_MARGIN, HARMONIZED], ids=lambda regime: regime.name)
def test_every_account_is_the_report_s_to_the_cent(account, regime):
    many = batch(account)
    columns = [(n, figure) for n, figure in enumerate(many.plan.figures) if figure.regime == regime.name]
    first = np.cumsum([0, *(len(figure.legs) for figure in many.plan.figures)])
    for place in range(0, len(many.accounts), 4):
        report = many.report_of(many.accounts[place], regime)
        expected = [legs for figure in {(f.rule, f.pool): f for _, f in columns if f.counts}.values()
                    for legs in simulated(report, figure).values()]  # fmt: skip
        ours = [many.tails[place, first[n] : first[n + 1]] for n, figure in columns if figure.counts]
        theirs = sorted(tuple(legs) for legs in expected if any(legs))
        mine = sorted(tuple(legs) for legs in ours if any(legs))
        assert len(theirs) == len(mine)
        for one, other in zip(mine, theirs, strict=True):
            assert one == pytest.approx(other, abs=CENT)


def test_the_models_of_an_arrangement_see_both_legs():
    many = batch()
    figures = [figure for figure in many.plan.figures if not figure.counts]
    assert {figure.pool for figure in figures} == {
        "FICC on FICC + CME",
        "FICC on CME",
        "CME on FICC + CME",
        "CME on FICC",
    }
    assert many.total("cross_margin").tolist() == many.total("siloed").tolist()
    assert any("credits of ficc_gsd" in left_out for left_out in many.not_modelled)


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_threads_nor_splits_change_a_bit(random, threads):
    planned, pnl = made()
    plain, order = rows(), random.sample(range(N_ROWS), N_ROWS)
    mixed = Positions(plain.account[order], plain.product[order], plain.quantity[order])
    split = Positions(
        *(np.tile(column, 2) for column in (plain.account, plain.product)), np.tile(plain.quantity / 2, 2)
    )
    for other in (mixed, split):
        many = margin_many(other, pnl, planned, threads=threads)
        assert (many.values == batch().values).all()
        assert many.digest() == batch().digest()


def test_one_account_at_a_time_gives_the_same_bits():
    planned, pnl = made()
    every = rows()
    for place, account in enumerate(batch().accounts.tolist()):
        mine = every.account == account
        alone = margin_many(Positions(every.account[mine], every.product[mine], every.quantity[mine]), pnl, planned)
        assert (alone.values[0] == batch().values[place]).all()
        assert alone.unmodelled[0] == batch().unmodelled[place]


def test_single_precision_keeps_its_promise():
    planned, pnl = made()
    single = margin_many(rows(), pnl, planned, precision="single")
    assert (np.abs(single.tails - batch().tails) <= single.error_bound[:, None]).all()
    assert (batch().error_bound == 0.0).all()


def test_accounts_by_name_and_by_number():
    planned, pnl = made()
    plain = rows()
    names = np.array([f"a{n:02d}" for n in range(N_ACCOUNTS)])
    by_name = margin_many(Positions(names[plain.account], plain.product, plain.quantity), pnl, planned)
    by_number = margin_many(Positions(plain.account, plain.product, plain.quantity, names), pnl, planned)
    assert by_name.digest() == by_number.digest() != batch().digest()
    assert (by_name.values == batch().values).all()


def test_what_no_figure_takes_is_counted():
    many = batch()
    portfolio = many.portfolio_of(many.accounts[0])
    taken = frozenset().union(*(figure.products for figure in many.plan.figures))
    numbers = [many.plan.products.index(position.product) for position in portfolio.positions]
    assert many.unmodelled[0] >= sum(number not in taken for number in numbers)
    assert many.unmodelled.sum() > 0


def test_no_rows():
    planned, pnl = made()
    assert margin_many(Positions([], [], []), pnl, planned).values.shape == (0, len(planned.figures))


def test_rules_that_do_not_measure_on_scenarios_are_named():
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=portfolio.accounts[:1], positions=[])
    tried = with_rulesets(SILOED, {"cme_rates_futures": "span"})
    planned = plan(portfolio.products, market, alike, regimes=[tried], settles=samples.SETTLES)
    assert any("all of span" in left_out for left_out in planned.not_modelled)


def test_everything_wrong_is_said_at_once():
    planned, pnl = made()
    bad = Positions([0, 5], [0, 999], [np.nan, 1.0], labels=["a"])
    with pytest.raises(InputError) as found:
        margin_many(bad, {}, planned, precision="exakt")
    assert len(found.value.problems) >= 5
    with pytest.raises(InputError, match="columns of"):
        margin_many(Positions([0], [0, 1], [1.0]), pnl, planned)
    with pytest.raises(InputError, match="not whole numbers"):
        margin_many(Positions([0], [0.5], [1.0]), pnl, planned)
    with pytest.raises(InputError, match="no regime"):
        batch().total("siled")
    with pytest.raises(InputError, match="no account"):
        batch().report_of("nobody")
    with pytest.raises(InputError) as twice:
        plan([*planned.products[:1] * 2], planned.market, evolve(planned.portfolio, accounts=[]))
    assert len(twice.value.problems) == 2
